//! `RemoteStopTransaction` (OCPP 1.6 §5.12): stop a transaction by order.

use serde::{Deserialize, Serialize};

use super::{Action, Call};
use crate::ocpp::{Int, Notes, Payload};

enumeration! {
    /// `RemoteStartStopStatus` (§7.39).
    RemoteStopStatus {
        /// Will be done.
        Accepted = "Accepted",
        /// Will not be done.
        Rejected = "Rejected",
    }
}

/// The order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Which.
    pub transaction_id: Int,
}

impl Payload<'_> for Request {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.transaction_id);
    }
}

impl Call<'_> for Request {
    const ACTION: Action = Action::RemoteStopTransaction;
    type Response<'r> = Response<'r>;
}

/// Whether it will stop; the end itself is reported by StopTransaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response<'a> {
    /// What the charge point makes of it.
    #[serde(borrow)]
    pub status: RemoteStopStatus<'a>,
}

impl<'a> Payload<'a> for Response<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.status);
    }
}
