//! How long an order waits for what. Times are ms of the platform's clock.

use events::units::EnergyE4;
use serde::{Deserialize, Serialize};

/// The order room's settings. The defaults are those of `docs/orders.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// To pay (T3).
    pub payment_ms: i64,
    /// From the start command to current (T8).
    pub start_ms: i64,
    /// Within which "not plugged" is not final (T6): YKC chargers wait this long for the plug.
    pub not_plugged_ms: i64,
    /// For an answer to a stop command (T15).
    pub stop_answer_ms: i64,
    /// How often an unanswered stop is sent again (T15).
    pub stop_resends: u8,
    /// Offline while charging (T19).
    pub offline_ms: i64,
    /// From the end until a record counts as late (T20).
    pub record_late_ms: i64,
    /// From the end until a record counts as missing (T21).
    pub record_missing_ms: i64,
    /// How far a late record may be from an estimate without being a conflict (T22), 0.0001 kWh.
    pub estimate_tolerance: EnergyE4,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            payment_ms: 15 * 60_000,
            start_ms: 90_000,
            not_plugged_ms: 60_000,
            stop_answer_ms: 30_000,
            stop_resends: 3,
            offline_ms: 24 * 3_600_000,
            record_late_ms: 30_000,
            record_missing_ms: 10 * 60_000,
            estimate_tolerance: EnergyE4(1_000),
        }
    }
}
