//! `evgate dlq` on a database, as an operator uses it: what it shows, what it gives back, and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use business_api::{
    Store, TenantId,
    dead_letters::NOBODY,
    store::{
        dead_letters::{Letter, Origin, Source, WholeLetter},
        outbox::Stored,
    },
};
use events::topic::Topic;
use serde_json::Value;

const T1001: TenantId = TenantId(1001);
const CHARGER: &str = "10010001009999";

fn evgate(args: &[&str], data: &Path) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(PathBuf::from).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_evgate"));
    command.args(args).arg("--data").arg(data).current_dir(root).env("USER", "ann").env_remove("EVGATE_CONFIG");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("EVGATE__")) {
        command.env_remove(name);
    }
    command.output().unwrap()
}

/// What it says on stdout, when it ends as it should.
#[track_caller]
fn said(args: &[&str], data: &Path, code: i32) -> String {
    let output = evgate(args, data);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn letter(offset: i64, source: Source, reason: &str, payload: &[u8]) -> WholeLetter {
    let origin = Origin { topic: "ev.device.v1".to_owned(), partition: 0, offset };
    WholeLetter {
        letter: Letter {
            id: format!("letter-{offset}"),
            topic: Topic::DeviceDlq,
            partition: 0,
            offset,
            source,
            origin: (source == Source::Consumer).then_some(origin),
            reason: reason.to_owned(),
            detail: String::new(),
            charger: CHARGER.to_owned(),
            attempts: 0,
            bytes: 0,
            appended_at_ms: 1_773_115_800_000 + offset,
            redriven: None,
            dismissed: None,
        },
        key: CHARGER.into(),
        payload: Some(payload.to_vec()),
        headers: vec![("protocol".to_owned(), "PROTOCOL_YKC".to_owned()), ("dlq-offset".to_owned(), "9".to_owned())],
    }
}

/// 1, 2, 3: events of a tenant; 4: a frame; 5: bytes of nobody's.
async fn fill(data: &Path) -> Store {
    let store = Store::open(&format!("sqlite:{}", data.join("evgate.db").display())).await.unwrap();
    let frame = [0x68, 0x0d, 0, 3, 0, 4, 0, 0x62, 0x41, 0, 0, 0x12, 1, 1, 0, 0xc5, 0xe7];
    let ours = [
        letter(3, Source::Consumer, "unknown_charger", b"three"),
        letter(1, Source::Consumer, "unknown_charger", b"one"),
        letter(2, Source::Consumer, "impossible", b"two"),
        letter(4, Source::Gateway, "ykc_record_unparsable", &frame),
    ];
    let mut tx = store.write(T1001).await.unwrap();
    tx.put_dead_letters(T1001, &ours.iter().collect::<Vec<_>>()).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.write(NOBODY).await.unwrap();
    tx.put_dead_letters(NOBODY, &[&letter(5, Source::Consumer, "undecodable", b"\xff\xff")]).await.unwrap();
    tx.commit().await.unwrap();
    store
}

async fn queued(store: &Store) -> Vec<Stored> {
    let queued = store.read_platform().await.unwrap().outbox(&[], 10_000).await.unwrap();
    queued.into_iter().filter(|stored| stored.outgoing.topic == Topic::Device).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_are_listed_shown_and_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    said(&["dlq", "list"], data, 66);
    assert!(!data.join("evgate.db").exists(), "looking makes no database");
    said(&["registry", "apply", "docs/examples/registry.toml"], data, 0);
    let store = fill(data).await;

    let list = said(&["dlq", "list"], data, 0);
    let ids: Vec<&str> = list.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(ids, ["letter-5", "letter-4", "letter-3", "letter-2", "letter-1"], "newest first, of all tenants");
    assert_eq!(said(&["dlq", "list", "--limit", "2"], data, 0).lines().count(), 2);
    let json = said(&["dlq", "list", "--json", "--reason", "undecodable"], data, 0);
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["tenant"], 0);

    let shown = said(&["dlq", "show", "letter-4"], data, 0);
    assert!(shown.contains("hex: 680d0003") && shown.contains("00624100001201"), "{shown}");
    let json: Value = serde_json::from_str(&said(&["dlq", "show", "--json", "letter-1"], data, 0)).unwrap();
    assert_eq!((&json["payload_hex"], &json["tenant"]), (&hex("one").into(), &1001.into()));
    assert_eq!(evgate(&["dlq", "show", "--raw", "letter-5"], data).stdout, b"\xff\xff");
    said(&["dlq", "show", "letter-6"], data, 65);

    // By filter: oldest first, and a second time nothing.
    said(&["dlq", "redrive"], data, 64);
    assert_eq!(said(&["dlq", "redrive", "--charger", CHARGER, "--reason", "unknown_charger"], data, 0), "2 redriven\n");
    assert_eq!(said(&["dlq", "redrive", "--charger", CHARGER, "--reason", "unknown_charger"], data, 0), "0 redriven\n");
    let sent = queued(&store).await;
    let payloads: Vec<_> = sent.iter().map(|stored| stored.outgoing.payload.as_deref().unwrap()).collect();
    assert_eq!(payloads, [b"one".as_slice(), b"three"]);
    assert_eq!(sent[0].outgoing.key, CHARGER.as_bytes());
    let names: Vec<_> = sent[0].outgoing.headers.iter().map(|(name, _)| name.as_str()).collect();
    let wanted = ["protocol", "redriven-letter", "redriven-at-ms", "redriven-by", "redriven-times"];
    assert_eq!(names, wanted, "the letter's own headers stay behind");
    assert_eq!(sent[0].outgoing.headers[3].1, "cli:ann");
    // By name: refused what was given back, and what holds no event; nobody's letter goes as well as a tenant's.
    said(&["dlq", "redrive", "letter-1"], data, 1);
    said(&["dlq", "redrive", "letter-1", "--force"], data, 0);
    said(&["dlq", "redrive", "letter-4"], data, 1);
    said(&["dlq", "redrive", "letter-6"], data, 65);
    said(&["dlq", "redrive", "letter-5", "--by", "bob"], data, 0);
    assert_eq!(queued(&store).await.len(), 4);
    let waiting = said(&["dlq", "list", "--waiting"], data, 0);
    assert_eq!(waiting.lines().count(), 2, "{waiting}");
    // Left alone: what cannot be given back, and what nobody wants to be. By filter neither is taken again, by name it may.
    said(&["dlq", "dismiss", "letter-4"], data, 64);
    said(&["dlq", "dismiss", "letter-4", "--because", " "], data, 64);
    said(&["dlq", "dismiss", "letter-6", "--because", "x"], data, 65);
    said(&["dlq", "dismiss", "letter-4", "letter-2", "--because", "settled by hand"], data, 0);
    said(&["dlq", "dismiss", "letter-4", "--because", "other"], data, 1);
    assert_eq!(said(&["dlq", "list", "--waiting"], data, 0), "");
    assert_eq!(said(&["dlq", "list"], data, 0).matches("dismissed").count(), 2);
    let json: Value = serde_json::from_str(&said(&["dlq", "show", "--json", "letter-4"], data, 0)).unwrap();
    assert_eq!(
        (&json["dismissed"]["by"], &json["dismissed"]["because"]),
        (&"cli:ann".into(), &"settled by hand".into())
    );
    assert!(json["payload_hex"].as_str().unwrap().starts_with("680d0003"), "the bytes stay");
    assert_eq!(said(&["dlq", "redrive", "--reason", "impossible"], data, 0), "0 redriven\n");
    said(&["dlq", "redrive", "letter-2"], data, 0);
    store.close().await;
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}
