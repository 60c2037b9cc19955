//! What the command line promises: help, exit codes, decoded frames, rated bills, checked configurations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use events::{
    log::{Ack, Append, KafkaConfig, LogConfig, SpoolConfig, spooled::Spool},
    topic::Topic,
};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn evgate(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evgate"));
    command.args(args).current_dir(root()).env_remove("EVGATE_CONFIG").env_remove("RUST_LOG");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("EVGATE__")) {
        command.env_remove(name);
    }
    command
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

const SUBCOMMANDS: [&[&str]; 21] = [
    &["serve"],
    &["gateway"],
    &["api"],
    &["registry"],
    &["registry", "apply"],
    &["log"],
    &["log", "groups"],
    &["log", "forget"],
    &["spool"],
    &["spool", "drain"],
    &["dlq"],
    &["dlq", "list"],
    &["dlq", "show"],
    &["dlq", "redrive"],
    &["simulate"],
    &["load"],
    &["load", "reference"],
    &["load", "walls"],
    &["decode"],
    &["bill"],
    &["demo"],
];

#[test]
fn every_subcommand_has_help_with_examples() {
    let all = stdout(&evgate(&["--help"]));
    for words in SUBCOMMANDS {
        assert!(all.contains(words[0]), "{words:?} is not in evgate --help");
        let args: Vec<&str> = words.iter().copied().chain(["--help"]).collect();
        let output = evgate(&args);
        assert_eq!(code(&output), 0, "{args:?}");
        let help = stdout(&output);
        if !matches!(words, ["registry" | "log" | "spool" | "dlq"]) {
            assert!(help.contains("Examples:"), "{args:?} shows no example:\n{help}");
        }
    }
}

#[test]
fn wrong_usage_exits_64() {
    for args in [&["no-such-thing"][..], &["decode", "--no-such-flag"], &["demo", "--for", "soon"], &[]] {
        let output = evgate(args);
        assert_eq!(code(&output), 64, "{args:?}");
        assert!(!stderr(&output).is_empty(), "{args:?} says nothing");
    }
}

// --- configuration -------------------------------------------------------------------------------------------------

#[test]
fn check_accepts_the_example_and_the_defaults() {
    for args in [&["serve", "--check"][..], &["serve", "--check", "--config", "docs/evgate.toml"]] {
        let output = evgate(args);
        assert_eq!(code(&output), 0, "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn check_names_the_key_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    for (text, key) in [
        ("[gateway]\nshardz = 2\n", "shardz"),
        ("[gateway]\nshards = \"two\"\n", "shards"),
        ("[gateway.ocpp]\nheartbeat_s = 0\n", "gateway.ocpp.heartbeat_s"),
        ("[api]\nbatch = 0\n", "api.batch"),
        ("[api]\nlisten = \"127.0.0.1:9180\"\n", "api.listen: 127.0.0.1:9180 is also gateway.ocpp.listen"),
        ("[log]\npath = \"\"\n", "log.path"),
        ("[log]\nkind = \"kafka\"\n[log.spool]\nafter_ms = 0\n", "log.spool.after_ms"),
        ("[log]\nkind = \"kafka\"\n[log.spool]\nqueue_kbytes = 100\n", "log.spool.queue_kbytes"),
        ("[clock]\nfactor = 0\n", "clock.factor"),
        ("[telemetry]\nlog_filter = \"a=b=c\"\n", "telemetry.log_filter"),
        ("[nonsense]\n", "nonsense"),
    ] {
        let file = folder.path().join("evgate.toml");
        std::fs::write(&file, text).unwrap();
        let output = evgate(&["serve", "--check", "--config", file.to_str().unwrap()]);
        assert_eq!(code(&output), 64, "{text}: {}", stderr(&output));
        assert!(stderr(&output).contains(key), "{text:?} should name {key}: {}", stderr(&output));
    }
}

/// Keys for which 2^31 - 1 is no nonsense: 25 days, a moment in 1970, a sum of money on a screen, "never".
const MAY_BE_LARGE: [&str; 4] =
    ["api.orders.", "clock.", "api.default_balance_fen", "gateway.coalesce.above_per_second"];

/// Every number in the two example files, set to what nobody can mean.
#[test]
fn a_nonsense_number_is_refused_by_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evgate.toml");
    let check = |table: &toml::Table| {
        std::fs::write(&path, table.to_string()).unwrap();
        let output = evgate(&["serve", "--check", "--config", path.to_str().unwrap()]);
        (code(&output), stderr(&output))
    };
    let mut tried = 0;
    for file in ["docs/evgate.toml", "docs/examples/evgate-cluster.toml"] {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let table: toml::Table = toml::from_str(&text).unwrap();
        let mut keys = Vec::new();
        numbers(&toml::Value::Table(table.clone()), &mut Vec::new(), &mut keys);
        for key in &keys {
            let name = key.join(".");
            for value in [i64::MIN, -1, i64::from(i32::MAX), i64::MAX] {
                let large = value > 0 && MAY_BE_LARGE.iter().any(|prefix| name.starts_with(prefix));
                if large && (value == i64::from(i32::MAX) || name == "gateway.coalesce.above_per_second") {
                    continue;
                }
                let mut table = table.clone();
                set(&mut table, key, value);
                let (code, said) = check(&table);
                assert_eq!(code, 64, "{file}: {name} = {value} is taken");
                assert!(said.contains(key.last().unwrap().as_str()), "{name} = {value}: {said}");
                tried += 1;
            }
        }
    }
    assert!(tried > 200, "{tried}");
}

