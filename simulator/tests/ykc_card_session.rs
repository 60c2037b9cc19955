//! A driver with a card, a driver with a VIN: from plug-in to a confirmed record that adds up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod platform;

use std::time::Duration;

use codecs::ykc::{GunState, Message, RecordRates, StartMode, TradeFlag, kind};
use platform::{YkcPlatform, config, until};
use simulator::rating::by_rates;
use simulator::tariff::FourRates;
use simulator::{ChargerConfig, Fleet, FleetEvent, SessionPlan, StartBy};
use tokio::time::Instant;

const VIN: &str = "LB370ADN2SJ188288";

#[tokio::test]
async fn two_sessions_over_a_price_boundary_add_up_to_the_last_digit() {
    let platform = YkcPlatform::start().await;
    // 7 kW: about three hours, which cross a price boundary wherever in the evening a busy machine lets them begin.
    let mut config = config(6_000);
    config.plan = SessionPlan {
        sessions: 2,
        starts: vec![StartBy::Card("00000000d14b0a54".into()), StartBy::Vin(VIN.into())],
        first_gap_ms: [0, 0],
        energy_e4: [200_000, 200_000],
        ..SessionPlan::default()
    };
    config.chargers = vec![ChargerConfig {
        tariff: Some("A".into()),
        rated_power_w: 7_000,
        ..ChargerConfig::ykc("32010600000001", platform.address.to_string())
    }];
    let fleet = Fleet::start(&config).unwrap();
    let mut events = fleet.events();
    assert!(fleet.wait_done(Instant::now() + Duration::from_secs(50)).await, "{:?}", fleet.progress());
    let outcome = fleet.stop(Instant::now() + Duration::from_secs(5)).await;
    assert_eq!((outcome.unsettled, outcome.ledger.open()), (0, 0));
    assert_eq!((outcome.progress.sessions_done, outcome.progress.records_acknowledged), (2, 2));
    assert_eq!(platform.bad(), 0);
    assert_eq!(outcome.progress.energy_e4, outcome.ledger.energy_e4(), "live energy is the sum of the sessions");

    let records = platform.records();
    assert_eq!(records.len(), 2);
    let four = four_rates();
    for (record, line) in records.iter().zip(&outcome.ledger.sessions) {
        let RecordRates::Four(rates) = record.rates else { panic!("four rates") };
        let sum: u64 = rates.iter().map(|r| u64::from(r.energy.0)).sum();
        let total = u64::from(record.total_energy.0);
        assert_eq!(sum, total, "rates add up");
        assert_eq!(record.meter_end.raw() - record.meter_start.raw(), total, "the meter moved as much");
        assert!((100_000..=400_000).contains(&total), "{total}");
        let amounts: u64 = rates.iter().map(|r| u64::from(r.amount.0)).sum();
        assert_eq!(amounts, u64::from(record.total_amount.0));
        for rate in rates {
            let exact = u64::from(rate.price.0) * u64::from(rate.energy.0);
            assert_eq!(u64::from(rate.amount.0), exact / 100_000, "cut, not rounded");
        }
        assert_eq!(line.session, record.trade_no.to_string());
        assert_eq!((line.energy_e4, line.transmissions, line.acknowledged), (total, 1, true));
        assert_eq!((Some(line.start_ms), Some(line.end_ms)), (record.start_time.utc_ms(), record.end_time.utc_ms()));
        assert_eq!(line.rates_e4, rates.map(|r| u64::from(r.energy.0)));
        let by_hand = by_rates(&four, line.rates_e4.map(|e4| i64::try_from(e4).unwrap()));
        assert_eq!(line.expected, Some(by_hand));
        assert!(by_hand.electricity_fen > 0 && by_hand.service_fen > 0);
    }
    let crossed = outcome.ledger.sessions[0].rates_e4;
    assert!(crossed.iter().filter(|e4| **e4 > 0).count() >= 2, "{crossed:?}");
    assert_eq!(records[0].physical_card.to_string(), "00000000d14b0a54");
    assert_eq!((records[0].trade_flag, records[1].trade_flag), (TradeFlag::Card, TradeFlag::Vin));
    assert_eq!(records[1].vin.as_str(), Some(VIN), "in normal order in the record");
    let asked = platform.of_kind(kind::START_REQUEST);
    let Message::StartRequest(request) = asked[1].message() else { panic!("a start request") };
    assert_eq!(request.start_mode(), StartMode::Vin);
    assert_eq!(request.vin().reversed().as_str(), Some(VIN), "reversed in the request");

    check_order_of_events(&platform);
    let started = std::iter::from_fn(|| events.try_recv().ok());
    assert_eq!(started.filter(|e| matches!(e, FleetEvent::SessionStarted { .. })).count(), 2);
}

