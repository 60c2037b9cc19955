//! What people do at a charge point, and what a connector shows of it.

use std::sync::atomic::Ordering::Relaxed;

use rand::Rng;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::OcppCharger;
use super::calls::About;
use super::stamp;
use super::transaction::{Running, status_of};
use crate::charge::{Ended, e4_between};
use crate::charger::{Control, Now, within};
use crate::config::StartBy;
use crate::fleet::FleetEvent;

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
            Some(Phase::Asking { remote, .. }) => {
                self.world.counters.sessions_skipped.fetch_add(u64::from(!remote), Relaxed);
                self.set_phase(now, index, Phase::Idle { next_ms: now.ms });
            }
            Some(Phase::Starting { .. }) => {
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
        self.set_phase(now, index, Phase::Asking { tag, remote: false, attempts: 0, ask_at });
    }

    /// Asks whether the tag may charge, or gives up after too many refusals and silences.
    fn ask(&mut self, now: Now, index: usize) {
        let able = self.is_online();
        let most = self.world.plan.start_attempts.max(1);
        let again = now.at + self.world.paced(30_000, self.world.floors.ocpp_call_ms);
        let soon = now.at + self.world.paced(10_000, self.world.floors.request_ms);
        let Some(connector) = self.connectors.get_mut(index) else { return };
        let (number, operative) = (connector.number, connector.operative);
        let Phase::Asking { tag, remote, attempts, ask_at } = &mut connector.phase else { return };
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
        *ask_at = again;
        let payload = json!({ "idTag": tag });
        self.call(now, About::Authorize { connector: number }, "Authorize", &payload);
    }

    pub(super) fn authorize_answered(&mut self, now: Now, number: u32, answer: &Value) {
        let Some(index) = self.index_of(number) else { return };
        let soon = now.at + self.world.paced(30_000, self.world.floors.request_ms);
        let status = status_of(answer);
        let Some(Connector { phase: Phase::Asking { tag, ask_at, .. }, .. }) = self.connectors.get_mut(index) else {
            return;
        };
        if status == "Accepted" {
            let tag = tag.clone();
            return self.allow(now, index, tag);
        }
        *ask_at = soon;
        self.world.counters.starts_refused.fetch_add(1, Relaxed);
        let reason = status.to_owned();
        self.world.tell(FleetEvent::StartRefused { charger: self.world.id(), connector: number, reason });
    }

    pub(super) fn authorize_failed(&mut self, now: Now, number: u32) {
        let soon = now.at + self.world.paced(5_000, self.world.floors.request_ms);
        if let Some(index) = self.index_of(number)
            && let Some(Connector { phase: Phase::Asking { ask_at, .. }, .. }) = self.connectors.get_mut(index)
        {
            *ask_at = soon;
        }
    }

    /// The tag may charge: the car shakes hands.
    pub(super) fn allow(&mut self, now: Now, index: usize, tag: String) {
        let handshake = self.rng.random_range(if self.world.is_dc() { 4_000..=12_000 } else { 1_000..=3_000 });
        self.set_phase(now, index, Phase::Starting { tag, begin_ms: now.ms + handshake });
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
