//! A transaction: its start, its end, and what becomes of both on the way to the platform.

use std::sync::atomic::Ordering::Relaxed;

use rand::Rng;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::OcppCharger;
use super::calls::{About, TX_ID, TxKey};
use super::drivers::{Connector, Phase};
use super::stamp;
use crate::charge::{Charge, WMS_PER_WH, e4_between};
use crate::charger::Now;
use crate::fleet::FleetEvent;
use crate::ledger::{EntryId, SessionEntry};
use crate::rating::{Sample, by_samples, is_one_segment};

/// A running transaction.
#[derive(Debug)]
pub(crate) struct Running {
    pub key: TxKey,
    pub charge: Charge,
    /// Meter at the start, Wh.
    pub meter_start_wh: u64,
    /// When the next periodic sample is due.
    pub sample_at: Instant,
    /// Quarter hours of the charge already reported.
    pub quarters_sent: usize,
}

impl Running {
    pub(crate) fn meter_wh(register: u64) -> u64 {
        register / WMS_PER_WH
    }

    /// Energy since the start, 0.0001 kWh, as the platform computes it from two registers in Wh.
    pub(crate) fn energy_e4(&self, register: u64) -> i64 {
        let wh = Self::meter_wh(register).saturating_sub(self.meter_start_wh);
        i64::try_from(wh * 10).unwrap_or(i64::MAX)
    }
}

/// A transaction until its stop is confirmed.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub connector: u32,
    /// Given by the platform.
    pub id: Option<i64>,
    /// The ledger's line, once it has ended.
    pub entry: Option<EntryId>,
    /// Confirmed samples.
    pub samples: Vec<Sample>,
    pub samples_lost: u32,
    pub start_lost: bool,
}

impl OcppCharger {
    pub(super) fn begin(&mut self, now: Now, index: usize) {
        let car = self.world.car(&mut self.rng);
        let rated = u64::from(self.world.config.rated_power_w);
        let Some(connector) = self.connectors.get_mut(index) else { return };
        let Phase::Starting { tag, begin_ms } = &connector.phase else { return };
        let (tag, begin_ms, number) = (tag.clone(), *begin_ms, connector.number);
        let meter_start_wh = Running::meter_wh(connector.register);
        let running = Running {
            key: self.next_tx,
            charge: Charge::new(car, rated, connector.register, begin_ms),
            meter_start_wh,
            sample_at: now.at,
            quarters_sent: 0,
        };
        let key = running.key;
        self.next_tx += 1;
        let transaction = Transaction {
            connector: number,
            id: None,
            entry: None,
            samples: Vec::new(),
            samples_lost: 0,
            start_lost: false,
        };
        self.transactions.insert(key, transaction);
        let payload = json!({
            "connectorId": number, "idTag": tag, "meterStart": meter_start_wh, "timestamp": stamp(begin_ms),
        });
        self.call(now, About::StartTx(key), "StartTransaction", &payload);
        self.world.counters.sessions_started.fetch_add(1, Relaxed);
        self.world.counters.charging.fetch_add(1, Relaxed);
        let session = String::new();
        self.world.tell(FleetEvent::SessionStarted {
            charger: self.world.id(),
            connector: number,
            session,
            at_ms: begin_ms,
        });
        if let Some(connector) = self.connectors.get_mut(index) {
            connector.phase = Phase::Charging(Box::new(running));
        }
        self.tags_used.insert(key, tag);
        self.notify(now, index);
    }

