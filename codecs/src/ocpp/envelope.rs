//! The envelope of OCPP-J: which message, which id, and where its payload is (OCPP-J 1.6 §4.2, 2.1 part 4 §4.2).
//!
//! ```text
//! [2, "id", "Action", payload]                        CALL
//! [3, "id", payload]                                  CALLRESULT
//! [4, "id", "code", "description", details]           CALLERROR
//! [5, "id", "code", "description", details]           CALLRESULTERROR, 2.1
//! [6, "id", "Action", payload]                        SEND, 2.1
//! ```
//!
//! The scanner reads what stands in front of the payload and the `]` behind it, and leaves the payload alone: whoever
//! parses it typed reads those bytes then, once. Whoever does not must call [`Envelope::check`].

use super::{ErrorCode, PayloadErrorKind, Text, json::check_value};

/// Longest message id that is accepted. The schema says 36, stations send more.
pub const MESSAGE_ID_MAX: usize = 64;
/// Longest action name that is accepted. The longest of OCPP 2.1 has 35 characters.
pub const ACTION_MAX: usize = 64;

/// The id of a message, to be echoed exactly.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MessageId<'a> {
    text: Text<'a>,
    number: bool,
}

impl<'a> MessageId<'a> {
    /// An id of ours.
    pub fn new(text: impl Into<Text<'a>>) -> Self {
        Self { text: text.into(), number: false }
    }

    /// The id without quotes.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True if the sender wrote it as a JSON number; it is echoed as one.
    pub const fn is_number(&self) -> bool {
        self.number
    }

    /// The same without the borrow, for an answer that must wait.
    pub fn into_owned(self) -> MessageId<'static> {
        MessageId { text: self.text.into_owned(), number: self.number }
    }
}

/// A message, its payload still JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Envelope<'a> {
    /// A request: wants exactly one answer with the same id.
    Call {
        /// Echo it.
        id: MessageId<'a>,
        /// What is asked.
        action: Text<'a>,
        /// JSON text, see the module's head.
        payload: &'a str,
    },
    /// The answer to a CALL of ours.
    CallResult {
        /// Of our CALL.
        id: MessageId<'a>,
        /// JSON text, see the module's head.
        payload: &'a str,
    },
    /// The refusal of a CALL of ours.
    CallError {
        /// Of our CALL.
        id: MessageId<'a>,
        /// Why.
        code: ErrorCode<'a>,
        /// For people; empty if absent.
        description: Text<'a>,
        /// JSON text; `{}` if absent.
        details: &'a str,
    },
    /// The other side could not read our CALLRESULT (OCPP 2.1).
    CallResultError {
        /// Of our CALLRESULT.
        id: MessageId<'a>,
        /// Why.
        code: ErrorCode<'a>,
        /// For people; empty if absent.
        description: Text<'a>,
        /// JSON text; `{}` if absent.
        details: &'a str,
    },
    /// A message without an answer (OCPP 2.1).
    Send {
        /// Never echoed.
        id: MessageId<'a>,
        /// What is said.
        action: Text<'a>,
        /// JSON text, see the module's head.
        payload: &'a str,
    },
}

impl<'a> Envelope<'a> {
    /// The message's id.
    pub const fn id(&self) -> &MessageId<'a> {
        match self {
            Self::Call { id, .. }
            | Self::CallResult { id, .. }
            | Self::CallError { id, .. }
            | Self::CallResultError { id, .. }
            | Self::Send { id, .. } => id,
        }
    }

    /// The payload or the details.
    pub const fn payload(&self) -> &'a str {
        match self {
            Self::Call { payload, .. } | Self::CallResult { payload, .. } | Self::Send { payload, .. } => payload,
            Self::CallError { details, .. } | Self::CallResultError { details, .. } => details,
        }
    }

    /// Checks that the payload is exactly one JSON value, for payloads that are forwarded unread.
    ///
    /// # Errors
    /// The same that a message with that payload has: [`EnvelopeErrorKind::NotJson`], [`EnvelopeErrorKind::Arity`] or
    /// [`EnvelopeErrorKind::TooDeep`].
    pub fn check(&self) -> Result<(), EnvelopeError<'a>> {
        let kind = match check_value(self.payload()) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind == PayloadErrorKind::TooDeep => EnvelopeErrorKind::TooDeep,
            // `{},5` is a payload and then one element more.
            Err(error) if error.kind == PayloadErrorKind::Trailing => EnvelopeErrorKind::Arity,
            Err(_) => EnvelopeErrorKind::NotJson,
        };
        Err(EnvelopeError { kind, id: Some(self.id().clone()), call: matches!(self, Self::Call { .. }) })
    }
}

