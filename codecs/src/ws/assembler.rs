//! From frames to messages (RFC 6455 §5.4): whole ones are passed through, fragments are put together.

use std::borrow::Cow;

use super::{CloseCode, Frame, Limits, Opcode, Role, Step, WsError, WsErrorKind, parse_frame};

/// A message, borrowed from the frame unless it came in fragments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// UTF-8, checked.
    Text(Cow<'a, str>),
    /// Bytes.
    Binary(Cow<'a, [u8]>),
    /// Wants a pong with the same payload.
    Ping(&'a [u8]),
    /// Answers a ping, or comes unasked.
    Pong(&'a [u8]),
    /// The end: answer with a close frame of the same code and close.
    Close {
        /// Absent if the frame was empty.
        code: Option<CloseCode>,
        /// For people.
        reason: &'a str,
    },
}

/// Puts fragments together. One pointer wide; owns memory only while a message is unfinished.
#[derive(Debug, Default)]
pub struct Assembler {
    pending: Option<Box<Pending>>,
}

#[derive(Debug)]
struct Pending {
    text: bool,
    bytes: Vec<u8>,
    fragments: u32,
}

impl Assembler {
    /// Nothing begun.
    pub const fn new() -> Self {
        Self { pending: None }
    }

    /// Bytes kept of an unfinished message; `None` if there is none.
    pub fn pending(&self) -> Option<usize> {
        self.pending.as_ref().map(|pending| pending.bytes.len())
    }

    /// Takes a frame; yields the message that it completes, if it does.
    ///
    /// # Errors
    /// [`WsError`], fatal to the connection.
    pub fn accept<'a>(&mut self, frame: Frame<'a>, limits: &Limits) -> Result<Option<Message<'a>>, WsError> {
        let payload = frame.payload;
        match frame.opcode {
            Opcode::Ping => Ok(Some(Message::Ping(payload))),
            Opcode::Pong => Ok(Some(Message::Pong(payload))),
            Opcode::Close => close(payload).map(Some),
            Opcode::Text | Opcode::Binary if self.pending.is_some() => Err(WsErrorKind::MessageInsideMessage.into()),
            Opcode::Text if frame.fin => utf8(payload).map(|text| Some(Message::Text(Cow::Borrowed(text)))),
            Opcode::Binary if frame.fin => Ok(Some(Message::Binary(Cow::Borrowed(payload)))),
            Opcode::Text | Opcode::Binary => {
                let text = frame.opcode == Opcode::Text;
                self.pending = Some(Box::new(Pending { text, bytes: payload.to_vec(), fragments: 1 }));
                Ok(None)
            }
            Opcode::Continuation => self.go_on(frame, limits),
        }
    }

    fn go_on<'a>(&mut self, frame: Frame<'a>, limits: &Limits) -> Result<Option<Message<'a>>, WsError> {
        let Some(pending) = &mut self.pending else { return Err(WsErrorKind::ContinuationWithoutStart.into()) };
        if frame.payload.len() > limits.message_max.saturating_sub(pending.bytes.len()) {
            return Err(WsErrorKind::TooBig.into());
        }
        pending.fragments += 1;
        if pending.fragments > limits.fragments_max {
            return Err(WsErrorKind::TooManyFragments.into());
        }
        pending.bytes.extend_from_slice(frame.payload);
        if !frame.fin {
            return Ok(None);
        }
        let Some(done) = self.pending.take() else { return Ok(None) };
        if !done.text {
            return Ok(Some(Message::Binary(Cow::Owned(done.bytes))));
        }
        match String::from_utf8(done.bytes) {
            Ok(text) => Ok(Some(Message::Text(Cow::Owned(text)))),
            Err(_) => Err(WsErrorKind::NotUtf8.into()),
        }
    }
}

/// One step of [`read`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read<'a> {
    /// More bytes are needed, so many in all from the start of the slice.
    Incomplete {
        /// See [`Step::Incomplete`].
        need: usize,
    },
    /// A fragment was taken; the message is still unfinished.
    Fragment {
        /// Bytes of the slice that were used up.
        consumed: usize,
    },
    /// A message.
    Message {
        /// The message.
        message: Message<'a>,
        /// Bytes of the slice that were used up.
        consumed: usize,
    },
}

/// Reads one frame from the start of `buf` and lets `assembler` take it.
///
/// # Errors
/// [`WsError`], fatal to the connection: send [`WsError::close_code`] and close.
pub fn read<'a>(
    buf: &'a mut [u8],
    role: Role,
    limits: &Limits,
    assembler: &mut Assembler,
) -> Result<Read<'a>, WsError> {
    match parse_frame(buf, role, limits)? {
        Step::Incomplete { need } => Ok(Read::Incomplete { need }),
        Step::Frame { frame, consumed } => Ok(match assembler.accept(frame, limits)? {
            Some(message) => Read::Message { message, consumed },
            None => Read::Fragment { consumed },
        }),
    }
}

fn close(payload: &[u8]) -> Result<Message<'_>, WsError> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() {
            Ok(Message::Close { code: None, reason: "" })
        } else {
            Err(WsErrorKind::BadClose.into())
        };
    };
    let code = CloseCode::new(u16::from_be_bytes(*code)).ok_or(WsErrorKind::BadClose)?;
    Ok(Message::Close { code: Some(code), reason: utf8(reason)? })
}

fn utf8(bytes: &[u8]) -> Result<&str, WsError> {
    std::str::from_utf8(bytes).map_err(|_| WsErrorKind::NotUtf8.into())
}
