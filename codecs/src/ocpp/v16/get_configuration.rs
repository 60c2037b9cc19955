//! `GetConfiguration` (OCPP 1.6 §5.8): read configuration keys.

use serde::{Deserialize, Serialize};

use super::{Action, Call};
use crate::ocpp::{Note, Notes, Payload, Text};

/// Which keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// Which keys, each at most 50 characters; absent: all.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub key: Option<Vec<Text<'a>>>,
}

impl<'a> Payload<'a> for Request<'a> {
    fn note(&self, notes: &mut Notes) {
        self.key.iter().flatten().for_each(|key| notes.text("key", key, 50));
    }
}

impl<'a> Call<'a> for Request<'a> {
    const ACTION: Action = Action::GetConfiguration;
    type Response<'r> = Response<'r>;
}

/// The keys and their values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response<'a> {
    /// The keys that exist.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub configuration_key: Option<Vec<KeyValue<'a>>>,
    /// The keys that do not.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub unknown_key: Option<Vec<Text<'a>>>,
}

impl<'a> Payload<'a> for Response<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.configuration_key);
        self.unknown_key.iter().flatten().for_each(|key| notes.text("unknownKey", key, 50));
    }
}

/// `KeyValue` (§7.27): one configuration key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValue<'a> {
    /// The key, at most 50 characters.
    #[serde(borrow)]
    pub key: Text<'a>,
    /// True if ChangeConfiguration cannot set it.
    pub readonly: bool,
    /// Its value, at most 500 characters; absent: it has none.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub value: Option<Text<'a>>,
}

impl Note for KeyValue<'_> {
    fn note(&self, notes: &mut Notes) {
        notes.text("key", &self.key, 50);
        notes.optional_text("value", &self.value, 500);
    }
}
