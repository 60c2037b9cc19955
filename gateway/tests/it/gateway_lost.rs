//! A gateway that dies says no end of its sessions: the next process of its node does, or the other gateways when nothing is heard of
//! it any more. Whoever came back meanwhile, or was only frozen, is connected in the end.

use std::{collections::HashMap, sync::Arc, time::Duration};

use events::{
    prost::Message as _,
    proto::{GatewayReported, GatewayState, envelope::Body},
    topic::Topic,
};

use crate::common::{MemoryLog, PATIENCE, Rig, counter, eventually, registry};

const LOST_MS: u64 = 3_000;

async fn node(log: &Arc<MemoryLog>, name: &str) -> Rig {
    Rig::over(log.view(), |config| {
        name.clone_into(&mut config.node);
        config.node_lost_ms = LOST_MS;
    })
    .await
}

fn log() -> Arc<MemoryLog> {
    let log = Arc::new(MemoryLog::default());
    registry::fill(&log);
    log
}

/// As a consumer of `ev.device.v1` sees it: online, by the newest epoch that has spoken.
fn online(rig: &Rig, charger: &str) -> bool {
    let mut state = (0, false);
    for envelope in rig.envelopes(Topic::Device).iter().filter(|envelope| envelope.charger == charger) {
        if envelope.epoch >= state.0 {
            match envelope.body {
                Some(Body::Connected(_)) => state = (envelope.epoch, true),
                Some(Body::Disconnected(_)) => state = (envelope.epoch, false),
                _ => state.0 = envelope.epoch,
            }
        }
    }
    state.1
}

/// Charger, epoch and node of every end that was said with the reason.
fn given_up(rig: &Rig) -> Vec<(String, u64, String)> {
    let said = |body: &Option<Body>| matches!(body, Some(Body::Disconnected(left)) if left.reason == "gateway_lost");
    let device = rig.envelopes(Topic::Device).into_iter().filter(|envelope| said(&envelope.body));
    device.map(|envelope| (envelope.charger, envelope.epoch, envelope.node)).collect()
}

/// What was last said of each process.
fn states(rig: &Rig) -> HashMap<u64, GatewayState> {
    let reports = rig.envelopes(Topic::Session).into_iter().filter_map(|envelope| match envelope.body {
        Some(Body::GatewayReported(report)) => Some((report.process, report.state())),
        _ => None,
    });
    reports.collect()
}

fn are(rig: &Rig, wanted: GatewayState) -> usize {
    states(rig).values().filter(|state| **state == wanted).count()
}

