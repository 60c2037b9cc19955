//! A card start is approved only when the log has it; otherwise it is refused after a short while, and the pile is served as ever.

use codecs::ykc::{self as codec, Card, Flag, Gun, StartMode, Vin, kind};
use events::{proto::envelope::Body, topic::Topic};

use crate::common::{Rig, counter, eventually, log::Acks, registry, ykc};

fn request() -> codec::StartRequest {
    codec::StartRequest {
        pile: ykc::pile(registry::PILE),
        gun: Gun(1),
        start_mode: StartMode::Card,
        password_needed: Flag::No,
        physical_card: registry::CARD.parse::<Card>().unwrap(),
        password: [0; 16],
        vin: Vin::NONE,
    }
}

/// Grant and refusal of a 0x32.
fn verdict(answer: &ykc::Got) -> (u8, u8) {
    (answer.body[36], answer.body[37])
}

fn authorized(rig: &Rig) -> Vec<String> {
    let session = |body| match body {
        Body::SessionAuthorized(authorized) => Some(authorized.session),
        _ => None,
    };
    rig.envelopes(Topic::Device).into_iter().filter_map(|envelope| session(envelope.body?)).collect()
}

#[tokio::test]
async fn yes_is_said_after_the_log_has_it() {
    let rig = Rig::start().await;
    let mut pile = rig.pile(registry::PILE).await;
    rig.log.acks(Acks::Held);
    let first = pile.send(&request()).await;
    eventually(|| (rig.log.held() == 1).then_some(())).await;
    pile.silence(100).await;
    pile.beats(registry::PILE).await;
    // Asked again meanwhile: one event, one answer, to the last question.
    let second = pile.send(&request()).await;
    pile.beats(registry::PILE).await;
    assert_eq!(rig.log.held(), 1);
    rig.log.settle(true);
    let answer = pile.expect(kind::START_ANSWER).await;
    assert_eq!((verdict(&answer), answer.seq), ((1, 0), second));
    assert_ne!(first, second);
    assert_eq!(authorized(&rig), [codec::TradeNo(answer.body[..16].try_into().unwrap()).to_string()]);
    pile.silence(50).await;
    rig.drained().await;
}

#[tokio::test]
async fn without_a_confirmation_in_time_it_is_refused_and_a_late_one_changes_nothing() {
    let rig = Rig::with(|config| config.money.start_ms = 150).await;
    let before = counter("evgate_starts_unrecorded_total", &[]);
    let mut pile = rig.pile(registry::PILE).await;
    for durable in [true, false] {
        rig.log.acks(Acks::Held);
        pile.send(&request()).await;
        pile.beats(registry::PILE).await;
        assert_eq!(verdict(&pile.expect(kind::START_ANSWER).await), (0, 5));
        rig.log.settle(durable);
        pile.silence(50).await;
        pile.beats(registry::PILE).await;
    }
    assert!(counter("evgate_starts_unrecorded_total", &[]) >= before + 2.0);
    // The log is well again: the same session, as it may be on record already.
    rig.log.acks(Acks::AtOnce);
    pile.send(&request()).await;
    let answer = pile.expect(kind::START_ANSWER).await;
    assert_eq!(verdict(&answer), (1, 0));
    let known = authorized(&rig);
    assert_eq!(known.len(), 3);
    assert!(known.iter().all(|session| *session == known[0]), "{known:?}");
    rig.drained().await;
}

#[tokio::test]
async fn a_failing_or_full_log_refuses_at_once_and_closes_nothing() {
    let rig = Rig::start().await;
    let mut pile = rig.pile(registry::PILE).await;
    rig.log.acks(Acks::Failed);
    pile.send(&request()).await;
    assert_eq!(verdict(&pile.expect(kind::START_ANSWER).await), (0, 5));
    rig.log.acks(Acks::AtOnce);
    rig.log.full(true);
    pile.send(&request()).await;
    assert_eq!(verdict(&pile.expect(kind::START_ANSWER).await), (0, 5));
    pile.beats(registry::PILE).await;
    rig.log.full(false);
    pile.send(&request()).await;
    assert_eq!(verdict(&pile.expect(kind::START_ANSWER).await), (1, 0));
    rig.drained().await;
}
