//! Envelopes: the hot writers against `prost`, typed errors, the JSON form.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use events::{
    commands::{Command, StartCharging, command::Action},
    envelope::{
        DecodeError, Head, MeterSample, Rest, StatusChange, decode, encode, encode_body, encode_meter_sampled,
        encode_status_changed, next_event_id, to_json,
    },
    json,
    prost::{Message, bytes::Bytes},
    proto::{ConnectorStatus, MeterSampled, Protocol, StatusChanged, TransactionRecorded, envelope::Body},
    registry::{Charger, RegistryEntry, registry_entry::Value},
};
use proptest::{collection::vec, option, prelude::*};
use serde_json::json;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z0-9]{1,40}", "\\PC{0,80}", Just("x".repeat(300))]
}

/// Numbers of every length on the wire.
fn u64s() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0_u32..64).prop_map(|(value, shift)| value >> shift)
}

fn i64s() -> impl Strategy<Value = i64> {
    (any::<i64>(), 0_u32..64).prop_map(|(value, shift)| value >> shift)
}

fn u32s() -> impl Strategy<Value = u32> {
    (any::<u32>(), 0_u32..32).prop_map(|(value, shift)| value >> shift)
}

fn i32s() -> impl Strategy<Value = i32> {
    (any::<i32>(), 0_u32..32).prop_map(|(value, shift)| value >> shift)
}

#[derive(Clone, Debug)]
struct OwnedHead {
    event_id: [u8; 16],
    charger: String,
    node: String,
    traceparent: String,
    numbers: (u64, u32, u64, u64, i64, i64),
    protocol: Protocol,
    leftovers: Vec<(String, Vec<u8>)>,
}

fn heads() -> impl Strategy<Value = OwnedHead> {
    let leftovers = vec((text(), vec(any::<u8>(), 0..200)), 0..3);
    let numbers = (u64s(), u32s(), u64s(), u64s(), i64s(), i64s());
    (any::<[u8; 16]>(), text(), text(), text(), numbers, 0_i32..5, leftovers).prop_map(
        |(event_id, charger, node, traceparent, numbers, protocol, leftovers)| OwnedHead {
            event_id,
            charger,
            node,
            traceparent,
            numbers,
            protocol: Protocol::try_from(protocol).unwrap(),
            leftovers,
        },
    )
}

impl OwnedHead {
    fn head(&self) -> Head<'_> {
        let (tenant, connector, epoch, number, occurred_at_ms, received_at_ms) = self.numbers;
        Head {
            event_id: self.event_id,
            tenant,
            charger: &self.charger,
            connector,
            protocol: self.protocol,
            epoch,
            number,
            occurred_at_ms,
            received_at_ms,
            node: &self.node,
            traceparent: &self.traceparent,
        }
    }

    fn leftovers(&self) -> Vec<Rest<'_>> {
        self.leftovers.iter().map(|(name, value)| (name.as_str(), &value[..])).collect()
    }
}

proptest! {
    #[test]
    fn meter_samples_are_written_as_prost_writes_them(
        head in heads(),
        session in text(),
        one in (option::of(u64s()), option::of(u64s()), option::of(u32s()), option::of(i32s()), option::of(i64s()), option::of(u32s())),
        two in (option::of(i32s()), option::of(u32s()), option::of(u32s()), option::of(u64s()), any::<bool>(), 0_i32..10),
        three in (option::of(any::<bool>()), u32s()),
    ) {
        let sample = MeterSample {
            session: &session,
            energy_e4: one.0, register_e4: one.1, voltage_dv: one.2, current_da: one.3, power_w: one.4, soc_percent: one.5,
            temperature_c: two.0, charge_minutes: two.1, remain_minutes: two.2, amount_e4: two.3, billable: two.4,
            status: ConnectorStatus::try_from(two.5).unwrap(),
            plugged: three.0, fault_bits: three.1,
        };
        let leftovers = head.leftovers();
        let envelope = head.head().envelope(&leftovers, Body::MeterSampled(MeterSampled::from(&sample)));
        let mut ours = vec![9; 5];
        encode_meter_sampled(&head.head(), &leftovers, &sample, &mut ours);
        prop_assert_eq!(&ours, &envelope.encode_to_vec());
        let mut plain = vec![7; 3];
        encode(&envelope, &mut plain);
        prop_assert_eq!(&ours, &plain);
        encode_body(&head.head(), &envelope.leftovers, envelope.body.as_ref().unwrap(), &mut plain);
        prop_assert_eq!(ours, plain);
    }

    #[test]
    fn status_changes_are_written_as_prost_writes_them(
        head in heads(),
        status in 0_i32..10,
        plugged in option::of(any::<bool>()),
        texts in (text(), text(), text()),
    ) {
        let change = StatusChange {
            status: ConnectorStatus::try_from(status).unwrap(),
            plugged, error_code: &texts.0, info: &texts.1, session: &texts.2,
        };
        let leftovers = head.leftovers();
        let envelope = head.head().envelope(&leftovers, Body::StatusChanged(StatusChanged::from(&change)));
        let mut ours = Vec::new();
        encode_status_changed(&head.head(), &leftovers, &change, &mut ours);
        prop_assert_eq!(ours, envelope.encode_to_vec());
    }

    #[test]
    fn any_bytes_decode_or_say_why(bytes in vec(any::<u8>(), 0..300)) {
        if let Ok(envelope) = decode(&bytes) {
            prop_assert!(envelope.tenant != 0 && envelope.body.is_some());
        }
    }
}

