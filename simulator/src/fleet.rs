//! A fleet of simulated chargers: one task each, counters and events for a live view, a ledger at the end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::charger::{Charger, Control, Outbox, World};
use crate::clock::Ticker;
use crate::config::{ChargerConfig, ConfigError, FleetConfig, Protocol};
use crate::drive::{Driver, Phase};
use crate::fault::Faults;
use crate::ledger::{Ledger, SharedLedger};

/// Events a slow listener may be behind before it misses some.
const EVENTS_KEPT: usize = 4096;
/// Orders of people a charger can have waiting.
const CONTROLS_MOST: usize = 16;

/// What happens in a fleet, for a live view. A listener that is too slow misses events; the counters and the ledger do not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum FleetEvent {
    /// The transport is there.
    Online {
        /// Charger id.
        charger: String,
    },
    /// The transport is gone.
    Offline {
        /// Charger id.
        charger: String,
    },
    /// Current flows.
    SessionStarted {
        /// Charger id.
        charger: String,
        /// Connector, from 1.
        connector: u32,
        /// Trade number; empty for OCPP, whose platform names the session later.
        session: String,
        /// Charger time, UTC ms.
        at_ms: i64,
    },
    /// The platform (or the charger) refused a start.
    StartRefused {
        /// Charger id.
        charger: String,
        /// Connector, from 1.
        connector: u32,
        /// YKC code or OCPP status.
        reason: String,
    },
    /// Current ended; the record is on its way.
    SessionEnded {
        /// Charger id.
        charger: String,
        /// Connector, from 1.
        connector: u32,
        /// Trade number or transaction id.
        session: String,
        /// 0.0001 kWh.
        energy_e4: u64,
        /// Charger time, UTC ms.
        at_ms: i64,
    },
    /// The platform confirmed a record.
    RecordAcknowledged {
        /// Charger id.
        charger: String,
        /// Trade number or transaction id.
        session: String,
    },
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Live counters of a fleet.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub $name: AtomicU64),+ }
        /// The counters at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct Progress { $($(#[$doc])* pub $name: u64),+ }
        impl Counters {
            pub(crate) fn snapshot(&self) -> Progress {
                Progress { $($name: self.$name.load(Relaxed)),+ }
            }
        }
    };
}

counters! {
    /// Chargers with a transport now.
    online,
    /// Chargers whose login or boot the platform has accepted now.
    accepted,
    /// Connectors that charge now.
    charging,
    /// Energy delivered so far, running sessions included, 0.0001 kWh.
    energy_e4,
    /// Sessions begun.
    sessions_started,
    /// Sessions ended; their record is in the ledger.
    sessions_done,
    /// Records confirmed by the platform.
    records_acknowledged,
    /// Records given up: what the protocol makes a charger lose.
    records_lost,
    /// Records or transaction messages sent again.
    retries,
    /// Answered records sent once more on purpose.
    duplicates,
    /// Starts refused by the platform or by a charger.
    starts_refused,
    /// Sessions of the plan that never got started.
    sessions_skipped,
    /// Messages sent.
    messages_sent,
    /// Messages received.
    messages_received,
    /// Messages from the platform that could not be read, or that refused one of ours.
    messages_bad,
    /// Reconnects.
    reconnects,
    /// Connects that failed.
    connect_failures,
    /// Faults played.
    faults,
}

/// How a fleet ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// All finished sessions.
    pub ledger: Ledger,
    /// The counters at the end.
    pub progress: Progress,
    /// Chargers that had not settled at the deadline: a session still ran or a record was unconfirmed.
    pub unsettled: usize,
}

/// A running fleet. Dropping it ends all its tasks at once; [`Fleet::stop`] ends them well.
#[derive(Debug)]
pub struct Fleet {
    counters: Arc<Counters>,
    ledger: SharedLedger,
    events: broadcast::Sender<FleetEvent>,
    phase: watch::Sender<Phase>,
    controls: HashMap<String, mpsc::Sender<Control>>,
    done: Vec<watch::Receiver<bool>>,
    tasks: JoinSet<()>,
}

