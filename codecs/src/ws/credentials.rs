//! `Authorization: Basic` (RFC 7617), which is how a charge point shows its password (OCPP security profiles 1 and 2).

use std::fmt;

use base64::{Engine, alphabet, engine};

/// What an upgrade said about who asks. Its `Debug` shows no password.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing.
    None,
    /// A user and a password.
    Basic {
        /// OCPP: the identity.
        user: String,
        /// Any bytes: OCPP 1.6 sends a binary key here, or its hex digits.
        password: Vec<u8>,
    },
    /// Another scheme, or not decodable.
    Malformed,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Basic { user, password } => {
                write!(f, "Basic {{ user: {user:?}, password: <{} bytes> }}", password.len())
            }
            Self::Malformed => f.write_str("Malformed"),
        }
    }
}

/// Padding may be missing.
const BASE64: engine::GeneralPurpose = engine::GeneralPurpose::new(
    &alphabet::STANDARD,
    engine::GeneralPurposeConfig::new().with_decode_padding_mode(engine::DecodePaddingMode::Indifferent),
);

impl Credentials {
    /// Reads the value of an `Authorization` header.
    pub(super) fn parse(value: &[u8]) -> Self {
        Self::basic(value).unwrap_or(Self::Malformed)
    }

    fn basic(value: &[u8]) -> Option<Self> {
        let (scheme, coded) = value.trim_ascii().split_first_chunk::<5>()?;
        if !scheme.eq_ignore_ascii_case(b"basic") || coded.first() != Some(&b' ') {
            return None;
        }
        let pair = BASE64.decode(coded.trim_ascii()).ok()?;
        // At the first colon: the password may hold others.
        let colon = pair.iter().position(|byte| *byte == b':')?;
        let (user, password) = pair.split_at_checked(colon)?;
        let user = std::str::from_utf8(user).ok()?.to_owned();
        Some(Self::Basic { user, password: password.get(1..)?.to_vec() })
    }

    /// The value of an `Authorization` header; `None` unless there is a user.
    pub(super) fn header_value(&self) -> Option<String> {
        match self {
            Self::Basic { user, password } => {
                let pair = [user.as_bytes(), b":", password].concat();
                Some(format!("Basic {}", BASE64.encode(pair)))
            }
            Self::None | Self::Malformed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;

    #[test]
    fn splits_at_the_first_colon_and_takes_any_bytes() {
        let basic = |user: &str, password: &[u8]| Credentials::Basic { user: user.into(), password: password.into() };
        assert_eq!(Credentials::parse(b"Basic QWxhZGRpbjpvcGVuOnNlc2FtZQ=="), basic("Aladdin", b"open:sesame"));
        assert_eq!(Credentials::parse(b"bASIC  QWxhZGRpbjpvcGVuOnNlc2FtZQ"), basic("Aladdin", b"open:sesame"));
        assert_eq!(Credentials::parse(b"Basic Q1A6AP+A"), basic("CP", &[0, 0xff, 0x80]));
        for bad in [&b"Basic"[..], b"Basic !!", b"BasicQTpi", b"Basic QQ==", b"Bearer QTpi", b"Basic /zpi", b""] {
            assert_eq!(Credentials::parse(bad), Credentials::Malformed, "{bad:?}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        let sent = Credentials::Basic { user: "CP 1".into(), password: vec![1, b':', 0xfe] };
        let Some(value) = sent.header_value() else { panic!("no value") };
        assert_eq!(Credentials::parse(value.as_bytes()), sent);
    }

    #[test]
    fn debug_hides_the_password() {
        let text = format!("{:?}", Credentials::Basic { user: "CP1".into(), password: b"s3cret".to_vec() });
        assert_eq!(text, "Basic { user: \"CP1\", password: <6 bytes> }");
    }
}
