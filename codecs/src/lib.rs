//! placeholder

pub mod ocpp;
