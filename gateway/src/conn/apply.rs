//! Does what a step of the session wanted: events to the log, bytes to the peer, counters, and what others have to be told.

use std::task::Context as Task;

use events::log::AppendError;

use super::{Connection, Step};
use crate::{
    publish::queue::Queued,
    session::{Class, CloseReason, Effects, Event, Malformed, Note},
    shard::{Shard, inbox::News, slots::ToConnection},
};

impl Connection {
    /// Does what the session wants done.
    pub(super) fn apply(&mut self, task: &mut Task<'_>, shard: &Shard, fx: &mut Effects) -> Step {
        self.report(shard, fx);
        for index in 0..fx.events.len() {
            // Taken one by one: publishing may ask for the end of this connection.
            let Some(event) = fx.events.get(index) else { break };
            if event.class == Class::Asked {
                let held = self.stalled.as_ref().is_some_and(|stalled| stalled.holds_back());
                if held || shard.publish(event, self.address).is_err() {
                    // Heard in the next turn, as if the log had said it.
                    self.cell.tell(ToConnection::Acked { ticket: event.ticket, durable: false });
                }
                continue;
            }
            if !self.stalled.as_ref().is_some_and(|stalled| stalled.precedes(event)) {
                match shard.publish(event, self.address) {
                    Ok(()) => continue,
                    Err(AppendError::Full) => {}
                    Err(error) => {
                        if event.class == Class::Money {
                            tracing::warn!(%error, charger = %event.seat.charger, "the log took no money message");
                            fx.close.get_or_insert(CloseReason::LogUnavailable);
                        }
                        continue;
                    }
                }
            }
            let event = event.clone();
            self.stall(shard, event);
        }
        fx.events.clear();
        if !fx.out.is_empty() {
            if self.send(task, shard, &fx.out).is_err() {
                fx.close = Some(CloseReason::PeerLeft);
            }
            fx.out.clear();
        }
        if let Some(reason) = fx.close.take() {
            self.begin_end(shard, reason, fx);
        }
        Step::Again
    }

    /// Counters, and what others have to be told.
    pub(super) fn report(&mut self, shard: &Shard, fx: &mut Effects) {
        let metrics = &shard.shared.metrics;
        for note in fx.notes.drain(..) {
            match note {
                Note::Malformed(kind) => {
                    metrics.malformed(self.wire, kind);
                    if !matches!(kind, Malformed::Unasked | Malformed::NotLoggedIn) {
                        tracing::debug!(kind = kind.label(), remote = %self.remote, "unusable input");
                    }
                }
                Note::Login(result) => metrics.login(self.wire, result),
                Note::MoneyAnswered(waited_ms) => {
                    metrics.money_answered.increment(1);
                    metrics.money_ack.record(std::time::Duration::from_millis(waited_ms));
                }
                Note::MoneyUnanswered(count) => metrics.money_unanswered.increment(u64::from(count)),
                Note::StartUnrecorded => metrics.starts_unrecorded.increment(1),
                Note::Command(outcome) => metrics.command(outcome),
                Note::Push(outcome) => metrics.pushed(outcome),
                Note::Quirk(quirk) => metrics.quirk(quirk),
            }
        }
        for seat in fx.fenced.drain(..) {
            shard.shared.tell(seat, News::Fenced);
        }
        for seat in fx.claimed.drain(..) {
            shard.shared.held.logged_in(&seat.charger);
            shard.publish_claim(&seat, self.remote.to_string());
            // The follower of the registry looks for a seat after the change, and we for the change after the seat is there: one sees it.
            if !shard.shared.replica.admits(seat.tenant, &seat.charger) {
                shard.shared.tell(seat, News::Removed);
            }
        }
        let seats = u32::try_from(self.speaker.seats()).unwrap_or(u32::MAX);
        if seats != self.seats {
            if let Some(gauge) = metrics.sessions.get(self.wire as usize) {
                gauge.increment(f64::from(seats));
                gauge.decrement(f64::from(self.seats));
            }
            self.seats = seats;
        }
    }

    /// The log is full: the event waits, replaces an older one, or is shed, by its class.
    fn stall(&mut self, shard: &Shard, event: Event) {
        if self.stalled.is_none() {
            shard.stalled.borrow_mut().push(self.address);
            shard.stalled_some.notify_one();
        }
        let class = event.class;
        let limit = shard.shared.config.limits.stalled_events;
        let outcome = self.stalled.get_or_insert_default().push(event, limit);
        if outcome != Queued::Waits {
            let metrics = &shard.shared.metrics;
            if class == Class::Live { metrics.shed_live.increment(1) } else { metrics.shed_status.increment(1) }
        }
    }

    /// The log may have room again.
    pub(super) fn retry_stalled(&mut self, shard: &Shard, fx: &mut Effects) {
        let Some(stalled) = &mut self.stalled else { return };
        let address = self.address;
        let progressed = stalled.retry(|event| match shard.publish(event, address) {
            Err(AppendError::Full) => false,
            Err(_) if event.class == Class::Money => {
                fx.close.get_or_insert(CloseReason::LogUnavailable);
                false
            }
            Ok(()) | Err(_) => true,
        });
        if progressed {
            shard.unstalled.set(shard.unstalled.get() + 1);
        }
        if stalled.is_empty() {
            self.stalled = None;
        } else {
            shard.stalled.borrow_mut().push(address);
            shard.stalled_some.notify_one();
        }
    }
}
