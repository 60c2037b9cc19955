//! `ChangeAvailability` (OCPP 1.6 §5.2): take a connector out of service or back in.

use serde::{Deserialize, Serialize};

use super::{Action, Call};
use crate::ocpp::{Int, Notes, Payload};

enumeration! {
    /// `AvailabilityType` (§7.4).
    AvailabilityType {
        /// Out of service.
        Inoperative = "Inoperative",
        /// In service.
        Operative = "Operative",
    }
}

enumeration! {
    /// `AvailabilityStatus` (§7.3).
    AvailabilityStatus {
        /// Will be done.
        Accepted = "Accepted",
        /// Will not be done.
        Rejected = "Rejected",
        /// Will be done when the transaction is over.
        Scheduled = "Scheduled",
    }
}

/// The order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// 0 is the whole charge point.
    pub connector_id: Int,
    /// What it shall become.
    #[serde(borrow, rename = "type")]
    pub kind: AvailabilityType<'a>,
}

impl<'a> Payload<'a> for Request<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.connector_id);
        notes.value(&self.kind);
    }
}

impl<'a> Call<'a> for Request<'a> {
    const ACTION: Action = Action::ChangeAvailability;
    type Response<'r> = Response<'r>;
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response<'a> {
    /// What the charge point makes of it.
    #[serde(borrow)]
    pub status: AvailabilityStatus<'a>,
}

impl<'a> Payload<'a> for Response<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.status);
    }
}
