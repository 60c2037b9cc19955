//! What protocol and driver share: a charger is a state machine that eats bytes and time and leaves bytes to be sent. It has no
//! socket, so that every behaviour can be tested by hand.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::charge::Car;
use crate::clock::{Floors, Ticker, paced};
use crate::config::{ChargerConfig, Protocol, SessionPlan, StartBy};
use crate::fault::FaultPlan;
use crate::fleet::{Counters, FleetEvent};
use crate::ledger::SharedLedger;
use crate::tariff::TariffBook;

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// Real (runtime) time: protocol timers.
    pub at: Instant,
    /// Charger time, UTC ms: physics, records.
    pub ms: i64,
}

/// Why a charger hangs up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// The platform refused the login or the upgrade: wait longer before the next try.
    Refused,
    /// Three heartbeats without an answer.
    Silent,
    /// Asked to reboot.
    Reboot,
    /// The platform said goodbye (WebSocket close).
    Closed,
    /// Bytes that no platform sends.
    Garbage,
}

/// What a test or a person at the charger does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// A driver starts at a connector.
    Start {
        /// Connector, from 1.
        connector: u32,
        /// How.
        by: StartBy,
    },
    /// A driver stops at the charger.
    Stop {
        /// Connector, from 1.
        connector: u32,
    },
    /// The network goes away for this real time, ms. Running charges go on.
    Disconnect {
        /// How long, ms.
        for_ms: u64,
    },
}

/// Bytes to be sent, in order.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    items: VecDeque<Outgoing>,
}

/// One write.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub bytes: Vec<u8>,
    /// A protocol message: may suffer a fault. Handshakes and control frames may not.
    pub message: bool,
}

impl Outbox {
    pub(crate) fn message(&mut self, bytes: Vec<u8>) {
        self.items.push_back(Outgoing { bytes, message: true });
    }

    pub(crate) fn plain(&mut self, bytes: Vec<u8>) {
        self.items.push_back(Outgoing { bytes, message: false });
    }

    pub(crate) fn pop(&mut self) -> Option<Outgoing> {
        self.items.pop_front()
    }

    pub(crate) fn clear(&mut self) {
        self.items.clear();
    }
}

/// A charger of either protocol, without its socket.
pub(crate) trait Charger: Send {
    /// The transport is there: say hello.
    fn connected(&mut self, now: Now, out: &mut Outbox);
    /// The transport is gone; charging goes on.
    fn disconnected(&mut self, now: Now);
    /// Eats what it can of `input` and leaves an unfinished tail.
    fn received(&mut self, now: Now, input: &mut BytesMut, out: &mut Outbox) -> Result<(), Hangup>;
    /// Time passed. Called at [`Charger::wake_at`] or later, connected or not.
    fn tick(&mut self, now: Now, out: &mut Outbox) -> Result<(), Hangup>;
    /// When it next wants to be called.
    fn wake_at(&self) -> Instant;
    /// A person acts.
    fn control(&mut self, now: Now, control: &Control, out: &mut Outbox);
    /// No new sessions; running ones are stopped at the charger.
    fn wind_down(&mut self, now: Now, out: &mut Outbox);
    /// No session runs and every record is confirmed or given up.
    fn is_settled(&self) -> bool;
    /// All planned sessions are over and the charger is settled.
    fn is_done(&self) -> bool;
    /// A copy of a message, spoilt so that a gateway must drop it and may keep the connection.
    fn spoil(&self, message: &[u8]) -> Vec<u8>;
    /// Garbage between messages is survivable on this transport.
    fn takes_garbage(&self) -> bool;
}

/// What every charger knows about the world.
#[derive(Debug)]
pub(crate) struct World {
    pub config: ChargerConfig,
    pub plan: SessionPlan,
    pub ticker: Ticker,
    pub floors: Floors,
    pub faults: FaultPlan,
    /// See [`crate::FleetConfig::records_sent_most`].
    pub records_sent_most: u32,
    pub tariff: Option<TariffBook>,
    pub ledger: SharedLedger,
    pub counters: Arc<Counters>,
    pub events: broadcast::Sender<FleetEvent>,
}

impl World {
    /// Real duration of a protocol timer stated in charger time.
    pub(crate) fn paced(&self, charger_ms: u64, floor_ms: u64) -> std::time::Duration {
        paced(charger_ms, self.ticker.factor(), floor_ms)
    }

    pub(crate) fn now(&self, at: Instant) -> Now {
        Now { at, ms: self.ticker.ms_at(at) }
    }

    /// Nobody listening is no error: a demo without a live view has no receiver.
    pub(crate) fn tell(&self, event: FleetEvent) {
        drop(self.events.send(event));
    }

    pub(crate) fn id(&self) -> String {
        self.config.id.clone()
    }

    pub(crate) fn is_dc(&self) -> bool {
        self.config.rated_power_w > 22_000
    }

    /// The next driver's car.
    pub(crate) fn car(&self, rng: &mut StdRng) -> Car {
        let [least, most] = self.plan.energy_e4;
        let dc = self.is_dc();
        Car {
            capacity_e4: rng.random_range(400..=900) * 1_000,
            soc_start_bp: rng.random_range(800..=4_500),
            max_power_w: if dc { rng.random_range(60..=200) * 1_000 } else { rng.random_range(3_300..=11_000) },
            wanted_e4: rng.random_range(least..=most),
        }
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.config.protocol
    }
}

/// A time within [least, most] charger ms.
pub(crate) fn within(rng: &mut StdRng, [least, most]: [u64; 2]) -> i64 {
    i64::try_from(rng.random_range(least..=most.max(least))).unwrap_or(i64::MAX)
}
