//! What the platform may want of a YKC charger, and what it answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod platform;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use codecs::ykc::{
    Balance, BalanceResult, BalanceUpdate, BillingModel, Card, Cp56, Gun, GunState, Message, ModelSet, Outcome,
    Parameters, Permission, PileId, ReadRealTime, Reboot, RebootWhen, RemoteStart, RemoteStop, StartFailure,
    StopFailure, TimeSync, TradeFlag, TradeNo, kind,
};
use platform::{Got, YkcPlatform, config, until};
use simulator::{ChargerConfig, Fleet, SessionPlan};
use tokio::time::Instant;

fn pile() -> PileId {
    "32010600000001".parse().unwrap()
}

async fn ready(platform: &YkcPlatform, factor: u32) -> Fleet {
    let mut config = config(factor);
    config.plan = SessionPlan { energy_e4: [400_000, 400_000], ..SessionPlan::default() };
    let charger =
        ChargerConfig { connectors: 2, ..ChargerConfig::ykc(pile().to_string(), platform.address.to_string()) };
    config.chargers = vec![charger];
    let fleet = Fleet::start(&config).unwrap();
    until("the login", || (fleet.progress().accepted == 1).then_some(())).await;
    until("heartbeats of both guns", || (platform.of_kind(kind::HEARTBEAT).len() >= 2).then_some(())).await;
    fleet
}

async fn answer(platform: &YkcPlatform, kind: u8, number: usize) -> Got {
    until("an answer", || platform.of_kind(kind).get(number).cloned()).await
}

fn start(trade: u16, gun: u8, balance: u32) -> RemoteStart {
    RemoteStart {
        trade_no: TradeNo::compose(pile(), Gun(gun), platform::EVENING, trade),
        pile: pile(),
        gun: Gun(gun),
        logical_card: Card::ZERO,
        physical_card: Card::ZERO,
        balance: Balance(balance),
    }
}

fn start_result(got: &Got) -> (Outcome, StartFailure) {
    let Message::RemoteStartReply(reply) = got.message() else { panic!("{got:?}") };
    (reply.result(), reply.failure())
}

#[tokio::test]
async fn remote_start_and_stop() {
    let platform = YkcPlatform::start().await;
    let fleet = ready(&platform, 600).await;
    until("the tariff", || (!platform.of_kind(kind::MODEL_REQUEST).is_empty()).then_some(())).await;
    tokio::time::sleep(Duration::from_millis(50)).await;

    platform.send(0x1234, &start(1, 2, 100_000));
    let first = answer(&platform, kind::REMOTE_START_REPLY, 0).await;
    assert_eq!(start_result(&first), (Outcome::Ok, StartFailure::None));
    assert_eq!(first.seq, 0x1234_u16.to_le_bytes(), "an answer has the sequence bytes of the question");
    until("the charge", || (fleet.progress().charging == 1).then_some(())).await;
    platform.send(2, &start(1, 2, 100_000));
    assert_eq!(start_result(&answer(&platform, kind::REMOTE_START_REPLY, 1).await).0, Outcome::Ok, "same trade number");
    platform.send(3, &start(2, 2, 100_000));
    let busy = answer(&platform, kind::REMOTE_START_REPLY, 2).await;
    assert_eq!(start_result(&busy), (Outcome::Failed, StartFailure::AlreadyCharging));
    platform.send(4, &start(3, 9, 100_000));
    let no_gun = answer(&platform, kind::REMOTE_START_REPLY, 3).await;
    assert_eq!(start_result(&no_gun), (Outcome::Failed, StartFailure::WrongPile));

    platform.send(5, &BalanceUpdate { pile: pile(), gun: Gun(2), physical_card: Card([9; 8]), balance: Balance(1) });
    let got = answer(&platform, kind::BALANCE_REPLY, 0).await;
    let Message::BalanceReply(reply) = got.message() else { panic!() };
    assert_eq!(reply.result(), BalanceResult::WrongCard);

    platform.send(6, &ModelSet(platform::model(pile())));
    let got = answer(&platform, kind::MODEL_SET_REPLY, 0).await;
    let Message::ModelSetReply(reply) = got.message() else { panic!() };
    assert_eq!(reply.result(), Outcome::Failed, "only an idle pile takes a tariff");

    platform.send(7, &RemoteStop { pile: pile(), gun: Gun(1) });
    let got = answer(&platform, kind::REMOTE_STOP_REPLY, 0).await;
    let Message::RemoteStopReply(reply) = got.message() else { panic!() };
    assert_eq!((reply.result(), reply.failure()), (Outcome::Failed, StopFailure::NotCharging));
    platform.send(8, &RemoteStop { pile: pile(), gun: Gun(2) });
    let got = answer(&platform, kind::REMOTE_STOP_REPLY, 1).await;
    let Message::RemoteStopReply(reply) = got.message() else { panic!() };
    assert_eq!(reply.result(), Outcome::Ok);
    let record = until("the record", || platform.records().first().copied()).await;
    assert_eq!((record.stop_reason.0, record.trade_flag, record.gun), (0x40, TradeFlag::App, Gun(2)));
    assert_eq!(record.trade_no, start(1, 2, 0).trade_no);
    let kinds: Vec<u8> = platform.log().iter().map(|g| g.kind).collect();
    let at = |wanted: u8| kinds.iter().rposition(|&k| k == wanted).unwrap();
    assert!(at(kind::REMOTE_STOP_REPLY) < at(kind::RECORD), "the answer comes before the record");

    platform.send(9, &ModelSet(platform::model(pile())));
    let got = answer(&platform, kind::MODEL_SET_REPLY, 1).await;
    let Message::ModelSetReply(reply) = got.message() else { panic!() };
    assert_eq!(reply.result(), Outcome::Ok);
    let outcome = fleet.stop(Instant::now() + Duration::from_secs(5)).await;
    assert_eq!((outcome.unsettled, outcome.ledger.sessions.len(), outcome.ledger.open()), (0, 1, 0));
}

