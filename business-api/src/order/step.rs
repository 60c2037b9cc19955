//! The transition function: one input moves one order.

use super::effect::{Alarm, Effect, Step, TimelineEntry, WorkItem};
use super::input::{Input, InputKind};
use super::policy::Policy;
use super::state::{CloseReason, ExceptionCode, Hold, Order, State, TimerKind};
use super::{live, recorded, settle, start, timers};
use events::units::Fen;

/// An input that means nothing in a state. Nothing changed; it is logged and counted, and the log goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{input} is not possible in {state}", input = input.0, state = state.name())]
pub struct Illegal {
    /// Where the order is.
    pub state: State,
    /// What came.
    pub input: InputKind,
}

/// Moves an order. `at_ms` is the platform's time of the input (of an event: when the gateway received it).
///
/// An input that was applied before, or that came too late to matter, gives the same order and no effect but at most a
/// timeline entry or a count.
///
/// # Errors
/// [`Illegal`]: the pair of state and input has no transition.
pub fn step(order: &Order, at_ms: i64, input: &Input, policy: &Policy) -> Result<Step, Illegal> {
    let mut work = Work::new(order.clone(), Some(order.state), at_ms, input.kind().0, *policy);
    let legal = match input {
        Input::PaymentSucceeded { amount } => start::paid(&mut work, *amount),
        Input::CancelAsked => start::cancel(&mut work),
        Input::StartAccepted => start::accepted(&mut work),
        Input::StartRefused { code, not_plugged } => start::refused(&mut work, code, *not_plugged),
        Input::StartUndelivered { code } => start::undelivered(&mut work, code),
        Input::StartUnanswered => start::unanswered(&mut work),
        Input::SessionStarted { session, started_at_ms, meter_start, connector } => {
            start::started(&mut work, session, *started_at_ms, *meter_start, *connector)
        }
        Input::StopAsked { by, client } => live::stop_asked(&mut work, *by, client),
        Input::StopAccepted => live::stop_accepted(&mut work),
        Input::StopRefused { not_charging, code } => live::stop_refused(&mut work, *not_charging, code),
        Input::StopUnanswered => live::stop_unanswered(&work),
        Input::StillCharging { energy } => live::still_charging(&mut work, *energy),
        Input::IdleFrame => live::idle_frame(&mut work),
        Input::Unplugged => live::unplugged(&mut work),
        Input::SessionEnded => live::over(&mut work),
        Input::ConnectorTaken => live::connector_taken(&mut work),
        Input::ChargerOffline => live::offline(&mut work),
        Input::ChargerOnline => true,
        Input::Recorded(record) => recorded::recorded(&mut work, record),
        Input::EstimateApproved { estimate, payer } => recorded::estimate(&mut work, estimate, payer.as_deref()),
        Input::PayerKnown { payer } => recorded::payer_known(&mut work, payer),
        Input::Billed(outcome) => settle::billed(&mut work, *outcome),
        Input::Collected => settle::collected(&mut work),
        Input::CollectFailed { collected } => settle::collect_failed(&mut work, *collected),
        Input::ArrearsPaid => settle::arrears_paid(&mut work),
        Input::Timer(kind) => timers::fired(&mut work, *kind),
    };
    if legal { Ok(work.finish()) } else { Err(Illegal { state: order.state, input: input.kind() }) }
}

/// A step under way.
#[derive(Debug)]
pub(super) struct Work {
    pub order: Order,
    pub at_ms: i64,
    pub policy: Policy,
    effects: Vec<Effect>,
    from: Option<State>,
    what: &'static str,
    transition: &'static str,
    detail: String,
}

impl Work {
    pub(super) const fn new(order: Order, from: Option<State>, at_ms: i64, what: &'static str, policy: Policy) -> Self {
        Self { order, at_ms, policy, effects: Vec::new(), from, what, transition: "", detail: String::new() }
    }

    pub(super) const fn state(&self) -> State {
        self.order.state
    }

    /// Changes the state by a numbered transition.
    pub(super) fn go(&mut self, transition: &'static str, to: State) {
        self.transition = transition;
        self.order.state = to;
        if to != State::Exception {
            self.order.exception = None;
        }
        if to.terminal() {
            self.order.closed_at_ms = Some(self.at_ms);
        }
    }

    /// A numbered transition that keeps the state.
    pub(super) const fn stay(&mut self, transition: &'static str) {
        self.transition = transition;
    }

    pub(super) fn hold(&mut self, transition: &'static str, code: ExceptionCode) {
        self.go(transition, State::Exception);
        self.order.exception = Some(code);
        self.effect(Effect::OpenWorkItem(WorkItem::Held(code)));
    }

    pub(super) fn detail(&mut self, detail: impl Into<String>) {
        self.detail = detail.into();
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn alarm(&mut self, alarm: Alarm) {
        self.effect(Effect::RaiseAlarm(alarm));
    }

    pub(super) fn timer(&mut self, after_ms: i64, kind: TimerKind) {
        let at_ms = self.at_ms.saturating_add(after_ms);
        self.effect(Effect::ScheduleTimer { at_ms, kind });
    }

    /// Asks the charger to stop, and as often as T15 allows again.
    pub(super) fn send_stop_anew(&mut self) {
        self.order.stop_attempts = 0;
        self.order.stop_accepted = false;
        self.order.stop_alarmed = false;
        self.send_stop_again();
    }

    /// Asks once more, and waits for an answer.
    pub(super) fn send_stop_again(&mut self) {
        self.send_stop();
        let attempt = self.order.stop_attempts;
        self.timer(self.policy.stop_answer_ms, TimerKind::StopAnswer { attempt });
    }

    /// Asks the charger to stop, where it can be told which session.
    pub(super) fn send_stop(&mut self) {
        if self.order.session.is_some() {
            self.order.stop_attempts = self.order.stop_attempts.saturating_add(1);
            let attempt = self.order.stop_attempts;
            self.effect(Effect::SendStop { attempt });
        }
    }

    /// Ends an order that never charged and gives back what was held or paid, once.
    pub(super) fn close_unstarted(&mut self, transition: &'static str, to: State, reason: CloseReason) {
        self.go(transition, to);
        self.order.close_reason = Some(reason);
        self.give_back_all();
    }

    pub(super) fn give_back_all(&mut self) {
        if matches!(self.order.hold, Hold::Frozen(_)) {
            self.order.hold = Hold::Released;
            self.effect(Effect::ReleaseHold);
        }
        self.refund(self.order.paid);
    }

    /// Refunds so that `amount` of the prepayment is refunded in all.
    pub(super) fn refund(&mut self, amount: Fen) {
        if let Some(more) = amount.checked_sub(self.order.refunded).filter(|more| *more > Fen::ZERO) {
            self.order.refunded = amount;
            self.effect(Effect::Refund { amount: more });
        }
    }

    pub(super) fn finish(mut self) -> Step {
        if !self.transition.is_empty() || !self.detail.is_empty() || self.from != Some(self.order.state) {
            self.effects.push(Effect::AppendTimeline(TimelineEntry {
                at_ms: self.at_ms,
                what: self.what.to_owned(),
                transition: self.transition.to_owned(),
                from: self.from,
                to: self.order.state,
                detail: self.detail,
            }));
        }
        Step { order: self.order, effects: self.effects }
    }
}
