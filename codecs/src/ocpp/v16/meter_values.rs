//! `MeterValues` (OCPP 1.6 §4.7): readings of a meter.

use serde::{Deserialize, Serialize};

use super::{Action, Call, MeterValue, sample_list::meter_values_or_nothing};
use crate::ocpp::{Deviation, Int, Notes, Payload};

/// Readings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// 0 is the main meter.
    pub connector_id: Int,
    /// The transaction that the readings belong to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<Int>,
    /// Readings; empty if the charge point sent none.
    #[serde(borrow, default, deserialize_with = "meter_values_or_nothing")]
    pub meter_value: Vec<MeterValue<'a>>,
}

impl<'a> Payload<'a> for Request<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.connector_id);
        notes.value(&self.transaction_id);
        if self.meter_value.is_empty() {
            notes.add(Deviation::NoSamples);
        }
        notes.value(&self.meter_value);
    }
}

impl<'a> Call<'a> for Request<'a> {
    const ACTION: Action = Action::MeterValues;
    type Response<'r> = Response;
}

/// Carries nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {}

impl Payload<'_> for Response {
    fn note(&self, _: &mut Notes) {}
}
