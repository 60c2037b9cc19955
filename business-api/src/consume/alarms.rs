//! Alarms that a gateway raises: open or over per connector and code, and on the timeline of the order they are about.

use events::proto::{AlarmRaised, Envelope};

use super::live::clean;
use crate::{store::alarms::AlarmChange, work::Work};

/// The gateway refused a start because the record of the session before is missing; its detail is that session.
const RECORD_MISSING: &str = "record_missing";
/// The charger's clock is off by more than bills leave alone; the detail is by how much.
const CLOCK_SKEW: &str = "clock_skew";
/// No code of ours is longer.
const CODE_MAX: usize = 64;

/// The session that an alarm is about, if it is about one.
pub(super) fn session(alarm: &AlarmRaised) -> Option<&str> {
    (alarm.code == RECORD_MISSING).then_some(alarm.detail.as_str())
}

/// A new connection: what still holds is raised again on it.
pub(super) fn connected(work: &mut Work, event: &Envelope) {
    work.alarms.push(AlarmChange::AllCleared { charger: event.charger.clone(), at_ms: event.received_at_ms });
}

pub(super) fn note(work: &mut Work, event: &Envelope, alarm: &AlarmRaised) {
    let known = work.chargers.get(&event.charger).is_some_and(|charger| event.connector <= charger.connectors);
    if !known || alarm.code.is_empty() || alarm.code.len() > CODE_MAX {
        return; // as with live state: of a connector that is not registered nothing is kept
    }
    let (charger, connector, at_ms) = (event.charger.clone(), event.connector, event.received_at_ms);
    let code = clean(&alarm.code);
    if let Some(order_no) = session(alarm).and_then(|session| work.by_session(&charger, session, at_ms)) {
        let over = if alarm.active { "" } else { ", over" };
        work.remark_of((event.epoch, event.number), &order_no, at_ms, "alarm", format!("{code}{over}"));
    }
    work.alarms.push(if alarm.active {
        AlarmChange::Raised { charger, connector, code, detail: clean(&alarm.detail), at_ms }
    } else {
        AlarmChange::Cleared { charger, connector, code, at_ms }
    });
}

/// What a charger says its clock is off by, and said before.
pub(super) fn clock(work: &mut Work, event: &Envelope, before_ms: i64, skew_ms: i64) {
    let off = |skew_ms| work.rules.options.correction_ms(skew_ms) != 0;
    let (charger, code, at_ms) = (event.charger.clone(), CLOCK_SKEW.to_owned(), event.received_at_ms);
    if off(skew_ms) {
        let detail = format!("{skew_ms} ms");
        work.alarms.push(AlarmChange::Raised { charger, connector: 0, code, detail, at_ms });
    } else if off(before_ms) {
        work.alarms.push(AlarmChange::Cleared { charger, connector: 0, code, at_ms });
    }
}
