//! Sessions: what a charger said goes in, what to answer and what happened comes out. No socket, no clock, no log in here;
//! time is an input, and so is the log's confirmation.

pub mod ocpp16;
pub mod pending;
pub mod ykc;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use events::{
    commands::Command,
    proto::{CommandAnswered, CommandOutcome, Leftover, envelope::Body},
    topic::Topic,
};

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

/// Why a connection ended: the label in metrics and in `Disconnected.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The peer closed or reset it.
    PeerLeft,
    /// No frame for too long.
    Silent,
    /// No login in time.
    LoginTimeout,
    /// Refused at login.
    Refused,
    /// A newer login took the charger over.
    Superseded,
    /// The gateway is going away.
    Drain,
    /// The byte stream cannot be trusted any more.
    StreamLost,
    /// Too many unusable messages in a row.
    TooManyBad,
    /// A begun frame was not finished in time.
    HalfFrame,
    /// The peer does not read.
    WriteTimeout,
    /// Money could not be made durable: closed without an answer, so that the charger tries again.
    LogUnavailable,
    /// A defect of ours in this session.
    Panicked,
}

impl CloseReason {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::PeerLeft,
        Self::Silent,
        Self::LoginTimeout,
        Self::Refused,
        Self::Superseded,
        Self::Drain,
        Self::StreamLost,
        Self::TooManyBad,
        Self::HalfFrame,
        Self::WriteTimeout,
        Self::LogUnavailable,
        Self::Panicked,
    ];

    /// The label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::PeerLeft => "peer_left",
            Self::Silent => "silent",
            Self::LoginTimeout => "login_timeout",
            Self::Refused => "refused",
            Self::Superseded => "superseded",
            Self::Drain => "drain",
            Self::StreamLost => "stream_lost",
            Self::TooManyBad => "too_many_bad",
            Self::HalfFrame => "half_frame",
            Self::WriteTimeout => "write_timeout",
            Self::LogUnavailable => "log_unavailable",
            Self::Panicked => "panicked",
        }
    }
}

/// What a step noticed that only a counter wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// Input that could not be used, by kind.
    Malformed(Malformed),
    /// A login was decided.
    Login(LoginResult),
    /// Money was answered after the log's confirmation; it took so many ms.
    MoneyAnswered(u64),
    /// Money was given up unanswered; so many.
    MoneyUnanswered(u32),
    /// A start was refused because the log did not confirm it in time.
    StartUnrecorded,
    /// A command was answered.
    Command(CommandOutcome),
    /// The peer deviates from the standard and is served nevertheless.
    Quirk(&'static str),
}

/// Kinds of unusable input, both protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// Bytes that begin no frame.
    Garbage,
    /// Wrong checksum.
    Crc,
    /// A length that no frame has.
    Length,
    /// Encrypted; we have no key.
    Encrypted,
    /// The body is too short or holds what it cannot.
    Body,
    /// A frame of a pile that is not logged in on this connection.
    NotLoggedIn,
    /// The HTTP upgrade is not one.
    Upgrade,
    /// Breaks RFC 6455.
    WebSocket,
    /// A frame or message longer than allowed.
    TooLong,
    /// Not JSON, or not UTF-8.
    NotJson,
    /// JSON, but no OCPP-J message: wrong arity or types.
    Envelope,
    /// No such action.
    UnknownAction,
    /// The payload lacks what it needs.
    Payload,
    /// An answer to nothing we asked.
    Unasked,
}

impl Malformed {
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::Garbage,
        Self::Crc,
        Self::Length,
        Self::Encrypted,
        Self::Body,
        Self::NotLoggedIn,
        Self::Upgrade,
        Self::WebSocket,
        Self::TooLong,
        Self::NotJson,
        Self::Envelope,
        Self::UnknownAction,
        Self::Payload,
        Self::Unasked,
    ];

    /// The label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Garbage => "garbage",
            Self::Crc => "crc",
            Self::Length => "length",
            Self::Encrypted => "encrypted",
            Self::Body => "body",
            Self::NotLoggedIn => "not_logged_in",
            Self::Upgrade => "upgrade",
            Self::WebSocket => "websocket",
            Self::TooLong => "too_long",
            Self::NotJson => "not_json",
            Self::Envelope => "envelope",
            Self::UnknownAction => "unknown_action",
            Self::Payload => "payload",
            Self::Unasked => "unasked",
        }
    }
}

/// How a login ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoginResult {
    /// Welcome.
    Accepted,
    /// Not in the registry.
    Unknown,
    /// In the registry, switched off.
    Disabled,
    /// Registered for another protocol.
    WrongProtocol,
    /// Wrong or missing secret.
    BadSecret,
    /// No subprotocol that we speak.
    NoSubprotocol,
    /// More piles on one connection than allowed.
    TooManyPiles,
}

impl LoginResult {
    /// Every result.
    pub const ALL: [Self; 7] = [
        Self::Accepted,
        Self::Unknown,
        Self::Disabled,
        Self::WrongProtocol,
        Self::BadSecret,
        Self::NoSubprotocol,
        Self::TooManyPiles,
    ];

    /// The label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Unknown => "unknown",
            Self::Disabled => "disabled",
            Self::WrongProtocol => "wrong_protocol",
            Self::BadSecret => "bad_secret",
            Self::NoSubprotocol => "no_subprotocol",
            Self::TooManyPiles => "too_many_piles",
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

/// The voice of one seat: stamps and numbers its events.
#[derive(Debug)]
pub(crate) struct Voice {
    pub seat: Arc<Seat>,
    number: u64,
}

impl Voice {
    pub const fn new(seat: Arc<Seat>) -> Self {
        Self { seat, number: 0 }
    }

    pub fn say(&mut self, cx: &Context<'_>, fx: &mut Effects, class: Class, connector: u32, body: Body) {
        self.say_full(cx, fx, class, connector, cx.now.wall_ms, 0, Vec::new(), What::Body(body));
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of an event, said once")]
    pub fn say_full(
        &mut self,
        cx: &Context<'_>,
        fx: &mut Effects,
        class: Class,
        connector: u32,
        occurred_at_ms: i64,
        ticket: u32,
        leftovers: Vec<Leftover>,
        what: What,
    ) {
        self.number += 1;
        fx.events.push(Event {
            seat: Arc::clone(&self.seat),
            class,
            connector,
            number: self.number,
            occurred_at_ms,
            received_at_ms: cx.now.wall_ms,
            ticket,
            leftovers,
            what,
        });
    }

    /// Publishes what became of a command.
    pub fn answer(&mut self, cx: &Context<'_>, fx: &mut Effects, command: &Answer<'_>) {
        fx.notes.push(Note::Command(command.outcome));
        let body = Body::CommandAnswered(CommandAnswered {
            command_id: command.id.to_owned(),
            outcome: command.outcome.into(),
            code: command.code.to_owned(),
            session: command.session.to_owned(),
        });
        self.say(cx, fx, Class::Kept, command.connector, body);
    }
}

/// What became of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    pub id: &'a str,
    pub connector: u32,
    pub outcome: CommandOutcome,
    pub code: &'a str,
    pub session: &'a str,
}

impl<'a> Answer<'a> {
    pub fn to(command: &'a Command, outcome: CommandOutcome, code: &'a str) -> Self {
        Self { id: &command.command_id, connector: command.connector, outcome, code, session: "" }
    }
}