fn numbers(value: &toml::Value, at: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    match value {
        toml::Value::Integer(_) => found.push(at.clone()),
        toml::Value::Table(table) => {
            for (name, value) in table {
                at.push(name.clone());
                numbers(value, at, found);
                at.pop();
            }
        }
        _ => {}
    }
}

fn set(table: &mut toml::Table, key: &[String], value: i64) {
    match key {
        [last] => {
            table.insert(last.clone(), toml::Value::Integer(value));
        }
        [first, rest @ ..] => set(table[first].as_table_mut().unwrap(), rest, value),
        [] => {}
    }
}

#[test]
fn values_that_do_not_go_together_are_refused() {
    for (name, value, key) in [
        ("EVGATE__API__BILLING__LOSS_PERCENT", "101", "api.billing.loss_percent"),
        ("EVGATE__API__BILLING__SERVICE_DISCOUNT_RATE", "10001", "api.billing.service_discount_rate"),
        ("EVGATE__API__PLAUSIBILITY_PERCENT", "99", "api.plausibility_percent"),
        ("EVGATE__CLOCK__FACTOR", "60", "clock.real_origin_ms"),
        ("EVGATE__LOG__RECORD_KBYTES_MAX", "447", "log.record_kbytes_max: must be at least 448"),
    ] {
        let output = command(&["serve", "--check"]).env(name, value).output().unwrap();
        assert_eq!(code(&output), 64, "{name}={value}");
        assert!(stderr(&output).contains(key), "{}", stderr(&output));
    }
}

/// The default build has no OpenSSL; librdkafka's own words for that name neither the feature nor the cure.
#[cfg(not(feature = "kafka-tls"))]
#[test]
fn tls_towards_kafka_names_the_feature_that_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("evgate.toml");
    for (table, property, value, needs) in [
        ("options", "security.protocol", "SSL", true),
        ("options", "security.protocol", "sasl_ssl", true),
        ("options", "security.protocol", "plaintext", false),
        ("options", "ssl.ca.location", "/etc/ca.pem", true),
        ("options", "sasl.mechanisms", "SCRAM-SHA-512", true),
        ("options", "sasl.mechanism", "PLAIN", false),
        ("producer_options", "ssl.key.password", "secret-word", true),
        ("consumer_options", "enable.ssl.certificate.verification", "false", true),
    ] {
        std::fs::write(&file, format!("[log]\nkind = \"kafka\"\n[log.{table}]\n\"{property}\" = \"{value}\"\n"))
            .unwrap();
        let output = evgate(&["gateway", "--check", "--config", file.to_str().unwrap()]);
        let said = stderr(&output);
        assert_eq!(code(&output), if needs { 64 } else { 0 }, "{property} = {value}: {said}");
        assert_eq!(
            said.contains("--features kafka-tls") && said.contains(&format!("log.{table}.\"{property}\"")),
            needs,
            "{said}"
        );
        assert!(!said.contains("secret-word"));
    }
}

