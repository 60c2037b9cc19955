//! Events of the log as inputs to orders.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use business_api::bill::Sample;
use business_api::order::{
    AnswerTo, Incoming, Input, Reading, Record, RecordError, StartMode, Target, answered, incoming,
};
use business_api::tariff::PeriodKind;
use events::proto::envelope::Body;
use events::proto::{self, CommandOutcome, ConnectorStatus, Envelope, Protocol};
use events::units::EnergyE4;

fn event(protocol: Protocol, body: Body) -> Envelope {
    Envelope {
        tenant: 1001,
        charger: "10010001000001".to_owned(),
        connector: 2,
        protocol: protocol.into(),
        occurred_at_ms: 5_000,
        received_at_ms: 6_000,
        body: Some(body),
        ..Envelope::default()
    }
}

fn inputs(protocol: Protocol, body: Body) -> Vec<(Target, Input)> {
    let heard = incoming(&event(protocol, body)).into_iter();
    heard
        .filter_map(|heard| if let Incoming::Input { target, input } = heard { Some((target, input)) } else { None })
        .collect()
}

fn status(status: ConnectorStatus, plugged: Option<bool>) -> Body {
    Body::StatusChanged(proto::StatusChanged { status: status.into(), plugged, ..Default::default() })
}

#[test]
fn connections_concern_the_whole_charger() {
    let gone = inputs(Protocol::Ykc, Body::Disconnected(proto::Disconnected { reason: "silent".into() }));
    assert_eq!(gone, [(Target::Charger, Input::ChargerOffline)]);
    let back = inputs(Protocol::Ocpp16, Body::Connected(proto::Connected::default()));
    assert_eq!(back, [(Target::Charger, Input::ChargerOnline)]);
    assert!(incoming(&Envelope::default()).is_empty());
}

#[test]
fn status_says_what_its_protocol_means_by_it() {
    let gun = || Target::Connector(2);
    for (protocol, body, expect) in [
        (Protocol::Ykc, status(ConnectorStatus::Available, Some(true)), vec![(gun(), Input::IdleFrame)]),
        (Protocol::Ykc, status(ConnectorStatus::Available, Some(false)), vec![(gun(), Input::Unplugged)]),
        (Protocol::Ykc, status(ConnectorStatus::Occupied, Some(true)), vec![(gun(), Input::IdleFrame)]),
        (Protocol::Ykc, status(ConnectorStatus::Finishing, None), vec![(gun(), Input::IdleFrame)]),
        (Protocol::Ykc, status(ConnectorStatus::Charging, Some(true)), vec![]),
        (Protocol::Ykc, status(ConnectorStatus::Faulted, Some(true)), vec![]),
        (Protocol::Ocpp16, status(ConnectorStatus::Available, None), vec![(gun(), Input::Unplugged)]),
        (Protocol::Ocpp16, status(ConnectorStatus::Finishing, None), vec![(gun(), Input::SessionEnded)]),
        (Protocol::Ocpp16, status(ConnectorStatus::Suspended, None), vec![]),
        (Protocol::Ocpp16, status(ConnectorStatus::Occupied, None), vec![]),
        (Protocol::Ocpp16, status(ConnectorStatus::Faulted, None), vec![]),
    ] {
        assert_eq!(inputs(protocol, body.clone()), expect, "{body:?}");
    }
}

#[test]
fn live_data_gives_points_and_signs_of_life() {
    let sample = |session: &str, status: ConnectorStatus, plugged| {
        Body::MeterSampled(proto::MeterSampled {
            session: session.into(),
            energy_e4: Some(70),
            status: status.into(),
            plugged,
            ..Default::default()
        })
    };
    let heard = incoming(&event(Protocol::Ykc, sample("77", ConnectorStatus::Charging, Some(true))));
    let reading = Reading { session: "77".into(), at_ms: 5_000, energy: Some(EnergyE4(70)), register: None };
    let alive = Input::StillCharging { energy: Some(EnergyE4(70)) };
    assert_eq!(
        heard,
        [Incoming::Sampled(reading.clone()), Incoming::Input { target: Target::Session("77".into()), input: alive },]
    );
    assert_eq!(reading.relative(None), Some(Sample { at_ms: 5_000, energy: EnergyE4(70) }));
    let idle = inputs(Protocol::Ykc, sample("", ConnectorStatus::Available, Some(true)));
    assert_eq!(idle, [(Target::Connector(2), Input::IdleFrame)]);
    let gone = inputs(Protocol::Ykc, sample("", ConnectorStatus::Available, Some(false)));
    assert_eq!(gone, [(Target::Connector(2), Input::Unplugged)]);
    let over = inputs(Protocol::Ykc, sample("77", ConnectorStatus::Occupied, Some(true)));
    assert_eq!(over, [(Target::Connector(2), Input::IdleFrame)], "idle under our number is idle");
    let broken = inputs(Protocol::Ykc, sample("77", ConnectorStatus::Faulted, Some(true)));
    assert_eq!(broken, [], "neither charging nor idle");
    let ocpp = inputs(Protocol::Ocpp16, sample("77", ConnectorStatus::Unspecified, None));
    assert_eq!(ocpp.len(), 1);
}

