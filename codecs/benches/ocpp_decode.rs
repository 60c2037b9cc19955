//! Text to typed request, and a masked WebSocket frame to typed request.
//! `cargo bench -p codecs --bench ocpp_decode`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::hint::black_box;

use codecs::{
    ocpp::{Envelope, MessageId, Payload, Timestamp, scan_envelope, v16, v16::StationCall, write_result},
    ws::{Assembler, Limits, Message, Opcode, Read, Role, frame_with, mask_in_place, read, write_masked_frame},
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const HEARTBEAT: &str = r#"[2,"1234567","Heartbeat",{}]"#;
const STATUS: &str = r#"[2,"3f1c9a52-7c1b-4a11-9c53-0f6e1b2a7d90","StatusNotification",{"connectorId":1,"errorCode":"NoError","info":"","status":"Charging","timestamp":"2026-11-21T10:08:09Z","vendorId":"com.vendor"}]"#;

fn messages() -> [(&'static str, &'static str); 4] {
    [
        ("heartbeat", HEARTBEAT),
        ("status_notification", STATUS),
        ("meter_values_650", include_str!("../tests/vectors/ocpp/meter_values_650.json").trim_ascii_end()),
        ("meter_values_1500", include_str!("../tests/vectors/ocpp/meter_values_1500.json").trim_ascii_end()),
    ]
}

/// As a session reads it: envelope, typed request, deviations.
#[inline]
fn decode(text: &str) -> StationCall<'_> {
    let Ok(Envelope::Call { action, payload, .. }) = scan_envelope(text) else { panic!("no call") };
    let call = StationCall::parse(&action, payload).expect("a request");
    assert!(call.deviations().is_empty());
    call
}

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ocpp/envelope");
    for (name, text) in messages() {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), text, |bench, text| {
            bench.iter(|| scan_envelope(black_box(text)).is_ok());
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("ocpp/decode");
    for (name, text) in messages() {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), text, |bench, text| {
            bench.iter(|| drop(black_box(decode(black_box(text)))));
        });
    }
    group.finish();

    // What a gateway reads of a meter value.
    let text = messages()[2].1;
    criterion.bench_function("ocpp/energy_of_a_meter_value", |bench| {
        let StationCall::MeterValues(values) = decode(text) else { panic!("no meter values") };
        bench.iter(|| black_box(&values).meter_value[0].energy_import_register_e4());
    });

    let mut group = criterion.benchmark_group("ws/frame_to_request");
    for (name, text) in messages() {
        let mut masked = Vec::new();
        write_masked_frame(&mut masked, Opcode::Text, text.as_bytes(), [0x37, 0xfa, 0x21, 0x3d]);
        let (mut buf, mut assembler, limits) = (masked.clone(), Assembler::new(), Limits::default());
        group.throughput(Throughput::Bytes(masked.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |bench| {
            bench.iter(|| {
                buf.copy_from_slice(&masked); // stands for the read from the socket
                let Ok(Read::Message { message: Message::Text(text), .. }) =
                    read(black_box(&mut buf), Role::Server, &limits, &mut assembler)
                else {
                    panic!("no text")
                };
                drop(black_box(decode(&text)));
            });
        });
    }
    group.finish();

    let mut payload = vec![0x55; 650];
    criterion.bench_function("ws/unmask_650", |bench| {
        bench.iter(|| mask_in_place(black_box(&mut payload), [1, 2, 3, 4], 0));
    });

    let mut out = Vec::with_capacity(256);
    let id = MessageId::new("3f1c9a52-7c1b-4a11-9c53-0f6e1b2a7d90");
    criterion.bench_function("ws/write_heartbeat_result", |bench| {
        bench.iter(|| {
            out.clear();
            let body = v16::heartbeat::Response { current_time: Timestamp::from_ms(black_box(1_795_255_689_000)) };
            assert!(body.deviations().is_empty());
            frame_with(&mut out, Opcode::Text, |out| write_result(out, &id, &body))
        });
    });
}

criterion_group!(ocpp, benches);
criterion_main!(ocpp);
