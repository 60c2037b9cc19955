//! `StatusNotification` (OCPP 1.6 §4.9): a connector changed its state.

use serde::{Deserialize, Serialize};

use super::{Action, Call};
use crate::ocpp::{Int, Notes, Payload, Text, Timestamp};

enumeration! {
    /// `ChargePointErrorCode` (§7.6).
    ChargePointErrorCode {
        /// Failure to lock or unlock the connector.
        ConnectorLockFailure = "ConnectorLockFailure",
        /// Communication failure with the vehicle.
        EVCommunicationError = "EVCommunicationError",
        /// Ground fault circuit interrupter has been activated.
        GroundFailure = "GroundFailure",
        /// Temperature inside the charge point is too high.
        HighTemperature = "HighTemperature",
        /// Error in hardware or software.
        InternalError = "InternalError",
        /// The local list is in conflict with the central system.
        LocalListConflict = "LocalListConflict",
        /// Nothing to report.
        NoError = "NoError",
        /// See `vendorErrorCode`.
        OtherError = "OtherError",
        /// Over current protection has tripped.
        OverCurrentFailure = "OverCurrentFailure",
        /// Voltage is too high.
        OverVoltage = "OverVoltage",
        /// Failure to read the meter.
        PowerMeterFailure = "PowerMeterFailure",
        /// Failure to control the power switch.
        PowerSwitchFailure = "PowerSwitchFailure",
        /// Failure of the reader of tags.
        ReaderFailure = "ReaderFailure",
        /// Unable to reset.
        ResetFailure = "ResetFailure",
        /// Voltage is too low.
        UnderVoltage = "UnderVoltage",
        /// The wireless connection is weak.
        WeakSignal = "WeakSignal",
    }
}

enumeration! {
    /// `ChargePointStatus` (§7.7).
    ChargePointStatus {
        /// Free.
        Available = "Available",
        /// Plugged or a tag shown, no transaction.
        Preparing = "Preparing",
        /// Energy flows.
        Charging = "Charging",
        /// The charge point gives no energy.
        SuspendedEVSE = "SuspendedEVSE",
        /// The vehicle takes no energy.
        SuspendedEV = "SuspendedEV",
        /// The transaction is over, still plugged.
        Finishing = "Finishing",
        /// Reserved.
        Reserved = "Reserved",
        /// Out of service by order.
        Unavailable = "Unavailable",
        /// Out of service by a fault.
        Faulted = "Faulted",
    }
}

/// The state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// 0 is the charge point as a whole.
    pub connector_id: Int,
    /// What is wrong.
    #[serde(borrow)]
    pub error_code: ChargePointErrorCode<'a>,
    /// More about it, at most 50 characters.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub info: Option<Text<'a>>,
    /// The state now.
    #[serde(borrow)]
    pub status: ChargePointStatus<'a>,
    /// Since when; absent: now.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp<'a>>,
    /// Who gives `vendorErrorCode` its meaning, at most 255 characters.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub vendor_id: Option<Text<'a>>,
    /// The vendor's own code, at most 50 characters.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub vendor_error_code: Option<Text<'a>>,
}

impl<'a> Payload<'a> for Request<'a> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.connector_id);
        notes.value(&self.error_code);
        notes.optional_text("info", &self.info, 50);
        notes.value(&self.status);
        notes.value(&self.timestamp);
        notes.optional_text("vendorId", &self.vendor_id, 255);
        notes.optional_text("vendorErrorCode", &self.vendor_error_code, 50);
    }
}

impl<'a> Call<'a> for Request<'a> {
    const ACTION: Action = Action::StatusNotification;
    type Response<'r> = Response;
}

/// Carries nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {}

impl Payload<'_> for Response {
    fn note(&self, _: &mut Notes) {}
}
