//! How a letter looks to people, over REST and on the command line.

use events::{envelope, prost::Message as _, proto::Envelope};
use serde_json::{Value, json};

use super::redrives_to;
use crate::{
    store::dead_letters::{Letter, WholeLetter},
    tariff::instant_text,
};

/// A letter without its bytes: `DeadLetter` of the OpenAPI document.
#[must_use]
pub fn head_json(letter: &Letter) -> Value {
    json!({
        "letter": letter.id,
        "topic": letter.topic.name(),
        "partition": letter.partition,
        "offset": letter.offset,
        "source": letter.source.name(),
        "origin": letter.origin.as_ref().map(|origin| json!({
            "topic": origin.topic,
            "partition": origin.partition,
            "offset": origin.offset,
        })),
        "reason": letter.reason,
        "detail": letter.detail,
        "charger": letter.charger,
        "attempts": letter.attempts,
        "bytes": letter.bytes,
        "put_aside_at": instant_text(letter.appended_at_ms),
        "redrivable": redrives_to(letter).is_some(),
        "redriven": letter.redriven.as_ref().map(|redriven| json!({
            "at": instant_text(redriven.at_ms),
            "by": redriven.by,
            "times": redriven.times,
        })),
        "dismissed": letter.dismissed.as_ref().map(|dismissed| json!({
            "at": instant_text(dismissed.at_ms),
            "by": dismissed.by,
            "because": dismissed.because,
        })),
    })
}

/// A letter whole: `DeadLetterDetail` of the OpenAPI document.
#[must_use]
pub fn whole_json(whole: &WholeLetter) -> Value {
    let payload = whole.payload.as_deref();
    let is_event = whole.letter.origin.is_some();
    let event = payload.filter(|_| is_event).and_then(|payload| Envelope::decode(payload).ok());
    let message = payload.filter(|_| !is_event).and_then(|payload| std::str::from_utf8(payload).ok());
    let headers = whole.headers.iter().map(|(name, value)| json!({ "name": name, "value": value }));
    let mut json = head_json(&whole.letter);
    if let Some(members) = json.as_object_mut() {
        let more = [
            ("headers", headers.collect()),
            ("key", String::from_utf8_lossy(&whole.key).into()),
            ("payload_hex", json!(payload.map(hex::encode))),
            ("text", json!(message)),
            ("event", event.as_ref().map_or(Value::Null, envelope::to_json)),
        ];
        members.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    json
}
