//! A shard: one thread, one single-threaded runtime, its own listeners, its own connections. Nothing on the hot path is
//! shared with another shard but the log's producer.

pub(crate) mod inbox;
mod run;
pub(crate) mod slots;

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64},
    },
    time::Instant,
};

use events::{
    clock::Clock,
    commands::Command,
    log::{AppendError, EventLog},
    proto::SessionClaimed,
};
use listener::AcceptErrors;
use tokio::sync::Notify;

use crate::{
    Config,
    accept::{Admission, Handshakes, Rate},
    claims::Alive,
    command::HeldCommands,
    publish::Publisher,
    registry::{Address, LiveSessions, RemoteTags, Replica, Seat, prices::Prices},
    session::{Context, Effects, Event, Now, Settings, TradeCounter},
    telemetry::{Metrics, Wire},
};
use inbox::{Inbox, News, ToShard};
pub(crate) use run::{Listeners, spawn};
use slots::Slots;

/// Room in the read buffer beside an unfinished message.
const READ_BYTES: usize = 64 * 1024;
/// Events of connections that are gone, waiting for room in the log.
const ORPHANS_MAX: usize = 100_000;

/// What all shards see.
#[derive(Debug)]
pub(crate) struct Shared {
    pub config: Config,
    pub settings: Settings,
    pub clock: Clock,
    /// Real time, of which epochs are made.
    pub epochs: Clock,
    /// This process, in its claims.
    pub process: u64,
    /// Which gateways live.
    pub alive: Alive,
    pub log: Arc<dyn EventLog>,
    pub replica: Arc<Replica>,
    pub live: LiveSessions,
    pub prices: Prices,
    pub tags: RemoteTags,
    pub held: HeldCommands,
    pub trades: TradeCounter,
    pub metrics: Metrics,
    pub admission: Admission,
    /// By protocol.
    pub accept_errors: [AcceptErrors; 2],
    pub inboxes: Vec<Arc<Inbox>>,
    /// Real time of each shard's last turn, UTC ms.
    pub turns: Vec<AtomicI64>,
    pub draining: AtomicBool,
}

impl Shared {
    pub const fn accept_errors(&self, wire: Wire) -> &AcceptErrors {
        let [ykc, ocpp] = &self.accept_errors;
        match wire {
            Wire::Ykc => ykc,
            Wire::Ocpp => ocpp,
        }
    }

    /// Tells a seat's connection what happened to the seat.
    pub fn tell(&self, seat: Arc<Seat>, news: News) {
        if let Some(inbox) = self.inboxes.get(usize::from(seat.address.shard)) {
            inbox.push(ToShard::News(seat, news));
        }
    }

    /// Says on `ev.session.v1` that a seat holds its charger.
    pub fn claim(&self, publisher: &mut Publisher, seat: &Arc<Seat>, remote_address: String) {
        let claim = SessionClaimed { address: String::new(), remote_address, released: false, process: self.process };
        if publisher.claim(seat, claim, self.clock.now_ms(), self.live.said(seat)).is_ok() {
            self.metrics.published_session.increment(1);
        }
    }

    /// Keeps a command until its charger logs in; when it is here already, that is now.
    pub fn hold_command(&self, command: Arc<Command>, appended_at_ms: i64) {
        if !self.held.hold(Arc::clone(&command), appended_at_ms, self.clock.now_ms()) {
            self.metrics.command_not_here.increment(1);
        } else if self.live.find(&command.charger).is_some() {
            self.held.logged_in(&command.charger);
        }
    }
}

/// What the tasks of one shard see.
#[derive(Debug)]
pub(crate) struct Shard {
    pub shared: Arc<Shared>,
    pub index: u16,
    /// Read buffer of all connections: nothing stays in it between two polls of a task.
    pub buffer: RefCell<Box<[u8]>>,
    /// Effects of the step that runs now.
    pub effects: RefCell<Effects>,
    pub publisher: RefCell<Publisher>,
    pub slots: RefCell<Slots>,
    pub handshakes: Handshakes,
    /// Logins that may begin.
    pub logins: RefCell<Rate>,
    /// Connections with events that wait for room in the log.
    pub stalled: RefCell<Vec<Address>>,
    pub stalled_some: Notify,
    /// Grows whenever the log took something that had waited.
    pub unstalled: Cell<u64>,
    orphans: RefCell<VecDeque<Event>>,
    /// Messages handled; the sweep makes a rate of it.
    pub messages: Cell<u64>,
    /// Told when a connection ends, for the drain.
    pub left: Notify,
    started: Instant,
}

