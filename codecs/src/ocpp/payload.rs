//! What every typed payload can do, and what is wrong with one that cannot be read.

use serde::{Deserialize, Serialize};

use super::{Deviations, ErrorCode, Notes, scalar::BAD_ESCAPE};

/// A typed payload: borrowed from the message when read, strict when written.
pub trait Payload<'a>: Serialize + Deserialize<'a> {
    /// Names the fields to `notes`: lengths, types, words.
    fn note(&self, notes: &mut Notes);

    /// Reads a payload; `null` stands for `{}` (OCPP-J 1.6 §4.2.1).
    ///
    /// # Errors
    /// [`PayloadError`], whose kind says which CALLERROR the sender gets.
    fn parse(payload: &'a str) -> Result<Self, PayloadError> {
        let payload = if payload == "null" { "{}" } else { payload };
        // serde would fill a struct from an array too.
        if !payload.starts_with('{') {
            let kind = match super::check_value(payload) {
                Ok(()) => PayloadErrorKind::NotObject,
                Err(error) => error.kind,
            };
            return Err(PayloadError::new(kind, "the payload must be an object".into()));
        }
        let body: Self = serde_json::from_str(payload).map_err(PayloadError::from_serde)?;
        match body.notes().beyond_cap {
            Some(field) => Err(PayloadError::new(PayloadErrorKind::OverCap, format!("`{field}` is far too long"))),
            None => Ok(body),
        }
    }

    /// What was found in this payload.
    fn notes(&self) -> Notes {
        let mut notes = Notes::default();
        self.note(&mut notes);
        notes
    }

    /// How this payload deviates from the schema; empty if it conforms.
    fn deviations(&self) -> Deviations {
        self.notes().deviations
    }
}

/// Why a payload could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", kind.label())]
pub struct PayloadError {
    /// The class of the fault.
    pub kind: PayloadErrorKind,
    /// For people and for the description of a CALLERROR: names fields and types of ours, quotes at most a short word.
    pub detail: String,
}

/// Classes of unreadable payloads: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PayloadErrorKind {
    /// Not JSON.
    Syntax,
    /// A value, and then more.
    Trailing,
    /// JSON, but not an object.
    NotObject,
    /// Nested too deep.
    TooDeep,
    /// A required field is missing.
    MissingField,
    /// A field occurs twice.
    DuplicateField,
    /// A field has another type, and no tolerated one.
    WrongType,
    /// A field's value is out of its range.
    BadValue,
    /// A text is beyond even the hard cap.
    OverCap,
}

impl PayloadErrorKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Syntax,
        Self::Trailing,
        Self::NotObject,
        Self::TooDeep,
        Self::MissingField,
        Self::DuplicateField,
        Self::WrongType,
        Self::BadValue,
        Self::OverCap,
    ];

    /// A name for a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Syntax => "payload_syntax",
            Self::Trailing => "payload_trailing",
            Self::NotObject => "payload_not_object",
            Self::TooDeep => "payload_too_deep",
            Self::MissingField => "payload_missing_field",
            Self::DuplicateField => "payload_duplicate_field",
            Self::WrongType => "payload_wrong_type",
            Self::BadValue => "payload_bad_value",
            Self::OverCap => "payload_over_cap",
        }
    }

    /// The CALLERROR for it.
    pub const fn error_code(self) -> ErrorCode<'static> {
        match self {
            Self::Syntax | Self::Trailing | Self::NotObject | Self::TooDeep => ErrorCode::FormationViolation,
            Self::MissingField | Self::DuplicateField => ErrorCode::OccurrenceConstraintViolation,
            Self::WrongType => ErrorCode::TypeConstraintViolation,
            Self::BadValue | Self::OverCap => ErrorCode::PropertyConstraintViolation,
        }
    }
}

impl PayloadError {
    pub(super) fn new(kind: PayloadErrorKind, detail: String) -> Self {
        Self { kind, detail }
    }

    /// Sorts serde's error by the opening words that serde documents for each of its constructors; only when something
    /// is wrong already, and a test holds each of them.
    #[cold]
    pub(super) fn from_serde(error: serde_json::Error) -> Self {
        let detail = error.to_string();
        let starts = |words: &str| detail.starts_with(words);
        let kind = match error.classify() {
            serde_json::error::Category::Data if starts("missing field") => PayloadErrorKind::MissingField,
            serde_json::error::Category::Data if starts("duplicate field") => PayloadErrorKind::DuplicateField,
            serde_json::error::Category::Data if starts("invalid value") => PayloadErrorKind::BadValue,
            serde_json::error::Category::Data if starts(BAD_ESCAPE) => PayloadErrorKind::Syntax,
            serde_json::error::Category::Data => PayloadErrorKind::WrongType,
            _ if starts("trailing characters") => PayloadErrorKind::Trailing,
            _ if starts("recursion limit exceeded") => PayloadErrorKind::TooDeep,
            _ => PayloadErrorKind::Syntax,
        };
        Self { kind, detail: shorten(detail) }
    }

    /// The CALLERROR for it.
    pub const fn error_code(&self) -> ErrorCode<'static> {
        self.kind.error_code()
    }
}

/// serde quotes the offending value, which may be long.
fn shorten(mut detail: String) -> String {
    const BYTES_MAX: usize = 200;
    if detail.len() > BYTES_MAX {
        let end = (0..=BYTES_MAX).rev().find(|at| detail.is_char_boundary(*at)).unwrap_or(0);
        detail.truncate(end);
        detail.push('…');
    }
    detail
}
