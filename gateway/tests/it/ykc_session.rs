//! YKC: power-up, card and VIN starts, and what a session looks like in the log.

use codecs::ykc::{self as codec, Card, Flag, Gun, GunState, StartMode, TradeNo, Vin, kind};
use events::{proto::envelope::Body, topic::Topic};

use crate::common::{Rig, registry, ykc};

#[tokio::test]
async fn power_up_with_tariff_and_time() {
    let rig = Rig::start().await;
    let mut pile = rig.ykc().await;
    let seq = pile.send(&ykc::login(registry::PILE)).await;
    let ack = pile.expect(kind::LOGIN_ACK).await;
    assert_eq!((ack.seq, &ack.body[..7], ack.body[7]), (seq, &ykc::pile(registry::PILE).0[..], 0));
    let sync = pile.expect(kind::TIME_SYNC).await;
    let told = codec::Cp56(sync.body[7..14].try_into().unwrap()).utc_ms().unwrap();
    let now = events::clock::Clock::REAL.now_ms();
    assert!((now - told).abs() < 5_000);
    pile.send(&codec::TimeSyncReply { pile: ykc::pile(registry::PILE), time: codec::Cp56::from_utc_ms(now + 90_000) })
        .await;
    let skew = rig.event(Topic::Device, |_, body| match body {
        Body::ClockReported(clock) => Some(clock.skew_ms),
        _ => None,
    });
    assert!((skew.await - 90_000).abs() < 5_000);

    pile.send(&codec::ModelCheck { pile: ykc::pile(registry::PILE), model_no: [0, 0] }).await;
    let check = pile.expect(kind::MODEL_CHECK_ACK).await;
    assert_eq!((&check.body[7..9], check.body[9]), (&[1, 0][..], 1), "differs");
    pile.send(&codec::ModelRequest { pile: ykc::pile(registry::PILE) }).await;
    let model = pile.expect(kind::MODEL_ANSWER).await;
    assert_eq!(model.body.len(), 90);
    let view = codec::BillingModelView::new_checked(kind::MODEL_ANSWER, &model.body).unwrap();
    let sent = gateway::translate::ykc::registry_model(&view);
    assert_eq!(sent.energy_price_p5, registry::model().energy_price_p5);
    assert_eq!(sent.half_hours, registry::model().half_hours);
    pile.send(&codec::ModelCheck { pile: ykc::pile(registry::PILE), model_no: [1, 0] }).await;
    assert_eq!(pile.expect(kind::MODEL_CHECK_ACK).await.body[9], 0, "same");
    rig.drained().await;
}

#[tokio::test]
async fn unknown_and_disabled_piles_are_refused_and_closed() {
    let rig = Rig::start().await;
    for id in ["99999999999999", registry::PILE_OFF] {
        let mut pile = rig.ykc().await;
        pile.send(&ykc::login(id)).await;
        assert_eq!(pile.expect(kind::LOGIN_ACK).await.body[7], 1);
        assert_eq!(pile.next().await, None);
    }
    assert!(rig.envelopes(Topic::Device).is_empty());
    rig.drained().await;
}

fn request(mode: StartMode, card: Card, vin: Vin) -> codec::StartRequest {
    codec::StartRequest {
        pile: ykc::pile(registry::PILE),
        gun: Gun(1),
        start_mode: mode,
        password_needed: Flag::No,
        physical_card: card,
        password: [0; 16],
        vin,
    }
}

#[tokio::test]
async fn cards_and_vins_are_judged_by_the_replica() {
    let rig = Rig::start().await;
    let mut pile = rig.pile(registry::PILE).await;
    let card = |uid: &str| uid.parse::<Card>().unwrap();
    for (request, code) in [
        (request(StartMode::Card, card("1111111111111111"), Vin::NONE), 1),
        (request(StartMode::Card, card(registry::CARD_BLOCKED), Vin::NONE), 2),
        (request(StartMode::Card, card(registry::CARD_POOR), Vin::NONE), 3),
        (request(StartMode::Vin, Card::ZERO, Vin::new("LA370ADN2SJ188999").unwrap().reversed()), 9),
        (request(StartMode::Account, card(registry::CARD), Vin::NONE), 1),
    ] {
        pile.send(&request).await;
        let answer = pile.expect(kind::START_ANSWER).await;
        assert_eq!((answer.body[36], answer.body[37]), (0, code), "{request:?}");
    }
    pile.send(&request(StartMode::Card, card(registry::CARD), Vin::NONE)).await;
    let answer = pile.expect(kind::START_ANSWER).await;
    assert_eq!((answer.body[36], answer.body[37]), (1, 0));
    assert_eq!(answer.body[32..36], 10_000_u32.to_le_bytes());
    let trade_no = TradeNo(answer.body[..16].try_into().unwrap());
    assert_eq!((trade_no.pile(), trade_no.gun()), (ykc::pile(registry::PILE), Gun(1)));
    assert!(trade_no.0[14] >= 0x50, "the gateway's half of the counter");
    // Asked again before anything started: the same session.
    pile.send(&request(StartMode::Card, card(registry::CARD), Vin::NONE)).await;
    assert_eq!(pile.expect(kind::START_ANSWER).await.body[..16], trade_no.0);
    let authorized = rig.event(Topic::Device, |_, body| match body {
        Body::SessionAuthorized(authorized) => Some(authorized.clone()),
        _ => None,
    });
    let authorized = authorized.await;
    assert_eq!((authorized.session, authorized.token), (trade_no.to_string(), registry::CARD.to_owned()));
    assert_eq!(authorized.tariff, "S01/1");
    // A VIN in either order.
    for vin in [Vin::new(registry::VIN).unwrap(), Vin::new(registry::VIN).unwrap().reversed()] {
        pile.send(&request(StartMode::Vin, Card::ZERO, vin)).await;
        assert_eq!(pile.expect(kind::START_ANSWER).await.body[36], 1);
    }
    // While a session runs on the gun no other may start.
    pile.send(&ykc::real_time(registry::PILE, GunState::Charging, true, trade_no)).await;
    pile.send(&request(StartMode::Card, card(registry::CARD), Vin::NONE)).await;
    let answer = pile.expect(kind::START_ANSWER).await;
    assert_eq!((answer.body[36], answer.body[37]), (0, 0x0a));
    rig.drained().await;
}