impl Shard {
    fn new(shared: Arc<Shared>, index: u16, inbox: &Arc<Inbox>) -> Rc<Self> {
        let publisher = Publisher::new(Arc::clone(&shared.log), Arc::clone(inbox) as _, &shared.config.node);
        let room = shared.config.limits.message_bytes + READ_BYTES;
        Rc::new(Self {
            index,
            buffer: RefCell::new(vec![0; room].into_boxed_slice()),
            effects: RefCell::default(),
            publisher: RefCell::new(publisher),
            slots: RefCell::default(),
            handshakes: Handshakes::new(shared.config.limits.handshakes),
            logins: RefCell::new(Rate::share(shared.config.limits.logins_per_second, shared.inboxes.len())),
            stalled: RefCell::default(),
            stalled_some: Notify::new(),
            unstalled: Cell::new(0),
            orphans: RefCell::default(),
            messages: Cell::new(0),
            left: Notify::new(),
            started: Instant::now(),
            shared,
        })
    }

    pub fn now(&self) -> Now {
        Now { mono_ms: self.mono_ms(), wall_ms: self.shared.clock.now_ms() }
    }

    pub fn mono_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub fn context(&self, now: Now, address: Address, remote: SocketAddr) -> Context<'_> {
        let shared = &*self.shared;
        Context {
            now,
            replica: &shared.replica,
            live: &shared.live,
            tags: &shared.tags,
            trades: &shared.trades,
            settings: &shared.settings,
            address,
            remote,
            real_ms: shared.epochs.now_ms(),
        }
    }

    /// Hands an event to the log and counts it.
    pub fn publish(&self, event: &Event, address: Address) -> Result<(), AppendError> {
        // Busy only inside a panic that began in the publisher: then nothing can be published from here any more.
        let Ok(mut publisher) = self.publisher.try_borrow_mut() else { return Err(AppendError::Closed) };
        let outcome = publisher.publish(event, address);
        match outcome {
            Ok(()) => self.shared.metrics.published(event.topic()),
            Err(AppendError::Full) => self.shared.metrics.log_full.increment(1),
            Err(_) => {}
        }
        outcome
    }

    /// Publishes our claim on a charger. One that the log does not take now is said again by the claims' follower.
    pub fn publish_claim(&self, seat: &Arc<Seat>, remote: String) {
        if !self.shared.config.claims {
            return;
        }
        if let Ok(mut publisher) = self.publisher.try_borrow_mut() {
            self.shared.claim(&mut publisher, seat, remote);
        }
    }

    /// Keeps an event whose connection is gone until the log takes it.
    pub fn adopt(&self, event: Event) {
        if let Ok(mut orphans) = self.orphans.try_borrow_mut()
            && orphans.len() < ORPHANS_MAX
        {
            orphans.push_back(event);
            self.stalled_some.notify_one();
        } else {
            lost(&event);
        }
    }

    /// Tries adopted events again; true when none is left.
    fn retry_orphans(&self) -> bool {
        let nowhere = Address { shard: self.index, generation: 0, slot: u32::MAX };
        loop {
            let Some(event) = self.orphans.borrow_mut().pop_front() else { return true };
            if self.publish(&event, nowhere) == Err(AppendError::Full) {
                self.orphans.borrow_mut().push_front(event);
                return false;
            }
            self.unstalled.set(self.unstalled.get() + 1);
        }
    }

    /// The shard ends: what the log does not take now is lost, and counted.
    fn give_up_orphans(&self) {
        if !self.retry_orphans() {
            let orphans = std::mem::take(&mut *self.orphans.borrow_mut());
            tracing::error!(
                events = orphans.len(),
                "the log had no room for events that must not be lost, until the end"
            );
            orphans.iter().for_each(lost);
        }
    }
}

/// Counts an event that must not be lost, and is.
fn lost(event: &Event) {
    metrics::counter!("evgate_log_lost_total", "topic" => event.topic().name()).increment(1);
}
