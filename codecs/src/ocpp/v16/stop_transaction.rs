//! `StopTransaction` (OCPP 1.6 §4.10): a transaction has ended.

use serde::{Deserialize, Serialize};

use super::{Action, Call, IdTagInfo, MeterValue};
use crate::ocpp::{Int, MeterWh, Notes, Payload, Text, Timestamp};

enumeration! {
    /// `Reason` (§7.36).
    Reason {
        /// The tag was refused after the start.
        DeAuthorized = "DeAuthorized",
        /// Emergency stop button.
        EmergencyStop = "EmergencyStop",
        /// Unplugged.
        EVDisconnected = "EVDisconnected",
        /// Hard reset by order.
        HardReset = "HardReset",
        /// Stopped at the charge point.
        Local = "Local",
        /// Any other reason.
        Other = "Other",
        /// Power failed.
        PowerLoss = "PowerLoss",
        /// The charge point restarted by itself.
        Reboot = "Reboot",
        /// Stopped by order.
        Remote = "Remote",
        /// Soft reset by order.
        SoftReset = "SoftReset",
        /// Unlocked by order.
        UnlockCommand = "UnlockCommand",
    }
}

/// The end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// Who stopped it, at most 20 characters.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub id_tag: Option<Text<'a>>,
    /// Register of the meter at the end.
    pub meter_stop: MeterWh,
    /// When.
    #[serde(borrow)]
    pub timestamp: Timestamp<'a>,
    /// Which; 0 or -1 from charge points that never got an id.
    pub transaction_id: Int,
    /// Why; absent: `Local`.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason<'a>>,
    /// Readings during the transaction.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub transaction_data: Option<Vec<MeterValue<'a>>>,
}

impl<'a> Payload<'a> for Request<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.optional_text("idTag", &self.id_tag, 20);
        notes.value(&self.meter_stop);
        notes.value(&self.timestamp);
        notes.value(&self.transaction_id);
        notes.value(&self.reason);
        notes.value(&self.transaction_data);
        notes.value(&self.transaction_data);
    }
}

impl<'a> Call<'a> for Request<'a> {
    const ACTION: Action = Action::StopTransaction;
    type Response<'r> = Response<'r>;
}

/// A verdict on the tag; nothing about the transaction, whose end cannot be refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response<'a> {
    /// The verdict on the tag, if one was sent.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub id_tag_info: Option<IdTagInfo<'a>>,
}

impl<'a> Payload<'a> for Response<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.id_tag_info);
    }
}