/// Why a text is no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", kind.label())]
pub struct EnvelopeError<'a> {
    /// What is wrong.
    pub kind: EnvelopeErrorKind,
    /// The id, where it could be read.
    pub id: Option<MessageId<'a>>,
    /// True for a CALL: with an id, it gets a CALLERROR. Anything else gets no answer.
    pub call: bool,
}

impl<'a> EnvelopeError<'a> {
    /// The id of a CALLERROR for this message; `None`: it gets no answer.
    pub fn answer_to(&self) -> Option<&MessageId<'a>> {
        self.id.as_ref().filter(|_| self.call)
    }
}

/// Classes of unreadable messages: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EnvelopeErrorKind {
    /// Not JSON, or cut off.
    NotJson,
    /// JSON, but not an array.
    NotArray,
    /// Too few elements, or too many.
    Arity,
    /// The first element is no number of a message type. To be ignored (OCPP-J 1.6 §4.1.3).
    UnknownType,
    /// The id is neither a text nor an integer, or empty.
    BadId,
    /// The id is longer than [`MESSAGE_ID_MAX`].
    IdTooLong,
    /// The action is not a text, or empty.
    BadAction,
    /// The action is longer than [`ACTION_MAX`].
    ActionTooLong,
    /// The code or the description of an error is not a text.
    BadError,
    /// The payload is nested too deep.
    TooDeep,
}

impl EnvelopeErrorKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::NotJson,
        Self::NotArray,
        Self::Arity,
        Self::UnknownType,
        Self::BadId,
        Self::IdTooLong,
        Self::BadAction,
        Self::ActionTooLong,
        Self::BadError,
        Self::TooDeep,
    ];

    /// A name for a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::NotArray => "not_array",
            Self::Arity => "arity",
            Self::UnknownType => "unknown_type",
            Self::BadId => "bad_id",
            Self::IdTooLong => "id_too_long",
            Self::BadAction => "bad_action",
            Self::ActionTooLong => "action_too_long",
            Self::BadError => "bad_error",
            Self::TooDeep => "too_deep",
        }
    }

    /// The CALLERROR for it.
    pub const fn error_code(self) -> ErrorCode<'static> {
        match self {
            Self::ActionTooLong => ErrorCode::NotImplemented,
            Self::UnknownType => ErrorCode::MessageTypeNotSupported,
            _ => ErrorCode::FormationViolation,
        }
    }
}

/// Reads the envelope of one message.
///
/// Blanks and escapes are fine wherever JSON allows them. The payload is not looked into, see the module's head.
///
/// # Errors
/// [`EnvelopeError`], with the id if it could be read.
pub fn scan_envelope(text: &str) -> Result<Envelope<'_>, EnvelopeError<'_>> {
    let mut scan = Scan { text, at: 0, call: false };
    scan.message().map_err(|(kind, id)| EnvelopeError { kind: scan.blame(kind), id, call: scan.call })
}

type Fault<'a> = (EnvelopeErrorKind, Option<MessageId<'a>>);

struct Scan<'a> {
    text: &'a str,
    at: usize,
    call: bool,
}

impl<'a> Scan<'a> {
    fn message(&mut self) -> Result<Envelope<'a>, Fault<'a>> {
        use EnvelopeErrorKind as Kind;
        if self.next_byte() != Some(b'[') {
            return Err((Kind::NotArray, None));
        }
        let kind = self.integer().ok_or((Kind::UnknownType, None))?;
        self.call = kind == "2";
        self.comma().map_err(|kind| (kind, None))?;
        let id = self.id().map_err(|kind| (kind, None))?;
        let message = match kind {
            "2" | "6" => self.action().and_then(|action| {
                let payload = self.last_element()?;
                let id = id.clone();
                Ok(match kind {
                    "2" => Envelope::Call { id, action, payload },
                    _ => Envelope::Send { id, action, payload },
                })
            }),
            "3" => self.last_element().map(|payload| Envelope::CallResult { id: id.clone(), payload }),
            "4" | "5" => self.error_parts().map(|(code, description, details)| {
                let id = id.clone();
                match kind {
                    "4" => Envelope::CallError { id, code, description, details },
                    _ => Envelope::CallResultError { id, code, description, details },
                }
            }),
            _ => Err(Kind::UnknownType),
        };
        message.map_err(|kind| (kind, Some(id)))
    }

    /// Text that is no JSON at all has no arity: tells the two apart, after something went wrong.
    #[cold]
    fn blame(&self, kind: EnvelopeErrorKind) -> EnvelopeErrorKind {
        match check_value(self.text.trim_matches(BLANKS)) {
            Err(error) if error.kind == PayloadErrorKind::TooDeep => EnvelopeErrorKind::TooDeep,
            Err(_) => EnvelopeErrorKind::NotJson,
            Ok(()) => kind,
        }
    }

