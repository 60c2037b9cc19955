//! Messages that we send: exactly the schema, or not at all.

use serde::Serialize;

use super::{Deviations, ErrorCode, MessageId, Payload};

/// Longest description of a CALLERROR in characters (OCPP-J 1.6 §4.2.3).
const DESCRIPTION_CHARS_MAX: usize = 255;

/// Why a message was not written. `out` is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The payload does not conform to the schema.
    #[error("the payload deviates from the schema: {}", labels(*.0))]
    Deviates(Deviations),
    /// The value refused to be serialized.
    #[error("the payload cannot be written as JSON")]
    Json,
}

fn labels(deviations: Deviations) -> String {
    deviations.iter().map(super::Deviation::label).collect::<Vec<_>>().join(", ")
}

/// Appends `[2,"id","Action",payload]` to `out`.
///
/// # Errors
/// [`WriteError`]; nothing is appended then.
pub fn write_call<'a, P: Payload<'a>>(
    out: &mut Vec<u8>,
    id: &str,
    action: &str,
    payload: &P,
) -> Result<(), WriteError> {
    conforms(payload)?;
    whole(out, |out| {
        head(out, b'2');
        string(out, id)?;
        out.push(b',');
        string(out, action)?;
        out.push(b',');
        json(out, payload)
    })
}

/// Appends `[2,"id","Action",payload]` with a payload that is JSON text already; its content is the caller's business.
pub fn write_call_raw(out: &mut Vec<u8>, id: &str, action: &str, payload: &str) {
    head(out, b'2');
    let _ = string(out, id); // a string into memory cannot fail
    out.push(b',');
    let _ = string(out, action);
    out.push(b',');
    out.extend_from_slice(payload.as_bytes());
    out.push(b']');
}

/// Appends `[3,id,payload]` to `out`, the id spelt as it came.
///
/// # Errors
/// [`WriteError`]; nothing is appended then.
pub fn write_result<'a, P: Payload<'a>>(out: &mut Vec<u8>, id: &MessageId<'_>, payload: &P) -> Result<(), WriteError> {
    conforms(payload)?;
    whole(out, |out| {
        head(out, b'3');
        write_id(out, id);
        out.push(b',');
        json(out, payload)
    })
}

/// Appends `[3,id,payload]` with a payload that is JSON text already.
pub fn write_result_raw(out: &mut Vec<u8>, id: &MessageId<'_>, payload: &str) {
    head(out, b'3');
    write_id(out, id);
    out.push(b',');
    out.extend_from_slice(payload.as_bytes());
    out.push(b']');
}

/// Appends `[4,id,"code","description",{}]` to `out` in OCPP 1.6 spelling. The description is cut at 255 characters.
pub fn write_error(out: &mut Vec<u8>, id: &MessageId<'_>, code: &ErrorCode<'_>, description: &str) {
    let end = description.char_indices().nth(DESCRIPTION_CHARS_MAX).map_or(description.len(), |(at, _)| at);
    head(out, b'4');
    write_id(out, id);
    out.push(b',');
    let _ = string(out, code.as_v16()); // a string into memory cannot fail
    out.push(b',');
    let _ = string(out, description.get(..end).unwrap_or_default());
    out.extend_from_slice(b",{}]");
}

fn conforms<'a, P: Payload<'a>>(payload: &P) -> Result<(), WriteError> {
    let deviations = payload.deviations();
    if deviations.is_empty() { Ok(()) } else { Err(WriteError::Deviates(deviations)) }
}

/// Runs `write`, closes the array, and takes everything back if it failed.
fn whole(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), serde_json::Error>,
) -> Result<(), WriteError> {
    let start = out.len();
    match write(out) {
        Ok(()) => {
            out.push(b']');
            Ok(())
        }
        Err(_) => {
            out.truncate(start);
            Err(WriteError::Json)
        }
    }
}

fn head(out: &mut Vec<u8>, kind: u8) {
    out.extend_from_slice(&[b'[', kind, b',']);
}

fn write_id(out: &mut Vec<u8>, id: &MessageId<'_>) {
    if id.is_number() {
        out.extend_from_slice(id.as_str().as_bytes());
    } else {
        let _ = string(out, id.as_str()); // a string into memory cannot fail
    }
}

fn string(out: &mut Vec<u8>, text: &str) -> Result<(), serde_json::Error> {
    serde_json::to_writer(out, text)
}

fn json<T: Serialize>(out: &mut Vec<u8>, value: &T) -> Result<(), serde_json::Error> {
    serde_json::to_writer(out, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ocpp::Notes;

    #[derive(serde::Deserialize)]
    struct Stubborn;

    impl Serialize for Stubborn {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }

    impl Payload<'_> for Stubborn {
        fn note(&self, _: &mut Notes) {}
    }

    #[test]
    fn a_message_that_fails_half_way_is_taken_back() {
        let mut out = b"before".to_vec();
        assert_eq!(write_call(&mut out, "1", "Action", &Stubborn), Err(WriteError::Json));
        assert_eq!(write_result(&mut out, &MessageId::new("1"), &Stubborn), Err(WriteError::Json));
        assert_eq!(out, b"before");
    }
}
