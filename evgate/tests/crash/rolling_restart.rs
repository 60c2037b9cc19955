//! Two gateways behind one address are restarted one after the other, as a roll-out does it, while everybody charges: no money
//! message is lost or doubled, no charger burns an attempt, and they do not all come back at once.

use std::time::{Duration, Instant};

use crate::{
    broker_confirms_first::until,
    plan::{Form, Plan},
    platform::{Stand, Wishes},
    reckoning::{burnt, reckon},
    services, trial,
};

/// The goodbyes of a gateway are spread over so long.
const SPREAD: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and PostgreSQL: run `make test`"]
async fn a_rolling_restart_loses_nothing_and_burns_no_attempt() {
    let _alone = services::alone().await;
    // More sessions than there is time for: the chargers are told to stop.
    let plan = Plan {
        ykc: 6,
        ocpp: 6,
        sessions: 1_000,
        spool: true,
        api_over_line: false,
        ..Plan::quiet(910_001, Form::Cluster)
    };
    let wishes = Wishes {
        env: vec![("EVGATE__GATEWAY__DRAIN__SPREAD_MS", SPREAD.as_millis().to_string())],
        ..Wishes::default()
    };
    let stand = Stand::start(&plan, &wishes).await;
    stand.chargers.spread_over(&stand.targets);
    let fleet = trial::fleet(&plan, &stand);
    let all = plan.ykc + plan.ocpp;
    until("everybody charges", || fleet.progress().sessions_done >= all as u64).await;

    for gateway in &stand.gateways {
        let (asked, began) = (stand.chargers.exchanges().len(), Instant::now());
        let (code, took) = gateway.restart().await;
        assert_eq!(code, 0, "{}", gateway.said().await);
        let money = stand.chargers.exchanges().len() - asked;
        assert!(money >= all, "{money} money messages in a goodbye of {took:?}: nothing was at stake");
        let back: Vec<Duration> =
            stand.chargers.calls().iter().filter(|call| **call > began).map(|call| *call - began).collect();
        println!("a goodbye of {took:?}: {money} money messages, and calls {back:?}");
        assert!(took >= SPREAD / 2 && back.len() >= 4, "{took:?}, {back:?}");
        assert!(back[back.len() - 1] - back[0] >= SPREAD / 2, "all came back at once: {back:?}");
        let most = back.iter().map(|from| back.iter().filter(|at| (*from..*from + SPREAD / 10).contains(*at)).count());
        assert!(most.max().unwrap() * 2 <= back.len(), "most came back at once: {back:?}");
        gateway.ready().await;
        let done = fleet.progress().sessions_done;
        until("everybody charges", || fleet.progress().sessions_done >= done + all as u64).await;
    }

    let books = reckon(&stand, fleet).await;
    assert!(books.verdict.is_right(), "{}", books.verdict);
    let burnt = burnt(&books.exchanges);
    println!("{} sessions, {} money messages: {}", books.verdict.sessions, books.exchanges.len(), books.verdict);
    assert!(burnt.is_empty(), "attempts were burnt: {burnt:#?}");
    stand.services.as_ref().unwrap().clean().await;
}
