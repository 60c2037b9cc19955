//! `BootNotification` (OCPP 1.6 §4.2): a charge point introduces itself.

use serde::{Deserialize, Serialize};

use super::{Action, Call};
use crate::ocpp::{Int, Notes, Payload, Text, Timestamp};

enumeration! {
    /// `RegistrationStatus` (§7.40).
    RegistrationStatus {
        /// May go on.
        Accepted = "Accepted",
        /// Must wait; may be configured.
        Pending = "Pending",
        /// Must come back after the interval.
        Rejected = "Rejected",
    }
}

/// The charge point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// Vendor, at most 20 characters.
    #[serde(borrow)]
    pub charge_point_vendor: Text<'a>,
    /// Model, at most 20 characters.
    #[serde(borrow)]
    pub charge_point_model: Text<'a>,
    /// Serial number of the charge point, at most 25 characters.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub charge_point_serial_number: Option<Text<'a>>,
    /// Serial number of the charge box, deprecated, at most 25 characters.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub charge_box_serial_number: Option<Text<'a>>,
    /// Firmware, at most 50 characters.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub firmware_version: Option<Text<'a>>,
    /// SIM card, at most 20 characters.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub iccid: Option<Text<'a>>,
    /// Subscriber, at most 20 characters.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub imsi: Option<Text<'a>>,
    /// Type of the main meter, at most 25 characters.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub meter_type: Option<Text<'a>>,
    /// Serial number of the main meter, at most 25 characters.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub meter_serial_number: Option<Text<'a>>,
}

impl<'a> Payload<'a> for Request<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.text("chargePointVendor", &self.charge_point_vendor, 20);
        notes.text("chargePointModel", &self.charge_point_model, 20);
        notes.optional_text("chargePointSerialNumber", &self.charge_point_serial_number, 25);
        notes.optional_text("chargeBoxSerialNumber", &self.charge_box_serial_number, 25);
        notes.optional_text("firmwareVersion", &self.firmware_version, 50);
        notes.optional_text("iccid", &self.iccid, 20);
        notes.optional_text("imsi", &self.imsi, 20);
        notes.optional_text("meterType", &self.meter_type, 25);
        notes.optional_text("meterSerialNumber", &self.meter_serial_number, 25);
    }
}

impl<'a> Call<'a> for Request<'a> {
    const ACTION: Action = Action::BootNotification;
    type Response<'r> = Response<'r>;
}

/// What the central system thinks of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response<'a> {
    /// Whether it is accepted.
    #[serde(borrow)]
    pub status: RegistrationStatus<'a>,
    /// Time of the central system.
    #[serde(borrow)]
    pub current_time: Timestamp<'a>,
    /// Accepted: heartbeat interval in seconds. Else: seconds until the next BootNotification.
    pub interval: Int,
}

impl<'a> Payload<'a> for Response<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.status);
        notes.value(&self.current_time);
        notes.value(&self.interval);
    }
}
