//! A whole JSON value checked without building it, for payloads that are forwarded unread.

use serde_json::value::RawValue;

use super::{PayloadError, PayloadErrorKind};

/// Deepest nesting of a payload. OCPP's own deepest, a charging profile, has six levels.
pub const DEPTH_MAX: usize = 64;

/// Checks that `text` is exactly one JSON value, not nested deeper than [`DEPTH_MAX`].
///
/// A typed parse does this by the way; use it for a payload that nobody parses here.
///
/// # Errors
/// [`PayloadErrorKind::Syntax`], [`PayloadErrorKind::Trailing`] or [`PayloadErrorKind::TooDeep`].
pub fn check_value(text: &str) -> Result<(), PayloadError> {
    if too_deep(text.as_bytes()) {
        return Err(PayloadError::new(PayloadErrorKind::TooDeep, format!("nested deeper than {DEPTH_MAX}")));
    }
    serde_json::from_str::<&RawValue>(text).map(|_| ()).map_err(PayloadError::from_serde)
}

/// Counts brackets outside of strings. Says nothing about syntax.
pub(super) fn too_deep(text: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in text {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'[' | b'{') => depth += 1,
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_of_strings_and_up_to_the_limit() {
        let kind = |text: &str| check_value(text).map_err(|error| error.kind);
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(kind(&nested(DEPTH_MAX)), Ok(()));
        assert_eq!(kind(&nested(DEPTH_MAX + 1)), Err(PayloadErrorKind::TooDeep));
        assert_eq!(kind(&format!("[{}1]", "[],".repeat(100))), Ok(()));
        let brackets = "[{".repeat(50);
        assert_eq!(kind(&format!(r#""{brackets}""#)), Ok(()));
        assert_eq!(kind(&format!(r#""\"{brackets}""#)), Ok(()));
        assert_eq!(kind(&format!(r#"["\\",{}]"#, nested(70))), Err(PayloadErrorKind::TooDeep));
        assert_eq!(kind("{} {}"), Err(PayloadErrorKind::Trailing));
        assert_eq!(kind("{"), Err(PayloadErrorKind::Syntax));
    }
}
