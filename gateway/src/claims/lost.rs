//! The chargers of a process that died: nobody is left who could say that they are gone, so another one says it. A charger that has
//! come back has a newer epoch, and what is said of the older one changes nothing.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use events::{
    envelope::{Head, encode_body, next_event_id},
    log::{Ack, AckSink, Append, AppendError, LogError, NotDurable, Position, Start},
    prost::Message as _,
    proto::{Disconnected, Envelope, GatewayState, Protocol, envelope::Body},
    topic::Topic,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{BATCH, WAIT, alive::report};
use crate::{
    registry::Seat,
    session::GATEWAY_LOST,
    shard::{Shared, inbox::News},
};

/// So many at once, and so often: 5,000 a second, so that the events of living chargers find room beside them.
const AT_ONCE: usize = 500;
const PACE: Duration = Duration::from_millis(100);

/// The last connection of a charger, as a claim names it.
#[derive(Clone, Debug)]
pub(super) struct Gone {
    pub charger: String,
    pub tenant: u64,
    pub protocol: Protocol,
    pub epoch: u64,
}

impl Gone {
    /// Says to the log that it has ended.
    pub fn say(&self, shared: &Shared, reason: &str, ack: Ack) -> Result<(), AppendError> {
        let now_ms = shared.clock.now_ms();
        let head = Head {
            event_id: next_event_id(now_ms),
            tenant: self.tenant,
            charger: &self.charger,
            connector: 0,
            protocol: self.protocol,
            epoch: self.epoch,
            // Not said by the connection, which counted its own.
            number: 0,
            occurred_at_ms: now_ms,
            received_at_ms: now_ms,
            node: &shared.config.node,
            traceparent: "",
        };
        let mut buffer = Vec::with_capacity(128);
        encode_body(&head, &[], &Body::Disconnected(Disconnected { reason: reason.to_owned() }), &mut buffer);
        let key = self.charger.as_bytes();
        shared.log.append(Append { topic: Topic::Device, key, payload: Some(&buffer), headers: &[] }, ack)?;
        shared.metrics.published(Topic::Device);
        Ok(())
    }
}

/// Whose claims.
#[derive(Clone, Debug)]
pub(super) enum Whose {
    /// Every earlier process of our node. Who has been said to be lost by another node counts again: its spool, which came into
    /// the log since, may have said that a charger came.
    OurNode,
    /// These processes, of which nothing is heard any more.
    These(HashSet<u64>),
}

/// What stands of them in the log.
#[derive(Debug, Default)]
struct Found {
    chargers: Vec<Gone>,
    processes: HashSet<u64>,
}

/// Says of the last claims of dead processes that their chargers are gone, until the log has all of it, or until `stop`.
pub(super) async fn settle(shared: Arc<Shared>, whose: Whose, stop: CancellationToken) {
    loop {
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = try_settle(&shared, &whose) => outcome,
        };
        let Err(error) = outcome else { return };
        tracing::warn!(%error, "the chargers of a gateway that died cannot be given up yet");
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(WAIT) => {}
        }
    }
}

async fn try_settle(shared: &Shared, whose: &Whose) -> Result<(), NotDurable> {
    let said = |process, state| {
        let (log, node) = (&*shared.log, &shared.config.node);
        report(log, process, shared.process, state, node, shared.clock.now_ms())
    };
    let found = find(shared, whose).await?;
    // Whoever of them was only frozen has to hear it, also if we do not come to the end. It ends its sessions then, which began before
    // this or are not among what was found.
    for process in &found.processes {
        said(*process, GatewayState::Suspected).await?;
    }
    if !found.chargers.is_empty() {
        tracing::warn!(
            chargers = found.chargers.len(),
            processes = found.processes.len(),
            "a gateway's process died; saying for it that its chargers are gone"
        );
    }
    let mut turn = Instant::now();
    for some in found.chargers.chunks(AT_ONCE) {
        tokio::time::sleep_until(turn).await;
        turn = Instant::now() + PACE;
        give_up(shared, some).await;
    }
    for process in &found.processes {
        said(*process, GatewayState::Lost).await?;
        tracing::info!("the chargers of a gateway's process that died are given up");
    }
    if let Whose::These(processes) = whose {
        // Who lives after all is heard again.
        shared.alive.watch().forget(processes);
    }
    Ok(())
}