#[test]
fn a_config_file_that_is_not_there_exits_66() {
    let output = evgate(&["serve", "--check", "--config", "no/such/file.toml"]);
    assert_eq!(code(&output), 66);
    assert!(stderr(&output).contains("no/such/file.toml"));
}

#[test]
fn the_environment_overrides_the_file_and_its_mistakes_are_named() {
    let check = |name: &str, value: &str| {
        let output = command(&["serve", "--check", "--config", "docs/evgate.toml"]).env(name, value).output().unwrap();
        (code(&output), stderr(&output))
    };
    assert_eq!(check("EVGATE__GATEWAY__SHARDS", "2"), (0, String::new()));
    assert_eq!(check("EVGATE__GATEWAY__NODE", "7").0, 0, "a number is a fine name");
    assert_eq!(check("EVGATE__API__LISTEN", "127.0.0.1:8081").0, 0, "text needs no quotes");
    assert_eq!(check("EVGATE__TELEMETRY__LOG_FORMAT", "json").0, 0);
    for (name, value) in [
        ("EVGATE__GATEWAY__SHARDS", "two"),
        ("EVGATE__GATEWAY__SHARDZ", "2"),
        ("EVGATE__GATEWAY", "2"),
        ("EVGATE__API__BATCH__SIZE", "2"),
    ] {
        let (code, said) = check(name, value);
        assert_eq!(code, 64, "{name}={value}");
        assert!(said.contains(name), "{name}: {said}");
    }
    let (code, said) = check("EVGATE__GATEWAY__SHARDS", "1000");
    assert_eq!(code, 64);
    assert!(said.contains("gateway.shards"), "{said}");
}

#[test]
fn the_parts_apart_need_a_log_that_they_can_share() {
    for part in ["gateway", "api"] {
        let output = evgate(&[part, "--check"]);
        assert_eq!(code(&output), 64, "{part}");
        assert!(stderr(&output).contains("log.kind"), "{}", stderr(&output));
        let output = command(&[part, "--check"]).env("EVGATE__LOG__KIND", "kafka").output().unwrap();
        assert_eq!(code(&output), 0, "{part}: {}", stderr(&output));
    }
}

// --- decode --------------------------------------------------------------------------------------------------------

/// Frame types of the main job; the others are shown with their body only.
const TYPES: [&str; 26] = [
    "0x01", "0x02", "0x03", "0x04", "0x05", "0x06", "0x09", "0x0A", "0x12", "0x13", "0x31", "0x32", "0x33", "0x34",
    "0x35", "0x36", "0x3B", "0x40", "0x41", "0x42", "0x55", "0x56", "0x57", "0x58", "0x91", "0x92",
];

fn vectors() -> Vec<Value> {
    let text = std::fs::read_to_string(root().join("codecs/tests/vectors/ykc/frames.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn decode_gives_every_stated_value_of_every_vector() {
    let mut compared = 0;
    let chosen: Vec<Value> =
        vectors().into_iter().filter(|v| TYPES.contains(&v["decoded"]["frame_type"].as_str().unwrap())).collect();
    // One run for all: a frame per line, the damaged ones among them.
    let input: String = chosen.iter().map(|v| format!("{}\n", v["hex"].as_str().unwrap())).collect();
    let output = with_stdin(&["decode", "--json"], input.as_bytes());
    let damaged = chosen.iter().filter(|v| v["valid_crc"] == false).count();
    assert_eq!(code(&output), if damaged > 0 { 65 } else { 0 });
    let lines: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), chosen.len(), "{}", stderr(&output));
    for (vector, line) in chosen.iter().zip(&lines) {
        for (field, stated) in vector["decoded"].as_object().unwrap() {
            assert_eq!(&line[field], stated, "{}: {field}", vector["name"]);
            compared += 1;
        }
    }
    assert!(chosen.len() >= 50 && compared > 600, "{} vectors, {compared} values", chosen.len());
}

const HEARTBEAT_ANSWER: &str = "680d00030004006241000012010100c5e7";

fn with_stdin(args: &[&str], input: &[u8]) -> Output {
    let mut child = command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    output
}

