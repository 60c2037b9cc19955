//! Whether what a charger says of a start is about the session that an order already is.

use events::units::EnergyE4;

use super::state::Order;

/// Farther apart than any two readings of one timestamp: time zones span 26 hours.
const APART_MS: i64 = 48 * 3_600_000;

/// A start as the charger says it.
#[derive(Clone, Copy, Debug)]
pub struct SaidStart<'a> {
    /// idTag.
    pub token: &'a str,
    /// On the charger's clock, UTC ms; when it was received, where the charger's time could not be read.
    pub started_at_ms: i64,
    /// Meter reading.
    pub meter_start: Option<EnergyE4>,
}

impl Order {
    /// The start is certainly of another session, although it has this order's transaction id: an id is made of the start's own facts,
    /// so a repeat has all of them. Two of them have to differ, and the time by more than any reading of it could: a session that
    /// was taken for two would be billed twice, two that are taken for one are held for a person.
    #[must_use]
    pub fn began_otherwise(&self, said: SaidStart<'_>) -> bool {
        let SaidStart { token, started_at_ms, meter_start } = said;
        let Some(known_ms) = self.started_at_ms else {
            // Its record came without a start. Whatever began after that is something else.
            let ended_at_ms = self.record.as_ref().map(|record| record.ended_at_ms);
            return ended_at_ms.is_some_and(|ended_at_ms| started_at_ms.saturating_sub(ended_at_ms) > APART_MS);
        };
        let known_tag = self.id_tag.as_deref().filter(|tag| !tag.is_empty() && !token.is_empty());
        let other_tag = known_tag.is_some_and(|tag| !tag.eq_ignore_ascii_case(token));
        let other_meter = self.meter_start.zip(meter_start).is_some_and(|(known, said)| known != said);
        started_at_ms.abs_diff(known_ms) > APART_MS.unsigned_abs() && (other_tag || other_meter)
    }
}
