//! `Heartbeat` (OCPP 1.6 §4.6): still there; and what is the time?

use serde::{Deserialize, Serialize};

use super::{Action, Call};
use crate::ocpp::{Notes, Payload, Timestamp};

/// Carries nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {}

impl Payload<'_> for Request {
    fn note(&self, _: &mut Notes) {}
}

impl Call<'_> for Request {
    const ACTION: Action = Action::Heartbeat;
    type Response<'r> = Response<'r>;
}

/// Sets the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response<'a> {
    /// Time of the central system.
    #[serde(borrow)]
    pub current_time: Timestamp<'a>,
}

impl<'a> Payload<'a> for Response<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.current_time);
    }
}
