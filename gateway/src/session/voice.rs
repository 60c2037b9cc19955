//! How a seat speaks to the log: every event stamped and numbered.

use std::sync::Arc;

use events::{
    commands::Command,
    proto::{CommandAnswered, CommandOutcome, Leftover, envelope::Body},
};

use super::{Class, Context, Effects, Event, Note, What};
use crate::registry::Seat;

/// The voice of one seat: stamps and numbers its events.
#[derive(Debug)]
pub(crate) struct Voice {
    pub seat: Arc<Seat>,
    number: u64,
}

impl Voice {
    pub const fn new(seat: Arc<Seat>) -> Self {
        Self { seat, number: 0 }
    }

    pub fn say(&mut self, cx: &Context<'_>, fx: &mut Effects, class: Class, connector: u32, body: Body) {
        self.say_full(cx, fx, class, connector, cx.now.wall_ms, 0, Vec::new(), What::Body(body));
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of an event, said once")]
    pub fn say_full(
        &mut self,
        cx: &Context<'_>,
        fx: &mut Effects,
        class: Class,
        connector: u32,
        occurred_at_ms: i64,
        ticket: u32,
        leftovers: Vec<Leftover>,
        what: What,
    ) {
        self.number += 1;
        fx.events.push(Event {
            seat: Arc::clone(&self.seat),
            class,
            connector,
            number: self.number,
            occurred_at_ms,
            received_at_ms: cx.now.wall_ms,
            ticket,
            leftovers,
            what,
        });
    }

    /// Publishes what became of a command.
    pub fn answer(&mut self, cx: &Context<'_>, fx: &mut Effects, command: &Answer<'_>) {
        fx.notes.push(Note::Command(command.outcome));
        let body = Body::CommandAnswered(CommandAnswered {
            command_id: command.id.to_owned(),
            outcome: command.outcome.into(),
            code: command.code.to_owned(),
            session: command.session.to_owned(),
        });
        self.say(cx, fx, Class::Kept, command.connector, body);
    }
}

/// What became of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    pub id: &'a str,
    pub connector: u32,
    pub outcome: CommandOutcome,
    pub code: &'a str,
    pub session: &'a str,
}

impl<'a> Answer<'a> {
    pub fn to(command: &'a Command, outcome: CommandOutcome, code: &'a str) -> Self {
        Self { id: &command.command_id, connector: command.connector, outcome, code, session: "" }
    }
}
