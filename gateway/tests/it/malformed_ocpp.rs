//! What is no HTTP, no WebSocket, no JSON, no OCPP: told where the protocol has a word for it, counted, and nobody else's
//! problem.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::common::{PATIENCE, Rig, counter, registry};

#[tokio::test]
async fn each_kind_gets_its_answer_and_the_session_goes_on() {
    let rig = Rig::start().await;
    let mut other = rig.station(registry::STATION_B).await;
    let mut station = rig.station(registry::STATION).await;
    // (counted as, message, code of the CALLERROR, "" = dropped)
    let cases = [
        ("not_json", "this is not JSON", ""),
        ("not_json", r#"[2,"a","Heartbeat",{}"#, "FormationViolation"),
        ("envelope", r#"{"a":1}"#, ""),
        ("envelope", r#"[2,"a"]"#, "FormationViolation"),
        ("envelope", r#"[2,"a","Heartbeat"]"#, "FormationViolation"),
        ("envelope", r#"[9,"a","Heartbeat",{}]"#, ""),
        ("unknown_action", r#"[2,"a","Teleport",{}]"#, "NotImplemented"),
        ("unknown_action", r#"[2,"a","RemoteStartTransaction",{"idTag":"x"}]"#, "NotImplemented"),
        ("payload", r#"[2,"a","Authorize",{}]"#, "OccurenceConstraintViolation"),
        ("payload", r#"[2,"a","Authorize",{"idTag":{}}]"#, "TypeConstraintViolation"),
        ("payload", r#"[2,"a","Authorize",[]]"#, "FormationViolation"),
        ("unasked", r#"[3,"nobody",{}]"#, ""),
        ("unasked", r#"[4,"nobody","GenericError","",{}]"#, ""),
    ];
    for (label, message, code) in cases {
        let before = counter("evgate_malformed_total", &["ocpp1.6", label]);
        if code.is_empty() {
            station.text(message).await;
        } else {
            assert_eq!(station.error_of(message).await, code, "{message}");
        }
        station.beats().await;
        assert!(
            counter("evgate_malformed_total", &["ocpp1.6", label]) > before,
            "{message} was not counted as {label}"
        );
        other.beats().await;
    }
    rig.drained().await;
}

#[tokio::test]
async fn an_unreadable_transaction_message_is_kept_before_it_is_refused() {
    let rig = Rig::start().await;
    let mut station = rig.station(registry::STATION).await;
    let code =
        station.error_of(r#"[2,"a","StopTransaction",{"transactionId":5,"timestamp":"2026-11-21T10:00:00Z"}]"#).await;
    assert_eq!(code, "OccurenceConstraintViolation");
    let letters = rig.log.records(events::topic::Topic::DeviceDlq);
    assert_eq!(letters.len(), 1);
    assert!(letters[0].payload.as_deref().unwrap().starts_with(br#"{"transactionId":5"#));
    station.beats().await;
    rig.drained().await;
}

#[tokio::test]
async fn too_many_in_a_row_end_the_connection_and_only_it() {
    let rig = Rig::with(|config| config.limits.bad_in_a_row = 5).await;
    let mut other = rig.station(registry::STATION_B).await;
    let mut station = rig.station(registry::STATION).await;
    for _ in 0..5 {
        station.text("nonsense").await;
    }
    assert_eq!(station.close_code().await, Some(1008));
    other.beats().await;
    rig.drained().await;
}

#[tokio::test]
async fn a_broken_websocket_is_closed_with_the_right_code() {
    let rig = Rig::with(|config| config.limits.message_bytes = 2_048).await;
    let mut other = rig.station(registry::STATION_B).await;
    let mut station = rig.station(registry::STATION).await;
    station.text(&"x".repeat(3_000)).await;
    assert_eq!(station.close_code().await, Some(1009));

    // An unmasked frame.
    let mut station = rig.station(registry::STATION).await;
    station.ws.get_mut().write_all(&[0x81, 0x01, b'x']).await.unwrap();
    assert_eq!(station.close_code().await, Some(1002));

    // Text that is not UTF-8.
    let mut station = rig.station(registry::STATION).await;
    station.ws.get_mut().write_all(&[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe]).await.unwrap();
    assert_eq!(station.close_code().await, Some(1007));
    other.beats().await;
    rig.drained().await;
}

#[tokio::test]
async fn what_is_no_upgrade_is_refused_and_closed() {
    let rig = Rig::start().await;
    for (bytes, status) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], "400"),
        (b"GET /ocpp/CP-1 HTTP/1.1\r\nHost: x\r\n\r\n", "426"),
        (b"POST /ocpp/CP-1 HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
    ] {
        let mut stream = TcpStream::connect(rig.gateway.ocpp_addr.unwrap()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    rig.drained().await;
}

#[tokio::test]
async fn fragments_and_binary_json_are_read() {
    use futures::SinkExt as _;
    use tokio_tungstenite::tungstenite::Message;
    let rig = Rig::start().await;
    let mut station = rig.station(registry::STATION).await;
    station.ws.send(Message::binary(json!([2, "b", "Heartbeat", {}]).to_string().into_bytes())).await.unwrap();
    station.result("b").await;
    // [2,"f","Heartbeat",{}] in three masked frames (mask 0), a ping in between.
    let parts: [&[u8]; 3] = [br#"[2,"f","#, br#""Heartbeat""#, br#",{}]"#];
    let mut bytes = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let first = match index {
            0 => 0x01,
            1 => 0x00,
            _ => 0x80,
        };
        bytes.extend_from_slice(&[first, 0x80 | u8::try_from(part.len()).unwrap(), 0, 0, 0, 0]);
        bytes.extend_from_slice(part);
        if index == 0 {
            bytes.extend_from_slice(&[0x89, 0x80, 0, 0, 0, 0]);
        }
    }
    station.ws.get_mut().write_all(&bytes).await.unwrap();
    station.result("f").await;
    rig.drained().await;
}
