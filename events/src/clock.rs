//! The platform's clock: UTC milliseconds. Real time in production; sped up in a demo or a test, for every part alike.

use std::time::{SystemTime, UNIX_EPOCH};

/// Platform time as a function of real time: `origin_ms + (real - real_origin_ms) * factor`.
///
/// With `factor` 1 and equal origins (the default) this is the system clock. A demo runs gateway, API and simulated chargers on
/// one faster clock, so that no charger's clock is skewed and no power is implausible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Platform time at `real_origin_ms`, UTC ms.
    pub origin_ms: i64,
    /// Real time at which the platform's clock showed `origin_ms`, UTC ms.
    pub real_origin_ms: i64,
    /// Platform milliseconds per real millisecond, at least 1.
    pub factor: u32,
}

impl Clock {
    /// The system clock.
    pub const REAL: Self = Self { origin_ms: 0, real_origin_ms: 0, factor: 1 };

    /// A clock that shows `origin_ms` now and then runs `factor` times as fast as the system's (0 counts as 1).
    #[must_use]
    pub fn starting_at(origin_ms: i64, factor: u32) -> Self {
        Self { origin_ms, real_origin_ms: real_now_ms(), factor: factor.max(1) }
    }

    /// Platform time, UTC ms.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        let elapsed = real_now_ms().saturating_sub(self.real_origin_ms);
        self.origin_ms.saturating_add(elapsed.saturating_mul(i64::from(self.factor)))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::REAL
    }
}

fn real_now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
