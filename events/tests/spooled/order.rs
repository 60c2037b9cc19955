//! Records of a key keep their order through the spool, whatever the log does meanwhile.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use events::{
    log::{Ack, EventLog, spooled::SpooledLog},
    topic::Topic,
};
use proptest::prelude::*;

use crate::double::{Heard, Mode, Rig, empty, eventually, money, record};

#[tokio::test]
async fn later_records_of_a_key_wait_behind_those_in_the_spool() {
    let rig = Rig::new(40);
    let log = rig.open();
    let heard = Arc::new(Heard::default());
    rig.log.mode(Mode::Fails);
    money(&log, &heard, 1, "k").unwrap();
    heard.durable(1).await;
    // Well again for every other key before the drain has had its turn.
    rig.log.mode(Mode::Silent);
    money(&log, &heard, 2, "k").unwrap();
    money(&log, &heard, 3, "k").unwrap();
    heard.durable(3).await;
    // One record of a key at a time.
    eventually("the first", || (rig.log.held().len() == 1).then_some(())).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(rig.log.held().iter().map(|held| held.payload.clone()).collect::<Vec<_>>(), ["1"]);
    rig.log.recover();
    empty(&log).await;
    assert_eq!(rig.log.payloads(), ["1", "2", "3"]);
}

#[tokio::test]
async fn many_keys_drain_side_by_side() {
    let rig = Rig::new(20);
    let log = rig.open();
    let heard = Arc::new(Heard::default());
    rig.log.mode(Mode::Fails);
    for token in 0..500 {
        money(&log, &heard, token, &format!("key-{}", token % 50)).unwrap();
    }
    heard.durable(499).await;
    rig.log.mode(Mode::Silent);
    eventually("one of each key", || (rig.log.held().len() >= 50).then_some(())).await;
    let keys: std::collections::BTreeSet<_> = rig.log.held().into_iter().map(|held| held.key).collect();
    assert_eq!((keys.len(), rig.log.held().len()), (50, 50));
    rig.log.recover();
    empty(&log).await;
    assert_eq!(rig.log.log().len(), 500);
    for (key, payloads) in rig.log.first_by_key() {
        assert!(payloads.iter().map(|p| p.parse::<u64>().unwrap()).is_sorted(), "{key}: {payloads:?}");
    }
}

#[derive(Clone, Debug)]
enum Act {
    /// A record of one of four keys; `kept`: nobody waits.
    Append {
        key: u8,
        kept: bool,
    },
    Mode(Mode),
    /// The log confirms so many of what it holds.
    Confirm(u8),
    /// The log gives up everything that it holds.
    Drop,
    Sleep(u8),
    /// The process ends, in order, and starts again.
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => (0..4_u8, any::<bool>()).prop_map(|(key, kept)| Act::Append { key, kept }),
        2 => prop_oneof![Just(Mode::Well), Just(Mode::Silent), Just(Mode::Fails), Just(Mode::Full)].prop_map(Act::Mode),
        2 => (1..6_u8).prop_map(Act::Confirm),
        1 => Just(Act::Drop),
        3 => (1..25_u8).prop_map(Act::Sleep),
        1 => Just(Act::Restart),
    ]
}

/// Whatever happens: what was answered is in the log in the end, and so is what must not be lost; first occurrences of a key are in
/// the order in which they were appended.
async fn run(acts: Vec<Act>) {
    let rig = Rig::new(8);
    let heard = Arc::new(Heard::default());
    let mut log: Option<SpooledLog> = Some(rig.open());
    let mut appended: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut token = 0;
    for act in acts {
        match act {
            Act::Append { key, kept } => {
                token += 1;
                let key = format!("key-{key}");
                let log = log.as_ref().unwrap();
                if kept {
                    log.append(record(Topic::Device, &key, &token.to_string()), Ack::Kept).unwrap();
                } else {
                    money(log, &heard, token, &key).unwrap();
                }
                appended.entry(key).or_default().push(token.to_string());
            }
            Act::Mode(Mode::Well) => rig.log.recover(),
            Act::Mode(mode) => rig.log.mode(mode),
            Act::Confirm(count) => rig.log.settle(count.into(), true),
            Act::Drop => rig.log.settle(usize::MAX, false),
            Act::Sleep(ms) => tokio::time::sleep(Duration::from_millis(ms.into())).await,
            Act::Restart => {
                let old = log.take().unwrap();
                // What the producer's memory holds is gone with the process.
                tokio::task::spawn_blocking(move || drop(old)).await.unwrap();
                rig.log.settle(usize::MAX, false);
                log = Some(rig.open());
            }
        }
    }
    let log = log.unwrap();
    rig.log.recover();
    eventually("everything in the log", || {
        let spool = log.health().spool?;
        (spool.records == 0 && rig.log.held().is_empty()).then_some(())
    })
    .await;
    log.flush(Duration::from_secs(10)).await.unwrap();
    assert_eq!(rig.log.first_by_key(), appended);
    assert_eq!(log.health().lost, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_order_per_key_is_kept(acts in proptest::collection::vec(act(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(run(acts));
    }
}
