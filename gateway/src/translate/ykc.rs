//! YKC V1.5/1.6 to events.

use codecs::ykc::{
    self, BillingModelView, GunState, LoginView, PileId, RatePrice, RatePrices, RealTimeView, RecordView, StopClass,
    StopKind, StopReason, TradeFlag, TradeNo,
};
use events::{
    proto::{
        ChargerBooted, ChargerPeriod, ConnectorStatus, GroundLockReported, MeterSampled, PeriodKind, StartMode,
        TransactionRecorded,
    },
    registry::BillingModel,
};
use sha2::{Digest as _, Sha256};

/// The trade number of a frame; zero if it names nothing. A charger that has none sends zeros, or what an erased memory holds.
#[must_use]
pub fn named(trade: TradeNo) -> TradeNo {
    if trade.0 == [0xff; 16] { TradeNo::ZERO } else { trade }
}

/// A trade number as the id of a session: 32 hex digits, or empty if it names nothing.
#[must_use]
pub fn session_id(trade: TradeNo) -> String {
    if named(trade).is_zero() { String::new() } else { hex::encode(trade.0) }
}

/// The session of a record. Where its trade number names nothing the bill names itself, by its digest: else all such records
/// of a charger would be taken for one session, and only the first of them for money.
fn session_of_record(trade: TradeNo, digest: &[u8]) -> String {
    let session = session_id(trade);
    if session.is_empty() { hex::encode(digest) } else { session }
}

/// 0x01.
#[must_use]
pub fn booted(login: &LoginView<'_>) -> ChargerBooted {
    ChargerBooted {
        vendor: String::new(),
        model: match login.pile_type().code() {
            0 => "DC".to_owned(),
            1 => "AC".to_owned(),
            other => format!("type {other}"),
        },
        firmware: login.program_version().to_string(),
        serial: String::new(),
        iccid: if login.sim() == [0; 10] { String::new() } else { hex::encode(login.sim()) },
        connectors: u32::from(login.gun_count()),
        protocol_version: u32::from(login.protocol_version().0),
        accepted: true,
    }
}

/// What a gun shows. `after_session`: a session on it ended on this connection and the plug has not been pulled since.
#[must_use]
pub fn status(view: &RealTimeView<'_>, after_session: bool) -> ConnectorStatus {
    match view.state() {
        GunState::Offline => ConnectorStatus::Offline,
        GunState::Fault => ConnectorStatus::Faulted,
        GunState::Charging => ConnectorStatus::Charging,
        GunState::Idle if view.plugged().code() == 0 => ConnectorStatus::Available,
        GunState::Idle if after_session => ConnectorStatus::Finishing,
        GunState::Idle => ConnectorStatus::Occupied,
        GunState::Other(_) => ConnectorStatus::Unspecified,
    }
}

/// 0x13.
#[must_use]
pub fn meter_sampled(view: &RealTimeView<'_>, status: ConnectorStatus) -> MeterSampled {
    let trade = named(view.trade_no());
    let in_session = !trade.is_zero();
    let (volts, amps) = (view.voltage().0, view.current().0);
    MeterSampled {
        session: session_id(trade),
        energy_e4: in_session.then(|| u64::from(view.energy().0)),
        register_e4: None,
        voltage_dv: Some(u32::from(volts)),
        current_da: Some(i32::from(amps)),
        // 0.1 V x 0.1 A = 0.01 W.
        power_w: Some(i64::from(volts) * i64::from(amps) / 100),
        soc_percent: (view.soc() > 0).then(|| u32::from(view.soc())),
        temperature_c: view.battery_max_temp().measured().or_else(|| view.cable_temp().measured()).map(i32::from),
        charge_minutes: in_session.then(|| u32::from(view.charge_minutes())),
        remain_minutes: in_session.then(|| u32::from(view.remain_minutes())),
        amount_e4: in_session.then(|| u64::from(view.amount().0)),
        billable: false,
        status: status.into(),
        plugged: plugged(view),
        fault_bits: u32::from(view.fault_bits()),
    }
}

