//! Close codes (RFC 6455 §7.4) and the errors that lead to them.

/// A close code that may stand in a close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: done.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server goes away.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: RFC 6455 was broken.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a kind of data that is not taken.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1007: a text that is not UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// 1008: against our rules.
    pub const POLICY: Self = Self(1008);
    /// 1009: too big.
    pub const TOO_BIG: Self = Self(1009);
    /// 1011: we failed.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the service restarts, come back.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: overload, come back later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);

    /// A code as received; `None` if it may not stand in a close frame: below 1000, 1004 to 1006, 1015 to 2999, 5000
    /// and up.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// What a peer did against RFC 6455 or against our limits; fatal to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", kind.label())]
pub struct WsError {
    /// Which rule.
    pub kind: WsErrorKind,
}

/// Rules that a peer can break: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WsErrorKind {
    /// A reserved bit is set, and no extension was agreed.
    ReservedBits,
    /// An opcode that RFC 6455 reserves.
    ReservedOpcode,
    /// A client's frame without mask.
    MaskMissing,
    /// A server's frame with mask.
    MaskUnexpected,
    /// A length that is not written in the shortest way, or has its highest bit set.
    LengthForm,
    /// A control frame in fragments.
    ControlFragmented,
    /// A control frame of more than 125 bytes.
    ControlTooLong,
    /// A continuation frame of nothing.
    ContinuationWithoutStart,
    /// A new message inside of an unfinished one.
    MessageInsideMessage,
    /// A close frame with one byte, or with a code that may not be sent.
    BadClose,
    /// A text or a close reason that is not UTF-8.
    NotUtf8,
    /// A frame or message beyond the limit.
    TooBig,
    /// More fragments than the limit allows.
    TooManyFragments,
}

impl WsErrorKind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::ReservedBits,
        Self::ReservedOpcode,
        Self::MaskMissing,
        Self::MaskUnexpected,
        Self::LengthForm,
        Self::ControlFragmented,
        Self::ControlTooLong,
        Self::ContinuationWithoutStart,
        Self::MessageInsideMessage,
        Self::BadClose,
        Self::NotUtf8,
        Self::TooBig,
        Self::TooManyFragments,
    ];

    /// A name for a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ReservedBits => "ws_reserved_bits",
            Self::ReservedOpcode => "ws_reserved_opcode",
            Self::MaskMissing => "ws_mask_missing",
            Self::MaskUnexpected => "ws_mask_unexpected",
            Self::LengthForm => "ws_length_form",
            Self::ControlFragmented => "ws_control_fragmented",
            Self::ControlTooLong => "ws_control_too_long",
            Self::ContinuationWithoutStart => "ws_continuation_without_start",
            Self::MessageInsideMessage => "ws_message_inside_message",
            Self::BadClose => "ws_bad_close",
            Self::NotUtf8 => "ws_not_utf8",
            Self::TooBig => "ws_too_big",
            Self::TooManyFragments => "ws_too_many_fragments",
        }
    }

    /// The code of the close frame that the peer gets.
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::NotUtf8 => CloseCode::INVALID_DATA,
            Self::TooBig => CloseCode::TOO_BIG,
            Self::TooManyFragments => CloseCode::POLICY,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}

impl WsError {
    /// A name for a metric label: a closed set.
    pub const fn label(self) -> &'static str {
        self.kind.label()
    }

    /// The code of the close frame that the peer gets.
    pub const fn close_code(self) -> CloseCode {
        self.kind.close_code()
    }
}

impl From<WsErrorKind> for WsError {
    fn from(kind: WsErrorKind) -> Self {
        Self { kind }
    }
}
