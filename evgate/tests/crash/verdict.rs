//! Holds what chargers believe against log and orders: nothing lost, nothing twice, no wrong amount.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use events::{
    log::{EventLog, Start},
    prost::Message as _,
    proto::{Envelope, TransactionRecorded, envelope::Body},
    topic::Topic,
};
use evgate::{demo::reconcile::Name, platform::Order};
use simulator::Ledger;

use crate::{charger_line::Exchange, spoken::Money};

/// What all parties say.
pub struct Accounts {
    pub ledger: Ledger,
    pub exchanges: Vec<Exchange>,
    pub orders: Vec<Order>,
    pub log: Result<LogSaid, String>,
}

/// What the log holds.
#[derive(Debug, Default)]
pub struct LogSaid {
    /// Energies of each session's records, 0.0001 kWh: one, however often the record came. None: its start is missing.
    recorded: BTreeMap<Name, BTreeSet<Option<u64>>>,
    started: BTreeSet<Name>,
    sampled: BTreeSet<(Name, i64)>,
    /// Records in the dead-letter topics.
    dead: usize,
}

/// Every difference, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub sessions: usize,
    /// A session, or an answered message, that log or orders do not have; a record that a charger gave up.
    pub lost: Vec<String>,
    /// An order, or a record in the log, that no charger made; two orders for one session.
    pub duplicated: Vec<String>,
    /// Another energy or another sum of money than the charger's.
    pub wrong: Vec<String>,
    /// What else should not be: an order that is not settled, a dead letter, a refused message, a process that would not end well.
    pub odd: Vec<String>,
}

impl Verdict {
    pub fn is_right(&self) -> bool {
        self.lost.is_empty() && self.duplicated.is_empty() && self.wrong.is_empty() && self.odd.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lost, duplicated, wrong, odd) = (self.lost.len(), self.duplicated.len(), self.wrong.len(), self.odd.len());
        if self.is_right() {
            return f.write_str("right");
        }
        write!(f, "WRONG: {lost} lost, {duplicated} duplicated, {wrong} wrong amounts, {odd} odd")?;
        for (kind, all) in
            [("lost", &self.lost), ("duplicated", &self.duplicated), ("wrong", &self.wrong), ("odd", &self.odd)]
        {
            for difference in all {
                write!(f, "\n    {kind}: {difference}")?;
            }
        }
        Ok(())
    }
}

impl Accounts {
    pub fn judge(&self) -> Verdict {
        let mut verdict = Verdict { sessions: self.ledger.sessions.len(), ..Verdict::default() };
        let empty = LogSaid::default();
        let log = self.log.as_ref().unwrap_or(&empty);
        if let Err(error) = &self.log {
            verdict.odd.push(format!("the log cannot be read: {error}"));
            return verdict;
        }
        if log.dead > 0 {
            verdict.odd.push(format!("{} dead letters", log.dead));
        }
        let mut orders: BTreeMap<Name, &Order> = BTreeMap::new();
        for order in &self.orders {
            let Some(session) = &order.session else { continue };
            if orders.insert((order.charger.clone(), session.clone()), order).is_some() {
                verdict.duplicated.push(format!("{} session {session}: two orders", order.charger));
            }
        }
        let mut known = BTreeSet::new();
        for entry in &self.ledger.sessions {
            let name = (entry.charger.clone(), entry.session.clone());
            let shown = format!("{} session {}", name.0, name.1);
            if entry.lost || !entry.acknowledged {
                verdict
                    .lost
                    .push(format!("{shown}: the charger gave its record up ({} times sent)", entry.transmissions));
            }
            let energy_e4 = i64::try_from(entry.energy_e4).expect("an energy");
            match log.recorded.get(&name) {
                None => verdict.lost.push(format!("{shown}: no record in the log")),
                Some(said) if *said != BTreeSet::from([Some(entry.energy_e4)]) => {
                    verdict.wrong.push(format!("{shown}: {energy_e4} e4, log {said:?} e4"));
                }
                Some(_) => {}
            }
            match orders.get(&name) {
                None => verdict.lost.push(format!("{shown}: no order")),
                Some(order) if !order.is_settled() => verdict.odd.push(format!("{shown}: not settled: {order:?}")),
                Some(order) => {
                    let fen = entry.expected.map(|fen| fen.electricity_fen + fen.service_fen);
                    let (billed_e4, billed_fen) = order.reckoned();
                    if billed_e4 != Some(energy_e4) {
                        verdict.wrong.push(format!("{shown}: {energy_e4} e4, {order:?}"));
                    }
                    match fen {
                        None => verdict.odd.push(format!("{shown}: the charger cannot say what it should cost")),
                        Some(fen) if billed_fen != Some(fen) => {
                            verdict.wrong.push(format!("{shown}: {fen} fen, {order:?}"));
                        }
                        Some(_) => {}
                    }
                }
            }
            if !known.insert(name) {
                verdict.odd.push(format!("{shown}: twice in the chargers' ledger"));
            }
        }
        for name in log.recorded.keys().filter(|name| !known.contains(name)) {
            verdict.duplicated.push(format!("{} session {}: in the log, of no charger", name.0, name.1));
        }
        for (name, order) in orders.iter().filter(|(name, _)| !known.contains(name)) {
            // A start that was approved and never reached its charger ends as START_FAILED; it moves no money.
            let waits = matches!(order.state.to_ascii_uppercase().as_str(), "STARTING" | "START_FAILED" | "CANCELLED");
            let has_money = order.total_fen.unwrap_or(0) != 0 || order.energy_e4().unwrap_or(0) != 0;
            if has_money || !waits {
                verdict.duplicated.push(format!("{} session {}: {order:?}, of no charger", name.0, name.1));
            }
        }
        self.judge_answers(log, &mut verdict);
        verdict
    }

