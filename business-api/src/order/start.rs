//! From the payment to the first current: T2 to T8.

use events::units::{EnergyE4, Fen};

use super::effect::{Alarm, Effect};
use super::state::{CloseReason, State, TimerKind};
use super::step::Work;

/// T2; T3a for whatever ended before the money came.
pub(super) fn paid(work: &mut Work, amount: Fen) -> bool {
    if work.order.prepay.is_none() {
        return false; // Nobody was asked to pay.
    }
    if work.order.paid == amount {
        return true; // The same payment again.
    }
    if work.order.prepay != Some(amount) || work.order.paid != Fen::ZERO {
        work.alarm(Alarm::PaymentAmountDiffers);
        work.detail(format!("{amount} yuan paid"));
        return true;
    }
    work.order.paid = amount;
    match work.state() {
        State::PendingPayment => {
            work.go("T2", State::Starting);
            send_start(work);
        }
        state if state.terminal() || state == State::Unpaid => {
            work.stay("T3a");
            work.refund(amount);
        }
        _ => work.detail("paid while it was already delivering"), // The settlement counts it and refunds the rest.
    }
    true
}

/// Sends the start command and gives it its time.
pub(super) fn send_start(work: &mut Work) {
    work.order.start_sent_at_ms = Some(work.at_ms);
    work.effect(Effect::SendStart);
    work.timer(work.policy.start_ms, TimerKind::StartTimeout);
}

/// T3 by the user.
pub(super) fn cancel(work: &mut Work) -> bool {
    match work.state() {
        State::PendingPayment => close_payment(work, CloseReason::UserCancelled),
        State::Cancelled => {}
        _ => return false,
    }
    true
}

/// T3.
pub(super) fn close_payment(work: &mut Work, reason: CloseReason) {
    work.close_unstarted("T3", State::Cancelled, reason);
    work.effect(Effect::CloseChannelOrder);
}

/// T4. Later than that it is only late.
pub(super) fn accepted(work: &mut Work) -> bool {
    match work.state() {
        State::PendingPayment | State::Cancelled => return false,
        State::Starting if work.order.accepted_at_ms.is_none() => {
            work.order.accepted_at_ms = Some(work.at_ms);
            work.stay("T4");
        }
        State::StartFailed if work.order.has_no_start_yet() => {
            work.detail("accepted after the platform gave up");
            work.send_stop();
        }
        _ => {}
    }
    true
}

/// T6, T7.
pub(super) fn refused(work: &mut Work, code: &str, not_plugged: bool) -> bool {
    match work.state() {
        State::Starting => {
            let sent_ms = work.order.start_sent_at_ms.unwrap_or(work.order.created_at_ms);
            if not_plugged && work.at_ms.saturating_sub(sent_ms) < work.policy.not_plugged_ms {
                work.stay("T6");
                work.detail("plug in the connector");
            } else {
                work.close_unstarted("T7", State::StartFailed, CloseReason::Refused(code.to_owned()));
                work.detail(format!("code {code}"));
            }
        }
        State::StartFailed => {}
        _ => return false,
    }
    true
}

/// T7 for a command that the charger never saw.
pub(super) fn undelivered(work: &mut Work, code: &str) -> bool {
    match work.state() {
        State::Starting => {
            work.close_unstarted("T7", State::StartFailed, CloseReason::Undelivered(code.to_owned()));
            work.detail(code);
        }
        State::StartFailed => {}
        _ => return false,
    }
    true
}

/// It may have started: T8 decides.
pub(super) fn unanswered(work: &mut Work) -> bool {
    !matches!(work.state(), State::PendingPayment | State::Cancelled)
}

/// T5; also said again after a reconnect, and after the platform gave up.
pub(super) fn started(
    work: &mut Work,
    session: &str,
    started_at_ms: i64,
    meter_start: Option<EnergyE4>,
    connector: u32,
) -> bool {
    if work.order.session.as_deref().is_some_and(|known| known != session) {
        return false;
    }
    match work.state() {
        State::PendingPayment | State::Cancelled => return false,
        State::Starting => {
            work.go("T5", State::Charging);
            work.order.charging_at_ms = Some(work.at_ms);
            if connector != 0 && connector != work.order.connector {
                work.detail(format!("on connector {connector}, not {}", work.order.connector));
            }
        }
        State::Charging | State::Stopping if super::live::stale(work) => {}
        State::Charging | State::Stopping => super::live::seen_charging(work),
        State::StartFailed if work.order.record.is_none() => {
            // The platform has closed it: whatever flows now is outside the order, and should not flow. Said again (the charger was
            // away) it flows still.
            work.order.session = Some(session.to_owned());
            if work.order.started_at_ms.is_none() {
                work.alarm(Alarm::LateStart);
                work.detail("started after the platform gave up");
            }
            work.send_stop_anew();
        }
        _ => {}
    }
    let order = &mut work.order;
    if order.started_at_ms.is_none() && connector != 0 {
        order.connector = connector; // Where it is, whatever was asked for (OCPP 1.6: a RemoteStart's connector is a wish).
    }
    order.session.get_or_insert_with(|| session.to_owned());
    order.started_at_ms.get_or_insert(started_at_ms);
    order.meter_start = order.meter_start.or(meter_start);
    true
}
