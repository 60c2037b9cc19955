//! Event encode, as the gateway does it per real-time frame: from borrowed values into a buffer that is reused.
//! `cargo bench -p events --bench event_encode`

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use events::{
    envelope::{
        Head, MeterSample, StatusChange, decode, encode, encode_meter_sampled, encode_status_changed, next_event_id,
    },
    proto::{ConnectorStatus, MeterSampled, Protocol, StatusChanged, envelope::Body},
};

fn head(event_id: [u8; 16]) -> Head<'static> {
    Head {
        event_id,
        tenant: 1001,
        charger: "32010200000001",
        connector: 1,
        protocol: Protocol::Ykc,
        epoch: 1_795_000_000_000,
        number: 4711,
        occurred_at_ms: 1_795_000_000_000,
        received_at_ms: 1_795_000_000_020,
        node: "gateway-0",
        traceparent: "",
    }
}

const SAMPLE: MeterSample<'static> = MeterSample {
    session: "32010200000001012611211200000042",
    energy_e4: Some(123_456),
    register_e4: None,
    voltage_dv: Some(4_003),
    current_da: Some(1_207),
    power_w: Some(48_316),
    soc_percent: Some(63),
    temperature_c: Some(31),
    charge_minutes: Some(17),
    remain_minutes: Some(23),
    amount_e4: Some(185_184),
    billable: false,
    status: ConnectorStatus::Charging,
    plugged: Some(true),
    fault_bits: 0,
};

const CHANGE: StatusChange<'static> = StatusChange {
    status: ConnectorStatus::Charging,
    plugged: Some(true),
    error_code: "",
    info: "",
    session: "32010200000001012611211200000042",
};

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("event_encode");
    let mut out = Vec::with_capacity(512);
    encode_meter_sampled(&head([1; 16]), &[], &SAMPLE, &mut out);
    group.throughput(Throughput::Bytes(out.len() as u64));
    let mut now = 1_795_000_000_000;
    group.bench_function("meter_sampled", |bench| {
        bench.iter(|| encode_meter_sampled(black_box(&head([1; 16])), &[], black_box(&SAMPLE), &mut out));
    });
    group.bench_function("meter_sampled_prost", |bench| {
        bench.iter(|| {
            let body = Body::MeterSampled(MeterSampled::from(black_box(&SAMPLE)));
            encode(&black_box(&head([1; 16])).envelope(&[], body), &mut out);
        });
    });
    group.bench_function("meter_sampled_with_id", |bench| {
        bench.iter(|| {
            now += 1;
            encode_meter_sampled(&head(next_event_id(now / 64)), &[], black_box(&SAMPLE), &mut out);
        });
    });
    group.bench_function("meter_sampled_decode", |bench| bench.iter(|| decode(black_box(&out))));
    encode_status_changed(&head([1; 16]), &[], &CHANGE, &mut out);
    group.throughput(Throughput::Bytes(out.len() as u64));
    group.bench_function("status_changed", |bench| {
        bench.iter(|| encode_status_changed(black_box(&head([1; 16])), &[], black_box(&CHANGE), &mut out));
    });
    group.bench_function("status_changed_prost", |bench| {
        bench.iter(|| {
            let body = Body::StatusChanged(StatusChanged::from(black_box(&CHANGE)));
            encode(&black_box(&head([1; 16])).envelope(&[], body), &mut out);
        });
    });
    group.finish();
}

criterion_group!(event_encode, benches);
criterion_main!(event_encode);