#[test]
fn decode_reads_arguments_files_stdin_and_raw_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (text, raw) = (folder.path().join("frames.hex"), folder.path().join("frames.bin"));
    std::fs::write(
        &text,
        format!("# captured\n68 0d 00 03 00 04 00 62\n41 00 00 12 01 01 00 c5 e7\n{HEARTBEAT_ANSWER}"),
    )
    .unwrap();
    std::fs::write(&raw, hex::decode(HEARTBEAT_ANSWER.repeat(2)).unwrap()).unwrap();
    let spaced: Vec<String> = hex::decode(HEARTBEAT_ANSWER).unwrap().iter().map(|b| format!("{b:02X}")).collect();
    let spaced: Vec<&str> = ["decode", "--json"].into_iter().chain(spaced.iter().map(String::as_str)).collect();
    let one = evgate(&["decode", "--json", HEARTBEAT_ANSWER]);
    let expected = stdout(&one);
    assert!(expected.contains("\"pile_id\":\"00624100001201\""), "{expected}");
    assert_eq!(stdout(&evgate(&spaced)), expected);
    assert_eq!(stdout(&with_stdin(&["decode", "--json"], HEARTBEAT_ANSWER.as_bytes())), expected);
    for file in [&text, &raw] {
        let file = file.to_str().unwrap();
        for args in [&["decode", "--json", "--file", file][..], &["decode", "--json", file]] {
            let output = evgate(args);
            assert_eq!((code(&output), stdout(&output)), (0, expected.repeat(2)), "{args:?}: {}", stderr(&output));
        }
    }
}

#[test]
fn decode_shows_names_and_units_to_people() {
    let record =
        vectors().into_iter().find(|v| v["decoded"]["frame_type"] == "0x3B" && v["valid_crc"] == true).unwrap();
    let text = stdout(&evgate(&["decode", record["hex"].as_str().unwrap()]));
    for wanted in ["transaction record", "trade_no", "total_energy", "kWh", "yuan"] {
        assert!(text.contains(wanted), "{wanted}:\n{text}");
    }
}

