//! Rule R3: the charger's clock, put right where it is off by more than the tolerance.

use events::units::EnergyE4;

use super::SESSION_MS_MAX;
use super::input::{Options, Sample, Session};
use super::result::BillError;

/// The session's times on the platform's clock.
#[derive(Clone, Debug)]
pub(super) struct Corrected {
    pub start_ms: i64,
    pub end_ms: i64,
    pub unplug_ms: Option<i64>,
    pub samples: Vec<Sample>,
    /// Something was shifted.
    pub adjusted: bool,
}

pub(super) fn correct(session: &Session, options: &Options) -> Result<Corrected, BillError> {
    let skew_ms = options.correction_ms(session.clock_skew_ms);
    let adjusted = skew_ms != 0;
    let shift = |at_ms: i64, field| at_ms.checked_sub(skew_ms).ok_or(BillError::TooLarge { field });
    let start_ms = shift(session.start_ms, "start")?;
    let end_ms = shift(session.end_ms, "end")?;
    let length = end_ms.checked_sub(start_ms).ok_or(BillError::TooLong)?;
    // Without energy there are no segments to cut, and a clock that was never set (year 2000) may not hold up a bill of nothing.
    if length > SESSION_MS_MAX && session.energy > EnergyE4(0) {
        return Err(BillError::TooLong);
    }
    let unplug_ms = session.unplug_ms.map(|at_ms| shift(at_ms, "unplug")).transpose()?;
    let mut samples = Vec::with_capacity(session.samples.len());
    for sample in &session.samples {
        samples.push(Sample { at_ms: shift(sample.at_ms, "sample time")?, energy: sample.energy });
    }
    Ok(Corrected { start_ms, end_ms, unplug_ms, samples, adjusted })
}