    /// Ends a transaction: the stop is queued, the ledger gets its line.
    pub(super) fn finish(&mut self, now: Now, index: usize, reason: &'static str) {
        if matches!(self.connectors.get(index).map(|c| &c.phase), Some(Phase::Charging(_))) {
            // Quarter hours between the last look and now.
            self.carry_on(now, index);
            self.report_meter(now, index);
        }
        let unplug_ms = now.ms + self.rng.random_range(5_000..=30_000);
        let Some(connector) = self.connectors.get_mut(index) else { return };
        let phase = std::mem::replace(&mut connector.phase, Phase::Finished { unplug_ms });
        let Phase::Charging(running) = phase else {
            connector.phase = phase;
            return;
        };
        let register = running.charge.register();
        connector.register = register;
        let number = connector.number;
        let meter_stop_wh = Running::meter_wh(register);
        let end_ms = running.charge.at_ms();
        let token = self.tags_used.remove(&running.key).unwrap_or_default();
        let payload = json!({
            "transactionId": "<tx>", "idTag": token, "meterStop": meter_stop_wh, "timestamp": stamp(end_ms), "reason": reason,
        });
        debug_assert!(payload.to_string().contains(TX_ID));
        self.call(now, About::StopTx(running.key), "StopTransaction", &payload);
        self.world.counters.charging.fetch_sub(1, Relaxed);
        self.world.counters.sessions_done.fetch_add(1, Relaxed);
        let Some(tx) = self.transactions.get_mut(&running.key) else { return };
        let line = SessionEntry {
            charger: self.world.id(),
            connector: number,
            protocol: self.world.protocol(),
            session: tx.id.map(|id| id.to_string()).unwrap_or_default(),
            token,
            start_ms: running.charge.started_ms(),
            end_ms,
            meter_start_e4: running.meter_start_wh * 10,
            meter_stop_e4: meter_stop_wh * 10,
            energy_e4: (meter_stop_wh - running.meter_start_wh) * 10,
            rates_e4: [0; 4],
            charger_amount_yuan4: 0,
            stop_reason: reason.to_owned(),
            samples: Vec::new(),
            samples_lost: 0,
            acknowledged: false,
            lost: false,
            transmissions: 0,
            expected: None,
        };
        self.world.tell(FleetEvent::SessionEnded {
            charger: self.world.id(),
            connector: number,
            session: line.session.clone(),
            energy_e4: line.energy_e4,
            at_ms: end_ms,
        });
        tx.entry = Some(self.world.ledger.push(line));
        self.notify(now, index);
    }

    fn carry_on(&mut self, now: Now, index: usize) {
        let Some(Connector { phase: Phase::Charging(running), .. }) = self.connectors.get_mut(index) else { return };
        let before = running.charge.register();
        running.charge.advance(now.ms, |_| true);
        let energy = e4_between(before, running.charge.register());
        self.world.counters.energy_e4.fetch_add(energy, Relaxed);
    }

    pub(super) fn start_confirmed(&mut self, now: Now, key: TxKey, answer: &Value) {
        let id = answer.get("transactionId").and_then(Value::as_i64);
        let Some(tx) = self.transactions.get_mut(&key) else { return };
        tx.id = id;
        let (entry, number) = (tx.entry, tx.connector);
        if let (Some(entry), Some(id)) = (entry, id) {
            self.world.ledger.update(entry, |line| line.session = id.to_string());
        }
        if id.is_none() {
            self.bad();
        }
        let stops = self.settings.flag("StopTransactionOnInvalidId");
        if status_of(answer) != "Accepted" && stops {
            self.world.counters.starts_refused.fetch_add(1, Relaxed);
            let runs = |c: &Connector| matches!(&c.phase, Phase::Charging(running) if running.key == key);
            if let Some(index) = self.index_of(number).filter(|&i| self.connectors.get(i).is_some_and(runs)) {
                self.finish(now, index, "DeAuthorized");
            }
        }
    }

    pub(super) fn stop_confirmed(&mut self, key: TxKey) {
        let Some(tx) = self.transactions.remove(&key) else { return };
        let Some(entry) = tx.entry else { return };
        self.world.counters.records_acknowledged.fetch_add(1, Relaxed);
        let book = self.world.tariff.as_ref();
        let mut session = String::new();
        self.world.ledger.update(entry, |line| {
            line.acknowledged = true;
            line.samples.clone_from(&tx.samples);
            line.samples_lost = tx.samples_lost;
            let energy = i64::try_from(line.energy_e4).unwrap_or(i64::MAX);
            line.expected = book.and_then(|book| {
                // A lost sample may or may not have reached the platform: only one segment costs the same either way.
                let exact = tx.samples_lost == 0 || is_one_segment(book, line.start_ms, line.end_ms);
                exact.then(|| by_samples(book, line.start_ms, line.end_ms, energy, &tx.samples)).flatten()
            });
            session.clone_from(&line.session);
        });
        self.world.tell(FleetEvent::RecordAcknowledged { charger: self.world.id(), session });
    }

    /// A transaction message was given up: what the protocol makes a station lose.
    pub(super) fn transaction_message_lost(&mut self, about: &About) {
        match about {
            About::StartTx(key) => {
                if let Some(tx) = self.transactions.get_mut(key) {
                    tx.start_lost = true;
                }
            }
            About::StopTx(key) => {
                self.world.counters.records_lost.fetch_add(1, Relaxed);
                if let Some(entry) = self.transactions.remove(key).and_then(|tx| tx.entry) {
                    self.world.ledger.update(entry, |line| line.lost = true);
                }
            }
            other => self.sample_lost(other),
        }
    }
}

pub(super) fn status_of(answer: &Value) -> &str {
    answer.pointer("/idTagInfo/status").and_then(Value::as_str).unwrap_or_default()
}
