//! The JSON form for people: logs, tools, the console. Nothing reads it back.
//!
//! Names are those of the schema, the body stands under its own name, bytes are hex, enum values are their names in lower case
//! without the prefix, and what is empty is left out.

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::{commands::Command, proto, proto::Envelope, registry::RegistryEntry};

/// An event.
#[must_use]
pub fn event(envelope: &Envelope) -> Value {
    shown(envelope, "body")
}

/// A command.
#[must_use]
pub fn command(command: &Command) -> Value {
    shown(command, "action")
}

/// A registry entry, without its hashed secrets.
#[must_use]
pub fn registry_entry(entry: &RegistryEntry) -> Value {
    shown(entry, "value")
}

/// `oneof` is the field whose variant comes to stand beside the others, as in Protobuf's own JSON.
fn shown(message: &impl Serialize, oneof: &str) -> Value {
    // Fails only for maps whose keys are no strings, and the schema has none.
    let mut value = serde_json::to_value(message).unwrap_or(Value::Null);
    if let Value::Object(fields) = &mut value
        && let Some(Value::Object(variant)) = fields.remove(oneof)
    {
        fields.extend(variant);
    }
    leave_out_empty(&mut value);
    value
}

fn leave_out_empty(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(leave_out_empty);
            fields.retain(|_, value| match value {
                Value::Null => false,
                Value::String(text) => !text.is_empty(),
                Value::Array(items) => !items.is_empty(),
                _ => true,
            });
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out_empty),
        _ => {}
    }
}

pub(crate) fn hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).map_or('?', |digit| char::from(*digit));
    let text: String = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
    serializer.serialize_str(&text)
}

/// An event id as everybody writes it; one that is no UUID as hex.
pub(crate) fn uuid<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    match uuid::Uuid::from_slice(bytes) {
        Ok(id) => serializer.collect_str(&id),
        Err(_) => hex(bytes, serializer),
    }
}

/// For each enum of the schema a function that `build.rs` names: its value's name, or the number that this release does not know.
macro_rules! names {
    ($($function:ident: $kind:ident, $prefix:literal;)*) => {
        $(pub(crate) fn $function<S: Serializer>(value: &i32, serializer: S) -> Result<S::Ok, S::Error> {
            match proto::$kind::try_from(*value) {
                Ok(known) => {
                    let name = known.as_str_name();
                    serializer.serialize_str(&name.strip_prefix($prefix).unwrap_or(name).to_lowercase())
                }
                Err(_) => serializer.serialize_i32(*value),
            }
        })*
    };
}

names! {
    protocol: Protocol, "PROTOCOL_";
    connector_status: ConnectorStatus, "CONNECTOR_STATUS_";
    start_mode: StartMode, "START_MODE_";
    period_kind: PeriodKind, "PERIOD_KIND_";
    command_outcome: CommandOutcome, "COMMAND_OUTCOME_";
    gateway_state: GatewayState, "GATEWAY_STATE_";
}
