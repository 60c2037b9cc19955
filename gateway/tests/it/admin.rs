//! The operator's listener.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::common::{PATIENCE, Rig, registry};

pub async fn get(rig: &Rig, path: &str) -> (u16, String) {
    let (head, body) = ask(rig, "GET", path).await;
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
}

/// Head and body of the answer.
async fn ask(rig: &Rig, method: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(rig.gateway.admin_addr).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn health_status_and_metrics_are_served() {
    let rig = Rig::start().await;
    let _pile = rig.pile(registry::PILE).await;
    assert_eq!(get(&rig, "/livez").await.0, 200);
    assert_eq!(get(&rig, "/readyz").await.0, 200);
    let (code, body) = get(&rig, "/status").await;
    assert_eq!(code, 200);
    let status: serde_json::Value = serde_json::from_str(body.trim()).unwrap();
    assert_eq!((&status["sessions"], &status["connections"]), (&1.into(), &1.into()));
    assert_eq!(status["registry"]["chargers"], 6);
    for part in ["log", "registry", "shards"] {
        assert_eq!(status["parts"][part]["ok"], true, "{part}");
    }
    let (code, metrics) = get(&rig, "/metrics").await;
    assert_eq!(code, 200);
    // Every counter exists from the first scrape.
    for metric in gateway::telemetry::catalogue() {
        if metric.kind == gateway::telemetry::MetricKind::Counter {
            assert!(metrics.contains(metric.name), "{} is missing", metric.name);
        }
    }
    rig.drained().await;
}

#[tokio::test]
async fn what_is_not_there_says_so_in_text() {
    let rig = Rig::start().await;
    for (method, path, code) in
        [("GET", "/", 404), ("GET", "/livez/x", 404), ("POST", "/x", 404), ("POST", "/livez", 405)]
    {
        let (head, body) = ask(&rig, method, path).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {code} ")), "{method} {path}: {head}");
        assert!(head.to_lowercase().contains("content-type: text/plain; charset=utf-8"), "{method} {path}: {head}");
        assert!(body.ends_with('\n'), "{body:?}");
    }
    rig.drained().await;
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_it() {
    let rig = Rig::start().await;
    let (ykc, ocpp, admin) = (rig.gateway.ykc_addr.unwrap(), rig.gateway.ocpp_addr.unwrap(), rig.gateway.admin_addr);
    for key in ["admin.listen", "ykc.listen", "ocpp.listen"] {
        let mut config = crate::common::quick();
        match key {
            "admin.listen" => config.admin.listen = admin,
            "ykc.listen" => config.ykc.listen = ykc,
            _ => config.ocpp.listen = ocpp,
        }
        let log = Arc::clone(&rig.log) as Arc<dyn events::log::EventLog>;
        let error = gateway::start(config, log, events::clock::Clock::REAL, Arc::new(String::new), Default::default());
        let error = error.await.unwrap_err().to_string();
        assert!(error.contains(key) && error.contains("in use"), "{error}");
    }
    rig.drained().await;
}
