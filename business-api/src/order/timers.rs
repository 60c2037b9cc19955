//! Timers: T3, T8, T15, T19, T20, T21, T32, T33. One that fires in another state, or before its time, was overtaken and changes nothing.

use super::effect::{Alarm, Effect};
use super::policy::Policy;
use super::start::close_payment;
use super::state::{CloseReason, ExceptionCode, Order, State, TimerKind};
use super::step::Work;

pub(super) fn fired(work: &mut Work, kind: TimerKind) -> bool {
    let Policy { payment_ms, start_ms, stop_timeout_ms, offline_ms, record_late_ms, record_missing_ms, .. } =
        work.policy;
    let Order { created_at_ms, start_sent_at_ms, stop_asked_at_ms, offline_since_ms, .. } = work.order;
    let Order { ended_at_ms, record_late, .. } = work.order;
    match (work.state(), kind) {
        (State::PendingPayment, TimerKind::PaymentDue) if due(work, Some(created_at_ms), payment_ms) => {
            close_payment(work, CloseReason::PaymentTimeout);
        }
        (State::Starting, TimerKind::StartTimeout) if due(work, start_sent_at_ms, start_ms) => {
            work.close_unstarted("T8", State::StartFailed, CloseReason::StartTimeout);
            work.send_stop(); // It may still begin: nobody pays for that.
        }
        (State::Stopping | State::StartFailed, TimerKind::StopAnswer { attempt }) if work.order.is_being_stopped() => {
            stop_unanswered(work, attempt);
        }
        (State::Stopping, TimerKind::StopEffect) => stop_ignored(work),
        (State::Stopping, TimerKind::StopTimeout) if due(work, stop_asked_at_ms, stop_timeout_ms) => {
            work.hold("T33", ExceptionCode::StopTimeout);
        }
        (State::Charging | State::Stopping, TimerKind::OfflineTimeout) if due(work, offline_since_ms, offline_ms) => {
            work.hold("T19", ExceptionCode::OfflineTimeout);
        }
        (State::AwaitingRecord, TimerKind::RecordLate) if !record_late && due(work, ended_at_ms, record_late_ms) => {
            work.order.record_late = true;
            work.stay("T20");
            work.alarm(Alarm::RecordLate);
        }
        (State::AwaitingRecord, TimerKind::RecordMissing) if due(work, ended_at_ms, record_missing_ms) => {
            work.hold("T21", ExceptionCode::RecordMissing);
            work.effect(Effect::ReadLiveData);
        }
        _ => {}
    }
    true
}

fn due(work: &Work, since_ms: Option<i64>, after_ms: i64) -> bool {
    since_ms.is_some_and(|since_ms| work.at_ms >= since_ms.saturating_add(after_ms))
}

/// T15.
fn stop_unanswered(work: &mut Work, attempt: u8) {
    if work.order.stop_accepted || work.order.stop_alarmed || attempt != work.order.stop_attempts {
        return;
    }
    work.stay("T15");
    if attempt > work.policy.stop_resends {
        work.order.stop_alarmed = true;
        work.alarm(Alarm::StopNoAnswer);
        return;
    }
    work.send_stop_again();
}

/// T32. Away, nobody knows whether it goes on: T17 or T18 says so.
fn stop_ignored(work: &mut Work) {
    if !work.order.stop_accepted || work.order.charger_offline {
        return;
    }
    work.stay("T32");
    work.order.stop_ignored = work.order.stop_ignored.saturating_add(1);
    if work.order.stop_ignored == 1 {
        work.alarm(Alarm::StopIgnored);
    }
    if work.order.stop_ignored <= work.policy.stop_resends {
        work.send_stop_anew();
    }
}
