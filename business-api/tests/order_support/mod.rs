//! Orders in every situation, each brought there by the inputs that lead to it, and one of every input.
#![allow(dead_code)]

use business_api::order::{
    BillOutcome, CellEnergy, Digest, Effect, Estimate, ExceptionCode, Input, Opening, Order, Placed, Policy, Protocol,
    Record, StartMode, Step, StopBy, TimerKind, open, step,
};
use business_api::tariff::PeriodKind;
use events::units::{AmountE4, EnergyE4, Fen, PriceP5};

/// When the first order is placed: 2025-11-11T09:00:00+08:00.
pub const T0: i64 = 1_762_822_800_000;
pub const SESSION: &str = "10010001000001012511110900000001";
pub const DUE: Fen = Fen(3_867);
pub const MINUTE: i64 = 60_000;

pub fn policy() -> Policy {
    Policy::default()
}

pub fn placed(payer: Option<&str>) -> Placed {
    Placed {
        order_no: "251111090000000100000000".to_owned(),
        tenant: 1001,
        charger: "10010001000001".to_owned(),
        connector: 1,
        protocol: Protocol::Ykc,
        payer: payer.map(ToOwned::to_owned),
        tariff: Some("S01/1".to_owned()),
    }
}

pub fn asked(prepay: Option<i64>, hold: Option<i64>) -> Step {
    let (prepay, hold) = (prepay.map(Fen), hold.map(Fen));
    let opening = Opening::Asked { session: Some(SESSION.to_owned()), id_tag: None, prepay, hold };
    open(placed(Some("user-1")), T0, &opening, &policy())
}

/// A record of 30 kWh, 09:30 to 10:30, whose digest begins with `digest`.
pub fn record(digest: u8, energy: i64) -> Record {
    Record {
        session: SESSION.to_owned(),
        digest: Digest([digest; 32]),
        started_at_ms: Some(T0 + 30 * MINUTE),
        ended_at_ms: T0 + 90 * MINUTE,
        meter_start: Some(EnergyE4(1_000_000)),
        meter_end: Some(EnergyE4(1_000_000 + energy)),
        energy: Some(EnergyE4(energy)),
        amount: Some(AmountE4(if energy == 0 { 0 } else { 386_700 })),
        periods: vec![
            cell(PeriodKind::Sharp, 0),
            cell(PeriodKind::Peak, energy / 2),
            cell(PeriodKind::Flat, energy - energy / 2),
            cell(PeriodKind::Valley, 0),
        ],
        registers: Vec::new(),
        vin: String::new(),
        card: String::new(),
        token: String::new(),
        start_mode: StartMode::Remote,
        stop_reason: "full".to_owned(),
        stop_reason_raw: "41".to_owned(),
    }
}

/// A cell at the prices of tariff A-1.
pub fn cell(kind: PeriodKind, energy: i64) -> CellEnergy {
    let electricity = match kind {
        PeriodKind::Sharp => 131_840,
        PeriodKind::Peak => 105_470,
        PeriodKind::Flat => 62_340,
        PeriodKind::Valley | PeriodKind::DeepValley => 31_250,
    };
    CellEnergy { kind, price: PriceP5(electricity + 45_000), energy: EnergyE4(energy), amount: AmountE4(0) }
}

pub fn recorded(digest: u8, energy: i64) -> Input {
    Input::Recorded(Box::new(record(digest, energy)))
}

pub fn due() -> Input {
    Input::Billed(BillOutcome::Due { total: DUE, energy: EnergyE4(300_000) })
}

pub fn estimate() -> Estimate {
    Estimate {
        energy: EnergyE4(300_000),
        started_at_ms: T0 + 30 * MINUTE,
        ended_at_ms: T0 + 90 * MINUTE,
        requested_by: "ann".to_owned(),
        approved_by: "bob".to_owned(),
        reason: "charger burnt down".to_owned(),
    }
}

pub fn started() -> Input {
    Input::SessionStarted {
        session: SESSION.to_owned(),
        started_at_ms: T0 + 30 * MINUTE,
        meter_start: None,
        connector: 1,
    }
}

/// Applies inputs in a row, a second apart, all of which must be legal.
pub fn after(mut order: Order, inputs: &[Input]) -> Order {
    for input in inputs {
        let at_ms = T0 + 1_000 + order.closed_at_ms.or(order.charging_at_ms).map_or(0, |at_ms| at_ms - T0);
        order = step(&order, at_ms, input, &policy()).unwrap_or_else(|illegal| panic!("{illegal}")).order;
    }
    order
}

