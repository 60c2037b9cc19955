//! The live view: redrawn in place on a terminal, a line every few seconds elsewhere.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{IsTerminal as _, Write as _},
    time::Duration,
};

use super::reconcile::{kwh, yuan};

/// What is shown.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// Time since the start, real.
    pub elapsed: Duration,
    /// Platform time as `2025-11-11 20:15` (UTC+8).
    pub platform_time: String,
    /// How many chargers there are.
    pub chargers: usize,
    /// The simulator's counters.
    pub progress: simulator::Progress,
    /// Orders by state.
    pub orders: BTreeMap<String, usize>,
    /// Energy and money of settled orders.
    pub settled: (i64, i64),
    /// What the demo is doing.
    pub phase: &'static str,
}

/// Draws pictures on stdout.
#[derive(Debug)]
pub struct View {
    terminal: bool,
    lines_drawn: usize,
    lines_apart: Duration,
    last_line: Option<Duration>,
}

impl View {
    /// A view for this process's stdout.
    #[must_use]
    pub fn new() -> Self {
        Self {
            terminal: std::io::stdout().is_terminal(),
            lines_drawn: 0,
            lines_apart: Duration::from_secs(5),
            last_line: None,
        }
    }

    /// How often a new picture is worth making.
    #[must_use]
    pub fn every(&self) -> Duration {
        Duration::from_millis(if self.terminal { 500 } else { 1_000 })
    }

    /// Shows a picture.
    pub fn show(&mut self, picture: &Picture) {
        let text = if self.terminal {
            let text = block(picture);
            let up = if self.lines_drawn > 0 { format!("\x1b[{}A\x1b[J", self.lines_drawn) } else { String::new() };
            self.lines_drawn = text.lines().count();
            up + &text
        } else {
            if self.last_line.is_some_and(|last| picture.elapsed < last + self.lines_apart) {
                return;
            }
            self.last_line = Some(picture.elapsed);
            line(picture)
        };
        let mut out = std::io::stdout().lock();
        // Err: nobody reads any more, which is no reason to stop the demo.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

impl Default for View {
    fn default() -> Self {
        Self::new()
    }
}

fn block(p: &Picture) -> String {
    let mut text = String::new();
    let bar = bar(p.progress.charging, p.chargers);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  {}   platform time {}   {}", clock(p.elapsed), p.platform_time, p.phase);
    let _ = writeln!(text, "  chargers online   {:>4} of {}", p.progress.online, p.chargers);
    let _ = writeln!(text, "  sessions          {:>4} charging {bar}", p.progress.charging);
    let _ = writeln!(
        text,
        "                    {:>4} started   {} ended   {} records confirmed",
        p.progress.sessions_started, p.progress.sessions_done, p.progress.records_acknowledged
    );
    let _ = writeln!(
        text,
        "  energy            {:>12} kWh delivered",
        kwh(i64::try_from(p.progress.energy_e4).unwrap_or(i64::MAX))
    );
    let _ = writeln!(text, "  settled           {:>12} kWh   {} yuan", kwh(p.settled.0), yuan(p.settled.1));
    let _ = writeln!(text, "  orders            {}", states(&p.orders));
    text
}

fn line(p: &Picture) -> String {
    format!(
        "{} {} · online {}/{} · charging {} · delivered {} kWh · settled {} kWh, {} yuan · orders: {}\n",
        clock(p.elapsed),
        p.phase,
        p.progress.online,
        p.chargers,
        p.progress.charging,
        kwh(i64::try_from(p.progress.energy_e4).unwrap_or(i64::MAX)),
        kwh(p.settled.0),
        yuan(p.settled.1),
        states(&p.orders),
    )
}

fn states(orders: &BTreeMap<String, usize>) -> String {
    if orders.is_empty() {
        return "none yet".into();
    }
    orders.iter().map(|(state, count)| format!("{count} {state}")).collect::<Vec<_>>().join(", ")
}

fn clock(elapsed: Duration) -> String {
    format!("{:02}:{:02}", elapsed.as_secs() / 60, elapsed.as_secs() % 60)
}

fn bar(charging: u64, chargers: usize) -> String {
    let most = 40.min(chargers);
    let filled = usize::try_from(charging).unwrap_or(0).min(most);
    format!("{}{}", "█".repeat(filled), "░".repeat(most - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_what_counts() {
        let picture = Picture {
            chargers: 40,
            settled: (123_456, 987),
            orders: BTreeMap::from([("CHARGING".to_owned(), 3)]),
            phase: "running",
            elapsed: Duration::from_secs(65),
            ..Picture::default()
        };
        assert_eq!(
            line(&picture),
            "01:05 running · online 0/40 · charging 0 · delivered 0.0000 kWh · settled 12.3456 kWh, 9.87 yuan · orders: 3 CHARGING\n"
        );
        assert_eq!(block(&picture).lines().count(), 7);
    }
}
