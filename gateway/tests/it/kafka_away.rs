//! The log is away, a spool stands in: every money message is answered, nothing of it is lost, and memory does not grow with the outage.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use codecs::ykc::{GunState, TradeNo, kind};
use events::{
    clock::Clock,
    log::{
        EventLog, SpoolConfig,
        spooled::{Spool, SpooledLog},
    },
    prost::Message as _,
    proto::{Envelope, envelope::Body},
    topic::Topic,
};
use gateway::Gateway;
use tokio_util::sync::CancellationToken;

use crate::common::{MemoryLog, PATIENCE, counter, eventually, log::Acks, ocpp, quick, registry, rendered, ykc};

const AFTER_MS: u64 = 200;

struct Away {
    memory: MemoryLog,
    log: Arc<SpooledLog>,
    gateway: Gateway,
    stop: CancellationToken,
    folder: tempfile::TempDir,
}

impl Away {
    async fn start() -> Self {
        let memory = MemoryLog::default();
        registry::fill(&memory);
        Self::over(memory, tempfile::tempdir().unwrap()).await
    }

    async fn over(memory: MemoryLog, folder: tempfile::TempDir) -> Self {
        let log = spooled(&memory, &folder);
        let stop = CancellationToken::new();
        let gateway = gateway(&log, &stop).await;
        Self { memory, log, gateway, stop, folder }
    }

    async fn pile(&self, id: &str) -> ykc::Client {
        let mut client = ykc::Client::connect(self.gateway.ykc_addr.unwrap()).await;
        client.log_in(id).await;
        client
    }

    async fn station(&self, id: &str) -> ocpp::Client {
        ocpp::Client::connect(self.gateway.ocpp_addr.unwrap(), id).await
    }

    /// Confirms what it holds, again and again, until the spool is empty.
    async fn recover(&self) {
        self.memory.acks(Acks::AtOnce);
        self.memory.full(false);
        eventually(|| {
            self.memory.settle(true);
            (self.log.health().spool.unwrap().records == 0).then_some(())
        })
        .await;
    }

    async fn drained(self) -> (MemoryLog, tempfile::TempDir) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.gateway.join).await.unwrap().unwrap().unwrap();
        let log = self.log;
        tokio::task::spawn_blocking(move || drop(log)).await.unwrap();
        (self.memory, self.folder)
    }
}

fn spooled(memory: &MemoryLog, folder: &tempfile::TempDir) -> Arc<SpooledLog> {
    let config = SpoolConfig { path: folder.path().to_owned(), after_ms: AFTER_MS, ..SpoolConfig::default() };
    let spool = Spool::open(&config, 900).unwrap();
    Arc::new(SpooledLog::open(Arc::new(memory.clone()), spool).unwrap())
}

async fn gateway(log: &Arc<SpooledLog>, stop: &CancellationToken) -> Gateway {
    let log = Arc::clone(log) as Arc<dyn EventLog>;
    let started = gateway::start(quick(), log, Clock::REAL, rendered(), stop.clone());
    tokio::time::timeout(PATIENCE, started).await.unwrap().unwrap()
}

/// What money of a charger the log has: kind and register or energy, in its order, repetitions left out.
fn money(memory: &MemoryLog, charger: &str) -> Vec<String> {
    let mut found = Vec::new();
    for record in memory.records(Topic::Device).iter().filter(|record| record.key == charger.as_bytes()) {
        let envelope = Envelope::decode(record.payload.clone().unwrap()).unwrap();
        let said = match envelope.body {
            Some(Body::SessionStarted(started)) => format!("start {}", started.meter_start_e4.unwrap_or_default()),
            Some(Body::MeterSampled(sample)) => format!("meter {}", sample.register_e4.unwrap_or_default()),
            Some(Body::TransactionRecorded(record)) => format!("record {}", record.session),
            _ => continue,
        };
        if !found.contains(&said) {
            found.push(said);
        }
    }
    found
}

#[tokio::test]
async fn every_money_message_is_answered_by_the_spool_and_reaches_the_log_in_order() {
    for full in [false, true] {
        let away = Away::start().await;
        let mut pile = away.pile(registry::PILE).await;
        let mut station = away.station(registry::STATION).await;
        if full {
            away.memory.full(true)
        } else {
            away.memory.acks(Acks::Held)
        }
        let began = Instant::now();
        let started = station.ask("StartTransaction", ocpp::start(1, 1_000)).await;
        let transaction = started["transactionId"].as_i64().unwrap();
        let mut expected = Vec::new();
        for number in 1..=5 {
            let trade = ykc::trade(registry::PILE, number);
            pile.send(&ykc::record(registry::PILE, trade)).await;
            assert_eq!(pile.expect(kind::RECORD_CONFIRM).await.body[16], 0);
            expected.push(format!("record {trade}"));
            station.ask("MeterValues", ocpp::meter_values(transaction, 1_000 + u32::from(number) * 100)).await;
            pile.beats(registry::PILE).await;
        }
        station.ask("StopTransaction", ocpp::stop(transaction, 2_000)).await;
        station.beats().await;
        assert!(began.elapsed() < Duration::from_secs(5), "{:?} for twelve answers", began.elapsed());
        assert!(away.log.health().spool.unwrap().records >= 12);

        away.recover().await;
        assert_eq!(money(&away.memory, registry::PILE), expected, "full: {full}");
        let mut of_station = money(&away.memory, registry::STATION);
        assert_eq!(of_station.remove(0), "start 10000");
        assert!(of_station.pop().unwrap().starts_with("record "));
        let meters: Vec<_> = (1..=5).map(|number| format!("meter {}", 10_000 + number * 1_000)).collect();
        assert_eq!(of_station, meters);
        away.drained().await;
    }
}

