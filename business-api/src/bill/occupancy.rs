//! Rule R13: minutes that a car stays after its charge, and their fee.

use events::units::Fen;

use super::input::{FreeWindow, Occupancy};
use super::result::BillError;
use crate::tariff::LocalTime;

const MS_PER_MINUTE: i64 = 60_000;
const MINUTES_PER_DAY: i64 = 1_440;

/// Charged minutes and their fee. Minute k starts at end + grace + k minutes and counts if that is before `unplug_ms` and in
/// no free window.
pub(super) fn occupancy(rule: &Occupancy, end_ms: i64, unplug_ms: i64) -> Result<(u64, Fen), BillError> {
    if rule.fen_per_min.is_negative() || rule.cap.is_some_and(Fen::is_negative) {
        return Err(BillError::Negative { field: "occupancy" });
    }
    let field = "occupancy";
    let too_large = || BillError::TooLarge { field };
    let starts_ms = end_ms.checked_add(i64::from(rule.grace_min) * MS_PER_MINUTE).ok_or_else(too_large)?;
    if unplug_ms <= starts_ms {
        return Ok((0, Fen::ZERO));
    }
    let stay_ms = unplug_ms.checked_sub(starts_ms).ok_or_else(too_large)?;
    let started = stay_ms / MS_PER_MINUTE + i64::from(stay_ms % MS_PER_MINUTE != 0);
    // Every day charges the same minutes of the clock, so whole days are counted once: the stay may be years by mistake.
    let charged = |count: i64| -> Result<i64, BillError> {
        let mut minutes = 0;
        for k in 0..count {
            let at_ms = starts_ms.checked_add(k * MS_PER_MINUTE).ok_or_else(too_large)?;
            minutes += i64::from(!rule.free_windows.iter().any(|window| window.holds(LocalTime::of(at_ms))));
        }
        Ok(minutes)
    };
    let (days, rest) = (started / MINUTES_PER_DAY, started % MINUTES_PER_DAY);
    let per_day = if days > 0 { charged(MINUTES_PER_DAY)? } else { 0 };
    let minutes = days.checked_mul(per_day).and_then(|whole| whole.checked_add(charged(rest).ok()?));
    let minutes = minutes.ok_or_else(too_large)?;
    let fee = i128::from(minutes) * i128::from(rule.fen_per_min.0);
    let fee = rule.cap.map_or(fee, |cap| fee.min(i128::from(cap.0)));
    let fee = i64::try_from(fee).map_err(|_| too_large())?;
    Ok((minutes.unsigned_abs(), Fen(fee)))
}

impl FreeWindow {
    fn holds(&self, at: LocalTime) -> bool {
        if self.from <= self.to { self.from <= at && at < self.to } else { at >= self.from || at < self.to }
    }
}
