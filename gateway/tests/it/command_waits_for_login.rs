//! A command whose charger is not connected here waits for it, until it expires.

use std::sync::Arc;

use codecs::ykc::kind;
use events::{
    clock::Clock,
    commands::{Command, ReadLiveData, SyncTime, command::Action},
    proto::CommandOutcome,
};

use crate::common::{
    Rig,
    command::{command, issue, outcome},
    counter, eventually, registry,
};

fn expires_in(ms: i64, command: Command) -> Command {
    Command { expires_at_ms: Clock::REAL.now_ms() + ms, ..command }
}

#[tokio::test]
async fn it_is_delivered_after_the_login() {
    let rig = Rig::start().await;
    let mut other = rig.pile(registry::PILE_B).await;
    issue(&rig.log, &expires_in(60_000, command("c1", registry::PILE, Action::SyncTime(SyncTime {}))));
    issue(&rig.log, &expires_in(60_000, command("c2", registry::PILE, Action::ReadLiveData(ReadLiveData {}))));
    other.silence(50).await;
    let mut pile = rig.pile(registry::PILE).await;
    pile.expect(kind::TIME_SYNC).await;
    pile.expect(kind::READ_REAL_TIME).await;
    other.silence(1).await;
    rig.drained().await;
}

#[tokio::test]
async fn without_other_gateways_it_is_delivered_at_once() {
    let rig = Rig::with(|config| config.claims = false).await;
    issue(&rig.log, &expires_in(60_000, command("c1", registry::PILE, Action::SyncTime(SyncTime {}))));
    let begun = std::time::Instant::now();
    let mut pile = rig.pile(registry::PILE).await;
    pile.expect(kind::TIME_SYNC).await;
    assert!(begun.elapsed().as_millis() < 900, "{:?}", begun.elapsed());
    rig.drained().await;
}

#[tokio::test]
async fn when_it_expires_first_nobody_says_a_word() {
    let rig = Rig::start().await;
    let before = counter("evgate_commands_skipped_total", &["not_here"]);
    issue(&rig.log, &expires_in(50, command("late", registry::PILE, Action::SyncTime(SyncTime {}))));
    eventually(|| (counter("evgate_commands_skipped_total", &["not_here"]) > before).then_some(())).await;
    let mut pile = rig.pile(registry::PILE).await;
    pile.silence(100).await;
    let answered = |body: &_| matches!(body, events::proto::envelope::Body::CommandAnswered(_)).then_some(());
    let said = rig.envelopes(events::topic::Topic::Device);
    assert!(said.iter().filter_map(|envelope| envelope.body.as_ref()).find_map(answered).is_none());
    rig.drained().await;
}

#[tokio::test]
async fn it_expires_on_the_way_and_says_so() {
    let rig = Rig::start().await;
    issue(&rig.log, &expires_in(600, command("late", registry::PILE, Action::SyncTime(SyncTime {}))));
    let mut pile = rig.pile(registry::PILE).await;
    outcome(&rig, "late", CommandOutcome::Expired).await;
    pile.silence(50).await;
    rig.drained().await;
}

/// Two gateways over one log: the one that has no session of the charger does nothing, also when the charger comes to it later.
#[tokio::test]
async fn another_node_does_not_repeat_what_one_has_done() {
    let a = Rig::with(|config| config.node = "a".into()).await;
    let b = Rig::over(Arc::clone(&a.log), |config| config.node = "b".into()).await;
    let mut pile = a.pile(registry::PILE).await;
    issue(&a.log, &expires_in(60_000, command("c1", registry::PILE, Action::ReadLiveData(ReadLiveData {}))));
    pile.expect(kind::READ_REAL_TIME).await;
    // Not answered yet; the charger goes to b, which fences it at a: a says that the command is lost, b does not send it.
    let before = counter("evgate_commands_skipped_total", &["answered"]);
    let mut moved = b.pile(registry::PILE).await;
    outcome(&b, "c1", CommandOutcome::ConnectionLost).await;
    eventually(|| (counter("evgate_commands_skipped_total", &["answered"]) > before).then_some(())).await;
    moved.silence(50).await;
    pile.closed().await;
    a.drained().await;
    b.drained().await;
}
