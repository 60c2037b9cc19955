//! What can be wrong: with the byte stream ([`FrameError`]) and with one message in it ([`ParseError`]).
//!
//! Neither is the end of a connection. A [`FrameError`] names bytes that were dropped and the reader goes on behind
//! them; a [`ParseError`] concerns one frame whose CRC was right. Whoever counts them decides how many are too many.

/// Why bytes of a YKC stream were dropped, or a whole frame was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Bytes that do not begin a frame (0x68).
    #[error("{skipped} bytes before a start byte")]
    NoStart {
        /// Bytes dropped in this step. A run that arrives in pieces is reported in pieces.
        skipped: usize,
    },
    /// The length byte cannot belong to a frame: the header alone needs 4.
    #[error("length byte {length} is below 4")]
    BadLength {
        /// The length byte L.
        length: u8,
    },
    /// The encryption flag is so large that these bytes are no header.
    #[error("encryption flag {flag:#04x} is not one of a header")]
    BadHeader {
        /// The byte at the place of the encryption flag.
        flag: u8,
    },
    /// The checksum matches in neither byte order. One byte was dropped: L itself may be what is wrong.
    #[error("checksum of frame {kind:#04x} is {computed:#06x}, the frame says {stated:#06x}")]
    BadCrc {
        /// Frame type as it stands there.
        kind: u8,
        /// The two checksum bytes, read low byte first.
        stated: u16,
        /// CRC-16/MODBUS over the bytes from the sequence number to the end of the body.
        computed: u16,
    },
    /// A whole frame with a right checksum whose body is encrypted. Dropped whole; the connection stays usable.
    #[error("frame {kind:#04x} is encrypted (flag {flag:#04x}), no cipher is known")]
    Encrypted {
        /// Frame type, which is never encrypted.
        kind: u8,
        /// The encryption flag; 1 means 3DES.
        flag: u8,
    },
    /// The bytes end inside a frame and the caller said that no more will come.
    #[error("a frame of {need} bytes ends after {have}")]
    Truncated {
        /// Bytes of the whole frame, as far as its header tells.
        need: usize,
        /// Bytes that are there.
        have: usize,
    },
}

impl FrameError {
    /// A closed set of names for a metric label, whatever the peer sends.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::NoStart { .. } => "no_start",
            Self::BadLength { .. } => "bad_length",
            Self::BadHeader { .. } => "bad_header",
            Self::BadCrc { .. } => "bad_crc",
            Self::Encrypted { .. } => "encrypted",
            Self::Truncated { .. } => "truncated",
        }
    }

    /// Every value of [`FrameError::label`], so that counters can exist at zero.
    pub const LABELS: [&'static str; 6] = ["no_start", "bad_length", "bad_header", "bad_crc", "encrypted", "truncated"];
}

/// One message is bad, the stream is fine: which field could not be read, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}.{field} at body byte {offset}: {reason}")]
pub struct ParseError {
    /// The message, e.g. `heartbeat`.
    pub message: &'static str,
    /// The first field that could not be read.
    pub field: &'static str,
    /// Offset of that field in the body.
    pub offset: usize,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The body ends inside or before the field.
    #[error("needs {need} bytes of body, has {have}")]
    Short {
        /// Bytes up to the end of the field.
        need: usize,
        /// Bytes in the body.
        have: usize,
    },
    /// The body is longer than any frame can carry.
    #[error("{have} bytes of body, a frame carries at most {max}")]
    Long {
        /// The longest body.
        max: usize,
        /// Bytes in the body.
        have: usize,
    },
}

impl Reason {
    /// A closed set of names for a metric label.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Short { .. } => "short",
            Self::Long { .. } => "long",
        }
    }

    /// Every value of [`Reason::label`].
    pub const LABELS: [&'static str; 2] = ["short", "long"];
}
