//! `RemoteStartTransaction` (OCPP 1.6 §5.11): start a transaction by order.

use serde::{Deserialize, Serialize};

use super::{Action, Call, charging_profile::ChargingProfile};
use crate::ocpp::{Int, Notes, Payload, Text};

enumeration! {
    /// `RemoteStartStopStatus` (§7.39).
    RemoteStartStopStatus {
        /// Will be done.
        Accepted = "Accepted",
        /// Will not be done.
        Rejected = "Rejected",
    }
}

/// The order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// Where; absent: the charge point chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connector_id: Option<Int>,
    /// In whose name, at most 20 characters.
    #[serde(borrow)]
    pub id_tag: Text<'a>,
    /// A profile for this transaction.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub charging_profile: Option<Box<ChargingProfile<'a>>>,
}

impl<'a> Payload<'a> for Request<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.connector_id);
        notes.text("idTag", &self.id_tag, 20);
        notes.value(&self.charging_profile);
    }
}

impl<'a> Call<'a> for Request<'a> {
    const ACTION: Action = Action::RemoteStartTransaction;
    type Response<'r> = Response<'r>;
}

/// Whether it will try; the start itself is reported by StartTransaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response<'a> {
    /// What the charge point makes of it.
    #[serde(borrow)]
    pub status: RemoteStartStopStatus<'a>,
}

impl<'a> Payload<'a> for Response<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.status);
    }
}
