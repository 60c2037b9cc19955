//! Bytes to message, frame by frame and as a segment of the real mix (one heartbeat to four real-time frames).
//! `cargo bench -p codecs --bench ykc_decode`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::hint::black_box;

use codecs::ykc::{self, Message, Scan, ScanOptions};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// A captured frame of the vectors file.
fn vector(name: &str) -> Vec<u8> {
    let vectors: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../tests/vectors/ykc/frames.json")).unwrap();
    let vector = vectors.iter().find(|vector| vector["name"] == name).expect("a vector");
    hex::decode(vector["hex"].as_str().unwrap()).unwrap()
}

/// Decodes every frame and reads what a session reads of it; the sum keeps the compiler from skipping the reads.
#[inline]
fn decode(mut bytes: &[u8]) -> u64 {
    let mut sum = 0;
    while !bytes.is_empty() {
        let Scan::Frame { frame, consumed } = ykc::scan(bytes, ScanOptions::default()) else { break };
        sum += match frame.message() {
            Ok(Message::Heartbeat(view)) => u64::from(black_box(view.read()).gun.0),
            Ok(Message::RealTime(view)) => u64::from(black_box(view.read()).energy.0),
            Ok(Message::Record(view)) => black_box(view.read()).meter_end.raw(),
            _ => 0,
        };
        bytes = bytes.get(consumed..).unwrap_or_default();
    }
    sum
}

fn benches(criterion: &mut Criterion) {
    let heartbeat = vector("03_heartbeat_02");
    let real_time = vector("13_real_time_data_04");
    let record = vector("3b_transaction_record_06");
    let mut segment = Vec::new();
    while segment.len() + heartbeat.len() + 4 * real_time.len() <= 4096 {
        segment.extend_from_slice(&heartbeat);
        (0..4).for_each(|_| segment.extend_from_slice(&real_time));
    }

    let mut group = criterion.benchmark_group("ykc/decode");
    for (name, bytes) in
        [("heartbeat", &heartbeat), ("real_time", &real_time), ("record", &record), ("segment_4k", &segment)]
    {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| decode(black_box(bytes))));
    }
    group.finish();

    let mut group = criterion.benchmark_group("ykc/encode");
    let mut out = Vec::with_capacity(4096);
    let ack = ykc::HeartbeatAck { pile: ykc::PileId([0x32, 1, 6, 0, 1, 0x92, 0x36]), gun: ykc::Gun(1), ack: 0 };
    group.throughput(Throughput::Bytes(17));
    group.bench_function("heartbeat_ack", |bencher| {
        bencher.iter(|| {
            out.clear();
            ykc::encode([1, 0], black_box(&ack), &mut out);
            out.last().copied()
        });
    });
    group.finish();
}

criterion_group!(ykc, benches);
criterion_main!(ykc);