impl Fleet {
    /// Starts all chargers on the current tokio runtime.
    ///
    /// # Errors
    /// What is wrong with the config.
    pub fn start(config: &FleetConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let mut fleet = Self {
            counters: Arc::default(),
            ledger: SharedLedger::default(),
            events: broadcast::Sender::new(EVENTS_KEPT),
            phase: watch::Sender::new(Phase::Run),
            controls: HashMap::new(),
            done: Vec::new(),
            tasks: JoinSet::new(),
        };
        let ticker = Ticker::new(config.clock);
        let mut rng = StdRng::seed_from_u64(config.seed);
        for charger in &config.chargers {
            let own = StdRng::from_rng(&mut rng);
            fleet.spawn(config, charger, ticker, own);
        }
        Ok(fleet)
    }

    fn spawn(&mut self, config: &FleetConfig, charger: &ChargerConfig, ticker: Ticker, mut rng: StdRng) {
        let plan = config.plan_of(charger);
        let tariff = charger.tariff.as_ref().and_then(|name| config.tariffs.get(name)).cloned();
        let world = Arc::new(World {
            config: charger.clone(),
            plan,
            ticker,
            floors: config.floors,
            faults: charger.faults.unwrap_or(config.faults),
            records_sent_most: config.records_sent_most,
            tariff,
            ledger: self.ledger.clone(),
            counters: Arc::clone(&self.counters),
            events: self.events.clone(),
        });
        let (controls, inbox) = mpsc::channel(CONTROLS_MOST);
        let (done, when_done) = watch::channel(false);
        self.controls.insert(charger.id.clone(), controls);
        self.done.push(when_done);
        let spread = Duration::from_millis(rng.random_range(0..=config.connect_spread_ms));
        let seat = Seat {
            faults: Faults::new(world.faults, StdRng::from_rng(&mut rng)),
            phase: self.phase.subscribe(),
            controls: inbox,
            done,
            connect_at: Instant::now() + spread,
        };
        let brain = StdRng::from_rng(&mut rng);
        match charger.protocol {
            Protocol::Ykc => {
                let driver = seat.drive(crate::ykc::YkcCharger::new(Arc::clone(&world), brain), world, rng);
                self.tasks.spawn(driver.run());
            }
            Protocol::Ocpp16 => {
                let driver = seat.drive(crate::ocpp::OcppCharger::new(Arc::clone(&world), brain), world, rng);
                self.tasks.spawn(driver.run());
            }
        }
    }

    /// The counters now.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.counters.snapshot()
    }

    /// Events from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<FleetEvent> {
        self.events.subscribe()
    }

    /// The ledger so far: finished sessions only.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.ledger.snapshot()
    }

    /// Lets a person act at a charger. False: no such charger, or its queue is full.
    pub fn control(&self, charger: &str, control: Control) -> bool {
        self.controls.get(charger).is_some_and(|inbox| inbox.try_send(control).is_ok())
    }

    /// Waits until every charger has played its plan and every record is confirmed or given up. False: not by `deadline`.
    pub async fn wait_done(&self, deadline: Instant) -> bool {
        for done in &self.done {
            let mut done = done.clone();
            let waited = timeout_at(deadline, done.wait_for(|&d| d)).await;
            if !matches!(waited, Ok(Ok(_))) {
                return false;
            }
        }
        true
    }

    /// Winds down: no new sessions, running ones are stopped at the charger, records are sent until confirmed or given up,
    /// then the chargers leave. What has not settled by `deadline` is cut off.
    pub async fn stop(mut self, deadline: Instant) -> Outcome {
        self.phase.send_replace(Phase::WindDown);
        let all_left = timeout_at(deadline, async { while self.tasks.join_next().await.is_some() {} }).await;
        let unsettled = if all_left.is_ok() { 0 } else { self.tasks.len() };
        self.phase.send_replace(Phase::Abort);
        let grace = Instant::now() + Duration::from_millis(500);
        let _cut_off_below = timeout_at(grace, async { while self.tasks.join_next().await.is_some() {} }).await;
        self.tasks.shutdown().await;
        Outcome { ledger: self.ledger.snapshot(), progress: self.counters.snapshot(), unsettled }
    }
}

/// What a driver needs beside the charger.
struct Seat {
    faults: Faults,
    phase: watch::Receiver<Phase>,
    controls: mpsc::Receiver<Control>,
    done: watch::Sender<bool>,
    connect_at: Instant,
}

impl Seat {
    fn drive<C: Charger>(self, charger: C, world: Arc<World>, rng: StdRng) -> Driver<C> {
        Driver {
            charger,
            world,
            faults: self.faults,
            rng,
            phase: self.phase,
            controls: self.controls,
            done: self.done,
            out: Outbox::default(),
            connect_at: self.connect_at,
            winding_down: false,
        }
    }
}
