//! A charge point's identity: the last segment of the path it connects to (OCPP-J 1.6 §3.1.1).

use std::fmt;

/// Longest identity in bytes, percent-decoded (OCPP 2.0.1: `identifierString[48]`).
pub const IDENTITY_MAX: usize = 48;

/// A checked identity: 1 to 48 bytes of printable text without `:` and `/`, percent-decoded. Compare these, never the
/// spelling in a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity(Box<str>);

/// Why a path segment is no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum IdentityError {
    /// Nothing there.
    #[error("the identity is empty")]
    Empty,
    /// More than [`IDENTITY_MAX`] bytes.
    #[error("the identity is longer than {IDENTITY_MAX} bytes")]
    TooLong,
    /// `%` without two hex digits.
    #[error("the identity has a broken escape")]
    BrokenEscape,
    /// Not UTF-8 after decoding.
    #[error("the identity is not UTF-8")]
    NotUtf8,
    /// A control character, `:` (cannot be told from the password) or `/` (is no segment).
    #[error("the identity has a character that is not allowed")]
    BadCharacter,
}

impl IdentityError {
    /// A name for a metric label: a closed set.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Empty => "identity_empty",
            Self::TooLong => "identity_too_long",
            Self::BrokenEscape => "identity_broken_escape",
            Self::NotUtf8 => "identity_not_utf8",
            Self::BadCharacter => "identity_bad_character",
        }
    }
}

impl Identity {
    /// Decodes and checks a path segment. `+` is a plus sign: this is a path, not a form.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn from_segment(segment: &str) -> Result<Self, IdentityError> {
        let mut bytes = Vec::with_capacity(segment.len().min(IDENTITY_MAX));
        let mut rest = segment.as_bytes();
        while let [byte, tail @ ..] = rest {
            let (decoded, tail) = match (byte, tail) {
                (b'%', [high, low, tail @ ..]) => (hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low), tail),
                (b'%', _) => (None, tail),
                (byte, tail) => (Some(*byte), tail),
            };
            bytes.push(decoded.ok_or(IdentityError::BrokenEscape)?);
            if bytes.len() > IDENTITY_MAX {
                return Err(IdentityError::TooLong);
            }
            rest = tail;
        }
        let text = String::from_utf8(bytes).map_err(|_| IdentityError::NotUtf8)?;
        if text.is_empty() {
            return Err(IdentityError::Empty);
        }
        if text.chars().any(|char| char.is_control() || matches!(char, ':' | '/')) {
            return Err(IdentityError::BadCharacter);
        }
        Ok(Self(text.into_boxed_str()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, owned.
    pub fn into_string(self) -> String {
        self.0.into_string()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(segment: &str, expect: Result<&str, IdentityError>) {
        let identity = Identity::from_segment(segment);
        assert_eq!(identity.as_ref().map(Identity::as_str).map_err(|error| *error), expect, "{segment:?}");
    }

    #[test]
    fn decodes_and_checks() {
        check("CP001", Ok("CP001"));
        check("RDAM%20123", Ok("RDAM 123"));
        check("RDAM%7C123", Ok("RDAM|123"));
        check("a+b", Ok("a+b"));
        check("%E6%A1%A9", Ok("桩"));
        check("%e6%a1%a9", Ok("桩"));
        check(&"x".repeat(48), Ok(&"x".repeat(48)));
        check(&"%78".repeat(48), Ok(&"x".repeat(48)));
        check(&"x".repeat(49), Err(IdentityError::TooLong));
        check("", Err(IdentityError::Empty));
        check("%", Err(IdentityError::BrokenEscape));
        check("%4", Err(IdentityError::BrokenEscape));
        check("%zz", Err(IdentityError::BrokenEscape));
        check("%+1", Err(IdentityError::BrokenEscape));
        check("%FF", Err(IdentityError::NotUtf8));
        check("%E6%A1", Err(IdentityError::NotUtf8));
        check("a%00b", Err(IdentityError::BadCharacter));
        check("a%0Ab", Err(IdentityError::BadCharacter));
        check("a%C2%85b", Err(IdentityError::BadCharacter));
        check("a%3Ab", Err(IdentityError::BadCharacter));
        check("a%2Fb", Err(IdentityError::BadCharacter));
    }
}
