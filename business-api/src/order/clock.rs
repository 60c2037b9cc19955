//! Whether a charger's clock was off during a session by what is known of it now (rule R3, `docs/adr/0007`).

use super::plausibility::Limits;
use super::record::StartMode;
use super::state::Order;
use crate::bill::Options;

impl Order {
    /// The skew to bill by, ms: the one that was measured last, unless it is nonsense or what the platform heard of the session itself
    /// says that the charger's clock was right. A skew may have been measured before the clock was set, and be told hours later.
    #[must_use]
    pub fn skew_of_session_ms(&self, measured_ms: i64, options: &Options, limits: &Limits) -> i64 {
        if measured_ms.unsigned_abs() > limits.skew_ms.unsigned_abs() {
            return 0;
        }
        let Some(record) = &self.record else { return measured_ms };
        let correction_ms = options.correction_ms(measured_ms);
        // No record tells of the future: if it only does so put right, it was right before.
        let of_the_future = |ended_at_ms: i64| {
            self.recorded_at_ms.is_some_and(|came_ms| ended_at_ms > came_ms.saturating_add(limits.ahead_ms))
        };
        let ended_at_ms = record.ended_at_ms;
        if of_the_future(ended_at_ms.saturating_sub(correction_ms)) && !of_the_future(ended_at_ms) {
            return 0;
        }
        // It began when it was heard to begin. That says little where the start was queued, or the skew is as short as news takes.
        let heard_at_ms = self.charging_at_ms.filter(|_| self.start_mode != StartMode::OfflineCard);
        let told_ms = record.started_at_ms.or(self.started_at_ms);
        let in_step = heard_at_ms.zip(told_ms).is_some_and(|(heard, told)| {
            heard.abs_diff(told) <= u64::from(options.clock_tolerance_s).saturating_mul(1_000)
        });
        if in_step && correction_ms.unsigned_abs() > limits.ahead_ms.unsigned_abs() { 0 } else { measured_ms }
    }
}
