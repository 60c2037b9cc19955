//! `UnlockConnector` (OCPP 1.6 §5.18): release the plug.

use serde::{Deserialize, Serialize};

use super::{Action, Call};
use crate::ocpp::{Int, Notes, Payload};

enumeration! {
    /// `UnlockStatus` (§7.45).
    UnlockStatus {
        /// Done.
        Unlocked = "Unlocked",
        /// The lock did not open.
        UnlockFailed = "UnlockFailed",
        /// There is no lock, or no such connector.
        NotSupported = "NotSupported",
    }
}

/// The order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Which, 1 and up.
    pub connector_id: Int,
}

impl Payload<'_> for Request {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.connector_id);
    }
}

impl Call<'_> for Request {
    const ACTION: Action = Action::UnlockConnector;
    type Response<'r> = Response<'r>;
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response<'a> {
    /// What the charge point makes of it.
    #[serde(borrow)]
    pub status: UnlockStatus<'a>,
}

impl<'a> Payload<'a> for Response<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.status);
    }
}
