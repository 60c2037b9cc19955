//! Commands issued before the process began: carried out if nobody did it and it may be done again, told otherwise, never done twice.

use std::{sync::Arc, time::Duration};

use codecs::ykc::{self as codec, GunState, kind};
use events::{
    clock::Clock,
    commands::{Command, Reboot, StartCharging, StopCharging, SyncTime, command::Action},
    prost::Message as _,
    proto::{CommandAnswered, CommandOutcome, Envelope, SessionStarted, envelope::Body},
    topic::Topic,
};
use serde_json::json;

use crate::common::{
    MemoryLog, Rig,
    command::{command, issue, outcome, start},
    counter, eventually, registry, ykc,
};

fn log() -> Arc<MemoryLog> {
    let log = Arc::new(MemoryLog::default());
    registry::fill(&log);
    log
}

/// What is put next was appended after what was put before, and before the process that begins next.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

fn said(log: &MemoryLog, charger: &str, body: Body) {
    let envelope =
        Envelope { charger: charger.into(), tenant: registry::TENANT, body: Some(body), ..Envelope::default() };
    log.put(Topic::Device, charger, &envelope.encode_to_vec());
}

async fn accept(pile: &mut ykc::Client, trade_no: codec::TradeNo) {
    let reply = codec::RemoteStartReply {
        trade_no,
        pile: ykc::pile(registry::PILE),
        gun: codec::Gun(1),
        result: codec::Outcome::Ok,
        failure: codec::StartFailure::None,
    };
    pile.send(&reply).await;
}

#[tokio::test]
async fn a_start_issued_while_nobody_listened_is_carried_out_once_over_two_processes() {
    let log = log();
    let trade_no = ykc::trade(registry::PILE, 1);
    issue(&log, &command("c1", registry::PILE, start(trade_no)));
    a_moment().await;
    let rig = Rig::over(Arc::clone(&log), |_| {}).await;
    let mut pile = rig.pile(registry::PILE).await;
    assert_eq!(pile.expect(kind::REMOTE_START).await.body[..16], trade_no.0);
    accept(&mut pile, trade_no).await;
    outcome(&rig, "c1", CommandOutcome::Accepted).await;
    rig.drained().await;

    let before = counter("evgate_commands_skipped_total", &["answered"]);
    let rig = Rig::over(log, |_| {}).await;
    let mut pile = rig.pile(registry::PILE).await;
    eventually(|| (counter("evgate_commands_skipped_total", &["answered"]) > before).then_some(())).await;
    pile.silence(100).await;
    rig.drained().await;
}

#[tokio::test]
async fn what_has_begun_or_is_too_old_or_over_is_not_done_again() {
    let log = log();
    let began = ykc::trade(registry::PILE, 1);
    issue(&log, &command("began", registry::PILE, start(began)));
    let over = Command {
        expires_at_ms: Clock::REAL.now_ms() - 1,
        ..command("over", registry::PILE, Action::SyncTime(SyncTime {}))
    };
    issue(&log, &over);
    let old = command("old", registry::PILE, Action::SyncTime(SyncTime {}));
    log.put_at(Topic::Command, registry::PILE, &old.encode_to_vec(), Clock::REAL.now_ms() - 6 * 60_000);
    // An outbox that was interrupted says it again.
    issue(&log, &old);
    let tag = Action::StartCharging(StartCharging { id_tag: "R0123456789ABCDEFGHI".into(), ..Default::default() });
    issue(&log, &command("tag", registry::STATION, tag));
    said(
        &log,
        registry::PILE,
        Body::SessionStarted(SessionStarted { session: began.to_string(), ..Default::default() }),
    );
    said(
        &log,
        registry::STATION,
        Body::CommandAnswered(CommandAnswered { command_id: "tag".into(), ..Default::default() }),
    );
    a_moment().await;
    let rig = Rig::over(log, |_| {}).await;
    let mut pile = rig.pile(registry::PILE).await;
    let mut station = rig.station(registry::STATION).await;
    pile.silence(1_300).await;
    station.silence(1).await;
    // Not sent again, but the tag of a start is known.
    let verdict = station.ask("Authorize", json!({"idTag": "R0123456789ABCDEFGHI"})).await;
    assert_eq!(verdict["idTagInfo"]["status"], "Accepted");
    rig.drained().await;
}

#[tokio::test]
async fn a_reboot_that_an_earlier_process_may_have_sent_is_told_lost() {
    let log = log();
    issue(&log, &command("reboot", registry::PILE, Action::Reboot(Reboot { immediately: true })));
    a_moment().await;
    let rig = Rig::over(log, |_| {}).await;
    let mut pile = rig.pile(registry::PILE).await;
    assert_eq!(outcome(&rig, "reboot", CommandOutcome::ConnectionLost).await, "restart");
    pile.silence(100).await;
    rig.drained().await;
}

#[tokio::test]
async fn a_start_that_runs_already_is_accepted_without_asking_again() {
    let log = log();
    let trade_no = ykc::trade(registry::PILE, 1);
    issue(&log, &command("c1", registry::PILE, start(trade_no)));
    a_moment().await;
    let rig = Rig::over(Arc::clone(&log), |_| {}).await;
    let mut pile = rig.pile(registry::PILE).await;
    pile.send(&ykc::real_time(registry::PILE, GunState::Charging, true, trade_no)).await;
    // The session shows in the log by now: nothing is sent. The business side heard of it by SessionStarted.
    pile.silence(1_300).await;
    // Said again under another id, by now with the charger here: the gun runs it.
    issue(&log, &command("c2", registry::PILE, start(trade_no)));
    outcome(&rig, "c2", CommandOutcome::Accepted).await;
    pile.silence(50).await;
    rig.drained().await;
}

#[tokio::test]
async fn commands_of_one_charger_keep_their_order_over_a_restart() {
    let log = log();
    let trade_no = ykc::trade(registry::PILE, 1);
    issue(&log, &command("first", registry::PILE, Action::SyncTime(SyncTime {})));
    a_moment().await;
    let rig = Rig::over(Arc::clone(&log), |_| {}).await;
    let mut pile = rig.pile(registry::PILE).await;
    // The pile is here, but the first one still waits.
    let stop = Action::StopCharging(StopCharging { session: trade_no.to_string() });
    issue(&log, &command("second", registry::PILE, stop));
    pile.expect(kind::TIME_SYNC).await;
    // It has not said what it does: that is asked before anything is stopped.
    pile.expect(kind::READ_REAL_TIME).await;
    rig.drained().await;
}