#[tokio::test]
async fn a_pushed_tariff_is_named_at_the_next_login_and_fetched_anew_where_it_differs() {
    let platform = YkcPlatform::start().await;
    let fleet = ready(&platform, 600).await;
    until("the tariff", || (!platform.of_kind(kind::MODEL_REQUEST).is_empty()).then_some(())).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    platform.send(1, &ModelSet(BillingModel { model_no: [2, 3], ..platform::model(pile()) }));
    let got = answer(&platform, kind::MODEL_SET_REPLY, 0).await;
    let Message::ModelSetReply(reply) = got.message() else { panic!() };
    assert_eq!(reply.result(), Outcome::Ok);
    for (connection, named) in [(2, [2, 3]), (3, [1, 0])] {
        platform.cut();
        let of = |kind| platform.of_kind(kind).into_iter().find(|got| got.connection == connection);
        let check = until("the check", || of(kind::MODEL_CHECK)).await;
        let Message::ModelCheck(check) = check.message() else { panic!() };
        assert_eq!(check.model_no(), named);
        if named != [1, 0] {
            until("the fetch", || of(kind::MODEL_REQUEST)).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    fleet.stop(Instant::now() + Duration::from_secs(5)).await;
}

#[tokio::test]
async fn questions_and_settings() {
    let platform = YkcPlatform::start().await;
    let fleet = ready(&platform, 100).await;
    let before = platform.of_kind(kind::REAL_TIME).len();
    platform.send(1, &ReadRealTime { pile: pile(), gun: Gun(1) });
    let got = answer(&platform, kind::REAL_TIME, before).await;
    let Message::RealTime(live) = got.message() else { panic!() };
    assert_eq!((live.gun(), live.state()), (Gun(1), GunState::Idle));

    platform.send(2, &TimeSync { pile: pile(), time: Cp56::from_utc_ms(platform::EVENING) });
    let got = answer(&platform, kind::TIME_SYNC_REPLY, 0).await;
    let Message::TimeSyncReply(reply) = got.message() else { panic!() };
    let shown = reply.time().utc_ms().unwrap();
    assert!((platform::EVENING..platform::EVENING + 3_600_000).contains(&shown), "{shown}");

    let lock = |permission| Parameters { pile: pile(), permission, max_power_pct: 50 };
    platform.send(3, &lock(Permission::Locked));
    let got = answer(&platform, kind::PARAMETERS_REPLY, 0).await;
    let Message::ParametersReply(reply) = got.message() else { panic!() };
    assert_eq!(reply.result(), Outcome::Ok);
    platform.send(4, &start(1, 1, 0));
    let locked = answer(&platform, kind::REMOTE_START_REPLY, 0).await;
    assert_eq!(start_result(&locked), (Outcome::Failed, StartFailure::Fault));
    platform.send(5, &lock(Permission::Allowed));
    answer(&platform, kind::PARAMETERS_REPLY, 1).await;
    platform.send(6, &start(2, 1, 0));
    assert_eq!(start_result(&answer(&platform, kind::REMOTE_START_REPLY, 1).await).0, Outcome::Ok);
    until("the charge", || (fleet.progress().charging == 1).then_some(())).await;

    platform.send(7, &Reboot { pile: pile(), when: RebootWhen::Now });
    let got = answer(&platform, kind::REBOOT_REPLY, 0).await;
    let Message::RebootReply(reply) = got.message() else { panic!() };
    assert_eq!(reply.result(), Outcome::Ok);
    answer(&platform, kind::LOGIN, 1).await;
    let record = until("the record of the charge that the reboot ended", || platform.records().first().copied()).await;
    assert_eq!(record.stop_reason.0, 0x83);
    let outcome = fleet.stop(Instant::now() + Duration::from_secs(5)).await;
    assert_eq!((outcome.unsettled, outcome.progress.reconnects), (0, 1));
}

#[tokio::test]
async fn no_tariff_no_charging() {
    let platform = YkcPlatform::start().await;
    platform.knobs.hold_tariff.store(true, Relaxed);
    let fleet = ready(&platform, 100).await;
    platform.send(1, &start(1, 1, 0));
    let refused = answer(&platform, kind::REMOTE_START_REPLY, 0).await;
    assert_eq!(start_result(&refused), (Outcome::Failed, StartFailure::Fault));
    assert!(platform.of_kind(kind::MODEL_REQUEST).is_empty());
    answer(&platform, kind::MODEL_CHECK, 1).await;
    platform.knobs.hold_tariff.store(false, Relaxed);
    answer(&platform, kind::MODEL_REQUEST, 0).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    platform.send(2, &start(2, 1, 0));
    assert_eq!(start_result(&answer(&platform, kind::REMOTE_START_REPLY, 1).await).0, Outcome::Ok);
    fleet.stop(Instant::now() + Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_plug_that_comes_late_gives_a_second_answer() {
    let platform = YkcPlatform::start().await;
    let mut config = config(100);
    config.plan = SessionPlan { plug_late_per_mille: 1000, ..SessionPlan::default() };
    config.chargers = vec![ChargerConfig::ykc(pile().to_string(), platform.address.to_string())];
    let fleet = Fleet::start(&config).unwrap();
    answer(&platform, kind::MODEL_REQUEST, 0).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    platform.send(1, &start(1, 1, 0));
    let first = answer(&platform, kind::REMOTE_START_REPLY, 0).await;
    assert_eq!(start_result(&first), (Outcome::Failed, StartFailure::NotPlugged));
    let second = answer(&platform, kind::REMOTE_START_REPLY, 1).await;
    assert_eq!(start_result(&second), (Outcome::Ok, StartFailure::None));
    assert!(second.at - first.at < Duration::from_secs(5), "it came");
    until("the charge", || (fleet.progress().charging == 1).then_some(())).await;
    fleet.stop(Instant::now() + Duration::from_secs(5)).await;
}

#[tokio::test]
async fn refused_and_silent_platforms_are_tried_again() {
    let platform = YkcPlatform::start().await;
    platform.knobs.refuse_logins.store(true, Relaxed);
    let mut config = config(1_000);
    config.floors.silence_ms = 0;
    config.chargers = vec![ChargerConfig::ykc(pile().to_string(), platform.address.to_string())];
    let fleet = Fleet::start(&config).unwrap();
    answer(&platform, kind::LOGIN, 2).await;
    assert_eq!(fleet.progress().accepted, 0);
    platform.knobs.refuse_logins.store(false, Relaxed);
    until("the login", || (fleet.progress().accepted == 1).then_some(())).await;
    let logins = platform.of_kind(kind::LOGIN).len();
    platform.knobs.mute_heartbeats.store(true, Relaxed);
    answer(&platform, kind::LOGIN, logins).await;
    fleet.stop(Instant::now() + Duration::from_secs(5)).await;
}