#[tokio::test]
async fn no_session_starts_before_the_record_of_the_one_before_is_in() {
    let rig = Rig::start().await;
    let mut pile = rig.pile(registry::PILE).await;
    let trade_no = ykc::trade(registry::PILE, 1);
    pile.send(&ykc::real_time(registry::PILE, GunState::Charging, true, trade_no)).await;
    // The plug is pulled: the session is over, its bill is not here.
    pile.send(&ykc::real_time(registry::PILE, GunState::Idle, false, TradeNo::ZERO)).await;
    let start = request(StartMode::Card, registry::CARD.parse().unwrap(), Vin::NONE);
    for _ in 0..2 {
        pile.send(&start).await;
        let answer = pile.expect(kind::START_ANSWER).await;
        assert_eq!((answer.body[36], answer.body[37]), (0, 0x0a));
    }
    // The record of another session settles nothing.
    for (record, granted) in [(ykc::trade(registry::PILE, 9), (0, 0x0a)), (trade_no, (1, 0))] {
        pile.send(&ykc::record(registry::PILE, record)).await;
        pile.expect(kind::RECORD_CONFIRM).await;
        pile.send(&start).await;
        let answer = pile.expect(kind::START_ANSWER).await;
        assert_eq!((answer.body[36], answer.body[37]), granted);
    }
    let alarms: Vec<_> = rig
        .envelopes(Topic::Device)
        .into_iter()
        .filter_map(|envelope| match envelope.body? {
            Body::AlarmRaised(alarm) if alarm.code == "record_missing" => Some((alarm.detail, alarm.active)),
            _ => None,
        })
        .collect();
    assert_eq!(alarms, [(trade_no.to_string(), true), (trade_no.to_string(), false)], "told once, and taken back");
    rig.drained().await;
}

#[tokio::test]
async fn a_record_that_never_comes_does_not_block_a_gun_for_ever() {
    let rig = Rig::with(|config| config.ykc.record_wait_ms = 300).await;
    let mut pile = rig.pile(registry::PILE).await;
    pile.send(&ykc::real_time(registry::PILE, GunState::Charging, true, ykc::trade(registry::PILE, 1))).await;
    pile.send(&ykc::real_time(registry::PILE, GunState::Idle, false, TradeNo::ZERO)).await;
    pile.beats(registry::PILE).await;
    pile.silence(400).await;
    pile.send(&request(StartMode::Card, registry::CARD.parse().unwrap(), Vin::NONE)).await;
    assert_eq!(pile.expect(kind::START_ANSWER).await.body[36], 1);
    rig.drained().await;
}

#[tokio::test]
async fn real_time_data_tells_status_start_and_end_once() {
    let rig = Rig::start().await;
    let mut pile = rig.pile(registry::PILE).await;
    let trade_no = ykc::trade(registry::PILE, 1);
    let frames = [
        ykc::real_time(registry::PILE, GunState::Idle, false, TradeNo::ZERO),
        ykc::real_time(registry::PILE, GunState::Idle, true, TradeNo::ZERO),
        ykc::real_time(registry::PILE, GunState::Charging, true, trade_no),
        ykc::real_time(registry::PILE, GunState::Charging, true, trade_no),
        ykc::real_time(registry::PILE, GunState::Idle, true, TradeNo::ZERO),
        ykc::real_time(registry::PILE, GunState::Idle, true, TradeNo::ZERO),
        ykc::real_time(registry::PILE, GunState::Idle, true, TradeNo::ZERO),
        ykc::real_time(registry::PILE, GunState::Idle, false, TradeNo::ZERO),
    ];
    for frame in &frames {
        pile.send(frame).await;
    }
    pile.beats(registry::PILE).await;
    let story: Vec<String> = rig
        .envelopes(Topic::Device)
        .iter()
        .filter_map(|envelope| match envelope.body.as_ref()? {
            Body::StatusChanged(status) => Some(status.status().as_str_name().replace("CONNECTOR_STATUS_", "")),
            Body::SessionStarted(started) => Some(format!("started {}", started.session == trade_no.to_string())),
            Body::SessionEnded(ended) => Some(format!("ended {}", ended.reason)),
            _ => None,
        })
        .collect();
    let expected =
        ["AVAILABLE", "OCCUPIED", "started true", "CHARGING", "OCCUPIED", "ended idle", "FINISHING", "AVAILABLE"];
    assert_eq!(story, expected);
    let samples = rig.envelopes(Topic::Telemetry);
    assert_eq!(samples.len(), frames.len());
    let Some(Body::MeterSampled(sample)) = &samples[2].body else { panic!() };
    assert_eq!((sample.energy_e4, sample.voltage_dv, sample.current_da), (Some(31_234), Some(4_000), Some(1_500)));
    assert_eq!((sample.power_w, sample.soc_percent, sample.temperature_c), (Some(60_000), Some(55), Some(30)));
    assert!(!sample.billable);
    rig.drained().await;
}
