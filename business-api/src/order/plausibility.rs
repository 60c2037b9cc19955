//! Whether a session can be true, asked before it is billed. What cannot be is held for a person, never billed and never dropped.

use events::units::EnergyE4;
use serde::{Deserialize, Serialize};

use super::record::METER_TOLERANCE;
use super::state::ExceptionCode;
use crate::bill::Session;
use crate::tariff::MS_PER_DAY;

/// 2020-01-01T00:00:00+08:00: before it no charger of the protocols here was installed.
const EARLIEST_MS: i64 = 1_577_808_000_000;

/// Limits of what is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Energy may be this percentage of rated power x duration.
    pub energy_percent: u32,
    /// Energy that is always believed on top of that: meters and clocks count in steps. OCPP's step is 1 Wh.
    pub energy_slack: EnergyE4,
    /// Longest session, ms.
    pub session_ms: i64,
    /// Earliest date, UTC ms: a charger whose clock was never set says 2000.
    pub earliest_ms: i64,
    /// How much later than its record's arrival a session may end, ms: clocks differ, but no record tells of the future.
    pub ahead_ms: i64,
    /// Largest difference of a charger's clock that its times are corrected by, ms. What is told beyond that (a year 2000 in the
    /// answer to time sync) says that the answer is nonsense, not that the records are decades off.
    pub skew_ms: i64,
    /// How far the meter's difference may be from the stated total, 0.0001 kWh.
    pub meter_tolerance: EnergyE4,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            energy_percent: 110,
            energy_slack: EnergyE4(10),
            session_ms: 7 * MS_PER_DAY,
            earliest_ms: EARLIEST_MS,
            ahead_ms: 5 * 60_000,
            skew_ms: MS_PER_DAY,
            meter_tolerance: METER_TOLERANCE,
        }
    }
}

/// Why a session is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Implausible {
    /// Times that cannot be.
    #[error("{0}")]
    BadTime(String),
    /// More energy than the charger can give.
    #[error("{energy} kWh, but {rated_power_w} W for {duration_ms} ms give at most {most} kWh")]
    Energy {
        /// What the charger says.
        energy: EnergyE4,
        /// What it can give.
        rated_power_w: u32,
        /// For how long, ms.
        duration_ms: i64,
        /// What that makes, with the percentage and the slack.
        most: EnergyE4,
    },
    /// Figures of the record that contradict each other, or are not there.
    #[error("{0}")]
    Inconsistent(String),
}

impl Implausible {
    /// The exception it makes.
    #[must_use]
    pub const fn code(&self) -> ExceptionCode {
        match self {
            Self::BadTime(_) => ExceptionCode::BadTime,
            Self::Energy { .. } => ExceptionCode::EnergyImplausible,
            Self::Inconsistent(_) => ExceptionCode::EnergyInconsistent,
        }
    }
}

/// What a session is held against.
#[derive(Clone, Copy, Debug)]
pub struct Against<'a> {
    /// Of the connector; 0 = not known.
    pub rated_power_w: u32,
    /// What the bill takes away from the session's times, ms: [`correction_ms`](crate::bill::Options::correction_ms).
    pub correction_ms: i64,
    /// When the record came, UTC ms of the platform; `None` for times that are not a record's.
    pub recorded_at_ms: Option<i64>,
    /// What is believed.
    pub limits: &'a Limits,
}

/// Checks times and energy of a session, by the times that its bill goes by. A session without energy is always believed: nothing
/// is due for it.
///
/// # Errors
/// [`Implausible`].
pub fn plausible(session: &Session, against: &Against<'_>) -> Result<(), Implausible> {
    let Against { rated_power_w, correction_ms, recorded_at_ms, limits } = *against;
    if session.energy == EnergyE4::ZERO {
        return Ok(());
    }
    let start_ms = session.start_ms.saturating_sub(correction_ms);
    let end_ms = session.end_ms.saturating_sub(correction_ms);
    let duration_ms = end_ms.saturating_sub(start_ms);
    let bad = |text: &str| Err(Implausible::BadTime(text.to_owned()));
    if duration_ms < 0 {
        return bad("the end is before the start");
    }
    if start_ms < limits.earliest_ms {
        return bad("the start is before the charger's clock was set");
    }
    if duration_ms > limits.session_ms {
        return bad("the session is too long");
    }
    if recorded_at_ms.is_some_and(|came_ms| end_ms > came_ms.saturating_add(limits.ahead_ms)) {
        return bad("the end is later than its record came");
    }
    if rated_power_w > 0 {
        // W x ms is 1/360000 of 0.0001 kWh.
        let full = i128::from(rated_power_w) * i128::from(duration_ms) * i128::from(limits.energy_percent);
        let most = full / (360_000 * 100) + i128::from(limits.energy_slack.0);
        if i128::from(session.energy.0) > most {
            let most = EnergyE4(i64::try_from(most).unwrap_or(i64::MAX));
            return Err(Implausible::Energy { energy: session.energy, rated_power_w, duration_ms, most });
        }
    }
    Ok(())
}
