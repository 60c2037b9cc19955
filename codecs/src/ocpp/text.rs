//! Text of a JSON string that borrows from the message wherever it can.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeSeed as _},
};

use super::scalar::Scalar;

/// A string out of a message: borrowed from it, or owned where the sender used escapes (`\/`, `\u0041`).
///
/// serde's `#[serde(borrow)]` borrows only for a `Cow` that is a field by itself; inside `Option` and `Vec` it copies.
/// This type borrows everywhere. A JSON number or boolean where the schema wants a string is accepted and remembered
/// ([`Text::is_retyped`]); a number keeps its digits.
#[derive(Clone)]
pub struct Text<'a>(Form<'a>);

#[derive(Clone)]
enum Form<'a> {
    Borrowed(&'a str),
    Owned(Box<str>),
    /// Was a number or a boolean.
    Retyped(Box<str>),
}

impl<'a> Text<'a> {
    /// The characters, after unescaping.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Form::Borrowed(text) => text,
            Form::Owned(text) | Form::Retyped(text) => text,
        }
    }

    /// True if no copy was made.
    pub const fn is_borrowed(&self) -> bool {
        matches!(self.0, Form::Borrowed(_))
    }

    /// True if the sender wrote a number or a boolean instead of a string.
    pub const fn is_retyped(&self) -> bool {
        matches!(self.0, Form::Retyped(_))
    }

    /// The same text without the borrow, for what outlives the message.
    pub fn into_owned(self) -> Text<'static> {
        Text(match self.0 {
            Form::Borrowed(text) => Form::Owned(text.into()),
            Form::Owned(text) => Form::Owned(text),
            Form::Retyped(text) => Form::Retyped(text),
        })
    }

    /// `None`: there was `null`.
    fn from_scalar(scalar: Scalar<'a>) -> Option<Self> {
        Some(Self(match scalar {
            Scalar::Text(Cow::Borrowed(text)) => Form::Borrowed(text),
            Scalar::Text(Cow::Owned(text)) => Form::Owned(text.into_boxed_str()),
            Scalar::Number(digits) => Form::Retyped(digits.into()),
            Scalar::Bool(value) => return Some(retyped(value)),
            Scalar::Null => return None,
        }))
    }

    /// The text as a `Cow`.
    pub fn into_cow(self) -> Cow<'a, str> {
        match self.0 {
            Form::Borrowed(text) => Cow::Borrowed(text),
            Form::Owned(text) | Form::Retyped(text) => Cow::Owned(text.into_string()),
        }
    }
}

impl Default for Text<'_> {
    fn default() -> Self {
        Self(Form::Borrowed(""))
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Form::Borrowed(text))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Form::Owned(text.into_boxed_str()))
    }
}

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl std::ops::Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}
impl Eq for Text<'_> {}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl std::hash::Hash for Text<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        TextOrNull.deserialize(deserializer)?.ok_or_else(no_text)
    }
}

impl<'a> Text<'a> {
    /// A word of an enumeration, see [`WordOrNull`].
    #[inline]
    pub(super) fn word<'de: 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        WordOrNull.deserialize(deserializer)?.ok_or_else(no_text)
    }
}

#[cold]
fn no_text<E: de::Error>() -> E {
    E::invalid_type(de::Unexpected::Unit, &"a string")
}

/// Reads a text or `null` in one step; `Option<Text>` takes two.
pub(super) struct TextOrNull;

impl<'de> de::DeserializeSeed<'de> for TextOrNull {
    type Value = Option<Text<'de>>;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        Scalar::deserialize(deserializer).map(Text::from_scalar)
    }
}

/// Reads a word of an enumeration, or `null`. Most texts of a busy charging station are words, and this is a tenth faster
/// than [`TextOrNull`] for a whole message; but a fraction gets the digits of a double. No word is a fraction, so there is
/// nothing to lose.
pub(super) struct WordOrNull;

impl<'de> de::DeserializeSeed<'de> for WordOrNull {
    type Value = Option<Text<'de>>;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> de::Visitor<'de> for WordOrNull {
    type Value = Option<Text<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }
    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    #[inline]
    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Text(Form::Borrowed(text))))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Text(Form::Owned(text.into()))))
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(retyped(value)))
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(retyped(value)))
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(retyped(value)))
    }
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(retyped(value)))
    }
}

fn retyped<'a>(value: impl fmt::Display) -> Text<'a> {
    Text(Form::Retyped(value.to_string().into_boxed_str()))
}
