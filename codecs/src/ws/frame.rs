//! Frames (RFC 6455 §5.2): the header's fields, and the payload unmasked where it lies.
//!
//! ```text
//! byte 0   FIN(1) RSV(3) opcode(4)
//! byte 1   MASK(1) length(7): 0..=125, 126: two bytes follow, 127: eight bytes follow (big endian)
//! then     mask key, 4 bytes, if MASK
//! then     payload
//! ```

use super::{WsError, WsErrorKind, mask_in_place};

/// Longest header in bytes.
pub const HEADER_MAX: usize = 14;
/// Longest payload of a control frame in bytes (§5.5).
const CONTROL_MAX: usize = 125;

/// Whose frames are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// We are the server: frames must be masked.
    Server,
    /// We are the client: frames must not be masked.
    Client,
}

/// What a peer may make us keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest message in bytes, in one frame or in fragments. Default 256 KiB: diagnostic lists and certificates are
    /// the longest that OCPP has.
    pub message_max: usize,
    /// Most frames that one message may be cut into. Default 1024.
    pub fragments_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_max: 256 * 1024, fragments_max: 1024 }
    }
}

/// What a frame is (§5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opcode {
    /// 0: goes on with the message begun before.
    Continuation,
    /// 1: UTF-8.
    Text,
    /// 2: bytes.
    Binary,
    /// 8: the end, with a code and a reason.
    Close,
    /// 9: wants a pong with the same payload.
    Ping,
    /// 10: answers a ping.
    Pong,
}

impl Opcode {
    const fn new(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Continuation),
            1 => Some(Self::Text),
            2 => Some(Self::Binary),
            8 => Some(Self::Close),
            9 => Some(Self::Ping),
            10 => Some(Self::Pong),
            _ => None,
        }
    }

    /// The four bits on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    /// True for close, ping and pong: never fragmented, allowed between fragments.
    pub const fn is_control(self) -> bool {
        self.code() >= 8
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The last frame of its message.
    pub fin: bool,
    /// What it is.
    pub opcode: Opcode,
    /// The key, if it is masked.
    pub mask: Option<[u8; 4]>,
    /// Bytes of this header.
    pub len: usize,
    /// Bytes of the payload.
    pub payload_len: usize,
}

/// A frame, its payload unmasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The last frame of its message.
    pub fin: bool,
    /// What it is.
    pub opcode: Opcode,
    /// Its content.
    pub payload: &'a [u8],
}

/// One step over a byte slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// The frame is not complete, and the slice is as it was.
    Incomplete {
        /// Bytes needed in all, counted from the start of the slice: of the frame if its header could be read, else of
        /// as much of the header as is known to come.
        need: usize,
    },
    /// A frame, and how many bytes of the slice it took.
    Frame {
        /// The frame.
        frame: Frame<'a>,
        /// Header and payload in bytes; those bytes must not be parsed again, they are unmasked now.
        consumed: usize,
    },
}

/// Reads a header. `Ok(Err(need))`: more bytes are needed, `need` in all.
///
/// # Errors
/// [`WsError`] as soon as the bytes at hand break a rule, also when the header is not complete.
pub fn parse_header(buf: &[u8], role: Role, limits: &Limits) -> Result<Result<Header, usize>, WsError> {
    let Some(&first) = buf.first() else { return Ok(Err(2)) };
    if first & 0x70 != 0 {
        return Err(WsErrorKind::ReservedBits.into());
    }
    let fin = first & 0x80 != 0;
    let opcode = Opcode::new(first & 0x0f).ok_or(WsErrorKind::ReservedOpcode)?;
    if opcode.is_control() && !fin {
        return Err(WsErrorKind::ControlFragmented.into());
    }
    let Some(&second) = buf.get(1) else { return Ok(Err(2)) };
    let masked = second & 0x80 != 0;
    match (role, masked) {
        (Role::Server, false) => return Err(WsErrorKind::MaskMissing.into()),
        (Role::Client, true) => return Err(WsErrorKind::MaskUnexpected.into()),
        _ => {}
    }
    let short = usize::from(second & 0x7f);
    if opcode.is_control() && short > CONTROL_MAX {
        return Err(WsErrorKind::ControlTooLong.into());
    }
    let key_at = match short {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let len = key_at + if masked { 4 } else { 0 };
    let payload_len = match short {
        126 => buf.get(2..4).and_then(<[u8]>::first_chunk).map(|bytes| (u64::from(u16::from_be_bytes(*bytes)), 126)),
        127 => buf.get(2..10).and_then(<[u8]>::first_chunk).map(|bytes| (u64::from_be_bytes(*bytes), 65_536)),
        _ => Some((short as u64, 0)),
    };
    let Some((payload_len, shortest)) = payload_len else { return Ok(Err(len)) };
    if payload_len < shortest || payload_len >> 63 != 0 {
        return Err(WsErrorKind::LengthForm.into());
    }
    let payload_len = usize::try_from(payload_len).map_err(|_| WsErrorKind::TooBig)?;
    if payload_len > limits.message_max && !opcode.is_control() {
        return Err(WsErrorKind::TooBig.into());
    }
    let mask = if masked {
        match buf.get(key_at..).and_then(<[u8]>::first_chunk) {
            Some(key) => Some(*key),
            None => return Ok(Err(len)),
        }
    } else {
        None
    };
    Ok(Ok(Header { fin, opcode, mask, len, payload_len }))
}

/// Reads one frame from the start of `buf` and unmasks its payload in place. An incomplete frame leaves `buf` as it is.
///
/// # Errors
/// [`WsError`], fatal to the connection; a frame beyond the limit is refused by its header alone.
pub fn parse_frame<'a>(buf: &'a mut [u8], role: Role, limits: &Limits) -> Result<Step<'a>, WsError> {
    let header = match parse_header(buf, role, limits)? {
        Ok(header) => header,
        Err(need) => return Ok(Step::Incomplete { need }),
    };
    let need = header.len + header.payload_len; // both bounded: 14 and message_max
    let Some(payload) = buf.get_mut(header.len..need) else { return Ok(Step::Incomplete { need }) };
    if let Some(key) = header.mask {
        mask_in_place(payload, key, 0);
    }
    Ok(Step::Frame { frame: Frame { fin: header.fin, opcode: header.opcode, payload }, consumed: need })
}
