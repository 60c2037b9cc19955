//! One trial: a platform, chargers with money on their hands, faults, and the reckoning at the end.

use std::{fmt, time::Duration};

use evgate::{fleet_registry::FleetRegistry, platform::Order};
use simulator::{Fleet, FleetConfig, Floors, Ledger, SessionEntry, SessionPlan, SimClock};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    common::TENANT,
    deeds::Stage,
    plan::Plan,
    platform::{SHORTER, Stand, Wishes},
    verdict::{self, Accounts, Verdict},
};

/// Until the chargers rest, and until the orders are settled: far more than either takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came of a trial.
pub struct Report {
    pub verdict: Verdict,
    /// Faults whose moment came.
    pub played: usize,
    pub seconds: f32,
    pub retries: u64,
    pub reconnects: u64,
    /// What the processes said last, if something is wrong.
    pub said: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verdict, played, seconds, retries, reconnects, .. } = self;
        write!(
            f,
            "{:2} sessions, {played} faults, {retries:2} retries, {reconnects:3} reconnects, {seconds:4.1} s: {verdict}",
            verdict.sessions
        )
    }
}

/// Runs a trial to its verdict.
pub async fn run(plan: &Plan) -> Report {
    let began = Instant::now();
    let stage = Stage::new(Stand::start(plan, &Wishes::default()).await);
    let over = CancellationToken::new();
    let mut faults = JoinSet::new();
    for fault in plan.faults.clone() {
        let (stage, over) = (stage.clone(), over.clone());
        faults.spawn(async move { stage.play(fault, over).await });
    }
    let fleet = fleet(plan, &stage.stand);
    let rested = fleet.wait_done(Instant::now() + PATIENCE).await;
    over.cancel();
    let mut played = 0;
    while let Some(done) = faults.join_next().await {
        played += usize::from(done.expect("a fault is played to its end"));
    }
    let ended = fleet.stop(Instant::now() + PATIENCE).await;
    let stand = &stage.stand;
    stand.all_ready().await;
    let orders = settled(stand, &ended.ledger, PATIENCE).await;
    let (log, complaints) = stand.end().await;
    let accounts = Accounts {
        ledger: ended.ledger,
        exchanges: stand.chargers.exchanges(),
        orders,
        log: verdict::read(&log).await,
    };
    let mut verdict = accounts.judge();
    verdict.odd.extend(complaints);
    if !rested || ended.unsettled > 0 {
        verdict.odd.push(format!("{} chargers did not come to rest: {:?}", ended.unsettled, ended.progress));
    }
    let mut said = Vec::new();
    if !verdict.is_right() {
        for kept in stand.gateways.iter().chain(&stand.api) {
            said.push(kept.said().await);
        }
    }
    if let Some(services) = &stand.services {
        services.clean().await;
    }
    Report {
        verdict,
        played,
        seconds: began.elapsed().as_secs_f32(),
        retries: ended.progress.retries,
        reconnects: ended.progress.reconnects,
        said,
    }
}

/// The chargers of a plan, whose retry rules are those of life, [`SHORTER`] times as fast.
pub fn fleet(plan: &Plan, stand: &Stand) -> Fleet {
    let known = FleetRegistry::read(&stand.registry).unwrap();
    let (ykc, ocpp) = (stand.chargers.listens.ykc.to_string(), stand.chargers.listens.ocpp.to_string());
    let clock = stand.clock;
    let config = FleetConfig {
        seed: plan.seed,
        clock: SimClock { origin_ms: clock.origin_ms, real_origin_ms: clock.real_origin_ms, factor: clock.factor },
        floors: Floors {
            live_data_ms: 20,
            heartbeat_ms: 10_000 / SHORTER,
            record_retry_ms: 30_000 / SHORTER,
            request_ms: 10_000 / SHORTER,
            reconnect_ms: 1_000 / SHORTER,
            silence_ms: 30_000 / SHORTER,
            ocpp_call_ms: 30_000 / SHORTER,
            ocpp_retry_ms: 60_000 / SHORTER,
        },
        connect_spread_ms: 100,
        plan: SessionPlan {
            sessions: plan.sessions,
            starts: known.starts_of(TENANT),
            energy_e4: [10_000, 40_000],
            start_attempts: 100,
            ..SessionPlan::default()
        },
        faults: plan.noise,
        records_sent_most: 4,
        chargers: known.select(TENANT, Some((plan.ykc, &ykc)), Some((plan.ocpp, &ocpp))),
        tariffs: known.tariffs,
    };
    Fleet::start(&config).unwrap()
}

/// Waits until every session of the ledger has a settled order, with money if it delivered anything; gives all orders, then or at
/// the end of its patience.
pub async fn settled(stand: &Stand, ledger: &Ledger, within: Duration) -> Vec<Order> {
    let deadline = Instant::now() + within;
    loop {
        let orders = stand.client.orders("").await;
        let is_billed = |entry: &SessionEntry| {
            orders.as_ref().is_ok_and(|orders| {
                orders.iter().any(|order| {
                    order.charger == entry.charger
                        && order.session.as_deref() == Some(&entry.session)
                        && order.is_settled()
                        && (entry.energy_e4 == 0 || order.total_fen.is_some())
                })
            })
        };
        if ledger.sessions.iter().all(is_billed) || Instant::now() > deadline {
            return orders.expect("the API lists orders");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