/// Login, tariff, then per session: request, live data with state 3 and growing energy, record.
fn check_order_of_events(platform: &YkcPlatform) {
    let kinds: Vec<u8> = platform.log().iter().map(|got| got.kind).collect();
    let first = |kind| kinds.iter().position(|&k| k == kind).unwrap();
    assert_eq!(first(kind::LOGIN), 0);
    assert!(first(kind::MODEL_CHECK) < first(kind::MODEL_REQUEST));
    assert!(first(kind::MODEL_REQUEST) < first(kind::START_REQUEST), "no tariff, no charging");
    let (mut trade, mut energy, mut frames) = (None, 0, 0);
    for got in platform.of_kind(kind::REAL_TIME) {
        let Message::RealTime(live) = got.message() else { panic!("real-time data") };
        if live.state() == GunState::Charging {
            if trade != Some(live.trade_no()) {
                (trade, energy) = (Some(live.trade_no()), 0);
            }
            assert!(live.energy().0 >= energy, "energy never falls");
            energy = live.energy().0;
            frames += 1;
        } else {
            assert!(live.trade_no().is_zero());
        }
    }
    assert!(frames > 20, "only {frames} frames while charging");
}

fn four_rates() -> FourRates {
    let pile = "32010600000001".parse().unwrap();
    let model = platform::model(pile);
    let mut prices = [(0, 0); 4];
    for (price, rate) in prices.iter_mut().zip(model.rates.as_slice()) {
        *price = (rate.energy.0, rate.service.0);
    }
    FourRates { prices, half_hours: model.slots }
}

#[tokio::test]
async fn a_refused_driver_tries_again_and_then_leaves() {
    let platform = YkcPlatform::start().await;
    platform.knobs.refuse_starts.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut config = config(1_000);
    config.plan = SessionPlan {
        sessions: 1,
        starts: vec![StartBy::Card("00000000d14b0a54".into())],
        first_gap_ms: [0, 0],
        start_attempts: 3,
        ..SessionPlan::default()
    };
    config.chargers = vec![ChargerConfig::ykc("32010600000001", platform.address.to_string())];
    let fleet = Fleet::start(&config).unwrap();
    assert!(fleet.wait_done(Instant::now() + Duration::from_secs(50)).await);
    until("the third request", || (platform.of_kind(kind::START_REQUEST).len() == 3).then_some(())).await;
    let outcome = fleet.stop(Instant::now() + Duration::from_secs(5)).await;
    assert_eq!((outcome.progress.sessions_skipped, outcome.progress.sessions_started), (1, 0));
    assert!(outcome.ledger.sessions.is_empty());
}

#[tokio::test]
async fn the_balance_ends_a_charge() {
    let platform = YkcPlatform::start().await;
    platform.knobs.balance_fen.store(1_000, std::sync::atomic::Ordering::Relaxed);
    let mut config = config(3_600);
    config.plan = SessionPlan {
        sessions: 1,
        starts: vec![StartBy::Card("00000000d14b0a54".into())],
        first_gap_ms: [0, 0],
        energy_e4: [400_000, 400_000],
        ..SessionPlan::default()
    };
    config.chargers = vec![ChargerConfig::ykc("32010600000001", platform.address.to_string())];
    let fleet = Fleet::start(&config).unwrap();
    assert!(fleet.wait_done(Instant::now() + Duration::from_secs(50)).await);
    let outcome = fleet.stop(Instant::now() + Duration::from_secs(5)).await;
    let line = &outcome.ledger.sessions[0];
    assert_eq!(line.stop_reason, "43", "money limit");
    assert!((100_000..130_000).contains(&line.charger_amount_yuan4), "{} of 10 yuan", line.charger_amount_yuan4);
    assert_eq!(line.expected, None, "no tariff was given for this charger");
}
