//! A defect in one session ends that session, not the shard.

use crate::common::{Rig, counter, eventually, registry, ykc};

#[tokio::test]
async fn others_go_on() {
    let rig = Rig::start().await;
    let before = counter("evgate_session_panics_total", &[]);
    let mut other = rig.pile(registry::PILE_B).await;
    let mut pile = rig.pile(registry::PILE).await;
    rig.log.panic_on(registry::PILE);
    pile.send(&ykc::record(registry::PILE, ykc::trade(registry::PILE, 1))).await;
    eventually(|| (counter("evgate_session_panics_total", &[]) > before).then_some(())).await;
    other.beats(registry::PILE_B).await;
    let mut station = rig.station(registry::STATION).await;
    station.beats().await;
    rig.drained().await;
}