/// A gateway that died: what it says from here on is said to nobody. (A task cannot be killed, its log can be taken away.)
fn die(rig: &Rig) {
    rig.log.cut_off();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_process_of_a_node_gives_up_what_the_one_before_had() {
    let log = log();
    let a = node(&log, "a").await;
    let _pile = a.pile(registry::PILE).await;
    let _station = a.station(registry::STATION).await;
    let watcher = node(&log, "b").await;
    eventually(|| (online(&watcher, registry::PILE) && online(&watcher, registry::STATION)).then_some(())).await;
    die(&a);
    let before = counter("evgate_chargers_given_up_total", &[]);
    // Its device topic refuses at first.
    let next = log.view();
    next.refuse(Some(Topic::Device));
    let next = Rig::over(next, |config| {
        "a".clone_into(&mut config.node);
        config.node_lost_ms = 0;
    })
    .await;
    log.refuse(None);
    eventually(|| (!online(&next, registry::PILE) && !online(&next, registry::STATION)).then_some(())).await;
    eventually(|| (are(&next, GatewayState::Lost) == 1).then_some(())).await;
    assert_eq!(given_up(&next).len(), 2);
    assert!(counter("evgate_chargers_given_up_total", &[]) >= before + 2.0);
    // One that comes back is newer, whoever says whatever of before.
    let mut back = next.pile(registry::PILE).await;
    back.beats(registry::PILE).await;
    eventually(|| online(&next, registry::PILE).then_some(())).await;
    // The process after it has only the last one's to give up.
    die(&next);
    let after = node(&log, "a").await;
    eventually(|| (!online(&after, registry::PILE)).then_some(())).await;
    eventually(|| (are(&after, GatewayState::Lost) == 2).then_some(())).await;
    assert_eq!(given_up(&after).len(), 3);
    watcher.drained().await;
    after.drained().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_others_give_up_a_node_that_does_not_come_back() {
    let log = log();
    let (a, b, c) = (node(&log, "a").await, node(&log, "b").await, node(&log, "c").await);
    let _pile = a.pile(registry::PILE).await;
    let mut station = b.station(registry::STATION).await;
    let mut moved = a.pile(registry::PILE_B).await;
    let mut here = b.pile(registry::PILE_B).await;
    moved.closed().await;
    eventually(|| (are(&b, GatewayState::Alive) == 3).then_some(())).await;
    die(&a);
    eventually(|| (!online(&b, registry::PILE)).then_some(())).await;
    eventually(|| (are(&b, GatewayState::Lost) == 1).then_some(())).await;
    let said = given_up(&b);
    assert!(said.iter().all(|(charger, ..)| charger == registry::PILE), "{said:?}");
    assert!(online(&b, registry::STATION) && online(&b, registry::PILE_B));
    station.beats().await;
    here.beats(registry::PILE_B).await;
    b.drained().await;
    c.drained().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_drains_is_missed_by_nobody() {
    let log = log();
    let (a, b) = (node(&log, "a").await, node(&log, "b").await);
    let pile = a.pile(registry::PILE).await;
    a.drained().await;
    drop(pile);
    assert_eq!(are(&b, GatewayState::Left), 1);
    let _next = node(&log, "a").await;
    tokio::time::sleep(Duration::from_millis(2 * LOST_MS)).await;
    assert_eq!(given_up(&b), []);
    assert_eq!(are(&b, GatewayState::Left), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_only_frozen_has_its_chargers_log_in_again() {
    let log = log();
    let (a, b) = (node(&log, "a").await, node(&log, "b").await);
    let mut pile = a.pile(registry::PILE).await;
    let mut station = a.station(registry::STATION).await;
    eventually(|| (are(&b, GatewayState::Alive) == 2).then_some(())).await;
    // It neither hears nor says anything.
    a.log.lag_behind(true);
    a.log.mute(true);
    eventually(|| (are(&b, GatewayState::Lost) == 1).then_some(())).await;
    assert!(!online(&b, registry::PILE) && !online(&b, registry::STATION));
    a.log.mute(false);
    a.log.lag_behind(false);
    pile.closed().await;
    assert_eq!(station.close_code().await, Some(1012));
    let mut pile = a.pile(registry::PILE).await;
    let mut station = a.station(registry::STATION).await;
    pile.beats(registry::PILE).await;
    station.beats().await;
    eventually(|| (online(&b, registry::PILE) && online(&b, registry::STATION)).then_some(())).await;
    eventually(|| (are(&b, GatewayState::Alive) == 2).then_some(())).await;
    pile.silence(1_000).await;
    assert!(online(&b, registry::PILE) && online(&b, registry::STATION));
    a.drained().await;
    b.drained().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_away_makes_nobody_dead() {
    let log = log();
    let (a, b) = (node(&log, "a").await, node(&log, "b").await);
    let mut pile = a.pile(registry::PILE).await;
    eventually(|| (are(&b, GatewayState::Alive) == 2).then_some(())).await;
    log.refuse(Some(Topic::Session));
    tokio::time::sleep(Duration::from_millis(2 * LOST_MS)).await;
    log.refuse(None);
    tokio::time::sleep(Duration::from_millis(LOST_MS / 2)).await;
    pile.beats(registry::PILE).await;
    assert_eq!((given_up(&b).len(), are(&b, GatewayState::Alive)), (0, 2));
    a.drained().await;
    b.drained().await;
}

/// A thousand chargers of a process that died long ago, of which the registry knows three.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_the_registry_has_is_given_up() {
    let log = log();
    let a = node(&log, "a").await;
    let _piles = (a.pile(registry::PILE).await, a.station(registry::STATION).await);
    eventually(|| (a.envelopes(Topic::Session).len() >= 3).then_some(())).await;
    die(&a);
    let mut claim = a.envelopes(Topic::Session).into_iter().find(|claim| claim.charger == registry::PILE).unwrap();
    for number in 0..1_000 {
        claim.charger = format!("2222{number:010}");
        log.put(Topic::Session, &claim.charger, &claim.encode_to_vec());
    }
    let report = GatewayReported { process: 7, state: GatewayState::Alive.into(), by: 7 };
    claim.charger.clear();
    claim.body = Some(Body::GatewayReported(report));
    log.put(Topic::Session, "process/0000000000000007", &claim.encode_to_vec());
    let next = node(&log, "a").await;
    eventually(|| (are(&next, GatewayState::Lost) >= 1).then_some(())).await;
    let mut said: Vec<String> = given_up(&next).into_iter().map(|(charger, ..)| charger).collect();
    said.sort();
    assert_eq!(said, [registry::PILE, registry::STATION]);
    // Nobody else lives; the one without a charger is settled as well.
    let settled = || states(&next)[&7] == GatewayState::Lost;
    tokio::time::timeout(PATIENCE, eventually(|| settled().then_some(()))).await.unwrap();
    next.drained().await;
}
