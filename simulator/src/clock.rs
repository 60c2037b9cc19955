//! The chargers' clock: the platform's, which a demo or a test may run faster than real time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Milliseconds of China Standard Time ahead of UTC: YKC clocks, tariff slots and business dates are in UTC+8.
pub const LOCAL_OFFSET_MS: i64 = 8 * 3_600_000;

/// One quarter of an hour: the grid of tariff slots and of clock-aligned meter values.
pub const QUARTER_MS: i64 = 15 * 60_000;

/// Platform time as a function of real time: `origin_ms + (real - real_origin_ms) * factor`.
///
/// The same three numbers as the platform's own clock, so that chargers and platform can run side by side on one faster
/// clock. The default is the system clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimClock {
    /// Platform time at `real_origin_ms`, UTC ms.
    pub origin_ms: i64,
    /// Real time at which the platform's clock showed `origin_ms`, UTC ms.
    pub real_origin_ms: i64,
    /// Platform milliseconds per real millisecond; 0 counts as 1.
    pub factor: u32,
}

impl Default for SimClock {
    fn default() -> Self {
        Self { origin_ms: 0, real_origin_ms: 0, factor: 1 }
    }
}

impl SimClock {
    /// A clock that shows `origin_ms` now and runs `factor` times as fast as the system's.
    #[must_use]
    pub fn starting_at(origin_ms: i64, factor: u32) -> Self {
        Self { origin_ms, real_origin_ms: real_now_us() / 1000, factor: factor.max(1) }
    }
}

/// A [`SimClock`] tied to the runtime's timer, so that it stands still and jumps with a paused tokio clock in tests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticker {
    anchor: Instant,
    /// Charger time at `anchor`, in microseconds: milliseconds would lose a whole second at factor 1000.
    anchor_us: i64,
    factor: i64,
}

impl Ticker {
    pub(crate) fn new(clock: SimClock) -> Self {
        let factor = i64::from(clock.factor.max(1));
        let elapsed_us = real_now_us().saturating_sub(clock.real_origin_ms.saturating_mul(1000));
        let anchor_us = clock.origin_ms.saturating_mul(1000).saturating_add(elapsed_us.saturating_mul(factor));
        Self { anchor: Instant::now(), anchor_us, factor }
    }

    /// Charger time at `at`, UTC ms.
    pub(crate) fn ms_at(&self, at: Instant) -> i64 {
        let elapsed = i64::try_from(at.saturating_duration_since(self.anchor).as_micros()).unwrap_or(i64::MAX);
        self.anchor_us.saturating_add(elapsed.saturating_mul(self.factor)).div_euclid(1000)
    }

    /// The first instant at which [`Self::ms_at`] is at least `ms`.
    pub(crate) fn instant_of(&self, ms: i64) -> Instant {
        let ahead = ms.saturating_mul(1000).saturating_sub(self.anchor_us).max(0);
        let real_us = ahead.saturating_add(self.factor - 1) / self.factor;
        self.anchor + Duration::from_micros(u64::try_from(real_us).unwrap_or(0))
    }

    pub(crate) fn factor(&self) -> u32 {
        u32::try_from(self.factor).unwrap_or(1)
    }
}

/// Shortest real times of protocol timers, whatever the factor says: a gateway's own time-outs stay in real time, and a
/// charger that repeats itself every few milliseconds tests nothing but the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Floors {
    /// Between two live data frames (or sampled meter values) of one connector, ms.
    pub live_data_ms: u64,
    /// Between two heartbeats of one connector, ms.
    pub heartbeat_ms: u64,
    /// Before an unanswered YKC record is sent again, ms.
    pub record_retry_ms: u64,
    /// Before an unanswered login, tariff check or start request is sent again, ms.
    pub request_ms: u64,
    /// First wait before a reconnect, ms; doubles up to 20 times as much.
    pub reconnect_ms: u64,
    /// A YKC charger whose heartbeats stay unanswered this long gives the line up, ms.
    pub silence_ms: u64,
    /// An OCPP call without an answer is given up after this, ms. Longer than the 20 s after which a gateway whose log is
    /// down closes the connection: a closed connection costs no attempt, a time-out does.
    pub ocpp_call_ms: u64,
    /// Before an OCPP transaction message is sent again, ms.
    pub ocpp_retry_ms: u64,
}

impl Default for Floors {
    fn default() -> Self {
        Self {
            live_data_ms: 20,
            heartbeat_ms: 1000,
            record_retry_ms: 2000,
            request_ms: 1000,
            reconnect_ms: 200,
            silence_ms: 10_000,
            ocpp_call_ms: 25_000,
            ocpp_retry_ms: 1000,
        }
    }
}

/// Real duration of a timer that the protocol states as `charger_ms`, on a clock `factor` times as fast.
pub(crate) fn paced(charger_ms: u64, factor: u32, floor_ms: u64) -> Duration {
    let scaled = Duration::from_millis(charger_ms) / factor.max(1);
    scaled.max(Duration::from_millis(floor_ms.min(charger_ms)))
}

/// Local (UTC+8) days since 1970-01-01.
#[must_use]
pub fn local_day(ms: i64) -> i64 {
    ms.saturating_add(LOCAL_OFFSET_MS).div_euclid(86_400_000)
}

/// Quarter hour of the local (UTC+8) day, 0..=95.
#[must_use]
pub fn quarter_of_day(ms: i64) -> usize {
    let in_day = ms.saturating_add(LOCAL_OFFSET_MS).rem_euclid(86_400_000);
    usize::try_from(in_day / QUARTER_MS).unwrap_or(0)
}

/// The first quarter hour boundary after `ms`, UTC ms.
#[must_use]
pub fn next_quarter(ms: i64) -> i64 {
    (ms.div_euclid(QUARTER_MS) + 1) * QUARTER_MS
}

/// `ms` as RFC 3339 in UTC with milliseconds, as OCPP wants it.
#[must_use]
pub fn rfc3339(ms: i64) -> String {
    let (day, in_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let (year, month, date) = civil(day);
    let (seconds, millis) = (in_day / 1000, in_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// (year, month, day) of a count of days since 1970-01-01, proleptic Gregorian (Hinnant's `civil_from_days`).
#[must_use]
pub fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn real_now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_at_the_edges() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(1_763_999_999_999), "2025-11-24T15:59:59.999Z");
        assert_eq!(local_day(1_763_999_999_999) + 1, local_day(1_764_000_000_000), "midnight in China is 16:00 UTC");
        assert_eq!(quarter_of_day(1_764_000_000_000), 0);
        assert_eq!(quarter_of_day(1_763_999_999_999), 95);
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_runs_with_the_timer_and_the_factor() {
        let ticker = Ticker::new(SimClock::starting_at(1_000_000, 60));
        let before = ticker.ms_at(Instant::now());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(ticker.ms_at(Instant::now()) - before, 120_000);
        let ahead = ticker.instant_of(before + 240_001);
        assert!(ticker.ms_at(ahead) >= before + 240_001);
        assert!(ticker.ms_at(ahead) <= before + 240_002);
    }

    #[test]
    fn floors_hold_but_never_slow_a_real_clock() {
        assert_eq!(paced(15_000, 1, 20), Duration::from_secs(15));
        assert_eq!(paced(15_000, 1000, 20), Duration::from_millis(20));
        assert_eq!(paced(500, 1, 1000), Duration::from_millis(500));
    }
}
