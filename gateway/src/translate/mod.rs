//! Messages to events, as pure functions: the only place that knows both languages.

pub mod ocpp16;
pub mod ykc;
