//! What a run found, as a table for people and as JSON for machines. Integers with their unit in the name.

use std::fmt;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Result of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Name of the mix.
    pub mix: String,
    /// `closed` or `open N/s`.
    pub pace: String,
    /// Connections asked for.
    pub connections: u64,
    /// Connections that were logged in when the traffic began.
    pub logged_in: u64,
    /// How long all logins took, ms.
    pub login_ms: u64,
    /// Length of the measurement, ms.
    pub measured_ms: u64,
    /// Messages sent in the measurement.
    pub messages: u64,
    /// Messages per second.
    pub messages_per_second: u64,
    /// Answers received in the measurement.
    pub answers: u64,
    /// Latency of the answers.
    pub latency: Latency,
    /// Failed connects and logins, refused messages, unreadable answers: all of the run, not only of the measurement.
    pub errors: u64,
    /// Connections lost after their login.
    pub disconnects: u64,
    /// Messages without an answer at the end.
    pub unanswered: u64,
    /// Open loop: messages that could not be sent because the connection was gone or its socket full.
    pub not_sent: u64,
    /// CPU of the measured process.
    pub cpu: Option<CpuReport>,
    /// Memory of the measured process.
    pub memory: Option<MemoryReport>,
}

/// Percentiles of a latency, microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of all answers came within this.
    pub p50_us: u64,
    /// 90 %.
    pub p90_us: u64,
    /// 99 %.
    pub p99_us: u64,
    /// 99.9 %.
    pub p999_us: u64,
    /// The slowest.
    pub max_us: u64,
}

impl Latency {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        if histogram.is_empty() {
            return Self::default();
        }
        Self { p50_us: at(0.5), p90_us: at(0.9), p99_us: at(0.99), p999_us: at(0.999), max_us: histogram.max() }
    }
}

/// CPU of the measured process in the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuReport {
    /// Process id.
    pub pid: u32,
    /// User and system of all its threads, ns.
    pub cpu_ns: u64,
    /// The same for each message, ns.
    pub ns_per_message: u64,
    /// Cores used, per mille of one core.
    pub cores_per_mille: u64,
    /// Share of the kernel, per mille.
    pub system_per_mille: u64,
}

/// Anonymous memory of the measured process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryReport {
    /// Before the first connect, bytes.
    pub before_bytes: u64,
    /// After the traffic, with all connections open and idle, bytes.
    pub after_bytes: u64,
    /// Growth for each connection, bytes.
    pub bytes_per_connection: u64,
}

impl Report {
    /// True if nothing went wrong: every connection logged in, none was lost, nothing failed, everything was answered.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.logged_in == self.connections && self.errors + self.disconnects + self.unanswered + self.not_sent == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "  {name:<22}{value}");
        row("mix", format!("{} ({} loop)", self.mix, self.pace))?;
        row("connections", format!("{} of {}, logged in in {} ms", self.logged_in, self.connections, self.login_ms))?;
        row("messages", format!("{} in {} ms = {}/s", self.messages, self.measured_ms, self.messages_per_second))?;
        let l = &self.latency;
        row("answers", self.answers.to_string())?;
        row(
            "latency, us",
            format!("p50 {}  p90 {}  p99 {}  p99.9 {}  max {}", l.p50_us, l.p90_us, l.p99_us, l.p999_us, l.max_us),
        )?;
        row(
            "failures",
            format!(
                "{} errors, {} disconnects, {} unanswered, {} not sent",
                self.errors, self.disconnects, self.unanswered, self.not_sent
            ),
        )?;
        if let Some(cpu) = &self.cpu {
            row(
                "server CPU",
                format!(
                    "{} us per message (pid {}, {} cores, {} % kernel)",
                    thousandths(cpu.ns_per_message),
                    cpu.pid,
                    thousandths(cpu.cores_per_mille),
                    cpu.system_per_mille / 10
                ),
            )?;
        }
        if let Some(memory) = &self.memory {
            row(
                "server memory",
                format!(
                    "{} bytes per idle connection ({} KiB -> {} KiB anonymous)",
                    memory.bytes_per_connection,
                    memory.before_bytes / 1024,
                    memory.after_bytes / 1024
                ),
            )?;
        }
        Ok(())
    }
}

/// An integer of thousandths as a decimal.
pub(crate) fn thousandths(value: u64) -> String {
    format!("{}.{:03}", value / 1000, value % 1000)
}