    /// What a charger saw answered it has forgotten: it must be in the log.
    fn judge_answers(&self, log: &LogSaid, verdict: &mut Verdict) {
        for exchange in self.exchanges.iter().filter(|exchange| exchange.answered) {
            let Exchange { charger, kind, session, id, times, refused, .. } = exchange;
            let name = (charger.clone(), session.clone());
            let shown = format!("{charger} session {session}: {kind:?} {id}");
            if *refused {
                verdict.odd.push(format!("{shown}: refused"));
                continue;
            }
            let kept = match kind {
                Money::Start => log.started.contains(&name),
                Money::Record | Money::Stop => log.recorded.contains_key(&name),
                Money::Meter => times.iter().all(|at| log.sampled.contains(&(name.clone(), *at))),
            };
            if !kept {
                verdict.lost.push(format!("{shown}: answered, and not in the log"));
            }
        }
    }
}

/// Reads the log to its end. What belongs together may stand in any order: two gateways may have written it.
pub async fn read(log: &Arc<dyn EventLog>) -> Result<LogSaid, String> {
    let mut said = LogSaid::default();
    let mut meter_starts: BTreeMap<Name, u64> = BTreeMap::new();
    let mut records: Vec<(Name, TransactionRecorded)> = Vec::new();
    let topics = [Topic::Device, Topic::DeviceDlq, Topic::TelemetryDlq, Topic::CommandDlq];
    let mut subscription = log.tail(&topics, Start::Beginning).map_err(|error| error.to_string())?;
    loop {
        let batch = subscription.poll(1_000, Duration::from_millis(200)).await.map_err(|error| error.to_string())?;
        for record in &batch.records {
            if record.position.topic != Topic::Device {
                said.dead += 1;
                continue;
            }
            let payload = record.payload.clone().ok_or("a record without an event")?;
            let envelope = Envelope::decode(payload).map_err(|error| error.to_string())?;
            let (charger, at) = (envelope.charger, envelope.occurred_at_ms);
            match envelope.body {
                Some(Body::SessionStarted(started)) => {
                    let name = (charger, started.session);
                    meter_starts.extend(started.meter_start_e4.map(|meter| (name.clone(), meter)));
                    said.started.insert(name);
                }
                Some(Body::MeterSampled(sample)) => {
                    said.sampled.insert(((charger, sample.session), at));
                }
                Some(Body::TransactionRecorded(record)) => records.push(((charger, record.session.clone()), record)),
                _ => {}
            }
        }
        if batch.at_end && batch.records.is_empty() {
            break;
        }
    }
    for (name, record) in records {
        // OCPP tells the meter at the start with the start only.
        let meter_start = record.meter_start_e4.or_else(|| meter_starts.get(&name).copied());
        let energy = record.energy_e4.or_else(|| record.meter_end_e4?.checked_sub(meter_start?));
        said.recorded.entry(name).or_default().insert(energy);
    }
    Ok(said)
}
