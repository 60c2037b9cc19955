//! The return stair: `ev.command.v1` → live sessions → the shard's inbox → the session.
//!
//! Every node reads every command; the one that holds the charger's session carries it out, once per command id. A command whose
//! charger is not here, or that was issued up to five minutes before this process began, is held until the charger logs in or the
//! command expires; before a held command is sent, the log is read for an answer to it, so that what another process or node has
//! done is not done again.

mod answer;
mod held;
mod seen;
mod verify;

use std::{sync::Arc, time::Duration};

use events::{
    commands::{Command, command::Action},
    log::{LogError, Record, Start},
    prost::Message as _,
    proto::CommandOutcome,
    topic::Topic,
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::held::HeldCommands;
use self::{answer::OwnAnswers, seen::Seen};
use crate::{
    registry::{Seat, tags::GRACE_MS},
    shard::{Shared, inbox::ToShard},
    status::{Part, real_ms},
};

const BATCH: usize = 500;
const WAIT: Duration = Duration::from_millis(500);
/// How far back tags are read at start: the longest expiry that a start command may have, plus its grace.
const LOOK_BACK_MS: i64 = 20 * 60 * 1000 + GRACE_MS;
/// Commands appended this long before the process began are still carried out, if nobody did and they have not expired.
const RESTART_MS: i64 = 5 * 60 * 1000;
/// What is read again when the topic could not be read for a while; ids that were seen are skipped.
const OVERLAP_MS: i64 = 60_000;

/// Runs until `stop`.
pub(crate) async fn follow_commands(shared: Arc<Shared>, part: Arc<Part>, stop: CancellationToken) {
    let started_ms = real_ms();
    let answers = OwnAnswers::new(&shared);
    let seen = Seen::new(shared.config.commands.remembered);
    let mut follower = Follower { seen, started_ms, read_ms: started_ms, answers: &answers, shared: &shared };
    tokio::select! {
        () = stop.cancelled() => {}
        () = follower.follow(&part) => {}
        () = verify::deliver_held(&shared, &answers, &part, started_ms) => {}
    }
}

/// Gives a command to the session that has its charger.
fn hand_over(shared: &Shared, answers: &OwnAnswers, seat: &Arc<Seat>, command: Arc<Command>) {
    if seat.tenant != command.tenant {
        shared.metrics.command_unreadable.increment(1);
        tracing::warn!(charger = %command.charger, "a command names another tenant than the charger's; skipped");
        return;
    }
    let Some(inbox) = shared.inboxes.get(usize::from(seat.address.shard)) else { return };
    if !inbox.push(ToShard::Command { address: seat.address, command: Arc::clone(&command) }) {
        answers.say(shared, seat, &command, CommandOutcome::QueueFull, "shard");
    }
}

struct Follower<'a> {
    shared: &'a Arc<Shared>,
    answers: &'a OwnAnswers,
    seen: Seen,
    started_ms: i64,
    /// When the topic was last read, real UTC ms.
    read_ms: i64,
}

impl Follower<'_> {
    async fn follow(&mut self, part: &Part) {
        let mut from = Start::At(self.started_ms - LOOK_BACK_MS);
        loop {
            if let Err(error) = self.read(from, part).await {
                part.degrade(&error.to_string());
                tracing::warn!(%error, "the command topic cannot be read");
            }
            from = Start::At(self.read_ms - OVERLAP_MS);
            tokio::time::sleep(WAIT).await;
        }
    }

    async fn read(&mut self, from: Start, part: &Part) -> Result<(), LogError> {
        let mut subscription = self.shared.log.tail(&[Topic::Command], from)?;
        let mut caught_up = false;
        loop {
            let batch = subscription.poll(BATCH, WAIT).await?;
            for record in &batch.records {
                self.on_record(record);
            }
            caught_up |= batch.at_end;
            if caught_up {
                part.recover();
                self.read_ms = real_ms();
            }
            let over = self.shared.held.expire(self.shared.clock.now_ms());
            self.shared.metrics.command_not_here.increment(u64::try_from(over).unwrap_or(0));
            self.shared.metrics.commands_held.set(u32::try_from(self.shared.held.len()).unwrap_or(u32::MAX));
            self.answers.retry(self.shared);
        }
    }

    fn on_record(&mut self, record: &Record) {
        let shared = &**self.shared;
        let metrics = &shared.metrics;
        let Some(Ok(command)) = record.payload.as_deref().map(Command::decode) else {
            metrics.command_unreadable.increment(1);
            tracing::warn!(offset = record.position.offset, "a command record was skipped");
            return;
        };
        let now_ms = shared.clock.now_ms();
        if let Some(Action::StartCharging(start)) = &command.action
            && !start.id_tag.is_empty()
        {
            shared.tags.remember(&command.charger, &start.id_tag, command.expires_at_ms, now_ms);
        }
        // Also those that are too old count as seen: one of them may come again, from an outbox that was interrupted.
        if !self.seen.first_time(&command.command_id) {
            metrics.command_duplicate.increment(1);
            return;
        }
        if record.appended_at_ms < self.started_ms - RESTART_MS {
            metrics.command_before_start.increment(1);
            return;
        }
        let command = Arc::new(command);
        let before_start = record.appended_at_ms < self.started_ms;
        if !before_start
            && !shared.held.has(&command.charger)
            && let Some(seat) = shared.live.find(&command.charger)
        {
            return hand_over(shared, self.answers, &seat, command);
        }
        if before_start && command.expires_at_ms != 0 && command.expires_at_ms < now_ms {
            metrics.command_not_here.increment(1);
            return;
        }
        shared.hold_command(command, record.appended_at_ms);
    }
}
