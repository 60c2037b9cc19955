//! Commands: carried out once, by whoever holds the session, in time, and their outcome told.

use codecs::ykc as codec;
use codecs::ykc::{GunState, Outcome, StartFailure, TradeNo, kind};
use events::{
    commands::{
        Command, ReadLiveData, Reboot, SendOcppCall, SetTariff, StartCharging, StopCharging, SyncTime, command::Action,
    },
    proto::CommandOutcome,
};
use serde_json::json;

use crate::common::{
    Rig,
    command::{command, issue, outcome, start},
    registry, ykc,
};

#[tokio::test]
async fn a_start_delivered_twice_is_sent_once() {
    let rig = Rig::start().await;
    let mut pile = rig.pile(registry::PILE).await;
    let trade_no = ykc::trade(registry::PILE, 1);
    let order = command("c1", registry::PILE, start(trade_no));
    issue(&rig.log, &order);
    issue(&rig.log, &order);
    let got = pile.expect(kind::REMOTE_START).await;
    assert_eq!(got.body[..16], trade_no.0);
    assert_eq!(got.body[40..44], 5_000_u32.to_le_bytes());
    pile.silence(100).await;
    let reply = codec::RemoteStartReply {
        trade_no,
        pile: ykc::pile(registry::PILE),
        gun: codec::Gun(1),
        result: Outcome::Ok,
        failure: StartFailure::None,
    };
    pile.send(&reply).await;
    outcome(&rig, "c1", CommandOutcome::Accepted).await;
    rig.drained().await;
}

#[tokio::test]
async fn not_plugged_is_not_the_last_word() {
    let rig = Rig::start().await;
    let mut pile = rig.pile(registry::PILE).await;
    let trade_no = ykc::trade(registry::PILE, 1);
    issue(&rig.log, &command("c1", registry::PILE, start(trade_no)));
    pile.expect(kind::REMOTE_START).await;
    let mut reply = codec::RemoteStartReply {
        trade_no,
        pile: ykc::pile(registry::PILE),
        gun: codec::Gun(1),
        result: Outcome::Failed,
        failure: StartFailure::NotPlugged,
    };
    pile.send(&reply).await;
    assert_eq!(outcome(&rig, "c1", CommandOutcome::Rejected).await, "05");
    (reply.result, reply.failure) = (Outcome::Ok, StartFailure::None);
    pile.send(&reply).await;
    outcome(&rig, "c1", CommandOutcome::Accepted).await;
    rig.drained().await;
}

#[tokio::test]
async fn late_unanswered_and_lost_commands_say_so() {
    let rig = Rig::with(|config| config.commands.answer_ms = 100).await;
    let mut pile = rig.pile(registry::PILE).await;
    let late = Command { expires_at_ms: 1, ..command("late", registry::PILE, Action::SyncTime(SyncTime {})) };
    issue(&rig.log, &late);
    outcome(&rig, "late", CommandOutcome::Expired).await;
    issue(&rig.log, &command("mute", registry::PILE, Action::Reboot(Reboot { immediately: true })));
    pile.expect(kind::REBOOT).await;
    outcome(&rig, "mute", CommandOutcome::NoAnswer).await;
    issue(&rig.log, &command("lost", registry::PILE, start(ykc::trade(registry::PILE, 1))));
    pile.expect(kind::REMOTE_START).await;
    drop(pile);
    outcome(&rig, "lost", CommandOutcome::ConnectionLost).await;
    rig.drained().await;
}

#[tokio::test]
async fn a_stop_of_another_session_is_refused_here_and_a_tariff_waits_for_idle() {
    let rig = Rig::start().await;
    let mut pile = rig.pile(registry::PILE).await;
    let running = ykc::trade(registry::PILE, 1);
    pile.send(&ykc::real_time(registry::PILE, GunState::Charging, true, running)).await;
    pile.beats(registry::PILE).await;
    let stop = |trade_no: TradeNo| Action::StopCharging(StopCharging { session: trade_no.to_string() });
    issue(&rig.log, &command("wrong", registry::PILE, stop(ykc::trade(registry::PILE, 2))));
    assert_eq!(outcome(&rig, "wrong", CommandOutcome::Rejected).await, "other_session");
    issue(&rig.log, &command("tariff", registry::PILE, Action::SetTariff(SetTariff { tariff: "S01/1".into() })));
    assert_eq!(outcome(&rig, "tariff", CommandOutcome::Rejected).await, "not_idle");
    issue(&rig.log, &command("right", registry::PILE, stop(running)));
    pile.expect(kind::REMOTE_STOP).await;
    let reply = codec::RemoteStopReply {
        pile: ykc::pile(registry::PILE),
        gun: codec::Gun(1),
        result: Outcome::Ok,
        failure: codec::StopFailure::None,
    };
    pile.send(&reply).await;
    outcome(&rig, "right", CommandOutcome::Accepted).await;
    rig.drained().await;
}

