//! `ChangeConfiguration` (OCPP 1.6 §5.3): set a configuration key.

use serde::{Deserialize, Serialize};

use super::{Action, Call};
use crate::ocpp::{Notes, Payload, Text};

enumeration! {
    /// `ConfigurationStatus` (§7.21).
    ConfigurationStatus {
        /// Set, and in force.
        Accepted = "Accepted",
        /// Not set.
        Rejected = "Rejected",
        /// Set, in force after a restart.
        RebootRequired = "RebootRequired",
        /// No such key.
        NotSupported = "NotSupported",
    }
}

/// The key and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// The key, at most 50 characters.
    #[serde(borrow)]
    pub key: Text<'a>,
    /// Its value, at most 500 characters.
    #[serde(borrow)]
    pub value: Text<'a>,
}

impl<'a> Payload<'a> for Request<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.text("key", &self.key, 50);
        notes.text("value", &self.value, 500);
    }
}

impl<'a> Call<'a> for Request<'a> {
    const ACTION: Action = Action::ChangeConfiguration;
    type Response<'r> = Response<'r>;
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response<'a> {
    /// What the charge point makes of it.
    #[serde(borrow)]
    pub status: ConfigurationStatus<'a>,
}

impl<'a> Payload<'a> for Response<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.status);
    }
}
