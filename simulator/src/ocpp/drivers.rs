//! What people do at a charge point, and a transaction from its start to its confirmed stop.

use std::sync::atomic::Ordering::Relaxed;

use rand::Rng;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::OcppCharger;
use super::calls::{About, TX_ID, TxKey};
use super::stamp;
use crate::charge::{Charge, Ended, WMS_PER_WH, e4_between};
use crate::charger::{Control, Now, within};
use crate::config::StartBy;
use crate::fleet::FleetEvent;
use crate::ledger::{EntryId, SessionEntry};
use crate::rating::{Sample, by_samples, is_one_segment};

/// What a connector is at.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Nobody there.
    Idle {
        next_ms: i64,
    },
    /// Plugged in; `tag` is to be authorised, or is being.
    Asking {
        tag: String,
        remote: bool,
        attempts: u32,
        ask_at: Instant,
        waiting: bool,
    },
    /// Allowed; current flows at `begin_ms`.
    Starting {
        tag: String,
        begin_ms: i64,
    },
    Charging(Box<Running>),
    /// Over, still plugged in.
    Finished {
        unplug_ms: i64,
    },
    /// A reset was ordered: the line goes down at once.
    Rebooting,
}

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

/// One connector.
#[derive(Debug)]
pub(crate) struct Connector {
    /// From 1.
    pub number: u32,
    pub phase: Phase,
    /// The meter, Wms; only ever grows.
    pub register: u64,
    /// ChangeAvailability.
    pub operative: bool,
}

impl OcppCharger {
    pub(super) fn drive(&mut self, now: Now, index: usize) {
        let Some(connector) = self.connectors.get_mut(index) else { return };
        match &mut connector.phase {
            Phase::Idle { next_ms } if *next_ms <= now.ms => self.next_driver(now, index),
            Phase::Asking { ask_at, .. } if *ask_at <= now.at => self.ask(now, index),
            Phase::Starting { begin_ms, .. } if *begin_ms <= now.ms => self.begin(now, index),
            Phase::Charging(running) => {
                let before = running.charge.register();
                running.charge.advance(now.ms, |_| true);
                let (energy, ended) = (e4_between(before, running.charge.register()), running.charge.ended());
                self.world.counters.energy_e4.fetch_add(energy, Relaxed);
                self.report_meter(now, index);
                match ended {
                    Some(Ended::Full) => {
                        self.status(now, index, "SuspendedEV");
                        self.finish(now, index, "Other");
                    }
                    Some(Ended::Satisfied | Ended::Balance) => self.finish(now, index, "Local"),
                    None => {}
                }
            }
            Phase::Finished { unplug_ms } if *unplug_ms <= now.ms => {
                let gap = within(&mut self.rng, self.world.plan.gap_ms);
                self.set_phase(now, index, Phase::Idle { next_ms: now.ms.saturating_add(gap) });
            }
            _ => {}
        }
    }

    pub(super) fn driver_wakes_at(&self, connector: &Connector) -> Instant {
        let at_ms = |ms| self.world.ticker.instant_of(ms);
        let far = Instant::now() + std::time::Duration::from_secs(3600);
        match &connector.phase {
            Phase::Idle { next_ms } if self.planned > 0 => at_ms(*next_ms),
            Phase::Idle { .. } => far,
            Phase::Asking { ask_at, .. } => *ask_at,
            Phase::Starting { begin_ms, .. } => at_ms(*begin_ms),
            Phase::Charging(running) => {
                running.sample_at.min(Instant::now() + self.world.paced(15_000, self.world.floors.live_data_ms))
            }
            Phase::Finished { unplug_ms } => at_ms(*unplug_ms),
            // The line is cut in the same tick; without a line there is nothing to wait for.
            Phase::Rebooting => far,
        }
    }

    pub(super) fn person(&mut self, now: Now, control: &Control) {
        let connector_of = |connector: u32| usize::try_from(connector).ok().and_then(|c| c.checked_sub(1));
        match control {
            Control::Start { connector, by: StartBy::IdTag(tag) } => {
                let Some(index) = connector_of(*connector) else { return };
                let free = |c: &super::Connector| matches!(c.phase, Phase::Idle { .. } | Phase::Finished { .. });
                if self.connectors.get(index).is_some_and(free) {
                    self.plug_in(now, index, tag.clone());
                }
            }
            Control::Stop { connector } => {
                let Some(index) = connector_of(*connector) else { return };
                self.leave(now, index);
            }
            // Cards and VINs are YKC; the driver task cuts the line.
            Control::Start { .. } | Control::Disconnect { .. } => {}
        }
    }

    pub(super) fn leave(&mut self, now: Now, index: usize) {
        match self.connectors.get(index).map(|c| &c.phase) {
            Some(Phase::Charging(_)) => self.finish(now, index, "Local"),
            Some(Phase::Asking { .. } | Phase::Starting { .. }) => {
                self.set_phase(now, index, Phase::Idle { next_ms: now.ms });
            }
            _ => {}
        }
    }

