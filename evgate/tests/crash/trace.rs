//! The order of system calls of a traced process, and the proof in it that bytes were safe before an answer left.
//!
//! `strace` sees a call begin before it is carried out and end after it, and writes both down in one order for all threads. So a
//! sync whose end stands above an answer's beginning was over before that answer left.

use std::{collections::HashMap, path::Path};

use crate::{charger_line::Exchange, spoken::Money};

/// What runs a process so that its trace is written to `file`.
pub fn under(file: &str) -> Vec<String> {
    // -D: the traced process is our child, not strace's.
    let strace = [
        "strace",
        "-D",
        "-f",
        "-qq",
        "-y",
        "-xx",
        "-s",
        "70000",
        "-o",
        file,
        "-e",
        "trace=pwrite64,fdatasync,fsync,sendto,sendmsg,writev",
    ];
    strace.map(str::to_owned).into()
}

/// A system call of the traced process.
pub struct Call {
    name: String,
    /// Its arguments as printed, bytes as `\x41`.
    arguments: String,
    succeeded: bool,
    /// Lines of the trace.
    began: usize,
    ended: usize,
}

/// Panics unless the exchange's bytes were written to the SQLite log `wal` and synced before its answer left.
pub fn assert_synced_first(calls: &[Call], wal: &str, exchange: &Exchange) {
    // Since 5.19 strace prints paths as bytes, too.
    let printed = hex(wal.as_bytes());
    let is_log = |call: &&Call| call.arguments.contains(wal) || call.arguments.contains(&printed);
    let contains = |call: &Call, bytes: &[u8]| call.arguments.contains(&hex(bytes));
    let digits = || hex::decode(&exchange.session).unwrap();
    // What only the event of this very message has, and what only its answer has.
    let (event, answer) = match exchange.kind {
        Money::Record => (digits(), [&[0x40][..], &digits()].concat()),
        Money::Start => (exchange.session.as_bytes().to_vec(), answer_to(&exchange.id)),
        Money::Stop => (format!("\"transactionId\":{}", exchange.session).into_bytes(), answer_to(&exchange.id)),
        Money::Meter => ([&[0x40][..], &varint(exchange.times[0])].concat(), answer_to(&exchange.id)),
    };
    let written = calls
        .iter()
        .find(|call| call.name == "pwrite64" && is_log(call) && contains(call, &event))
        .unwrap_or_else(|| panic!("never written to the log: {exchange:?}"));
    let synced = calls
        .iter()
        .filter(|call| call.name.ends_with("sync") && is_log(call) && call.succeeded && call.began > written.ended)
        .map(|call| call.ended)
        .min()
        .unwrap_or_else(|| panic!("never synced: {exchange:?}"));
    let answered = calls
        .iter()
        .find(|call| matches!(call.name.as_str(), "sendto" | "sendmsg" | "writev") && contains(call, &answer))
        .unwrap_or_else(|| panic!("no answer in the trace: {exchange:?}"));
    assert!(
        synced < answered.began,
        "answered in line {}, written in line {}, synced only in line {synced}: {exchange:?}",
        answered.began,
        written.ended
    );
}

fn answer_to(id: &str) -> Vec<u8> {
    format!("[3,\"{id}\"").into_bytes()
}

/// A Protobuf varint.
fn varint(value: i64) -> Vec<u8> {
    let (mut value, mut bytes) = (u64::try_from(value).unwrap(), Vec::new());
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7F).unwrap() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap());
    bytes
}

/// Bytes as `strace -xx` prints them.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

/// Reads a trace; calls that another thread's interrupted are put together again.
pub fn read(path: &Path) -> Vec<Call> {
    let (mut calls, mut open): (Vec<Call>, HashMap<String, Call>) = (Vec::new(), HashMap::new());
    for (line, text) in std::fs::read_to_string(path).unwrap().lines().enumerate() {
        let (thread, rest) = text.trim_start().split_once(' ').unwrap();
        let rest = rest.trim_start();
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let mut call = open.remove(thread).unwrap_or_else(|| panic!("line {line}: nothing to resume"));
            assert!(resumed.starts_with(&call.name), "line {line}");
            (call.succeeded, call.ended) = (succeeded(resumed), line);
            calls.push(call);
        } else if let Some((name, arguments)) = rest.split_once('(') {
            let unfinished = arguments.ends_with("<unfinished ...>");
            let call = Call {
                name: name.to_owned(),
                arguments: arguments.to_owned(),
                succeeded: !unfinished && succeeded(arguments),
                began: line,
                ended: line,
            };
            if unfinished {
                open.insert(thread.to_owned(), call);
            } else {
                calls.push(call);
            }
        }
        // Anything else is a signal or an exit.
    }
    calls.sort_by_key(|call| call.began);
    calls
}

fn succeeded(rest: &str) -> bool {
    rest.rsplit_once(" = ").is_some_and(|(_, result)| !result.starts_with('-') && !result.starts_with('?'))
}
