//! Sessions: what a charger said goes in, what to answer and what happened comes out. No socket, no clock, no log in here;
//! time is an input, and so is the log's confirmation.

mod notes;
pub mod ocpp16;
pub mod pending;
mod voice;
pub mod ykc;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use events::{
    proto::{Leftover, envelope::Body},
    topic::Topic,
};

pub use self::notes::{CloseReason, GATEWAY_LOST, LoginResult, Malformed, Note, PushOutcome};
pub(crate) use self::voice::{Answer, Voice};
use crate::registry::{Address, LiveSessions, RemoteTags, Replica, Seat};

/// Time as a session sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic real time, ms: for time-outs.
    pub mono_ms: u64,
    /// The platform's clock, UTC ms: for stamps and what the charger is told.
    pub wall_ms: i64,
}

/// What a session may look at besides its own state: all of it is memory of this process.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The time of this step.
    pub now: Now,
    /// Registry replica.
    pub replica: &'a Replica,
    /// Live sessions, for claims.
    pub live: &'a LiveSessions,
    /// Id tags of remote starts.
    pub tags: &'a RemoteTags,
    /// Counter of the trade numbers that this gateway makes.
    pub trades: &'a TradeCounter,
    /// Settings.
    pub settings: &'a Settings,
    /// The connection of this session.
    pub address: Address,
    /// Where the peer connects from.
    pub remote: SocketAddr,
    /// Real time, UTC ms, of which epochs are made.
    pub real_ms: i64,
}

/// The settings that sessions read.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Money unconfirmed for this long closes the connection, ms.
    pub ack_ms: u64,
    /// A start that the log has not confirmed in this time is refused, ms.
    pub start_ms: u64,
    /// A charger may take this long to answer a command, ms.
    pub answer_ms: u64,
    /// Commands of one charger that wait.
    pub command_queue: usize,
    /// Most piles on one connection.
    pub piles: usize,
    /// Send 0x56 after login and daily.
    pub sync_time: bool,
    /// Silence of a YKC pile, ms.
    pub ykc_silence_ms: u64,
    /// A YKC gun whose last session has no record yet starts no other for this long, ms.
    pub record_wait_ms: u64,
    /// Unusable frames or messages in a row.
    pub bad_in_a_row: u32,
    /// Interval told to OCPP stations, s.
    pub heartbeat_s: u32,
}

impl Settings {
    pub(crate) fn of(config: &crate::Config) -> Self {
        Self {
            ack_ms: config.money.ack_ms,
            start_ms: config.money.start_ms,
            answer_ms: config.commands.answer_ms,
            command_queue: config.commands.queue,
            piles: config.ykc.piles_per_connection,
            sync_time: config.ykc.sync_time,
            ykc_silence_ms: config.ykc.silence_ms,
            record_wait_ms: config.ykc.record_wait_ms,
            bad_in_a_row: config.limits.bad_in_a_row,
            heartbeat_s: config.ocpp.heartbeat_s,
        }
    }
}

/// Counter in the last four digits of a trade number made here: 5000..=9999 (the business side uses 0000..=4999).
#[derive(Debug)]
pub struct TradeCounter(AtomicU32);

impl TradeCounter {
    /// Starts anywhere, so that a restart within one second does not repeat numbers.
    #[must_use]
    pub const fn new(seed: u32) -> Self {
        Self(AtomicU32::new(seed))
    }

    /// The next one.
    pub fn next(&self) -> u16 {
        let n = self.0.fetch_add(1, Ordering::Relaxed) % 5_000;
        5_000 + u16::try_from(n).unwrap_or(0)
    }
}

/// Under which promise an event travels, when the log has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The charger is answered after the log's confirmation; the connection waits for room.
    Money,
    /// The charger waits a moment for the log's confirmation, and without it the answer is no: never stalled, and neither closes the
    /// connection nor keeps it from being read.
    Asked,
    /// Nobody waits for it, but it is not lost: the connection waits for room.
    Kept,
    /// The latest per connector survives.
    Status,
    /// Live data: the latest per connector survives; on `ev.telemetry.v1`.
    Live,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "bodies are the rule and live in a reused vector; dead letters are rare")]
pub enum What {
    /// An event of the common language.
    Body(Body),
    /// Bytes that could not be understood but may be money: to the dead-letter topic, with the reason.
    DeadLetter {
        /// As received.
        bytes: Vec<u8>,
        /// Closed set of reasons.
        why: &'static str,
    },
}

/// An event on its way to the log.
#[derive(Clone, Debug)]
pub struct Event {
    /// Whose it is.
    pub seat: Arc<Seat>,
    /// Promise.
    pub class: Class,
    /// 1.., 0 = the whole charger.
    pub connector: u32,
    /// 1, 2, 3 .. within (charger, epoch).
    pub number: u64,
    /// The charger's time where it gave one, else as received, UTC ms.
    pub occurred_at_ms: i64,
    /// UTC ms.
    pub received_at_ms: i64,
    /// Which answer waits for its confirmation; 0 = none.
    pub ticket: u32,
    /// What no field of the body holds.
    pub leftovers: Vec<Leftover>,
    /// What happened.
    pub what: What,
}

impl Event {
    /// Where it belongs.
    #[must_use]
    pub const fn topic(&self) -> Topic {
        match (&self.what, self.class) {
            (What::DeadLetter { .. }, _) => Topic::DeviceDlq,
            (What::Body(_), Class::Live) => Topic::Telemetry,
            (What::Body(_), _) => Topic::Device,
        }
    }
}

/// What a step wants done, in order. One per shard, reused: its vectors keep their memory.
#[derive(Debug, Default)]
pub struct Effects {
    /// Bytes for the peer; one write per read.
    pub out: Vec<u8>,
    /// Events for the log.
    pub events: Vec<Event>,
    /// End the connection after `out` is written.
    pub close: Option<CloseReason>,
    /// For counters.
    pub notes: Vec<Note>,
    /// Seats that lost their charger to this session; their connections must be told.
    pub fenced: Vec<Arc<Seat>>,
    /// Seats taken in this step; other nodes must be told.
    pub claimed: Vec<Arc<Seat>>,
    /// OCPP: which action the last message was, as an index into [`crate::telemetry::OCPP_KINDS`].
    pub message_kind: usize,
}

impl Effects {
    pub(crate) fn malformed(&mut self, kind: Malformed) {
        self.notes.push(Note::Malformed(kind));
    }

    pub(crate) fn close(&mut self, reason: CloseReason) {
        self.close.get_or_insert(reason);
    }
}
