//! A retry is the same fact wherever and whenever it is said, with whatever message id: what the log holds twice has one name, so that
//! consumers count it once.

use std::sync::Arc;

use codecs::ykc::kind;
use events::{proto::envelope::Body, topic::Topic};
use serde_json::json;

use crate::common::{MemoryLog, Rig, ocpp, registry, ykc};

/// Session and digest of every money event, in the order of the log.
fn money(rig: &Rig) -> Vec<(String, Vec<u8>)> {
    let device = rig.envelopes(Topic::Device);
    let of = |body: Option<&Body>| match body? {
        Body::SessionStarted(start) => Some((start.session.clone(), Vec::new())),
        Body::TransactionRecorded(record) => Some((record.session.clone(), record.digest.to_vec())),
        _ => None,
    };
    device.iter().filter_map(|envelope| of(envelope.body.as_ref())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_styles_of_retry_name_the_same_at_every_node_and_after_a_restart() {
    let log = Arc::new(MemoryLog::default());
    registry::fill(&log);
    let record = ykc::record(registry::PILE, ykc::trade(registry::PILE, 1));
    let mut transactions = Vec::new();
    // The second is another node, the third the first one restarted with a clock two days on.
    for (node, ahead_ms) in [("a", 0), ("b", 0), ("a", 2 * 86_400_000)] {
        let rig = Rig::node(log.view(), node, ahead_ms).await;
        let mut pile = rig.pile(registry::PILE).await;
        pile.send(&record).await;
        pile.expect(kind::RECORD_CONFIRM).await;

        let mut station = rig.station(registry::STATION).await;
        let start = station.ask("StartTransaction", ocpp::start(1, 1_000)).await;
        let transaction = start["transactionId"].as_i64().unwrap();
        let stop = station.ask("StopTransaction", ocpp::stop(transaction, 2_500)).await;
        assert!(stop.get("idTagInfo").is_none_or(|info| info["status"] == "Accepted"), "{stop}");
        // Twice on one connection: with the same message id, and with a new one.
        let again = json!([2, "same", "StopTransaction", ocpp::stop(transaction, 2_500)]).to_string();
        for _ in 0..2 {
            station.text(&again).await;
            station.result("same").await;
        }
        transactions.push(transaction);
        drop((pile, station));
        rig.drained().await;
    }
    assert!(transactions.iter().all(|id| *id == transactions[0]), "{transactions:?}");

    let rig = Rig::over(log, |_| {}).await;
    let said = money(&rig);
    // Of each node a bill of the pile, a start, and a stop three times.
    assert_eq!(said.len(), 3 * 5, "{said:?}");
    let different: std::collections::BTreeSet<_> = said.iter().collect();
    assert_eq!(different.len(), 3, "{different:?}");
    rig.drained().await;
}
