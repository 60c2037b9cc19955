//! OCPP 1.6, core profile and remote trigger: one module per action, each with its `Request` and `Response`.
//!
//! ```text
//! Envelope::Call { action, payload } ── Action::from_name ──▶ StationCall::parse / CsmsCall::parse ──▶ typed request
//! ```

mod action;
mod call;
mod charging_profile;
mod id_tag_info;
mod meter_value;
mod sample_list;

pub mod authorize;
pub mod boot_notification;
pub mod change_availability;
pub mod change_configuration;
pub mod clear_cache;
pub mod data_transfer;
pub mod get_configuration;
pub mod heartbeat;
pub mod meter_values;
pub mod remote_start_transaction;
pub mod remote_stop_transaction;
pub mod reset;
pub mod start_transaction;
pub mod status_notification;
pub mod stop_transaction;
pub mod trigger_message;
pub mod unlock_connector;

pub use action::{Action, Sender};
pub use call::{Call, CallRefusal, CsmsCall, StationCall};
pub use charging_profile::{
    ChargingProfile, ChargingProfileKind, ChargingProfilePurpose, ChargingRateUnit, ChargingSchedule,
    ChargingSchedulePeriod, RecurrencyKind, Tenth,
};
pub use id_tag_info::{AuthorizationStatus, IdTagInfo};
pub use meter_value::{Location, Measurand, MeterValue, Phase, ReadingContext, SampledValue, Unit, ValueFormat};

/// The WebSocket subprotocol of this version.
pub const SUBPROTOCOL: &str = "ocpp1.6";
