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
    /// How often an unanswered stop is sent again (T15), and how often one that had no effect (T32).
    pub stop_resends: u8,
    /// From the charger's yes to a stop to the end of the session (T32).
    pub stop_effect_ms: i64,
    /// From a stop that was asked for to the end of the session (T33).
    pub stop_timeout_ms: i64,
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
            stop_effect_ms: 120_000,
            stop_timeout_ms: 24 * 3_600_000,
            offline_ms: 24 * 3_600_000,
            record_late_ms: 30_000,
            record_missing_ms: 10 * 60_000,
            estimate_tolerance: EnergyE4(1_000),
        }
    }
}

/// The longest of these waits: 30 days.
const WAIT_MS_MAX: i64 = 30 * 86_400_000;

impl Policy {
    /// Checks the ranges of what an operator may set under `[api.orders]`: the key and what is wrong.
    pub(crate) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let waits = [
            ("orders.payment_ms", self.payment_ms),
            ("orders.start_ms", self.start_ms),
            ("orders.not_plugged_ms", self.not_plugged_ms),
            ("orders.stop_answer_ms", self.stop_answer_ms),
            ("orders.stop_effect_ms", self.stop_effect_ms),
            ("orders.stop_timeout_ms", self.stop_timeout_ms),
            ("orders.offline_ms", self.offline_ms),
            ("orders.record_late_ms", self.record_late_ms),
            ("orders.record_missing_ms", self.record_missing_ms),
        ];
        if let Some((key, _)) = waits.into_iter().find(|(_, ms)| !(1..=WAIT_MS_MAX).contains(ms)) {
            return Err((key, "must be 1..=2592000000 (30 days)"));
        }
        if self.stop_resends > 100 {
            return Err(("orders.stop_resends", "must be 0..=100"));
        }
        if !(EnergyE4(0)..=EnergyE4(10_000_000)).contains(&self.estimate_tolerance) {
            return Err(("orders.estimate_tolerance", "must be 0..=10000000 (1000 kWh)"));
        }
        Ok(())
    }
}
