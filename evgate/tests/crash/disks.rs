//! Disks that are full, read-only or failing under the log, the spool and the database, while everybody charges: no false answer, a
//! clear message, a metric for an alert, and everything goes on when the disk is well again.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    bad_disk::{BadDisk, No},
    broker_confirms_first::until,
    plan::{Form, Plan},
    platform::{Kept, Stand, Wishes},
    reckoning::reckon,
    services, trial,
};

/// Answers to what was safe before the disk said no are on their way for so long.
const IN_FLIGHT: Duration = Duration::from_millis(300);
/// How long nothing may be answered while it does.
const SILENCE: Duration = Duration::from_millis(1_500);

fn plan(form: Form, seed: u64) -> Plan {
    // More sessions than there is time for: the chargers are told to stop.
    Plan { ykc: 3, ocpp: 3, sessions: 1_000, spool: true, api_over_line: false, ..Plan::quiet(seed, form) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_disk_says_no_answers_nobody_and_goes_on() {
    let disk = BadDisk::build();
    let stand = Stand::start(&plan(Form::Embedded, 920_001), &Wishes { env: disk.env(), ..Wishes::default() }).await;
    let fleet = trial::fleet(&plan(Form::Embedded, 920_001), &stand);
    let answered = || stand.chargers.exchanges().iter().filter(|exchange| exchange.answered).count();
    until("some answers", || answered() >= 20).await;
    let (serve, in_log) = (&stand.gateways[0], stand.folder.path().join("data/log/events.db"));
    for no in No::ALL {
        disk.says(no, "data/log/");
        tokio::time::sleep(IN_FLIGHT).await;
        let before = answered();
        tokio::time::sleep(SILENCE).await;
        assert_eq!(answered(), before, "{no:?}: an answer, and nothing can be written");
        metric(serve, "evgate_log_failing", |failing| failing == 1).await;
        says(serve, &format!("the event log cannot write path={} error={}", in_log.display(), no.in_words())).await;
        disk.is_well();
        until("answers again", || answered() >= before + 20).await;
        metric(serve, "evgate_log_failing", |failing| failing == 0).await;
    }
    let books = reckon(&stand, fleet).await;
    println!("{} sessions: {}", books.verdict.sessions, books.verdict);
    assert!(books.verdict.is_right(), "{}", books.verdict);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_disk_says_no_holds_no_charger_up_and_catches_up() {
    let disk = BadDisk::build();
    let stand = Stand::start(&plan(Form::Embedded, 920_002), &Wishes { env: disk.env(), ..Wishes::default() }).await;
    let fleet = trial::fleet(&plan(Form::Embedded, 920_002), &stand);
    let answered = || stand.chargers.exchanges().iter().filter(|exchange| exchange.answered).count();
    until("some answers", || answered() >= 20).await;
    let serve = &stand.gateways[0];
    for no in No::ALL {
        let retries = serve.metric("evgate_api_consumer_retries_total").await;
        disk.says(no, "data/database/");
        let before = answered();
        metric(serve, "evgate_api_consumer_retries_total", |now| now > retries).await;
        metric(serve, "evgate_api_consumer_lag_ms", |lag| lag > 0).await;
        until("answers", || answered() >= before + 20).await;
        let refused = stand.client.start("10010001000001", 1, "nobody", &format!("{no:?}")).await.unwrap_err();
        assert!(format!("{refused:#}").contains("503 Service Unavailable"), "{no:?}: {refused:#}");
        says(serve, &format!("database: error returned from database: (code: {}", no.in_words_of_the_database())).await;
        disk.is_well();
        metric(serve, "evgate_api_consumer_lag_ms", |lag| lag == 0).await;
    }
    let books = reckon(&stand, fleet).await;
    println!("{} sessions: {}", books.verdict.sessions, books.verdict);
    assert!(books.verdict.is_right(), "{}", books.verdict);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and PostgreSQL: run `make test`"]
async fn a_spool_whose_disk_says_no_answers_nobody_and_goes_on() {
    let _alone = services::alone().await;
    let disk = BadDisk::build();
    let plan = plan(Form::Cluster, 920_003);
    // No gateway hangs up meanwhile: whatever is not answered waits.
    let mut env = disk.env();
    env.push(("EVGATE__GATEWAY__MONEY__ACK_MS", "20000".to_owned()));
    let stand = Stand::start(&plan, &Wishes { env, ..Wishes::default() }).await;
    let fleet = trial::fleet(&plan, &stand);
    let answered = || stand.chargers.exchanges().iter().filter(|exchange| exchange.answered).count();
    until("some answers", || answered() >= 20).await;
    let (gateway, line) = (&stand.gateways[0], &stand.services.as_ref().unwrap().broker_line.weather);
    line.hold(true, true);
    for no in No::ALL {
        let before = answered();
        until("the spool answers", || answered() >= before + 10).await;
        disk.says(no, "data/spool/");
        tokio::time::sleep(IN_FLIGHT).await;
        let before = answered();
        // Less than a charger bears on one connection, with what went before.
        tokio::time::sleep(SILENCE / 2).await;
        assert_eq!(answered(), before, "{no:?}: an answer, and nothing can be written");
        metric(gateway, "evgate_spool_failing", |failing| failing == 1).await;
        says(gateway, &format!("the event log cannot write path=data/spool/spool.db error={}", no.in_words())).await;
        disk.is_well();
        until("answers again", || answered() >= before + 10).await;
        metric(gateway, "evgate_spool_failing", |failing| failing == 0).await;
    }
    line.hold(false, false);
    let books = reckon(&stand, fleet).await;
    println!("{} sessions: {}", books.verdict.sessions, books.verdict);
    assert!(books.verdict.is_right(), "{}", books.verdict);
    stand.services.as_ref().unwrap().clean().await;
}

#[test]
fn a_disk_that_says_no_from_the_start_is_named() {
    for no in No::ALL {
        for file in ["events.db", "evgate.db"] {
            let (disk, data) = (BadDisk::build(), tempfile::tempdir().unwrap());
            disk.says(no, file);
            let mut serve = Command::new(env!("CARGO_BIN_EXE_evgate"));
            serve.args(["serve", "--data"]).arg(data.path()).envs(disk.env()).current_dir(data.path());
            let output = serve.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(69), "{no:?} {file}: {said}");
            let path = data.path().join(file).display().to_string();
            assert!(said.contains(&path) && (said.contains("full") || said.contains("I/O error")), "{no:?}: {said}");
        }
    }
}

/// Waits until the process has said it.
async fn says(of: &Kept, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !of.said().await.contains(what) {
        assert!(Instant::now() < deadline, "it should say {what:?}:\n{}", of.said().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn metric(of: &Kept, name: &str, is_so: impl Fn(u64) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let value = of.metric(name).await;
        if is_so(value) {
            return;
        }
        assert!(Instant::now() < deadline, "{name} stays {value}\n{}", of.said().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