/// A moment after every timer of [`Policy`].
pub const LATER: i64 = T0 + 48 * 3_600_000;

/// Every situation an order can be in, with its name.
pub fn situations() -> Vec<(&'static str, Order)> {
    let starting = || asked(None, Some(5_000)).order;
    let prepaying = || asked(Some(5_000), None).order;
    let charging = || after(starting(), &[started()]);
    let offline = || after(charging(), &[Input::ChargerOffline]);
    let stopping = || after(charging(), &[Input::StopAsked { by: StopBy::User, client: String::new() }]);
    let awaiting = || after(charging(), &[Input::SessionEnded]);
    let settling = || after(awaiting(), &[recorded(1, 300_000)]);
    let collecting = || after(settling(), &[due()]);
    let timer = |order: Order, kind| step(&order, LATER, &Input::Timer(kind), &policy()).expect("timer").order;
    let missing = || timer(awaiting(), TimerKind::RecordMissing);
    let mismatch = || after(settling(), &[Input::Billed(BillOutcome::Held(ExceptionCode::AmountMismatch))]);
    let estimated = || after(missing(), &[Input::EstimateApproved { estimate: estimate(), payer: None }]);
    let orphan = open(placed(None), T0, &Opening::Recorded(Box::new(record(1, 300_000))), &policy()).order;
    let failed = || timer(starting(), TimerKind::StartTimeout);
    let zero = Input::Billed(BillOutcome::Due { total: Fen(0), energy: EnergyE4(0) });
    vec![
        ("PENDING_PAYMENT", prepaying()),
        ("STARTING", starting()),
        ("STARTING prepaid", after(prepaying(), &[Input::PaymentSucceeded { amount: Fen(5_000) }])),
        ("CHARGING", charging()),
        ("CHARGING offline", offline()),
        ("STOPPING", stopping()),
        ("STOPPING accepted", after(stopping(), &[Input::StopAccepted])),
        ("STOPPING offline", after(stopping(), &[Input::ChargerOffline])),
        ("AWAITING_RECORD", awaiting()),
        ("SETTLING", settling()),
        ("SETTLING collecting", collecting()),
        ("SETTLING by estimate", estimated()),
        ("UNPAID", after(collecting(), &[Input::CollectFailed { collected: Fen(100) }])),
        ("EXCEPTION record_missing", missing()),
        ("EXCEPTION offline_timeout", timer(offline(), TimerKind::OfflineTimeout)),
        ("EXCEPTION stop_timeout", timer(stopping(), TimerKind::StopTimeout)),
        ("EXCEPTION amount_mismatch", mismatch()),
        ("EXCEPTION orphan_record", orphan),
        ("EXCEPTION by estimate", {
            after(estimated(), &[Input::Billed(BillOutcome::Held(ExceptionCode::EnergyImplausible))])
        }),
        ("COMPLETED", after(collecting(), &[Input::Collected])),
        ("COMPLETED by estimate", after(estimated(), &[due(), Input::Collected])),
        ("CLOSED_ZERO", after(settling(), &[zero])),
        ("START_FAILED", failed()),
        ("START_FAILED started", after(failed(), &[started()])),
        ("START_FAILED recorded", after(failed(), &[recorded(1, 0)])),
        ("CANCELLED", after(prepaying(), &[Input::CancelAsked])),
    ]
}

