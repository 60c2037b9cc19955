//! While current flows, and how we learn that it no longer does: T11, T13, T14, T16 to T18.

use events::units::EnergyE4;

use super::input::StopBy;
use super::state::{State, TimerKind};
use super::step::Work;

/// Two idle frames in a row end a session; one may be a hiccup.
const IDLE_FRAMES: u8 = 2;

const fn live(state: State) -> bool {
    matches!(state, State::Charging | State::Stopping)
}

/// T11. Who asked stands in the timeline, also when the stop is under way already.
pub(super) fn stop_asked(work: &mut Work, by: StopBy, client: &str) -> bool {
    let who = if client.is_empty() { by.name().to_owned() } else { format!("{}, through {client}", by.name()) };
    match work.state() {
        State::Charging => {
            work.go("T11", State::Stopping);
            work.order.stop_asked_at_ms = Some(work.at_ms);
            work.detail(who);
            work.send_stop_anew();
            work.timer(work.policy.stop_timeout_ms, TimerKind::StopTimeout);
        }
        State::Stopping => {
            work.detail(format!("asked again: {who}"));
            if work.order.stop_alarmed || work.order.stop_ignored > 0 {
                // The alarm was heard: somebody tries again.
                work.send_stop_anew();
            }
        }
        _ => return false,
    }
    true
}

/// An answer to a stop: possible from the moment one was sent.
const fn stop_was_sent(state: State) -> bool {
    !matches!(state, State::PendingPayment | State::Starting | State::Charging | State::Cancelled)
}

pub(super) fn stop_accepted(work: &mut Work) -> bool {
    if work.order.is_being_stopped() && !work.order.stop_accepted {
        work.order.stop_accepted = true;
        if work.state() == State::Stopping {
            work.timer(work.policy.stop_effect_ms, TimerKind::StopEffect);
        }
    }
    stop_was_sent(work.state())
}

/// T14. Any other refusal counts as no answer: T15 sends the stop again.
pub(super) fn stop_refused(work: &mut Work, not_charging: bool, code: &str) -> bool {
    if work.state() == State::Stopping && not_charging {
        await_record(work, "T14");
        work.detail(format!("code {code}"));
        return true;
    }
    if not_charging && work.order.is_being_stopped() {
        work.order.stop_accepted = true; // One that began too late is over: nothing has to be sent again.
    }
    stop_was_sent(work.state())
}

pub(super) const fn stop_unanswered(work: &Work) -> bool {
    stop_was_sent(work.state())
}

/// What this says is older than the last turn of the order: live data comes on a topic of its own.
pub(super) fn stale(work: &Work) -> bool {
    let since_ms = work.order.offline_since_ms.max(work.order.charging_at_ms);
    since_ms.is_some_and(|since_ms| work.at_ms < since_ms)
}

/// T17.
pub(super) fn still_charging(work: &mut Work, energy: Option<EnergyE4>) -> bool {
    if live(work.state()) && !stale(work) {
        work.order.energy_seen = work.order.energy_seen.max(energy);
        seen_charging(work);
    }
    true
}

pub(super) fn seen_charging(work: &mut Work) {
    work.order.idle_frames = 0;
    work.order.last_idle_ms = None;
    if work.order.charger_offline {
        work.order.charger_offline = false;
        work.order.offline_since_ms = None;
        work.stay("T17");
        if work.state() == State::Stopping {
            // It was told to stop before it went, or meanwhile, and did not.
            work.send_stop_anew();
        }
    }
}

/// T13 by two idle frames, T18 by the first after an absence.
pub(super) fn idle_frame(work: &mut Work) -> bool {
    if !live(work.state()) || stale(work) || work.order.last_idle_ms == Some(work.at_ms) {
        return true;
    }
    work.order.last_idle_ms = Some(work.at_ms);
    work.order.idle_frames = work.order.idle_frames.saturating_add(1);
    if work.order.charger_offline || work.order.idle_frames >= IDLE_FRAMES {
        let transition = over_transition(work);
        await_record(work, transition);
    }
    true
}

const fn over_transition(work: &Work) -> &'static str {
    if work.order.charger_offline { "T18" } else { "T13" }
}

/// T13: nothing flows through an unplugged connector. Afterwards it ends the occupancy.
pub(super) fn unplugged(work: &mut Work) -> bool {
    if live(work.state()) && !stale(work) {
        let transition = over_transition(work);
        await_record(work, transition);
    }
    // A log that is read again tells of the driver before, once more.
    if work.order.ended_at_ms.is_some() && !stale(work) {
        work.order.unplugged_at_ms.get_or_insert(work.at_ms);
    }
    true
}

/// T13, T18.
pub(super) fn over(work: &mut Work) -> bool {
    if live(work.state()) && !stale(work) {
        let transition = over_transition(work);
        await_record(work, transition);
    }
    true
}

/// The next driver is there: this session cannot be running any more (domain rules, abnormal situations).
pub(super) fn connector_taken(work: &mut Work) -> bool {
    if live(work.state()) {
        await_record(work, "T13");
        work.detail("another session begins on the connector");
    }
    true
}

/// T16. Money stays where it is: charging goes on without us.
pub(super) fn offline(work: &mut Work) -> bool {
    if live(work.state()) && !work.order.charger_offline {
        work.order.charger_offline = true;
        work.order.offline_since_ms = Some(work.at_ms);
        work.stay("T16");
        work.timer(work.policy.offline_ms, TimerKind::OfflineTimeout);
    }
    true
}

fn await_record(work: &mut Work, transition: &'static str) {
    work.go(transition, State::AwaitingRecord);
    work.order.ended_at_ms = Some(work.at_ms);
    work.order.charger_offline = false;
    work.order.offline_since_ms = None;
    work.timer(work.policy.record_late_ms, TimerKind::RecordLate);
    work.timer(work.policy.record_missing_ms, TimerKind::RecordMissing);
}
