//! Answers to commands that no session gives: the shard has no room, or an earlier process may have done it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use events::{
    commands::{Command, command::Action},
    log::{AckSink, AppendError, LogError, Position},
    proto::{CommandAnswered, CommandOutcome, envelope::Body},
};

use crate::{
    publish::Publisher,
    registry::Seat,
    session::{Class, Event, What},
    shard::Shared,
};

/// Answers that wait because the log is full; beyond it the business side's own time-out has to do.
const UNSAID_MAX: usize = 10_000;

/// The command follower's own voice. Its events have number 0: they are not part of the session's count.
#[derive(Debug)]
pub(super) struct OwnAnswers(Mutex<Unsaid>);

#[derive(Debug)]
struct Unsaid {
    publisher: Publisher,
    waiting: VecDeque<Event>,
}

/// Nobody waits for these events to be durable.
struct Nobody;

impl AckSink for Nobody {
    fn acked(&self, _: u64, _: Result<Position, LogError>) {}
}

impl OwnAnswers {
    pub fn new(shared: &Shared) -> Self {
        let publisher = Publisher::new(Arc::clone(&shared.log), Arc::new(Nobody), &shared.config.node);
        Self(Mutex::new(Unsaid { publisher, waiting: VecDeque::new() }))
    }

    /// Publishes what became of a command.
    pub fn say(&self, shared: &Shared, seat: &Arc<Seat>, command: &Command, outcome: CommandOutcome, code: &str) {
        shared.metrics.command(outcome);
        let session = match &command.action {
            Some(Action::StartCharging(start)) => start.session.clone(),
            Some(Action::StopCharging(stop)) => stop.session.clone(),
            _ => String::new(),
        };
        let body = CommandAnswered {
            command_id: command.command_id.clone(),
            outcome: outcome.into(),
            code: code.to_owned(),
            session,
        };
        let now_ms = shared.clock.now_ms();
        let event = Event {
            seat: Arc::clone(seat),
            class: Class::Kept,
            connector: command.connector,
            number: 0,
            occurred_at_ms: now_ms,
            received_at_ms: now_ms,
            ticket: 0,
            leftovers: Vec::new(),
            what: What::Body(Body::CommandAnswered(body)),
        };
        let mut unsaid = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if unsaid.waiting.len() < UNSAID_MAX {
            unsaid.waiting.push_back(event);
        } else {
            tracing::warn!(command = %command.command_id, "an answer was given up: the log has been full for too long");
        }
        unsaid.go_on(shared);
    }

    /// Tries again what the log had no room for.
    pub fn retry(&self, shared: &Shared) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).go_on(shared);
    }
}

impl Unsaid {
    fn go_on(&mut self, shared: &Shared) {
        while let Some(event) = self.waiting.front() {
            match self.publisher.publish(event, event.seat.address) {
                Err(AppendError::Full) => return shared.metrics.log_full.increment(1),
                Ok(()) => shared.metrics.published(event.topic()),
                Err(error) => tracing::warn!(%error, "the log took no answer to a command"),
            }
            self.waiting.pop_front();
        }
    }
}
