//! `ClearCache` (OCPP 1.6 §5.4): forget all cached verdicts on tags.

use serde::{Deserialize, Serialize};

use super::{Action, Call};
use crate::ocpp::{Notes, Payload};

enumeration! {
    /// `ClearCacheStatus` (§7.20).
    ClearCacheStatus {
        /// Will be done.
        Accepted = "Accepted",
        /// Will not be done.
        Rejected = "Rejected",
    }
}

/// Carries nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {}

impl Payload<'_> for Request {
    fn note(&self, _: &mut Notes) {}
}

impl Call<'_> for Request {
    const ACTION: Action = Action::ClearCache;
    type Response<'r> = Response<'r>;
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response<'a> {
    /// What the charge point makes of it.
    #[serde(borrow)]
    pub status: ClearCacheStatus<'a>,
}

impl<'a> Payload<'a> for Response<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.status);
    }
}