    fn action(&mut self) -> Result<Text<'a>, EnvelopeErrorKind> {
        self.comma()?;
        let action = self.string().ok_or(EnvelopeErrorKind::BadAction)?;
        match action.len() {
            0 => Err(EnvelopeErrorKind::BadAction),
            1..=ACTION_MAX => Ok(action),
            _ => Err(EnvelopeErrorKind::ActionTooLong),
        }
    }

    fn id(&mut self) -> Result<MessageId<'a>, EnvelopeErrorKind> {
        self.blanks();
        let (text, number) = if self.rest().first() == Some(&b'"') {
            (self.string().ok_or(EnvelopeErrorKind::BadId)?, false)
        } else {
            (self.integer().map(Text::from).ok_or(EnvelopeErrorKind::BadId)?, true)
        };
        match text.len() {
            0 => Err(EnvelopeErrorKind::BadId),
            1..=MESSAGE_ID_MAX => Ok(MessageId { text, number }),
            _ => Err(EnvelopeErrorKind::IdTooLong),
        }
    }

    /// Code, description, details; stations leave out the last ones.
    fn error_parts(&mut self) -> Result<(ErrorCode<'a>, Text<'a>, &'a str), EnvelopeErrorKind> {
        self.comma()?;
        let code = ErrorCode::from_text(self.string().ok_or(EnvelopeErrorKind::BadError)?);
        if self.at_end() {
            return Ok((code, Text::default(), "{}"));
        }
        self.comma()?;
        let description = self.string().ok_or(EnvelopeErrorKind::BadError)?;
        if self.at_end() {
            return Ok((code, description, "{}"));
        }
        Ok((code, description, self.last_element()?))
    }

    /// `, element ]` and nothing behind it.
    fn last_element(&mut self) -> Result<&'a str, EnvelopeErrorKind> {
        self.comma()?;
        let rest = self.text.get(self.at..).unwrap_or_default().trim_end_matches(BLANKS);
        let element = rest.strip_suffix(']').ok_or(EnvelopeErrorKind::NotJson)?.trim_matches(BLANKS);
        if element.is_empty() { Err(EnvelopeErrorKind::Arity) } else { Ok(element) }
    }

    /// True at a closing bracket with nothing behind it.
    fn at_end(&self) -> bool {
        matches!(self.rest().trim_ascii(), b"]")
    }

    fn comma(&mut self) -> Result<(), EnvelopeErrorKind> {
        if self.next_byte() == Some(b',') { Ok(()) } else { Err(EnvelopeErrorKind::Arity) }
    }

    /// A JSON integer, as text.
    fn integer(&mut self) -> Option<&'a str> {
        self.blanks();
        let rest = self.rest();
        let sign = usize::from(rest.first() == Some(&b'-'));
        let digits = rest.iter().skip(sign).take_while(|byte| byte.is_ascii_digit()).count();
        let leading_zero = digits > 1 && rest.get(sign) == Some(&b'0');
        let end = sign + digits;
        if digits == 0 || leading_zero || !matches!(rest.get(end), Some(b',' | b']' | b' ' | b'\t' | b'\r' | b'\n')) {
            return None;
        }
        let integer = self.text.get(self.at..self.at + end)?;
        self.at += end;
        Some(integer)
    }

    /// A JSON string, unescaped.
    fn string(&mut self) -> Option<Text<'a>> {
        if self.next_byte() != Some(b'"') {
            return None;
        }
        let rest = self.rest();
        let stop = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
        if rest.get(stop) != Some(&b'"') {
            return self.string_with_escapes();
        }
        let text = self.text.get(self.at..self.at + stop)?;
        self.at += stop + 1;
        Some(Text::from(text))
    }

    /// The same for a string with escapes (or a control character, which is no JSON); `at` is behind the first quote.
    #[cold]
    fn string_with_escapes(&mut self) -> Option<Text<'a>> {
        let mut escaped = false;
        let end = self.rest().iter().position(|byte| match byte {
            _ if escaped => {
                escaped = false;
                false
            }
            b'\\' => {
                escaped = true;
                false
            }
            byte => *byte == b'"',
        })?;
        let quoted = self.text.get(self.at - 1..=self.at + end)?;
        let text: String = serde_json::from_str(quoted).ok()?;
        self.at += end + 1;
        Some(Text::from(text))
    }

    fn next_byte(&mut self) -> Option<u8> {
        self.blanks();
        let byte = *self.rest().first()?;
        self.at += 1;
        Some(byte)
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.rest().first() {
            self.at += 1;
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }
}

/// What JSON calls white space; nothing else that Unicode calls so.
const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];
