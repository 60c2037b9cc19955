//! One JSON value that is no list and no object, its digits as the sender wrote them.
//!
//! serde_json hands a fraction out as a double only, and then 12.34999999999999999999 is 12.35. A bill hangs on such
//! digits, so they are read from the text.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

/// A value as it stands in the message.
pub(super) enum Scalar<'a> {
    /// A string, unescaped.
    Text(Cow<'a, str>),
    /// A number in JSON's spelling.
    Number(&'a str),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

/// The opening words of the error for an escape that means no character. serde_json calls it a syntax error, and so does
/// [`super::PayloadErrorKind`].
pub(super) const BAD_ESCAPE: &str = "no string";

impl<'a> Scalar<'a> {
    /// What an error says was found.
    pub(super) fn unexpected(&self) -> de::Unexpected<'_> {
        match self {
            Self::Text(text) => de::Unexpected::Str(text),
            Self::Number(digits) => de::Unexpected::Other(digits),
            Self::Bool(value) => de::Unexpected::Bool(*value),
            Self::Null => de::Unexpected::Unit,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        Ok(match raw.as_bytes() {
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => {
                Self::Text(Cow::Borrowed(raw.get(1..raw.len() - 1).unwrap_or_default()))
            }
            [b'"', ..] => Self::Text(Cow::Owned(
                serde_json::from_str(raw).map_err(|error| de::Error::custom(format_args!("{BAD_ESCAPE}: {error}")))?,
            )),
            [b'-' | b'0'..=b'9', ..] => Self::Number(raw),
            b"true" => Self::Bool(true),
            b"false" => Self::Bool(false),
            b"null" => Self::Null,
            [b'[', ..] => return Err(de::Error::invalid_type(de::Unexpected::Seq, &"a plain value")),
            _ => return Err(de::Error::invalid_type(de::Unexpected::Map, &"a plain value")),
        })
    }
}