    fn next_driver(&mut self, now: Now, index: usize) {
        if self.planned == 0 || self.winding_down {
            return;
        }
        let starts = &self.world.plan.starts;
        let Some(StartBy::IdTag(tag)) = starts.get(self.starts % starts.len().max(1)).cloned() else { return };
        self.starts += 1;
        self.planned -= 1;
        self.plug_in(now, index, tag);
    }

    fn plug_in(&mut self, now: Now, index: usize, tag: String) {
        let ask_at = now.at + self.world.paced(2_000, 0);
        self.set_phase(now, index, Phase::Asking { tag, remote: false, attempts: 0, ask_at, waiting: false });
    }

    /// Asks whether the tag may charge, or gives up after too many refusals and silences.
    fn ask(&mut self, now: Now, index: usize) {
        let able = self.is_online();
        let most = self.world.plan.start_attempts.max(1);
        let again = now.at + self.world.paced(30_000, self.world.floors.ocpp_call_ms);
        let soon = now.at + self.world.paced(10_000, self.world.floors.request_ms);
        let Some(connector) = self.connectors.get_mut(index) else { return };
        let (number, operative) = (connector.number, connector.operative);
        let Phase::Asking { tag, remote, attempts, ask_at, waiting } = &mut connector.phase else { return };
        if !able || !operative {
            // The driver waits in front of a charger that is offline or out of order.
            *ask_at = soon;
            return;
        }
        if *attempts >= most {
            let remote = *remote;
            let gap = within(&mut self.rng, self.world.plan.gap_ms);
            self.world.counters.sessions_skipped.fetch_add(u64::from(!remote), Relaxed);
            return self.set_phase(now, index, Phase::Idle { next_ms: now.ms.saturating_add(gap) });
        }
        *attempts += 1;
        (*waiting, *ask_at) = (true, again);
        let payload = json!({ "idTag": tag });
        self.call(now, About::Authorize { connector: number }, "Authorize", &payload);
    }

    pub(super) fn authorize_answered(&mut self, now: Now, number: u32, answer: &Value) {
        let Some(index) = self.index_of(number) else { return };
        let soon = now.at + self.world.paced(30_000, self.world.floors.request_ms);
        let status = status_of(answer);
        let Some(Connector { phase: Phase::Asking { tag, waiting, ask_at, .. }, .. }) = self.connectors.get_mut(index)
        else {
            return;
        };
        if status == "Accepted" {
            let tag = tag.clone();
            return self.allow(now, index, tag);
        }
        (*waiting, *ask_at) = (false, soon);
        self.world.counters.starts_refused.fetch_add(1, Relaxed);
        let reason = status.to_owned();
        self.world.tell(FleetEvent::StartRefused { charger: self.world.id(), connector: number, reason });
    }

    pub(super) fn authorize_failed(&mut self, now: Now, number: u32) {
        let soon = now.at + self.world.paced(5_000, self.world.floors.request_ms);
        if let Some(index) = self.index_of(number)
            && let Some(Connector { phase: Phase::Asking { waiting, ask_at, .. }, .. }) = self.connectors.get_mut(index)
        {
            (*waiting, *ask_at) = (false, soon);
        }
    }

    /// The tag may charge: the car shakes hands.
    pub(super) fn allow(&mut self, now: Now, index: usize, tag: String) {
        let handshake = self.rng.random_range(if self.world.is_dc() { 4_000..=12_000 } else { 1_000..=3_000 });
        self.set_phase(now, index, Phase::Starting { tag, begin_ms: now.ms + handshake });
    }

    fn begin(&mut self, now: Now, index: usize) {
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

    pub(super) fn index_of(&self, number: u32) -> Option<usize> {
        self.connectors.iter().position(|c| c.number == number)
    }

    pub(super) fn set_phase(&mut self, now: Now, index: usize, phase: Phase) {
        if let Some(connector) = self.connectors.get_mut(index) {
            connector.phase = phase;
        }
        self.notify(now, index);
    }

    /// StatusNotification of the present state.
    pub(super) fn notify(&mut self, now: Now, index: usize) {
        let Some(connector) = self.connectors.get(index) else { return };
        let status = match &connector.phase {
            _ if !connector.operative => "Unavailable",
            Phase::Idle { .. } => "Available",
            Phase::Asking { .. } | Phase::Starting { .. } => "Preparing",
            Phase::Charging(_) => "Charging",
            Phase::Finished { .. } => "Finishing",
            Phase::Rebooting => "Unavailable",
        };
        self.status(now, index, status);
    }

    fn status(&mut self, now: Now, index: usize, status: &str) {
        let Some(connector) = self.connectors.get(index).map(|c| c.number) else { return };
        // Without a line the states in between are nobody's business: the present one is told after the reconnect.
        if self.is_online() {
            let payload = json!({
                "connectorId": connector, "errorCode": "NoError", "status": status, "timestamp": stamp(now.ms),
            });
            self.call(now, About::Status { connector }, "StatusNotification", &payload);
        }
    }
}

fn status_of(answer: &Value) -> &str {
    answer.pointer("/idTagInfo/status").and_then(Value::as_str).unwrap_or_default()
}