#[test]
fn decode_goes_on_behind_what_is_bad() {
    let cut = &HEARTBEAT_ANSWER[..20];
    let wrong_crc = HEARTBEAT_ANSWER.replace("c5e7", "c5e8");
    for (input, frames, said) in [
        (format!("{HEARTBEAT_ANSWER}\n{cut}\n{HEARTBEAT_ANSWER}\n"), 2, "line 2"),
        (format!("{HEARTBEAT_ANSWER}\nnot hex\n{HEARTBEAT_ANSWER}\n"), 2, "line 2: not hex"),
        (format!("00ff{HEARTBEAT_ANSWER}"), 1, "2 bytes skipped"),
        (format!("{wrong_crc}{HEARTBEAT_ANSWER}"), 2, "checksum"),
        ("zz".to_owned(), 0, "not hex"),
        (String::new(), 0, "no frame"),
    ] {
        let output = with_stdin(&["decode", "--json"], input.as_bytes());
        assert_eq!(code(&output), 65, "{input:?}");
        assert_eq!(stdout(&output).lines().count(), frames, "{input:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(said), "{input:?}: {}", stderr(&output));
    }
    assert_eq!(code(&evgate(&["decode", "--file", "no/such/file"])), 66);
}

#[test]
fn decode_reads_ocpp() {
    let call = r#"[2,"7","StopTransaction",{"transactionId":5,"meterStop":12450,"timestamp":"2025-11-11T09:00:00Z"}]"#;
    let answer = r#"[3,"7",{"idTagInfo":{"status":"Accepted"}}]"#;
    let output = evgate(&["decode", call]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("meterStop") && stdout(&output).contains("12450 Wh"), "{}", stdout(&output));
    let input = format!("{call}\n{answer}\n[2,\"8\",\"Heart\n{answer}\n{{}}\n");
    let output = with_stdin(&["decode", "--json"], input.as_bytes());
    assert_eq!(code(&output), 65);
    let lines: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{}", stderr(&output));
    assert_eq!(lines[0]["action"], "StopTransaction");
    assert_eq!(lines[0]["payload"]["meterStop"], 12450);
    assert_eq!((&lines[1]["message_type"], &lines[1]["action"]), (&"CALLRESULT".into(), &"StopTransaction".into()));
    let said = stderr(&output);
    assert!(said.contains("line 3") && said.contains("line 5"), "{said}");
}

#[test]
fn decode_refuses_an_ocpp_payload_that_its_action_refuses() {
    let fine = r#"[2,"8","Heartbeat",{}]"#;
    let wrong = r#"[2,"9","StopTransaction",{"transactionId":"x"}]"#;
    let input = format!("{fine}\n{wrong}\n{fine}\n");
    for json in [false, true] {
        let args = if json { &["decode", "--json"][..] } else { &["decode"] };
        let output = with_stdin(args, input.as_bytes());
        assert_eq!(code(&output), 65, "{args:?}");
        let said = stderr(&output);
        assert!(said.contains("line 2: not valid in OCPP 1.6: StopTransaction") && said.lines().count() == 1, "{said}");
        assert!(stdout(&output).contains("not valid in OCPP 1.6"), "{}", stdout(&output));
        if json {
            let lines: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let errors: Vec<bool> = lines.iter().map(|line| line["error"].is_string()).collect();
            assert_eq!(errors, [false, true, false]);
        }
    }
    // What this release does not read is no fault of the input.
    for unread in [r#"[2,"9","FirmwareStatusNotification",{"status":"Idle"}]"#, r#"[2,"9","NotifyEvent",{}]"#] {
        assert_eq!(code(&evgate(&["decode", unread])), 0, "{unread}");
    }
}

// --- bill ----------------------------------------------------------------------------------------------------------

#[test]
fn bill_rates_every_case_as_expected() {
    let file = root().join("business-api/tests/vectors/billing-vectors.json");
    let output = evgate(&["bill", file.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let rated: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let vectors: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    assert_eq!(rated["cases"].as_array().unwrap().len(), cases.len());
    for (case, rated) in cases.iter().zip(rated["cases"].as_array().unwrap()) {
        assert_eq!(rated["id"], case["id"]);
        assert_eq!(rated["expect"], case["expect"], "{}", case["id"]);
    }
}

#[test]
fn bill_needs_no_expectation_and_goes_on_behind_a_bad_case() {
    let file = root().join("business-api/tests/vectors/billing-vectors.json");
    let mut vectors: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let expected = vectors["cases"][1]["expect"].take();
    vectors["cases"][1].as_object_mut().unwrap().remove("expect");
    vectors["cases"][0]["session"]["end"] = "yesterday".into();
    vectors["cases"].as_array_mut().unwrap().truncate(2);
    let output = with_stdin(&["bill", "-"], vectors.to_string().as_bytes());
    assert_eq!(code(&output), 65);
    assert!(stderr(&output).contains("B01"), "{}", stderr(&output));
    let rated: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(rated["cases"].as_array().unwrap().len(), 1);
    assert_eq!(rated["cases"][0]["expect"], expected);
    assert_eq!(code(&with_stdin(&["bill", "-"], b"not json")), 65);
    assert_eq!(code(&evgate(&["bill", "no/such/file"])), 66);
}

// --- registry ------------------------------------------------------------------------------------------------------

#[test]
fn registry_apply_is_idempotent_and_a_dry_run_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let apply = |more: &[&str]| {
        let mut args =
            vec!["registry", "apply", "docs/examples/registry.toml", "--data", folder.path().to_str().unwrap()];
        args.extend(more);
        let output = evgate(&args);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        stdout(&output)
    };
    let dry = apply(&["--dry-run"]);
    assert!(dry.contains("would change") && dry.lines().count() > 40, "{dry}");
    let first = apply(&[]);
    assert_eq!(
        first.lines().filter(|line| line.starts_with('+')).count(),
        dry.lines().filter(|line| line.starts_with('+')).count()
    );
    let second = apply(&[]);
    assert!(second.starts_with("0 changed"), "{second}");
}

#[test]
fn registry_apply_lists_everything_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registry.toml");
    std::fs::write(&file, "[[tenants]]\nid = 0\nname = \"x\"\n[[chargers]]\ntenant = 9\nid = \"zz\"\n").unwrap();
    let output = evgate(&["registry", "apply", file.to_str().unwrap(), "--data", folder.path().to_str().unwrap()]);
    assert_eq!(code(&output), 65, "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("tenants[0]") && said.contains("chargers[0]"), "{said}");
    assert_eq!(code(&evgate(&["registry", "apply", "no/such/file", "--data", folder.path().to_str().unwrap()])), 66);
}

// --- the embedded log's readers ---------------------------------------------------------------------------------------

#[test]
fn a_group_that_does_not_come_back_is_shown_and_forgotten() {
    use events::{
        log::{Ack, Append, EmbeddedConfig, EventLog as _, embedded::EmbeddedLog},
        topic::Topic,
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    assert_eq!(code(&evgate(&["log", "groups", "--data", data])), 66, "no log there");
    // Somebody writes and reads all the while.
    let config = EmbeddedConfig { path: folder.path().join("events.db"), ..EmbeddedConfig::default() };
    let log = EmbeddedLog::open(&config).unwrap();
    let reader = log.subscribe("reports", &[Topic::Device]).unwrap();
    for _ in 0..3 {
        log.append(Append { topic: Topic::Device, key: b"k", payload: Some(b"v"), headers: &[] }, Ack::None).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut reader = reader;
    while runtime.block_on(reader.poll(10, std::time::Duration::from_secs(5))).unwrap().records.is_empty() {}
    let line = |output: &Output| stdout(output).lines().find(|line| line.starts_with("reports")).map(str::to_owned);
    let shown = evgate(&["log", "groups", "--data", data]);
    let words = line(&shown).unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words, ["reports", "ev.device.v1", "3", "0", "min", "yes"]);
    let refused = evgate(&["log", "forget", "reports", "--data", data]);
    assert_eq!(code(&refused), 1, "it reads");
    drop(reader);
    assert!(line(&evgate(&["log", "groups", "--data", data])).unwrap().ends_with("no"));
    let done = evgate(&["log", "forget", "reports", "--data", data]);
    assert_eq!(code(&done), 0, "{}", stderr(&done));
    assert_eq!(line(&evgate(&["log", "groups", "--data", data])), None);
    assert_eq!(code(&evgate(&["log", "forget", "reports", "--data", data])), 65, "it is not there any more");
}

// --- spool ---------------------------------------------------------------------------------------------------------

/// A spool with so many records that a log that takes nothing has not confirmed, and whose owner has ended.
fn left_behind(folder: &Path, records: u32) {
    let spool = SpoolConfig { path: folder.to_owned(), after_ms: 1, ..SpoolConfig::default() };
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let brokers = nobody.local_addr().unwrap().to_string();
    let config = KafkaConfig { brokers, create_topics: false, spool, ..KafkaConfig::default() };
    let log = events::log::open_spooled(&LogConfig::Kafka(config)).unwrap();
    for number in 0..records {
        let key = format!("key-{number}");
        let record = Append { topic: Topic::Device, key: key.as_bytes(), payload: Some(b"v"), headers: &[] };
        log.append(record, Ack::Kept).unwrap();
    }
}

#[test]
fn spool_status_says_what_a_spool_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    assert_eq!(code(&evgate(&["spool", "status", path])), 66, "there is none");
    assert_eq!(code(&evgate(&["spool", "drain", path])), 66, "nor is one made");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    left_behind(folder.path(), 3);
    let output = evgate(&["spool", "status", path]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).starts_with("ev.device.v1: 3 records, "), "{}", stdout(&output));
}

#[test]
fn spool_drain_refuses_what_it_cannot_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    left_behind(folder.path(), 1);
    let output = evgate(&["spool", "drain", path]);
    assert_eq!(code(&output), 64);
    assert!(stderr(&output).contains("log.kind"), "{}", stderr(&output));
    // Its gateway is alive.
    let config = SpoolConfig { path: folder.path().to_owned(), ..SpoolConfig::default() };
    let alive = Spool::open(&config, 900).unwrap();
    let file = folder.path().join("evgate.toml");
    std::fs::write(&file, "[log]\nkind = \"kafka\"\nbrokers = \"127.0.0.1:1\"\n").unwrap();
    let output = evgate(&["spool", "drain", path, "--config", file.to_str().unwrap()]);
    assert_eq!(code(&output), 69, "{}", stderr(&output));
    assert!(stderr(&output).contains("another process"), "{}", stderr(&output));
    drop(alive);
}
