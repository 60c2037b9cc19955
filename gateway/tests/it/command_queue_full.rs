//! A shard that has no room for a command: told, not swallowed.

use events::{
    commands::{SyncTime, command::Action},
    proto::CommandOutcome,
};

use crate::common::{
    Rig,
    command::{command, issue, outcome},
    registry, ykc,
};

#[tokio::test]
async fn a_full_shard_leads_to_an_answer_although_the_shard_hangs() {
    let rig = Rig::with(|config| config.commands.shard_queue = 1).await;
    let mut pile = rig.pile(registry::PILE).await;
    // The shard hangs in the append of another pile's event; the followers do not.
    let mut other = rig.pile(registry::PILE_B).await;
    rig.log.block_on(Some(registry::PILE_B));
    let idle = ykc::real_time(registry::PILE_B, codecs::ykc::GunState::Idle, false, codecs::ykc::TradeNo::ZERO);
    other.send(&idle).await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    issue(&rig.log, &command("fits", registry::PILE, Action::SyncTime(SyncTime {})));
    issue(&rig.log, &command("too much", registry::PILE, Action::SyncTime(SyncTime {})));
    assert_eq!(outcome(&rig, "too much", CommandOutcome::QueueFull).await, "shard");
    rig.log.block_on(None);
    pile.expect(codecs::ykc::kind::TIME_SYNC).await;
    rig.drained().await;
}

#[tokio::test]
async fn the_answer_waits_for_room_in_the_log() {
    let rig = Rig::with(|config| config.commands.shard_queue = 1).await;
    let _pile = rig.pile(registry::PILE).await;
    let mut other = rig.pile(registry::PILE_B).await;
    rig.log.block_on(Some(registry::PILE_B));
    let idle = ykc::real_time(registry::PILE_B, codecs::ykc::GunState::Idle, false, codecs::ykc::TradeNo::ZERO);
    other.send(&idle).await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    issue(&rig.log, &command("fits", registry::PILE, Action::SyncTime(SyncTime {})));
    issue(&rig.log, &command("too much", registry::PILE, Action::SyncTime(SyncTime {})));
    rig.log.full(true);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    rig.log.full(false);
    outcome(&rig, "too much", CommandOutcome::QueueFull).await;
    rig.log.block_on(None);
    rig.drained().await;
}
