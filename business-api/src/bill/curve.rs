//! Rules R4 and R5: cleaned samples as a curve of cumulative energy.

use events::units::EnergyE4;

use super::input::Sample;
use super::result::BillError;
use super::rounding::half_up;

/// Cumulative energy from (start, 0) to (end, E), rising and piecewise straight.
#[derive(Debug)]
pub(super) struct Curve {
    points: Vec<Sample>,
}

impl Curve {
    /// R4. `start_ms` is before `end_ms`; samples outside of the two or in any order are fine.
    pub(super) fn new(start_ms: i64, end_ms: i64, energy: EnergyE4, mut samples: Vec<Sample>) -> Self {
        samples.sort_unstable();
        let mut points = vec![Sample { at_ms: start_ms, energy: EnergyE4::ZERO }];
        let mut highest = EnergyE4::ZERO;
        for sample in samples.into_iter().filter(|sample| start_ms < sample.at_ms && sample.at_ms < end_ms) {
            highest = sample.energy.max(highest).min(energy);
            let point = Sample { at_ms: sample.at_ms, energy: highest };
            match points.last_mut() {
                Some(last) if last.at_ms == point.at_ms => *last = point,
                _ => points.push(point),
            }
        }
        points.push(Sample { at_ms: end_ms, energy });
        Self { points }
    }

    /// Samples that survived.
    pub(super) fn samples_used(&self) -> usize {
        self.points.len().saturating_sub(2)
    }

    /// R5: C(t) for t in start..=end.
    pub(super) fn at(&self, at_ms: i64) -> Result<EnergyE4, BillError> {
        let after = self.points.partition_point(|point| point.at_ms < at_ms);
        let Some(to) = self.points.get(after).or(self.points.last()) else { return Ok(EnergyE4::ZERO) };
        let Some(from) = after.checked_sub(1).and_then(|before| self.points.get(before)) else { return Ok(to.energy) };
        if at_ms >= to.at_ms {
            return Ok(to.energy);
        }
        let field = "energy";
        let rise = i128::from(to.energy.0) - i128::from(from.energy.0);
        let run = i128::from(to.at_ms) - i128::from(from.at_ms);
        let part = i128::from(at_ms) - i128::from(from.at_ms);
        let rounded = rise.checked_mul(part).and_then(|product| half_up(product, run));
        let rounded = rounded.and_then(|value| i64::try_from(value).ok()).ok_or(BillError::TooLarge { field })?;
        from.energy.checked_add(EnergyE4(rounded)).ok_or(BillError::TooLarge { field })
    }
}