#[tokio::test]
async fn what_the_gateway_leaves_in_its_spool_is_drained_before_it_listens_again() {
    let away = Away::start().await;
    let mut pile = away.pile(registry::PILE).await;
    away.memory.full(true);
    let trade = ykc::trade(registry::PILE, 1);
    pile.send(&ykc::record(registry::PILE, trade)).await;
    pile.expect(kind::RECORD_CONFIRM).await;
    let (memory, folder) = away.drained().await;
    assert!(money(&memory, registry::PILE).is_empty());

    // It can be read, but takes nothing yet: nobody is let in.
    let log = spooled(&memory, &folder);
    let stop = CancellationToken::new();
    let mut starting = std::pin::pin!(gateway(&log, &stop));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut starting).await;
    assert!(early.is_err(), "it listens before the spool is drained");
    memory.full(false);
    let gateway = starting.await;
    assert_eq!(money(&memory, registry::PILE), [format!("record {trade}")]);
    let mut pile = ykc::Client::connect(gateway.ykc_addr.unwrap()).await;
    pile.log_in(registry::PILE).await;
    stop.cancel();
    tokio::time::timeout(PATIENCE, gateway.join).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn state_is_coalesced_and_counted_while_money_and_heartbeats_are_answered() {
    let away = Away::start().await;
    let shed = || (counter("evgate_events_shed_total", &["live"]), counter("evgate_events_shed_total", &["status"]));
    let before = shed();
    let mut pile = away.pile(registry::PILE).await;
    away.memory.full(true);
    let trade = ykc::trade(registry::PILE, 1);
    pile.send(&ykc::record(registry::PILE, trade)).await;
    pile.expect(kind::RECORD_CONFIRM).await;
    // An hour's worth of state from one charger: plug in, plug out, samples.
    for round in 0..200_u8 {
        let mut sample = ykc::real_time(registry::PILE, GunState::Idle, round % 2 == 0, TradeNo::ZERO);
        sample.soc = round % 100;
        pile.send(&sample).await;
        if round % 50 == 0 {
            pile.beats(registry::PILE).await;
        }
    }
    // Money is not held up by state that waits.
    let second = ykc::trade(registry::PILE, 2);
    let began = Instant::now();
    pile.send(&ykc::record(registry::PILE, second)).await;
    pile.expect(kind::RECORD_CONFIRM).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let after = shed();
    assert!(
        after.0 - before.0 >= 190.0 && after.1 - before.1 >= 190.0,
        "{before:?} {after:?}: one of each kind is left"
    );

    away.recover().await;
    let latest = eventually(|| {
        let payloads = away.memory.payloads(Topic::Telemetry);
        payloads.iter().map(|payload| Envelope::decode(payload.clone()).unwrap()).find_map(|envelope| {
            match envelope.body {
                Some(Body::MeterSampled(sample)) => sample.soc_percent.filter(|soc| *soc == 99),
                _ => None,
            }
        })
    });
    latest.await;
    assert_eq!(money(&away.memory, registry::PILE), [format!("record {trade}"), format!("record {second}")]);
    away.drained().await;
}

#[tokio::test]
async fn many_chargers_over_a_long_outage_keep_a_few_events_each_and_are_all_alive() {
    const PILES: usize = 100;
    const ROUNDS: usize = 30;
    let memory = MemoryLog::default();
    registry::fill(&memory);
    let ids: Vec<String> = (0..PILES).map(|number| format!("3301060001{number:04}")).collect();
    ids.iter().for_each(|id| registry::pile(&memory, id));
    let away = Away::over(memory, tempfile::tempdir().unwrap()).await;
    let mut piles = Vec::new();
    for id in &ids {
        piles.push(away.pile(id).await);
    }
    let given_up = || counter("evgate_events_shed_total", &[]);
    let shed_before = given_up();
    away.memory.full(true);
    let published_before = away.memory.payloads(Topic::Telemetry).len();
    let mut slowest = Duration::ZERO;
    for round in 0..ROUNDS {
        for (id, pile) in ids.iter().zip(&mut piles) {
            // A status and a sample.
            pile.send(&ykc::real_time(id, GunState::Idle, round % 2 == 0, TradeNo::ZERO)).await;
            let began = Instant::now();
            pile.beats(id).await;
            slowest = slowest.max(began.elapsed());
        }
    }
    assert!(slowest < Duration::from_secs(2), "a heartbeat took {slowest:?}");
    assert_eq!(away.memory.payloads(Topic::Telemetry).len(), published_before);
    // Everything but the latest status and the latest sample of each was given up, and counted: that is all that waits.
    let waiting = (2 * PILES * ROUNDS) as f64 - (given_up() - shed_before);
    assert!(waiting <= 2.0 * PILES as f64, "{waiting} events wait");
    away.recover().await;
    eventually(|| (away.memory.payloads(Topic::Telemetry).len() >= published_before + PILES).then_some(())).await;
    away.drained().await;
}