#[test]
fn a_register_is_a_point_once_the_start_is_known() {
    let reading = |register| Reading { session: "7".into(), at_ms: 1, energy: None, register };
    let point =
        |register, start: Option<i64>| reading(register).relative(start.map(EnergyE4)).map(|sample| sample.energy.0);
    assert_eq!(point(Some(EnergyE4(1_500)), Some(1_000)), Some(500));
    assert_eq!(point(Some(EnergyE4(1_500)), None), None);
    assert_eq!(point(Some(EnergyE4(999)), Some(1_000)), None, "a meter that ran backwards");
    assert_eq!(point(None, Some(1_000)), None);
}

#[test]
fn starts_carry_their_tag_and_meter() {
    let body = Body::SessionStarted(proto::SessionStarted {
        session: "4711".into(),
        token: "R123".into(),
        started_at_ms: 4_000,
        meter_start_e4: Some(10),
        offline: true,
        reservation: None,
    });
    let input = Input::SessionStarted {
        session: "4711".into(),
        started_at_ms: 4_000,
        meter_start: Some(EnergyE4(10)),
        connector: 2,
    };
    let expect = Incoming::Started { session: "4711".into(), token: "R123".into(), input, offline: true };
    assert_eq!(incoming(&event(Protocol::Ocpp16, body)), [expect]);
    let ended = Body::SessionEnded(proto::SessionEnded { session: "4711".into(), reason: String::new() });
    assert_eq!(inputs(Protocol::Ykc, ended), [(Target::Session("4711".into()), Input::SessionEnded)]);
}

fn recorded() -> proto::TransactionRecorded {
    proto::TransactionRecorded {
        session: "77".into(),
        digest: vec![9; 32].into(),
        ended_at_ms: 9_000,
        energy_e4: Some(300_000),
        periods: vec![
            proto::ChargerPeriod {
                kind: proto::PeriodKind::Peak.into(),
                price_p5: 150_470,
                energy_e4: 300_000,
                ..Default::default()
            },
            proto::ChargerPeriod { kind: proto::PeriodKind::Unspecified.into(), energy_e4: 1, ..Default::default() },
        ],
        start_mode: proto::StartMode::OfflineCard.into(),
        ..Default::default()
    }
}

#[test]
fn a_record_is_read_whole_or_sent_to_the_dead_letters() {
    let heard = incoming(&event(Protocol::Ykc, Body::TransactionRecorded(recorded())));
    let [Incoming::Recorded(record)] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!((record.session.as_str(), record.energy, record.started_at_ms), ("77", Some(EnergyE4(300_000)), None));
    assert_eq!(
        (record.periods.len(), record.periods[0].kind, record.start_mode),
        (1, PeriodKind::Peak, StartMode::OfflineCard)
    );
    assert_eq!(record.digest.to_string(), "09".repeat(32));
    for (wrong, error) in [
        (proto::TransactionRecorded { session: String::new(), ..recorded() }, RecordError::NoSession),
        (proto::TransactionRecorded { digest: vec![9; 31].into(), ..recorded() }, RecordError::NoDigest),
        (proto::TransactionRecorded { energy_e4: Some(u64::MAX), ..recorded() }, RecordError::TooLarge("energy")),
        (proto::TransactionRecorded { amount_e4: Some(1 << 63), ..recorded() }, RecordError::TooLarge("amount")),
        (proto::TransactionRecorded { meter_end_e4: Some(u64::MAX), ..recorded() }, RecordError::TooLarge("meter_end")),
    ] {
        assert_eq!(Record::from_event(&wrong), Err(error));
        assert_eq!(incoming(&event(Protocol::Ykc, Body::TransactionRecorded(wrong))), [Incoming::Unreadable(error)]);
    }
}

#[test]
fn answers_mean_what_the_command_was() {
    let answer = |outcome: CommandOutcome, code: &str| proto::CommandAnswered {
        command_id: "c".into(),
        outcome: outcome.into(),
        code: code.into(),
        session: String::new(),
    };
    let refused = |code: &str, not_plugged| Input::StartRefused { code: code.into(), not_plugged };
    for (outcome, code, start, stop) in [
        (CommandOutcome::Accepted, "", Input::StartAccepted, Input::StopAccepted),
        (
            CommandOutcome::Rejected,
            "03",
            refused("03", false),
            Input::StopRefused { not_charging: false, code: "03".into() },
        ),
        (
            CommandOutcome::Rejected,
            "05",
            refused("05", true),
            Input::StopRefused { not_charging: false, code: "05".into() },
        ),
        (
            CommandOutcome::Rejected,
            "02",
            refused("02", false),
            Input::StopRefused { not_charging: true, code: "02".into() },
        ),
        (CommandOutcome::NoAnswer, "", Input::StartUnanswered, Input::StopUnanswered),
        (CommandOutcome::ConnectionLost, "", Input::StartUnanswered, Input::StopUnanswered),
        (CommandOutcome::Expired, "", Input::StartUndelivered { code: "expired".into() }, Input::StopUnanswered),
        (CommandOutcome::QueueFull, "full", Input::StartUndelivered { code: "full".into() }, Input::StopUnanswered),
    ] {
        assert_eq!(answered(AnswerTo::Start, &answer(outcome, code)), start);
        assert_eq!(answered(AnswerTo::Stop, &answer(outcome, code)), stop);
    }
    let body = Body::CommandAnswered(answer(CommandOutcome::Accepted, ""));
    assert_eq!(incoming(&event(Protocol::Ykc, body)), [Incoming::Answered { command_id: "c".into() }]);
    let clock = Body::ClockReported(proto::ClockReported { skew_ms: -70_000 });
    assert_eq!(incoming(&event(Protocol::Ykc, clock)), [Incoming::Clock { skew_ms: -70_000 }]);
}
