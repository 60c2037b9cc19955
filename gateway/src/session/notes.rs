//! What a step noticed, in closed sets of words: the labels of metrics and the reasons in events.

use events::proto::CommandOutcome;

/// The reason in a `Disconnected` that is said for a process that can not say it any more.
pub const GATEWAY_LOST: &str = "gateway_lost";

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
    /// The registry has the charger no more, or has disabled it.
    Removed,
    /// The gateway is going away.
    Drain,
    /// Another gateway took this one for dead and said that its chargers are gone.
    GatewayLost,
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
    pub const ALL: [Self; 14] = [
        Self::PeerLeft,
        Self::Silent,
        Self::LoginTimeout,
        Self::Refused,
        Self::Superseded,
        Self::Removed,
        Self::Drain,
        Self::GatewayLost,
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
            Self::Removed => "removed",
            Self::Drain => "drain",
            Self::GatewayLost => GATEWAY_LOST,
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
    /// A billing model that was sent to a pile because its prices changed, and what became of that.
    Push(PushOutcome),
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
    /// More logins per second than allowed: asked to come back, before anything was looked up.
    Busy,
}

impl LoginResult {
    /// Every result.
    pub const ALL: [Self; 8] = [
        Self::Accepted,
        Self::Unknown,
        Self::Disabled,
        Self::WrongProtocol,
        Self::BadSecret,
        Self::NoSubprotocol,
        Self::TooManyPiles,
        Self::Busy,
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
            Self::Busy => "busy",
        }
    }
}

/// What became of a billing model that was sent (0x58) because prices changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PushOutcome {
    /// 0x57 said yes.
    Accepted,
    /// 0x57 said no.
    Rejected,
    /// No 0x57 in time.
    NoAnswer,
    /// The connection ended before.
    ConnectionLost,
}

impl PushOutcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Accepted, Self::Rejected, Self::NoAnswer, Self::ConnectionLost];

    /// The label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::NoAnswer => "no_answer",
            Self::ConnectionLost => "connection_lost",
        }
    }
}
