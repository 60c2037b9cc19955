//! Every core payload by the name of its schema, for tests that go by data.
#![allow(dead_code, reason = "each test uses its part of this")]
#![allow(elided_lifetimes_in_paths, reason = "some payloads borrow and some have nothing to borrow")]

use codecs::ocpp::{Deviations, MessageId, Payload, PayloadError, WriteError, v16, write_result};
use serde_json::Value;

/// What became of a payload.
pub struct Read {
    /// How it deviates.
    pub deviations: Deviations,
    /// What serde makes of it again.
    pub written: Value,
    /// What the strict writer makes of it.
    pub strict: Result<Value, WriteError>,
}

fn read_as<'a, P: Payload<'a>>(payload: &'a str) -> Result<Read, PayloadError> {
    let body = P::parse(payload)?;
    let mut out = Vec::new();
    let strict = write_result(&mut out, &MessageId::new("1"), &body).map(|()| {
        let mut message: Value = serde_json::from_slice(&out).expect("what we write is JSON");
        message[2].take()
    });
    assert!(strict.is_ok() || out.is_empty(), "a refused message leaves nothing behind");
    Ok(Read {
        deviations: body.deviations(),
        written: serde_json::to_value(&body).expect("every payload can be written"),
        strict,
    })
}

macro_rules! schemas {
    ($($name:literal $response:literal $module:ident),+ $(,)?) => {
        /// Reads a payload by the name of its schema.
        pub fn read(schema: &str, payload: &str) -> Result<Read, PayloadError> {
            match schema {
                $($name => read_as::<v16::$module::Request>(payload),
                $response => read_as::<v16::$module::Response>(payload),)+
                other => panic!("no core schema: {other}"),
            }
        }

        /// The names of all core schemas.
        pub const NAMES: &[&str] = &[$($name, $response),+];
    };
}

schemas! {
    "Authorize" "AuthorizeResponse" authorize,
    "BootNotification" "BootNotificationResponse" boot_notification,
    "ChangeAvailability" "ChangeAvailabilityResponse" change_availability,
    "ChangeConfiguration" "ChangeConfigurationResponse" change_configuration,
    "ClearCache" "ClearCacheResponse" clear_cache,
    "DataTransfer" "DataTransferResponse" data_transfer,
    "GetConfiguration" "GetConfigurationResponse" get_configuration,
    "Heartbeat" "HeartbeatResponse" heartbeat,
    "MeterValues" "MeterValuesResponse" meter_values,
    "RemoteStartTransaction" "RemoteStartTransactionResponse" remote_start_transaction,
    "RemoteStopTransaction" "RemoteStopTransactionResponse" remote_stop_transaction,
    "Reset" "ResetResponse" reset,
    "StartTransaction" "StartTransactionResponse" start_transaction,
    "StatusNotification" "StatusNotificationResponse" status_notification,
    "StopTransaction" "StopTransactionResponse" stop_transaction,
    "TriggerMessage" "TriggerMessageResponse" trigger_message,
    "UnlockConnector" "UnlockConnectorResponse" unlock_connector,
}
