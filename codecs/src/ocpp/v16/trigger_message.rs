//! `TriggerMessage` (OCPP 1.6 §5.17): send this message now.

use serde::{Deserialize, Serialize};

use super::{Action, Call};
use crate::ocpp::{Int, Notes, Payload};

enumeration! {
    /// `MessageTrigger` (§7.33).
    MessageTrigger {
        /// A `BootNotification`.
        BootNotification = "BootNotification",
        /// A `DiagnosticsStatusNotification`.
        DiagnosticsStatusNotification = "DiagnosticsStatusNotification",
        /// A `FirmwareStatusNotification`.
        FirmwareStatusNotification = "FirmwareStatusNotification",
        /// A `Heartbeat`.
        Heartbeat = "Heartbeat",
        /// A `MeterValues`.
        MeterValues = "MeterValues",
        /// A `StatusNotification`.
        StatusNotification = "StatusNotification",
    }
}

enumeration! {
    /// `TriggerMessageStatus` (§7.44).
    TriggerMessageStatus {
        /// Will be sent.
        Accepted = "Accepted",
        /// Will not be sent.
        Rejected = "Rejected",
        /// Cannot be sent on demand.
        NotImplemented = "NotImplemented",
    }
}

/// The order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// Which message.
    #[serde(borrow)]
    pub requested_message: MessageTrigger<'a>,
    /// Of which connector; absent: of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connector_id: Option<Int>,
}

impl<'a> Payload<'a> for Request<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.requested_message);
        notes.value(&self.connector_id);
    }
}

impl<'a> Call<'a> for Request<'a> {
    const ACTION: Action = Action::TriggerMessage;
    type Response<'r> = Response<'r>;
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response<'a> {
    /// What the charge point makes of it.
    #[serde(borrow)]
    pub status: TriggerMessageStatus<'a>,
}

impl<'a> Payload<'a> for Response<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.status);
    }
}
