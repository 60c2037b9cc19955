//! A bill whose session number names nothing: each is a session of its own, and the same one again is still the same.

use codecs::ykc::{Energy, TradeNo, kind};
use events::{
    proto::{TransactionRecorded, envelope::Body},
    topic::Topic,
};
use serde_json::json;

use crate::common::{Rig, ocpp, registry, ykc};

fn records(rig: &Rig) -> Vec<TransactionRecorded> {
    let record = |body: Option<Body>| match body {
        Some(Body::TransactionRecorded(record)) => Some(record),
        _ => None,
    };
    rig.envelopes(Topic::Device).into_iter().filter_map(|envelope| record(envelope.body)).collect()
}

#[tokio::test]
async fn ykc_records_without_a_trade_number_are_told_apart_by_their_digest() {
    for unusable in [TradeNo::ZERO, TradeNo([0xff; 16])] {
        let rig = Rig::start().await;
        let mut pile = rig.pile(registry::PILE).await;
        let one = ykc::record(registry::PILE, unusable);
        let mut other = one;
        other.total_energy = Energy(123_456);
        for record in [&one, &other, &one] {
            pile.send(record).await;
            let confirm = pile.expect(kind::RECORD_CONFIRM).await;
            assert_eq!((&confirm.body[..16], confirm.body[16]), (&unusable.0[..], 0), "confirmed by its own number");
        }
        let records = records(&rig);
        let sessions: Vec<&str> = records.iter().map(|record| record.session.as_str()).collect();
        assert_ne!(sessions[0], sessions[1], "two bills are two sessions");
        assert_eq!(sessions[0], sessions[2], "a repeat is none of its own");
        for record in &records {
            assert_eq!(record.session, hex::encode(&record.digest));
        }
        rig.drained().await;
    }
}

#[tokio::test]
async fn ocpp_stops_of_transactions_that_never_got_an_id_are_told_apart() {
    let rig = Rig::start().await;
    let mut station = rig.station(registry::STATION).await;
    for (transaction, meter) in [(-1, 2_500), (-1, 9_000), (-1, 2_500), (0, 2_500)] {
        let answer = station.ask("StopTransaction", ocpp::stop(transaction, meter)).await;
        assert_eq!(answer.get("idTagInfo"), None::<&serde_json::Value>, "{answer}");
    }
    let records = records(&rig);
    let sessions: Vec<&str> = records.iter().map(|record| record.session.as_str()).collect();
    assert_eq!(sessions[0], sessions[2]);
    assert!(sessions[0] != sessions[1] && sessions[0] != sessions[3]);
    let payload: serde_json::Value = serde_json::from_slice(&records[0].raw).unwrap();
    assert_eq!(payload["transactionId"], json!(-1), "what the station said is kept");
    rig.drained().await;
}
