//! `Reset` (OCPP 1.6 §5.14): restart the charge point.

use serde::{Deserialize, Serialize};

use super::{Action, Call};
use crate::ocpp::{Notes, Payload};

enumeration! {
    /// `ResetType` (§7.43).
    ResetType {
        /// Restart at once, transactions are stopped.
        Hard = "Hard",
        /// Stop transactions properly, then restart.
        Soft = "Soft",
    }
}

enumeration! {
    /// `ResetStatus` (§7.42).
    ResetStatus {
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
    /// How.
    #[serde(borrow, rename = "type")]
    pub kind: ResetType<'a>,
}

impl<'a> Payload<'a> for Request<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.kind);
    }
}

impl<'a> Call<'a> for Request<'a> {
    const ACTION: Action = Action::Reset;
    type Response<'r> = Response<'r>;
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response<'a> {
    /// What the charge point makes of it.
    #[serde(borrow)]
    pub status: ResetStatus<'a>,
}

impl<'a> Payload<'a> for Response<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.status);
    }
}