#[tokio::test]
async fn live_data_and_tariffs_are_asked_for_and_answered() {
    let rig = Rig::start().await;
    let mut pile = rig.pile(registry::PILE).await;
    issue(&rig.log, &command("live", registry::PILE, Action::ReadLiveData(ReadLiveData {})));
    pile.expect(kind::READ_REAL_TIME).await;
    pile.send(&ykc::real_time(registry::PILE, GunState::Idle, false, TradeNo::ZERO)).await;
    outcome(&rig, "live", CommandOutcome::Accepted).await;
    issue(&rig.log, &command("tariff", registry::PILE, Action::SetTariff(SetTariff { tariff: "S01/1".into() })));
    let set = pile.expect(kind::MODEL_SET).await;
    assert_eq!(set.body[7..9], [0x01, 0x00]);
    pile.send(&codec::ModelSetReply { pile: ykc::pile(registry::PILE), result: Outcome::Ok }).await;
    outcome(&rig, "tariff", CommandOutcome::Accepted).await;
    rig.drained().await;
}

#[tokio::test]
async fn an_ocpp_station_gets_one_call_at_a_time() {
    let rig = Rig::with(|config| config.commands.queue = 1).await;
    let mut station = rig.station(registry::STATION).await;
    let raw = |action: &str| Action::SendOcppCall(SendOcppCall { action: action.into(), payload_json: "{}".into() });
    issue(&rig.log, &command("a", registry::STATION, raw("ClearCache")));
    issue(&rig.log, &command("b", registry::STATION, raw("GetLocalListVersion")));
    issue(&rig.log, &command("c", registry::STATION, raw("GetConfiguration")));
    outcome(&rig, "c", CommandOutcome::QueueFull).await;
    let first = station.next().await.unwrap();
    assert_eq!((&first[0], &first[2]), (&json!(2), &json!("ClearCache")));
    station.silence(80).await;
    station.text(&json!([3, first[1], {"status": "Accepted"}]).to_string()).await;
    outcome(&rig, "a", CommandOutcome::Accepted).await;
    let second = station.next().await.unwrap();
    assert_eq!(second[2], json!("GetLocalListVersion"));
    assert_ne!(first[1], second[1]);
    station.text(&json!([4, second[1], "NotSupported", "", {}]).to_string()).await;
    outcome(&rig, "b", CommandOutcome::Unsupported).await;
    issue(&rig.log, &command("d", registry::STATION, raw("Heartbeat")));
    outcome(&rig, "d", CommandOutcome::Unsupported).await;
    rig.drained().await;
}

#[tokio::test]
async fn an_ocpp_remote_start_makes_its_tag_known() {
    let rig = Rig::start().await;
    let mut station = rig.station(registry::STATION).await;
    let tag = "RABCDEFGHIJKLMNOPQRS";
    let action = Action::StartCharging(StartCharging { id_tag: tag.into(), ..Default::default() });
    issue(&rig.log, &command("start", registry::STATION, action));
    let call = station.next().await.unwrap();
    assert_eq!(call[2], json!("RemoteStartTransaction"));
    assert_eq!(call[3], json!({"connectorId": 1, "idTag": tag}));
    station.text(&json!([3, call[1], {"status": "Accepted"}]).to_string()).await;
    outcome(&rig, "start", CommandOutcome::Accepted).await;
    let start = json!({"connectorId": 1, "idTag": tag, "meterStart": 5, "timestamp": "2026-11-21T10:00:00Z"});
    let answer = station.ask("StartTransaction", start).await;
    assert_eq!(answer["idTagInfo"]["status"], "Accepted");
    // At another station the tag names nothing.
    let mut other = rig.station(registry::STATION_B).await;
    let verdict = other.ask("Authorize", json!({"idTag": tag})).await;
    assert_eq!(verdict["idTagInfo"]["status"], "Invalid");
    rig.drained().await;
}
