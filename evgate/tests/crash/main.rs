//! The crash matrix: gateway, API, broker and database are killed and frozen, and the network between them is cut, held and
//! slowed, at chosen messages and at random moments, under chargers with the retry rules of life. In the end the chargers' ledger,
//! the event log and the orders must say the same. `make crash` runs many trials; docs/crash-matrix.md says how to read them.
//!
//! | file | what |
//! |---|---|
//! | `plan` | what a trial does, drawn from its seed |
//! | `trial` | a trial from start to verdict |
//! | `platform`, `services` | the processes under test; Kafka and PostgreSQL |
//! | `line`, `charger_line`, `spoken` | the network: cut, held, slowed; the one to the chargers understands what passes |
//! | `deeds` | carries a fault out |
//! | `verdict`, `reckoning` | the comparison |
//! | `lies`, `comparison_sees` | lies on the line, which the comparison must find out |
//! | `slow_line` | what a trial once found |
//! | `rolling_restart`, `long_outage`, `frozen_node` | a roll-out, five minutes without Kafka, and a gateway that sleeps, under load |
//! | `disks`, `bad_disk` | disks that are full, read-only or failing |
//! | `days_later`, `letters`, `left_behind` | retries days later, dead letters and `evgate spool drain`, with the real services |
//! | `embedded_syncs_first`, `broker_confirms_first`, `spool_syncs_first`, `trace` | no answer before the bytes are safe |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::large_futures)]

mod bad_disk;
mod broker_confirms_first;
mod charger_line;
#[path = "../common/mod.rs"]
mod common;
mod comparison_sees;
mod days_later;
mod deeds;
mod disks;
mod embedded_syncs_first;
mod frozen_node;
mod left_behind;
mod letters;
mod lies;
mod line;
mod long_outage;
mod plan;
mod platform;
mod reckoning;
mod rolling_restart;
mod services;
mod slow_line;
mod spoken;
mod spool_syncs_first;
mod trace;
mod trial;
mod verdict;

use std::time::Duration;

use plan::{Form, Plan};

/// What `make test` plays: each has other faults than the others.
const EMBEDDED: [u64; 6] = [5, 14, 18, 27, 33, 40];
const CLUSTER: [u64; 4] = [21, 28, 35, 64];
/// No trial takes so long, whatever was killed in it.
const PATIENCE: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread")]
async fn trials_embedded() {
    trials(Form::Embedded, &seeds("EVGATE_CRASH_EMBEDDED").unwrap_or(EMBEDDED.into())).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and PostgreSQL: run `make test` or `make crash`"]
async fn trials_cluster() {
    let _alone = services::alone().await;
    trials(Form::Cluster, &seeds("EVGATE_CRASH_CLUSTER").unwrap_or(CLUSTER.into())).await;
}

/// As many seeds as the variable says, from EVGATE_CRASH_SEED on.
fn seeds(how_many: &str) -> Option<Vec<u64>> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let (first, count) = (number("EVGATE_CRASH_SEED")?, number(how_many)?);
    Some((first..first + count).collect())
}

async fn trials(form: Form, seeds: &[u64]) {
    let (mut sessions, mut failed) = (0, Vec::new());
    for &seed in seeds {
        let plan = Plan::draw(seed, form);
        let faults = plan.to_string();
        // In a task of its own: a panic is the end of this trial, not of all.
        let report = tokio::spawn(async move { tokio::time::timeout(PATIENCE, trial::run(&plan)).await }).await;
        match report {
            Ok(Ok(report)) => {
                println!("{form} seed {seed}: {report} [{faults}]");
                sessions += report.verdict.sessions;
                if report.verdict.is_right() {
                    continue;
                }
                report.said.iter().for_each(|said| println!("---\n{said}"));
            }
            Ok(Err(_)) => println!("{form} seed {seed}: NO END within {PATIENCE:?} [{faults}]"),
            Err(panic) => println!("{form} seed {seed}: NO VERDICT: {panic} [{faults}]"),
        }
        failed.push(seed);
    }
    println!("{form}: {} trials, {sessions} sessions, {} trials with a difference", seeds.len(), failed.len());
    for seed in &failed {
        println!("again: make crash ARGS=\"--form {form} --seed {seed}\"");
    }
    assert!(failed.is_empty(), "{form}: seeds with a difference: {failed:?}");
}
