//! The first thing heard of a session makes its order: T1, T30, T31, a card that the gateway approved, a start of a local tag.

use events::units::{EnergyE4, Fen};

use super::effect::{Effect, Step};
use super::policy::Policy;
use super::record::{Protocol, Record, StartMode};
use super::recorded::accept;
use super::start::send_start;
use super::state::{Hold, Order, RecordStatus, State, TimerKind};
use super::step::Work;

/// Who the order is, whatever made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Our number, see [`order_number`](super::order_number).
    pub order_no: String,
    /// The tenant, never 0.
    pub tenant: u64,
    /// The charger.
    pub charger: String,
    /// Its connector.
    pub connector: u32,
    /// What it speaks.
    pub protocol: Protocol,
    /// Who pays, where known.
    pub payer: Option<String>,
    /// The tariff group bound now.
    pub tariff: Option<String>,
}

/// What makes an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// T1: `POST /orders`. The caller has checked that the charger is online, the connector free and sound, a tariff is bound
    /// and the payer is not in arrears.
    Asked {
        /// YKC: the trade number. OCPP: none yet.
        session: Option<String>,
        /// OCPP: the idTag that names the order.
        id_tag: Option<String>,
        /// To be paid first.
        prepay: Option<Fen>,
        /// To be frozen on the payer's balance.
        hold: Option<Fen>,
    },
    /// The gateway approved a card or a VIN.
    Authorized {
        /// The trade number that it made.
        session: String,
        /// How.
        start_mode: StartMode,
    },
    /// A session began that no order belongs to: OCPP, a tag known to the charger or to the gateway.
    Started {
        /// Transaction id or trade number.
        session: String,
        /// idTag as the charger sent it.
        id_tag: Option<String>,
        /// On the charger's clock, UTC ms.
        started_at_ms: i64,
        /// Meter reading.
        meter_start: Option<EnergyE4>,
        /// Queued while the charger was offline.
        offline: bool,
    },
    /// T30, T31: a record that no order belongs to.
    Recorded(Box<Record>),
}

/// Makes the order.
#[must_use]
pub fn open(placed: Placed, at_ms: i64, opening: &Opening, policy: &Policy) -> Step {
    let what = match opening {
        Opening::Asked { .. } => "asked",
        Opening::Authorized { .. } => "authorized",
        Opening::Started { .. } => "session_started",
        Opening::Recorded(_) => "recorded",
    };
    let mut work = Work::new(blank(placed, at_ms), None, at_ms, what, *policy);
    match opening {
        Opening::Asked { session, id_tag, prepay, hold } => {
            work.order.start_mode = StartMode::Remote;
            work.order.session.clone_from(session);
            work.order.id_tag.clone_from(id_tag);
            work.order.prepay = *prepay;
            if let Some(amount) = hold.filter(|amount| *amount > Fen::ZERO) {
                work.order.hold = Hold::Frozen(amount);
                work.effect(Effect::FreezeBalance { amount });
            }
            if prepay.is_some() {
                work.go("T1", State::PendingPayment);
                work.timer(policy.payment_ms, TimerKind::PaymentDue);
            } else {
                work.go("T1", State::Starting);
                send_start(&mut work);
            }
        }
        Opening::Authorized { session, start_mode } => {
            work.order.start_mode = *start_mode;
            work.order.session = Some(session.clone());
            work.order.start_sent_at_ms = Some(at_ms);
            work.go("T1", State::Starting);
            work.timer(policy.start_ms, TimerKind::StartTimeout);
        }
        Opening::Started { session, id_tag, started_at_ms, meter_start, offline } => {
            work.order.start_mode = if *offline { StartMode::OfflineCard } else { StartMode::Card };
            work.order.session = Some(session.clone());
            work.order.id_tag.clone_from(id_tag);
            work.order.started_at_ms = Some(*started_at_ms);
            work.order.charging_at_ms = Some(at_ms);
            work.order.meter_start = *meter_start;
            work.go("T5", State::Charging);
        }
        Opening::Recorded(record) => {
            work.order.start_mode = record.start_mode;
            if record.start_mode == StartMode::OfflineCard && work.order.payer.is_some() {
                accept(&mut work, record, "T30");
            } else {
                work.order.payer = None;
                accept(&mut work, record, "T31");
            }
        }
    }
    work.finish()
}

fn blank(placed: Placed, at_ms: i64) -> Order {
    Order {
        order_no: placed.order_no,
        tenant: placed.tenant,
        charger: placed.charger,
        connector: placed.connector,
        protocol: placed.protocol,
        session: None,
        id_tag: None,
        payer: placed.payer,
        start_mode: StartMode::Unknown,
        tariff: placed.tariff,
        state: State::Starting,
        exception: None,
        close_reason: None,
        created_at_ms: at_ms,
        start_sent_at_ms: None,
        accepted_at_ms: None,
        started_at_ms: None,
        charging_at_ms: None,
        stop_asked_at_ms: None,
        ended_at_ms: None,
        recorded_at_ms: None,
        unplugged_at_ms: None,
        closed_at_ms: None,
        meter_start: None,
        energy_seen: None,
        charger_offline: false,
        offline_since_ms: None,
        idle_frames: 0,
        last_idle_ms: None,
        stop_attempts: 0,
        stop_accepted: false,
        stop_alarmed: false,
        stop_ignored: 0,
        record_late: false,
        record_status: RecordStatus::None,
        record: None,
        other_digests: Vec::new(),
        other_records: 0,
        estimate: None,
        settled: None,
        prepay: None,
        paid: Fen::ZERO,
        refunded: Fen::ZERO,
        hold: Hold::None,
        collected: Fen::ZERO,
    }
}
