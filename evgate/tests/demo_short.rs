//! The demo ends by itself, and everybody's books agree.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{process::Stdio, time::Duration};

#[tokio::test]
async fn a_short_demo_agrees_and_exits_0() {
    let child = tokio::process::Command::new(env!("CARGO_BIN_EXE_evgate"))
        .args(["demo", "--for", "15s"])
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let output =
        tokio::time::timeout(Duration::from_secs(150), child.wait_with_output()).await.expect("in time").unwrap();
    let (said, erred) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}\n{erred}");
    for wanted in ["API      http://", "chargers' ledger", "event log", "ledger, log and orders agree"] {
        assert!(said.contains(wanted), "{wanted:?} is missing:\n{said}");
    }
    let money = |party: &str| {
        let row = said.lines().find(|line| line.trim_start().starts_with(party)).expect("a row");
        row.split_whitespace().next_back().expect("a sum").to_owned()
    };
    assert_eq!(money("chargers' ledger"), money("orders  "), "{said}");
}
