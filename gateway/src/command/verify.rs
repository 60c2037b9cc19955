//! Held commands on their way: before one is delivered, the log is read for what already became of it.

use std::{sync::Arc, time::Duration};

use events::{
    commands::{Command, command::Action},
    log::{LogError, Start, Subscription},
    prost::Message as _,
    proto::{CommandOutcome, Envelope, envelope::Body},
    topic::Topic,
};
use tokio::time::Instant;

use super::{answer::OwnAnswers, hand_over, held::HeldCommand, seen::Seen};
use crate::{shard::Shared, status::Part};

const BATCH: usize = 1_000;
const WAIT: Duration = Duration::from_millis(200);
/// The clocks of two topics' brokers may differ by this much.
const SLACK_MS: i64 = 5_000;
/// A reader that nobody needs any more is kept this long: after a restart chargers log in one after the other.
const KEPT: Duration = Duration::from_secs(10);

/// What the log says about commands: ids that were answered, and sessions and tags that began.
struct Answered {
    subscription: Box<dyn Subscription>,
    from_ms: i64,
    known: Seen,
}

impl Answered {
    fn open(shared: &Shared, from_ms: i64) -> Result<Self, LogError> {
        let from_ms = from_ms.saturating_sub(SLACK_MS);
        let subscription = shared.log.tail(&[Topic::Device], Start::At(from_ms))?;
        Ok(Self { subscription, from_ms, known: Seen::new(shared.config.commands.remembered) })
    }

    /// Reads to the end as it is now.
    async fn catch_up(&mut self) -> Result<(), LogError> {
        loop {
            let batch = self.subscription.poll(BATCH, WAIT).await?;
            for record in &batch.records {
                let Some(Ok(envelope)) = record.payload.as_deref().map(Envelope::decode) else { continue };
                match envelope.body {
                    Some(Body::CommandAnswered(answer)) => drop(self.known.first_time(&answer.command_id)),
                    Some(Body::SessionStarted(started)) => {
                        for key in [started.session, started.token] {
                            self.known.first_time(&key_of(&envelope.charger, &key));
                        }
                    }
                    _ => {}
                }
            }
            if batch.at_end {
                return Ok(());
            }
        }
    }

    /// It was answered, or what it should start has started.
    fn knows(&self, command: &Command) -> bool {
        let began = match &command.action {
            Some(Action::StartCharging(start)) => [start.session.as_str(), start.id_tag.as_str()]
                .into_iter()
                .any(|key| !key.is_empty() && self.known.knows(&key_of(&command.charger, key))),
            _ => false,
        };
        began || self.known.knows(&command.command_id)
    }
}

/// Unlike a command id, and unlike the same session at another charger.
fn key_of(charger: &str, session_or_tag: &str) -> String {
    format!("{charger}/{session_or_tag}")
}

/// Delivers held commands of chargers that are here; never ends.
pub(super) async fn deliver_held(shared: &Shared, answers: &OwnAnswers, part: &Part, started_ms: i64) {
    let mut answered = None;
    loop {
        let wait = shared.held.next_due().map_or(KEPT, |at| at.saturating_duration_since(Instant::now()));
        if !wait.is_zero() {
            let told = tokio::time::timeout(wait, shared.held.wake.notified()).await.is_ok();
            if !told && wait == KEPT {
                answered = None;
            }
            continue;
        }
        if let Err(error) = deliver_due(shared, answers, &mut answered, started_ms).await {
            // They stay held: what cannot be looked up is not sent, as it might be sent twice.
            part.degrade(&error.to_string());
            tracing::warn!(%error, "held commands wait: the log cannot be read");
            answered = None;
            tokio::time::sleep(WAIT).await;
        }
    }
}

async fn deliver_due(
    shared: &Shared,
    answers: &OwnAnswers,
    answered: &mut Option<Answered>,
    started_ms: i64,
) -> Result<(), LogError> {
    let (chargers, oldest_ms) = shared.held.due(Instant::now());
    let mut reader = match answered.take() {
        Some(reader) if reader.from_ms <= oldest_ms.saturating_sub(SLACK_MS) => reader,
        _ => Answered::open(shared, oldest_ms)?,
    };
    reader.catch_up().await?;
    for charger in &chargers {
        shared.held.release(charger, |held| {
            // One that came while the log was read is looked up in the next round.
            held.appended_at_ms >= oldest_ms && deliver(shared, answers, &reader, held, started_ms)
        });
        if shared.held.has(charger) && shared.live.find(charger).is_some() {
            shared.held.logged_in(charger);
        }
    }
    *answered = Some(reader);
    Ok(())
}

/// True if nothing more has to be done about it.
fn deliver(shared: &Shared, answers: &OwnAnswers, log: &Answered, held: &HeldCommand, started_ms: i64) -> bool {
    let command = &held.command;
    if log.knows(command) {
        shared.metrics.command_answered.increment(1);
        return true;
    }
    let Some(seat) = shared.live.find(&command.charger) else { return false };
    if held.appended_at_ms < started_ms && !may_be_repeated(command) {
        // A process that was killed may have sent it and not heard, or not told, the answer.
        answers.say(shared, &seat, command, CommandOutcome::ConnectionLost, "restart");
        return true;
    }
    hand_over(shared, answers, &seat, Arc::clone(command));
    true
}

/// Doing it twice does what doing it once does: starts name their session, the rest sets a state. Not so a reboot, and who knows what
/// a raw call does.
const fn may_be_repeated(command: &Command) -> bool {
    !matches!(&command.action, Some(Action::Reboot(_) | Action::SendOcppCall(_)))
}
