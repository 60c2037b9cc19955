//! Several piles on one connection: routed by the pile id in each body.

use codecs::ykc::kind;
use events::{proto::envelope::Body, topic::Topic};

use crate::common::{Rig, registry, ykc};

#[tokio::test]
async fn piles_share_a_connection_and_only_logged_in_ones_are_answered() {
    let rig = Rig::start().await;
    let mut line = rig.pile(registry::PILE).await;
    // The other pile is not logged in here: silence.
    line.send(&ykc::heartbeat(registry::PILE_B)).await;
    line.send(&ykc::record(registry::PILE_B, ykc::trade(registry::PILE_B, 1))).await;
    line.silence(80).await;
    line.log_in(registry::PILE_B).await;
    line.beats(registry::PILE).await;
    line.beats(registry::PILE_B).await;
    line.send(&ykc::record(registry::PILE_B, ykc::trade(registry::PILE_B, 1))).await;
    assert_eq!(line.expect(kind::RECORD_CONFIRM).await.body[..16], ykc::trade(registry::PILE_B, 1).0);
    // A refused third does not cost the others their connection.
    line.send(&ykc::login(registry::PILE_OFF)).await;
    assert_eq!(line.expect(kind::LOGIN_ACK).await.body[7], 1);
    line.beats(registry::PILE).await;
    rig.drained().await;
}

#[tokio::test]
async fn a_pile_that_moves_to_its_own_connection_leaves_the_others_alone() {
    let rig = Rig::start().await;
    let mut line = rig.pile(registry::PILE).await;
    line.log_in(registry::PILE_B).await;
    let mut own = rig.pile(registry::PILE_B).await;
    line.beats(registry::PILE).await;
    own.beats(registry::PILE_B).await;
    // On the old line it is a stranger now.
    line.send(&ykc::heartbeat(registry::PILE_B)).await;
    line.silence(80).await;
    line.beats(registry::PILE).await;
    let gone = rig.envelopes(Topic::Device).iter().any(|e| matches!(e.body, Some(Body::Disconnected(_))));
    assert!(!gone);
    rig.drained().await;
}

#[tokio::test]
async fn the_number_of_piles_per_connection_is_limited() {
    let rig = Rig::with(|config| config.ykc.piles_per_connection = 1).await;
    let mut line = rig.pile(registry::PILE).await;
    line.send(&ykc::login(registry::PILE_B)).await;
    assert_eq!(line.expect(kind::LOGIN_ACK).await.body[7], 1);
    line.beats(registry::PILE).await;
    rig.drained().await;
}