fn head() -> Head<'static> {
    Head {
        event_id: next_event_id(1_795_000_000_000),
        tenant: 1001,
        charger: "32010200000001",
        connector: 1,
        protocol: Protocol::Ykc,
        epoch: 7,
        number: 3,
        occurred_at_ms: 1_795_000_000_000,
        received_at_ms: 1_795_000_000_050,
        node: "gw-1",
        traceparent: "",
    }
}

#[test]
fn what_is_no_event_is_told_apart() {
    let good = head().envelope(&[], Body::StatusChanged(StatusChanged::default()));
    assert_eq!(decode(&good.encode_to_vec()).unwrap(), good);
    let broken = |change: fn(&mut events::proto::Envelope)| {
        let mut envelope = good.clone();
        change(&mut envelope);
        decode(&envelope.encode_to_vec()).unwrap_err()
    };
    assert_eq!(broken(|envelope| envelope.tenant = 0), DecodeError::NoTenant);
    assert_eq!(broken(|envelope| envelope.charger.clear()), DecodeError::NoCharger);
    assert_eq!(broken(|envelope| envelope.body = None), DecodeError::NoBody);
    assert_eq!(broken(|envelope| envelope.event_id = Bytes::from_static(b"short")), DecodeError::EventId(5));
    let cut = &good.encode_to_vec()[..20];
    assert_eq!(decode(cut).unwrap_err().label(), "wire");
    assert_eq!(decode(b"").unwrap_err().label(), "event_id");
    // A body that a newer release has added.
    let mut newer = good.clone();
    newer.body = None;
    let mut bytes = newer.encode_to_vec();
    bytes.extend_from_slice(&[0xfa, 0x3f, 0x00]); // field 1023, an empty message
    assert_eq!(decode(&bytes).unwrap_err(), DecodeError::NoBody);
}

#[test]
fn people_read_json() {
    let record = TransactionRecorded {
        session: "32010200000001012611211200000042".to_owned(),
        digest: Bytes::from_static(&[0xab, 0x01]),
        ended_at_ms: 1_795_000_000_000,
        energy_e4: Some(123_456),
        currency: "CNY".to_owned(),
        start_mode: 99,
        ..TransactionRecorded::default()
    };
    let mut envelope = head().envelope(&[("x", &[1, 254])], Body::TransactionRecorded(record));
    envelope.event_id = Bytes::copy_from_slice(&[1; 16]);
    assert_eq!(
        to_json(&envelope),
        json!({
            "event_id": "01010101-0101-0101-0101-010101010101",
            "tenant": 1001,
            "charger": "32010200000001",
            "connector": 1,
            "protocol": "ykc",
            "epoch": 7,
            "number": 3,
            "occurred_at_ms": 1_795_000_000_000_i64,
            "received_at_ms": 1_795_000_000_050_i64,
            "node": "gw-1",
            "leftovers": [{"name": "x", "value": "01fe"}],
            "transaction_recorded": {
                "session": "32010200000001012611211200000042",
                "digest": "ab01",
                "ended_at_ms": 1_795_000_000_000_i64,
                "energy_e4": 123_456,
                "currency": "CNY",
                "start_mode": 99,
                "start_flag_raw": 0,
            },
        })
    );
    let status =
        StatusChanged { status: ConnectorStatus::Charging.into(), plugged: Some(true), ..StatusChanged::default() };
    let shown = to_json(&head().envelope(&[], Body::StatusChanged(status)));
    assert_eq!(shown["status_changed"], json!({"status": "charging", "plugged": true}));
}

#[test]
fn commands_and_registry_entries_too_but_no_secret() {
    let start = StartCharging { id_tag: "R123".to_owned(), ..StartCharging::default() };
    let command =
        Command { command_id: "c".to_owned(), action: Some(Action::StartCharging(start)), ..Command::default() };
    assert_eq!(json::command(&command)["start_charging"], json!({"id_tag": "R123", "balance_fen": 0}));
    let charger = Charger {
        charger: "c1".to_owned(),
        secret_salt: Bytes::from_static(b"salt"),
        secret_hash: Bytes::from_static(b"hash"),
        ..Charger::default()
    };
    let entry = RegistryEntry { value: Some(Value::Charger(charger)) };
    let shown = json::registry_entry(&entry);
    assert_eq!(shown["charger"]["charger"], "c1");
    assert!(!shown.to_string().contains("secret"), "{shown}");
}
