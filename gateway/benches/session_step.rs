//! A session's step and the encoding of its event: the part of a message's cost that is ours.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../tests/footprint/real_time.rs"]
mod real_time;

use codecs::ykc::{self, Scan, ScanOptions};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use events::{
    envelope::encode_body,
    prost::Message as _,
    proto::envelope::Body,
    registry::{Charger, RegistryEntry, registry_entry::Value},
};
use gateway::{
    publish::head,
    registry::{Address, LiveSessions, RemoteTags, Replica},
    session::{Context, Effects, Now, Settings, TradeCounter, What, ocpp16::Ocpp16Session, ykc::YkcSession},
};

struct World {
    replica: Replica,
    live: LiveSessions,
    tags: RemoteTags,
    trades: TradeCounter,
    settings: Settings,
}

impl World {
    fn new() -> Self {
        let replica = Replica::default();
        for (id, protocol) in [("32010600019236", "ykc"), ("CP-1", "ocpp1.6")] {
            let charger = Charger { tenant: 1, protocol: protocol.into(), enabled: true, ..Charger::default() };
            let entry = RegistryEntry { value: Some(Value::Charger(charger)) }.encode_to_vec();
            replica.apply(format!("charger/{id}").as_bytes(), Some(&entry)).unwrap();
        }
        let settings = Settings {
            ack_ms: 20_000,
            start_ms: 3_000,
            answer_ms: 30_000,
            command_queue: 16,
            piles: 64,
            sync_time: true,
            ykc_silence_ms: 90_000,
            record_wait_ms: 600_000,
            bad_in_a_row: 20,
            heartbeat_s: 60,
        };
        Self {
            replica,
            live: LiveSessions::default(),
            tags: RemoteTags::default(),
            trades: TradeCounter::new(0),
            settings,
        }
    }

    fn context(&self) -> Context<'_> {
        Context {
            now: Now { mono_ms: 1_000, wall_ms: 1_763_700_000_000 },
            replica: &self.replica,
            live: &self.live,
            tags: &self.tags,
            trades: &self.trades,
            settings: &self.settings,
            address: Address { shard: 0, generation: 0, slot: 0 },
            remote: ([127, 0, 0, 1], 40_000).into(),
            real_ms: 1_763_700_000_000,
        }
    }
}

fn clear(fx: &mut Effects) {
    fx.out.clear();
    fx.events.clear();
    fx.notes.clear();
    fx.fenced.clear();
    fx.claimed.clear();
}

fn frames(bytes: &[u8], mut each: impl FnMut(&ykc::Frame<'_>)) {
    let mut at = 0;
    while let Some(rest) = bytes.get(at..)
        && let Scan::Frame { frame, consumed } = ykc::scan(rest, ScanOptions::default())
    {
        each(&frame);
        at += consumed;
    }
}

fn ykc_mix(c: &mut Criterion) {
    let world = World::new();
    let cx = world.context();
    let (mut session, mut fx) = (YkcSession::new(), Effects::default());
    let pile: ykc::PileId = "32010600019236".parse().unwrap();
    let mut login = vec![0x68, 34, 0, 0, 0, 1];
    login.extend_from_slice(&pile.0);
    login.extend_from_slice(&[0; 23]);
    let crc = ykc::crc16(login.get(2..).unwrap());
    login.extend_from_slice(&crc.to_le_bytes());
    frames(&login, |frame| session.on_frame(&cx, frame, &mut fx));
    assert_eq!(session.seats(), 1);
    clear(&mut fx);

    let live = ykc::RealTime { voltage: ykc::Volts(4_000), cable_temp: ykc::Celsius(75), ..real_time::idle(pile) };
    let mut mix = Vec::new();
    ykc::encode([1, 0], &ykc::Heartbeat { pile, gun: ykc::Gun(1), gun_state: ykc::GunHealth::Normal }, &mut mix);
    for _ in 0..4 {
        ykc::encode([2, 0], &live, &mut mix);
    }
    let mut encoded = Vec::with_capacity(1024);
    let mut group = c.benchmark_group("session_step");
    group.throughput(Throughput::Elements(5));
    group.bench_function("ykc/1 heartbeat + 4 live, events encoded", |b| {
        b.iter(|| {
            frames(&mix, |frame| session.on_frame(&cx, frame, &mut fx));
            for event in &fx.events {
                let What::Body(body @ Body::MeterSampled(_)) = &event.what else { continue };
                encode_body(&head(event, "n1"), &event.leftovers, body, &mut encoded);
            }
            clear(&mut fx);
        });
    });
    group.finish();
}

fn ocpp_meter_values(c: &mut Criterion) {
    let world = World::new();
    let cx = world.context();
    let mut fx = Effects::default();
    let mut session = Ocpp16Session::begin(&cx, "CP-1", 1, &mut fx);
    let values = r#"[2,"19223201-17","MeterValues",{"connectorId":1,"transactionId":1234567,"meterValue":[{"timestamp":"2026-11-21T10:05:00Z","sampledValue":[{"value":"1234567","context":"Sample.Periodic","measurand":"Energy.Active.Import.Register","unit":"Wh"},{"value":"11040","context":"Sample.Periodic","measurand":"Power.Active.Import","unit":"W"},{"value":"16.1","context":"Sample.Periodic","measurand":"Current.Import","unit":"A","phase":"L1"},{"value":"229.8","context":"Sample.Periodic","measurand":"Voltage","unit":"V","phase":"L1-N"},{"value":"57","context":"Sample.Periodic","measurand":"SoC","unit":"Percent"}]}]}]"#;
    let mut group = c.benchmark_group("session_step");
    group.throughput(Throughput::Elements(1));
    group.bench_function("ocpp/MeterValues in a transaction, confirmed", |b| {
        b.iter(|| {
            session.on_text(&cx, values, &mut fx);
            let ticket = fx.events.first().map_or(0, |event| event.ticket);
            session.on_ack(&cx, ticket, true, &mut fx);
            assert!(!fx.out.is_empty());
            clear(&mut fx);
        });
    });
    group.finish();
}

criterion_group!(benches, ykc_mix, ocpp_meter_values);
criterion_main!(benches);
