//! An OCPP client library that we did not write charges through the gateway, and its order is right.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::{path::Path, time::Duration};

use common::{Addresses, Process, books, registry};
use events::clock::Clock;
use serde_json::Value;

/// One price all day: 12.345 kWh x 0.60000 = 7.407, x 0.40000 = 4.938 yuan.
const ONE_PRICE: [(&str, &str, &str, &str, &str); 1] = [("00:00", "24:00", "flat", "0.60000", "0.40000")];
const ELECTRICITY_AND_SERVICE_FEN: i64 = 741 + 494;
const ENERGY_WH: i64 = 12_345;

#[tokio::test]
#[ignore = "needs the Python packages of tests/python: run `make test`"]
async fn the_ocpp_package_charges_and_its_order_is_right() {
    let python = std::env::var("EVGATE_TEST_PYTHON").expect("EVGATE_TEST_PYTHON");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registry.toml");
    std::fs::write(&file, registry(0, 1, &ONE_PRICE)).unwrap();
    let addresses = Addresses::free();
    let data = folder.path().join("data");
    let args = ["serve", "--registry", file.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let mut serve = Process::start(folder.path(), &args, &addresses.env(Clock::REAL));
    serve.ready(addresses.admin).await;

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("tests/python/charge.py");
    let output = tokio::process::Command::new(python)
        .arg(script)
        .args(["--url", &format!("ws://{}/ocpp", addresses.ocpp), "--identity", "TEST-0001", "--id-tag", "TAG1"])
        .args(["--energy-wh", &ENERGY_WH.to_string()])
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(90), output).await.expect("in time").unwrap();
    let (said, erred) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{erred}");
    let answers: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&answers["boot"], &answers["authorize"], &answers["start"]),
        (&"Accepted".into(), &"Accepted".into(), &"Accepted".into())
    );
    assert!(answers["transaction_id"].as_i64().unwrap() > 0);
    assert_eq!(answers["transaction_id"], answers["transaction_id_again"], "a repeated start is the same transaction");

    let orders = books::settled_orders(&addresses.platform(), 1, Duration::from_secs(30)).await;
    assert_eq!(orders.len(), 1, "{orders:?}");
    let order = &orders[0];
    assert!(order.state.eq_ignore_ascii_case("completed"), "{order:?}");
    assert_eq!(order.session.as_deref(), Some(answers["transaction_id"].to_string().as_str()));
    assert_eq!(order.energy_e4(), Some(ENERGY_WH * 10));
    assert_eq!(order.total_fen, Some(ELECTRICITY_AND_SERVICE_FEN));
    assert_eq!(serve.terminate(Duration::from_secs(60)), 0, "{}", serve.said());
}
