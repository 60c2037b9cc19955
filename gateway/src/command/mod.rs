//! The return stair: `ev.command.v1` → live sessions → the shard's inbox → the session.
//!
//! Every node reads every command; the one that holds the charger's session carries it out, once per command id. Commands
//! appended before this process began are never carried out (an earlier process may have done it), but their id tags are
//! remembered, so that a start that was on its way is still accepted.

mod seen;

use std::{sync::Arc, time::Duration};

use events::{
    commands::{Command, command::Action},
    log::{LogError, Record, Start},
    prost::Message as _,
    topic::Topic,
};
use tokio_util::sync::CancellationToken;

use self::seen::Seen;
use crate::{
    registry::tags::GRACE_MS,
    shard::{Shared, inbox::ToShard},
    status::{Part, real_ms},
};

const BATCH: usize = 500;
const WAIT: Duration = Duration::from_millis(500);
/// How far back tags are read at start: the longest expiry that a start command may have, plus its grace.
const LOOK_BACK_MS: i64 = 20 * 60 * 1000 + GRACE_MS;

/// Runs until `stop`.
pub(crate) async fn follow_commands(shared: Arc<Shared>, part: Arc<Part>, stop: CancellationToken) {
    let mut follower = Follower { seen: Seen::new(shared.config.commands.remembered), started_ms: real_ms(), shared };
    let mut from = Start::At(follower.started_ms - LOOK_BACK_MS);
    loop {
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = follower.read(from, &part) => outcome,
        };
        if let Err(error) = outcome {
            part.degrade(&error.to_string());
            tracing::warn!(%error, "the command topic cannot be read");
        }
        // Overlaps with what was read: ids that were seen are skipped.
        from = Start::At(real_ms() - 60_000);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(WAIT) => {}
        }
    }
}

#[derive(Debug)]
struct Follower {
    shared: Arc<Shared>,
    seen: Seen,
    started_ms: i64,
}

impl Follower {
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
            }
        }
    }

    fn on_record(&mut self, record: &Record) {
        let metrics = &self.shared.metrics;
        let Some(Ok(command)) = record.payload.as_deref().map(Command::decode) else {
            metrics.command_unreadable.increment(1);
            tracing::warn!(offset = record.position.offset, "a command record was skipped");
            return;
        };
        if let Some(Action::StartCharging(start)) = &command.action
            && !start.id_tag.is_empty()
        {
            let now = self.shared.clock.now_ms();
            self.shared.tags.remember(&command.charger, &start.id_tag, command.expires_at_ms, now);
        }
        if record.appended_at_ms < self.started_ms {
            metrics.command_before_start.increment(1);
            return;
        }
        if !self.seen.first_time(&command.command_id) {
            metrics.command_duplicate.increment(1);
            return;
        }
        // No session here: another node may hold it; if none does, the business side's time-out says so.
        let Some(seat) = self.shared.live.find(&command.charger) else {
            metrics.command_not_here.increment(1);
            return;
        };
        if seat.tenant != command.tenant {
            metrics.command_unreadable.increment(1);
            tracing::warn!(charger = %command.charger, "a command names another tenant than the charger's; skipped");
            return;
        }
        if let Some(inbox) = self.shared.inboxes.get(usize::from(seat.address.shard)) {
            let sent = inbox.push(ToShard::Command { address: seat.address, command: Arc::new(command) });
            if !sent {
                metrics.command(events::proto::CommandOutcome::QueueFull);
            }
        }
    }
}
