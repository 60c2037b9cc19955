//! `StartTransaction` (OCPP 1.6 §4.8): a transaction has begun.

use serde::{Deserialize, Serialize};

use super::{Action, Call, IdTagInfo};
use crate::ocpp::{Int, MeterWh, Notes, Payload, Text, Timestamp};

/// The start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// Where, 1 and up.
    pub connector_id: Int,
    /// Who, at most 20 characters.
    #[serde(borrow)]
    pub id_tag: Text<'a>,
    /// Register of the meter at the start.
    pub meter_start: MeterWh,
    /// The reservation that is used up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservation_id: Option<Int>,
    /// When; hours ago after an offline start.
    #[serde(borrow)]
    pub timestamp: Timestamp<'a>,
}

impl<'a> Payload<'a> for Request<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.connector_id);
        notes.text("idTag", &self.id_tag, 20);
        notes.value(&self.meter_start);
        notes.value(&self.reservation_id);
        notes.value(&self.timestamp);
    }
}

impl<'a> Call<'a> for Request<'a> {
    const ACTION: Action = Action::StartTransaction;
    type Response<'r> = Response<'r>;
}

/// The id of the transaction and the verdict on the tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response<'a> {
    /// The verdict on the tag.
    #[serde(borrow)]
    pub id_tag_info: IdTagInfo<'a>,
    /// The id by which the charge point will stop it.
    pub transaction_id: Int,
}

impl<'a> Payload<'a> for Response<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.id_tag_info);
        notes.value(&self.transaction_id);
    }
}
