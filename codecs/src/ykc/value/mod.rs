//! The values of the fields: ids, time, fixed-point numbers and codes.

mod code;
pub(crate) mod fixed;
mod id;
mod stop_reason;
pub(crate) mod text;
mod time;
mod vin;

pub use code::*;
pub use fixed::{Amount, Amps, Balance, Celsius, Energy, MeterReading, Price, Volts};
pub use id::{Card, Gun, IdError, PileId, TradeNo};
pub use stop_reason::{StopClass, StopKind, StopReason};
pub use text::Text;
pub use time::{Cp56, LocalTime};
pub use vin::Vin;