/// Whether the plug is in, if the charger says 0 or 1.
#[must_use]
pub fn plugged(view: &RealTimeView<'_>) -> Option<bool> {
    match view.plugged().code() {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

const PERIODS: [PeriodKind; 5] =
    [PeriodKind::Sharp, PeriodKind::Peak, PeriodKind::Flat, PeriodKind::Valley, PeriodKind::DeepValley];

/// 0x3B. `raw` is the body as received; `table_len` how much of it the field table covers (what follows is a newer version's
/// and no part of the bill's identity).
#[must_use]
pub fn recorded(view: &RecordView<'_>, raw: &[u8]) -> TransactionRecorded {
    let table_len = raw.len().saturating_sub(view.extra().len());
    let digest = Sha256::digest(raw.get(..table_len).unwrap_or(raw));
    // A charger that does not split its energy sends zeros in every rate.
    let split = view.rates().any(|rate| rate.energy.0 > 0);
    let periods = if split {
        view.rates()
            .zip(PERIODS)
            .map(|(rate, kind)| ChargerPeriod {
                kind: kind.into(),
                price_p5: u64::from(rate.price.0),
                energy_e4: u64::from(rate.energy.0),
                energy_loss_e4: u64::from(rate.energy_loss.0),
                amount_e4: u64::from(rate.amount.0),
            })
            .collect()
    } else {
        Vec::new()
    };
    let card = view.physical_card();
    let (reason, flag) = (view.stop_reason(), view.trade_flag());
    TransactionRecorded {
        session: session_of_record(view.trade_no(), &digest),
        digest: digest.to_vec().into(),
        started_at_ms: view.start_time().utc_ms(),
        // 0 (1970) where the charger's clock gave no time: consumers see an implausible end and hold the order.
        ended_at_ms: view.end_time().utc_ms().unwrap_or(0),
        meter_start_e4: Some(view.meter_start().raw()),
        meter_end_e4: Some(view.meter_end().raw()),
        energy_e4: Some(u64::from(view.total_energy().0)),
        energy_loss_e4: Some(u64::from(view.total_energy_loss().0)),
        amount_e4: Some(u64::from(view.total_amount().0)),
        currency: "CNY".to_owned(),
        periods,
        samples: Vec::new(),
        vin: view.vin().as_str().unwrap_or_default().to_owned(),
        card: if card.is_zero() { String::new() } else { hex::encode(card.0) },
        token: String::new(),
        start_mode: start_mode(flag).into(),
        start_flag_raw: i32::from(flag.code()),
        stop_reason: stop_reason(reason),
        stop_reason_raw: reason.to_string(),
        raw: raw.to_vec().into(),
    }
}

/// A V1.7 record (0x3D) as a V1.6 one: 43 bytes of meter identity stand after the end time. `None` if it is too short.
#[must_use]
pub fn without_meter_identity(body: &[u8]) -> Option<Vec<u8>> {
    const END_TIME: usize = 38;
    const IDENTITY: usize = 43;
    let mut same = body.get(..END_TIME)?.to_vec();
    same.extend_from_slice(body.get(END_TIME + IDENTITY..)?);
    Some(same)
}

const fn start_mode(flag: TradeFlag) -> StartMode {
    match flag.code() {
        1 => StartMode::Remote,
        2 => StartMode::Card,
        4 => StartMode::OfflineCard,
        // 03 was seen from two vendors; it is VIN's code in 0x31.
        3 | 5 => StartMode::Vin,
        _ => StartMode::Unspecified,
    }
}

/// The form common to all protocols; codes of the groups "start failed", "fault" and "BMS" keep their number.
#[must_use]
pub fn stop_reason(reason: StopReason) -> String {
    match reason.kind() {
        StopKind::StartFailed => format!("start_failed.{:02x}", reason.0),
        StopKind::ChargerFault => format!("charger_fault.{:02x}", reason.0),
        StopKind::Bms if reason.class() == StopClass::StartFailed => format!("start_failed.bms.{:02x}", reason.0),
        StopKind::Bms => format!("bms.{:02x}", reason.0),
        other => other.label().to_owned(),
    }
}

/// 0x61, 16 bytes; `None` if it is shorter.
#[must_use]
pub fn ground_lock(body: &[u8]) -> Option<GroundLockReported> {
    let [lock, space, battery, alarm] = *body.get(8..12)?.first_chunk()?;
    Some(GroundLockReported {
        lock: match lock {
            0x55 => "raised",
            0xff => "lowered",
            _ => "between",
        }
        .to_owned(),
        occupied: space == 0xff,
        battery_percent: u32::from(battery),
        alarm: match alarm {
            0xff => "forced",
            0x55 => "not_in_position",
            _ => "none",
        }
        .to_owned(),
    })
}

/// The model number of a billing model as its two bytes on the wire.
#[must_use]
pub fn model_no(model: &BillingModel) -> [u8; 2] {
    let [.., high, low] = model.model_no.to_be_bytes();
    [high, low]
}

/// The registry's billing model as frame 0x0A or 0x58 carries it; `None` if it does not have four price pairs and 48 half
/// hours of 0..3, which the business side never writes.
#[must_use]
pub fn billing_model(pile: PileId, model: &BillingModel) -> Option<ykc::BillingModel> {
    let energy: [u32; 4] = model.energy_price_p5.as_slice().try_into().ok()?;
    let service: [u32; 4] = model.service_price_p5.as_slice().try_into().ok()?;
    let slots: [u8; ykc::SLOTS] = model.half_hours.as_ref().try_into().ok()?;
    if slots.iter().any(|slot| *slot > 3) {
        return None;
    }
    let mut rates = [RatePrice::default(); 4];
    for ((rate, energy), service) in rates.iter_mut().zip(energy).zip(service) {
        *rate = RatePrice { energy: ykc::Price(energy), service: ykc::Price(service) };
    }
    Some(ykc::BillingModel { pile, model_no: model_no(model), rates: RatePrices::Four(rates), loss_ratio: 0, slots })
}

/// Only for tests and tools: a body of 0x0A or 0x58 back to what the registry holds.
#[must_use]
pub fn registry_model(view: &BillingModelView<'_>) -> BillingModel {
    let [high, low] = view.model_no();
    BillingModel {
        model_no: u32::from(high) << 8 | u32::from(low),
        energy_price_p5: view.rates().map(|rate| rate.energy.0).collect(),
        service_price_p5: view.rates().map(|rate| rate.service.0).collect(),
        half_hours: view.slots().to_vec().into(),
        exact: true,
        content_hash: String::new(),
    }
}