/// Reads the topic once, from its start to its end: only who has died costs memory, and only now.
async fn find(shared: &Shared, whose: &Whose) -> Result<Found, LogError> {
    let mut subscription = shared.log.tail(&[Topic::Session], Start::Beginning)?;
    let mut last: HashMap<String, (Gone, u64)> = HashMap::new();
    let mut settled: HashSet<u64> = HashSet::new();
    loop {
        let batch = subscription.poll(BATCH, WAIT).await?;
        for record in &batch.records {
            let Some(Ok(envelope)) = record.payload.as_deref().map(Envelope::decode) else { continue };
            match &envelope.body {
                Some(Body::SessionClaimed(claim)) => {
                    let dead = !claim.released
                        && match whose {
                            Whose::OurNode => envelope.node == shared.config.node && claim.process != shared.process,
                            Whose::These(processes) => processes.contains(&claim.process),
                        };
                    if dead {
                        let (tenant, protocol, epoch) = (envelope.tenant, envelope.protocol(), envelope.epoch);
                        let gone = Gone { charger: envelope.charger.clone(), tenant, protocol, epoch };
                        last.insert(envelope.charger, (gone, claim.process));
                    } else {
                        last.remove(&envelope.charger);
                    }
                }
                Some(Body::GatewayReported(it)) => {
                    let counts = match whose {
                        Whose::OurNode => {
                            // Also one that died when nobody else lived is to be missed.
                            shared.alive.watch().heard(Instant::now(), it);
                            envelope.node == shared.config.node
                        }
                        Whose::These(_) => true,
                    };
                    match it.state() {
                        GatewayState::Left | GatewayState::Lost if counts => drop(settled.insert(it.process)),
                        GatewayState::Alive => drop(settled.remove(&it.process)),
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        if batch.at_end {
            break;
        }
    }
    let mut found = Found::default();
    if let Whose::These(processes) = whose {
        // Without claims as well: nobody is to ask again.
        found.processes.extend(processes.difference(&settled));
    }
    for (gone, process) in last.into_values() {
        if settled.contains(&process) {
            continue;
        }
        found.processes.insert(process);
        // Who is in the registry no more is nobody's charger.
        if shared.replica.charger(&gone.charger).is_some_and(|known| known.tenant == gone.tenant) {
            found.chargers.push(gone);
        }
    }
    Ok(found)
}

/// Hears what the log did with each, by its place.
struct Heard(mpsc::Sender<(u64, bool)>);

impl AckSink for Heard {
    fn acked(&self, token: u64, outcome: Result<Position, LogError>) {
        // There is room for each. Err: nobody waits any more.
        let _ = self.0.try_send((token, outcome.is_ok()));
    }

    fn keeps(&self) -> bool {
        true
    }
}

/// Says it of each until the log has it.
async fn give_up(shared: &Shared, chargers: &[Gone]) {
    let mut left: Vec<&Gone> = chargers.iter().collect();
    while !left.is_empty() {
        let (sender, mut heard) = mpsc::channel(AT_ONCE);
        let sink: Arc<dyn AckSink> = Arc::new(Heard(sender));
        let mut failed = Vec::new();
        for (token, gone) in (0_u64..).zip(&left) {
            if gone.say(shared, GATEWAY_LOST, Ack::Notify { sink: Arc::clone(&sink), token }).is_err() {
                failed.push(*gone);
            }
        }
        drop(sink);
        while let Some((token, durable)) = heard.recv().await {
            match usize::try_from(token).ok().and_then(|place| left.get(place)) {
                Some(gone) if !durable => failed.push(gone),
                Some(_) => shared.metrics.given_up.increment(1),
                None => {}
            }
        }
        left = failed;
        if !left.is_empty() {
            tokio::time::sleep(WAIT).await;
        }
    }
}

/// Others were told that our chargers are gone, but we live: they come back as new ones, at a pace.
pub(super) async fn come_back(shared: Arc<Shared>, seats: Vec<Arc<Seat>>) {
    tracing::error!(
        sessions = seats.len(),
        "others took this gateway for dead, it said nothing for gateway.node_lost_ms; its chargers have to log in again"
    );
    for some in seats.chunks(AT_ONCE) {
        for seat in some {
            shared.tell(Arc::clone(seat), News::GivenUp);
        }
        tokio::time::sleep(PACE).await;
    }
}
