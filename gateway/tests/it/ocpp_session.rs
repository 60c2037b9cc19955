//! OCPP 1.6: who gets in, and what a whole session looks like in the log.

use events::{
    proto::{ConnectorStatus, Protocol, envelope::Body},
    topic::Topic,
};
use serde_json::json;
use tokio_tungstenite::tungstenite;

use crate::common::{Rig, counter, ocpp, registry};

fn status(error: &tungstenite::Error) -> u16 {
    match error {
        tungstenite::Error::Http(response) => response.status().as_u16(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn only_known_stations_with_their_secret_and_subprotocol_get_in() {
    let rig = Rig::start().await;
    let addr = rig.gateway.ocpp_addr.unwrap();
    let v16 = Some("ocpp1.6");
    for (path, basic, expected) in [
        ("/ocpp/NOBODY", None, 404),
        ("/ocpp/32010600019236", None, 404),
        ("/elsewhere/CP-1", None, 404),
        ("/ocpp/CP-3", None, 401),
        ("/ocpp/CP-3", Some(("CP-3", "wrong")), 401),
        ("/ocpp/CP-3", Some(("CP-1", registry::SECRET)), 401),
    ] {
        let error = ocpp::upgrade(addr, path, v16, basic).await.unwrap_err();
        assert_eq!(status(&error), expected, "{path} {basic:?}");
    }
    let good = Some(("CP-3", registry::SECRET));
    let (_, response) = ocpp::upgrade(addr, "/ocpp/CP-3", Some("ocpp2.0.1, ocpp1.6"), good).await.unwrap();
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "ocpp1.6");
    assert!(ocpp::upgrade(addr, "/ocpp/CP%2D1", v16, None).await.is_ok(), "percent-encoded");

    // No common subprotocol: a handshake without one, then closed. The library reports the missing header itself.
    let before = counter("evgate_logins_total", &["no_subprotocol"]);
    let outcome = ocpp::upgrade(addr, "/ocpp/CP-1", Some("ocpp0.1"), None).await;
    assert!(outcome.is_err());
    assert!(counter("evgate_logins_total", &["no_subprotocol"]) > before);
    rig.drained().await;
}

#[tokio::test]
async fn a_whole_session_is_in_the_log_in_order() {
    let rig = Rig::start().await;
    let mut station = rig.station(registry::STATION).await;
    let boot = json!({"chargePointVendor": "ACME", "chargePointModel": "X1", "firmwareVersion": "1.2"});
    let answer = station.ask("BootNotification", boot).await;
    assert_eq!((&answer["status"], &answer["interval"]), (&json!("Accepted"), &json!(60)));
    let say = |word: &str| json!({"connectorId": 1, "errorCode": "NoError", "status": word});
    station.ask("StatusNotification", say("Preparing")).await;
    station.ask("StatusNotification", say("Preparing")).await;
    let verdict = station.ask("Authorize", json!({"idTag": registry::TAG})).await;
    assert_eq!(verdict["idTagInfo"]["status"], "Accepted");
    let verdict = station.ask("Authorize", json!({"idTag": registry::TAG.to_lowercase()})).await;
    assert_eq!(verdict["idTagInfo"]["status"], "Accepted", "an idTag is case-insensitive");
    let verdict = station.ask("Authorize", json!({"idTag": registry::TAG_BLOCKED})).await;
    assert_eq!(verdict["idTagInfo"]["status"], "Blocked");
    let verdict = station.ask("Authorize", json!({"idTag": "nobody"})).await;
    assert_eq!(verdict["idTagInfo"]["status"], "Invalid");
    let started = station.ask("StartTransaction", ocpp::start(1, 1_000)).await;
    let transaction = started["transactionId"].as_i64().unwrap();
    station.ask("StatusNotification", say("Charging")).await;
    station.ask("MeterValues", ocpp::meter_values(transaction, 1_500)).await;
    station.ask("StopTransaction", ocpp::stop(transaction, 2_500)).await;
    station.ask("DataTransfer", json!({"vendorId": "ACME", "data": "x"})).await;
    station.ask("FirmwareStatusNotification", json!({"status": "Idle"})).await;
    // A main meter reading belongs to no transaction: live data.
    let mut values = ocpp::meter_values(1, 9_000);
    values.as_object_mut().unwrap().remove("transactionId");
    station.ask("MeterValues", values).await;

    let device = rig.envelopes(Topic::Device);
    let kinds: Vec<&str> = device
        .iter()
        .map(|envelope| match envelope.body.as_ref().unwrap() {
            Body::Connected(_) => "connected",
            Body::ChargerBooted(_) => "booted",
            Body::StatusChanged(_) => "status",
            Body::SessionStarted(_) => "started",
            Body::MeterSampled(_) => "meter",
            Body::TransactionRecorded(_) => "recorded",
            Body::VendorMessage(_) => "vendor",
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = ["connected", "booted", "status", "started", "status", "meter", "recorded", "vendor", "vendor"];
    assert_eq!(kinds, expected);
    for (index, envelope) in device.iter().enumerate().take(7) {
        assert_eq!(envelope.number, index as u64 + 1);
        assert_eq!((envelope.tenant, envelope.charger.as_str()), (registry::TENANT, registry::STATION));
        assert_eq!((envelope.protocol(), envelope.node.as_str()), (Protocol::Ocpp16, "test-node"));
        assert_eq!(envelope.event_id.len(), 16);
    }
    let Some(Body::SessionStarted(start)) = &device[3].body else { panic!() };
    assert_eq!((start.session.as_str(), start.meter_start_e4), (transaction.to_string().as_str(), Some(10_000)));
    assert_eq!(
        (start.token.as_str(), start.offline),
        (registry::TAG, device[3].received_at_ms > device[3].occurred_at_ms + 120_000)
    );
    let Some(Body::MeterSampled(sample)) = &device[5].body else { panic!() };
    assert!(sample.billable);
    assert_eq!((sample.register_e4, sample.power_w, sample.current_da), (Some(15_000), Some(11_000), None));
    // What no field holds is kept.
    assert_eq!(device[5].leftovers.len(), 1);
    assert!(std::str::from_utf8(&device[5].leftovers[0].value).unwrap().contains("Current.Import"));
    let Some(Body::TransactionRecorded(stop)) = &device[6].body else { panic!() };
    assert_eq!((stop.session.as_str(), stop.meter_end_e4), (transaction.to_string().as_str(), Some(25_000)));
    assert_eq!((stop.stop_reason.as_str(), device[6].connector), ("local_user", 1));
    let Some(Body::StatusChanged(state)) = &device[4].body else { panic!() };
    assert_eq!(state.status(), ConnectorStatus::Charging);
    let telemetry = rig.envelopes(Topic::Telemetry);
    assert!(matches!(&telemetry[..], [one] if matches!(&one.body, Some(Body::MeterSampled(s)) if !s.billable)));
    rig.drained().await;
}

#[tokio::test]
async fn strange_transaction_ids_are_answered_and_published() {
    let rig = Rig::start().await;
    let mut station = rig.station(registry::STATION).await;
    for id in [0_i64, -1, i64::MAX] {
        station.ask("StopTransaction", ocpp::stop(id, 10)).await;
    }
    let sessions: Vec<String> = rig
        .envelopes(Topic::Device)
        .into_iter()
        .filter_map(|envelope| match envelope.body {
            Some(Body::TransactionRecorded(record)) => Some(record.session),
            _ => None,
        })
        .collect();
    // 0 and -1 say that the station never got an id: such a bill names itself, by its digest.
    let digests: Vec<bool> = sessions.iter().map(|session| session.len() == 64).collect();
    assert_eq!((&digests[..], sessions[2].as_str()), (&[true, true, false][..], "9223372036854775807"));
    assert_ne!(sessions[0], sessions[1]);
    rig.drained().await;
}