/// One of every input, with its name; two where the content decides.
pub fn inputs() -> Vec<(&'static str, Input)> {
    let other = Estimate { approved_by: "ann".to_owned(), ..estimate() };
    vec![
        ("payment_succeeded", Input::PaymentSucceeded { amount: Fen(5_000) }),
        ("payment_succeeded other amount", Input::PaymentSucceeded { amount: Fen(4_999) }),
        ("cancel_asked", Input::CancelAsked),
        ("start_accepted", Input::StartAccepted),
        ("start_refused", Input::StartRefused { code: "03".to_owned(), not_plugged: false }),
        ("start_refused not plugged", Input::StartRefused { code: "05".to_owned(), not_plugged: true }),
        ("start_undelivered", Input::StartUndelivered { code: "expired".to_owned() }),
        ("start_unanswered", Input::StartUnanswered),
        ("session_started", started()),
        (
            "session_started another",
            Input::SessionStarted { session: "another".to_owned(), started_at_ms: T0, meter_start: None, connector: 1 },
        ),
        ("stop_asked", Input::StopAsked { by: StopBy::Operator, client: "console".to_owned() }),
        ("stop_accepted", Input::StopAccepted),
        ("stop_refused", Input::StopRefused { not_charging: false, code: "03".to_owned() }),
        ("stop_refused not charging", Input::StopRefused { not_charging: true, code: "02".to_owned() }),
        ("stop_unanswered", Input::StopUnanswered),
        ("still_charging", Input::StillCharging { energy: Some(EnergyE4(10_000)) }),
        ("idle_frame", Input::IdleFrame),
        ("unplugged", Input::Unplugged),
        ("session_ended", Input::SessionEnded),
        ("charger_offline", Input::ChargerOffline),
        ("charger_online", Input::ChargerOnline),
        ("connector_taken", Input::ConnectorTaken),
        ("recorded", recorded(1, 300_000)),
        ("recorded other digest", recorded(2, 290_000)),
        ("recorded no energy", recorded(3, 0)),
        (
            "recorded no total but a meter",
            Input::Recorded(Box::new(Record { energy: Some(EnergyE4(0)), ..record(6, 500_000) })),
        ),
        ("recorded no energy but an amount", {
            Input::Recorded(Box::new(Record { amount: Some(AmountE4(152_500)), ..record(7, 0) }))
        }),
        ("recorded another session", {
            Input::Recorded(Box::new(Record { session: "another".to_owned(), ..record(4, 300_000) }))
        }),
        ("estimate_approved", Input::EstimateApproved { estimate: estimate(), payer: Some("user-2".to_owned()) }),
        ("estimate_approved no payer", Input::EstimateApproved { estimate: estimate(), payer: None }),
        ("estimate_approved by one", Input::EstimateApproved { estimate: other, payer: None }),
        ("payer_known", Input::PayerKnown { payer: "user-2".to_owned() }),
        ("billed", due()),
        ("billed zero", Input::Billed(BillOutcome::Due { total: Fen(0), energy: EnergyE4(0) })),
        ("billed negative", Input::Billed(BillOutcome::Due { total: Fen(-1), energy: EnergyE4(1) })),
        ("billed held", Input::Billed(BillOutcome::Held(ExceptionCode::AmountMismatch))),
        ("collected", Input::Collected),
        ("collect_failed", Input::CollectFailed { collected: Fen(100) }),
        ("arrears_paid", Input::ArrearsPaid),
        ("timer_payment_due", Input::Timer(TimerKind::PaymentDue)),
        ("timer_start_timeout", Input::Timer(TimerKind::StartTimeout)),
        ("timer_stop_answer", Input::Timer(TimerKind::StopAnswer { attempt: 1 })),
        ("timer_stop_effect", Input::Timer(TimerKind::StopEffect)),
        ("timer_stop_timeout", Input::Timer(TimerKind::StopTimeout)),
        ("timer_offline_timeout", Input::Timer(TimerKind::OfflineTimeout)),
        ("timer_record_late", Input::Timer(TimerKind::RecordLate)),
        ("timer_record_missing", Input::Timer(TimerKind::RecordMissing)),
    ]
}

/// The names of effects without the timeline, "send_stop 1".
pub fn effect_names(effects: &[Effect]) -> Vec<String> {
    let name = |effect: &Effect| match effect {
        Effect::AppendTimeline(_) => None,
        Effect::ScheduleTimer { kind, .. } => {
            Some(format!("timer {}", Input::Timer(*kind).kind().0.trim_start_matches("timer_")))
        }
        Effect::SendStop { attempt } => Some(format!("send_stop {attempt}")),
        Effect::RaiseAlarm(alarm) => Some(format!("alarm {}", alarm.code())),
        Effect::OpenWorkItem(item) => Some(format!("work_item {}", item.code())),
        Effect::StoreRecord { version, .. } => Some(format!("store_record {version}")),
        Effect::Collect { amount } => Some(format!("collect {}", amount.0)),
        Effect::Refund { amount } => Some(format!("refund {}", amount.0)),
        Effect::FreezeBalance { amount } => Some(format!("freeze_balance {}", amount.0)),
        other => serde_json::to_value(other).ok().and_then(|value| value.as_str().map(ToOwned::to_owned)),
    };
    effects.iter().filter_map(name).collect()
}
