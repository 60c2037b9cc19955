//! YKC frames as whole byte strings, for load generators that send the same few again and again.

pub use codecs::ykc::PileId;
use codecs::ykc::{
    self, Amount, Card, Celsius, Cp56, Energy, Flag, Gun, GunHealth, GunHome, GunState, Heartbeat, Login, MeterReading,
    Network, Operator, PileType, Price, ProtocolVersion, RealTime, Record, RecordRate, RecordRates, RecordResult, Scan,
    ScanOptions, StopReason, Text, TimeSyncReply, TradeFlag, TradeNo, Vin, Volts, kind,
};

/// A login of a DC charger with one gun.
#[must_use]
pub fn login(pile: PileId, guns: u8, dc: bool) -> Login {
    Login {
        pile,
        pile_type: if dc { PileType::Dc } else { PileType::Ac },
        gun_count: guns,
        protocol_version: ProtocolVersion::V1_6,
        program_version: Text::new("SIM1.0.0"),
        network: Network::Lan,
        sim: [0; 10],
        operator: Operator::OtherOperator,
    }
}

/// One frame as bytes.
#[must_use]
pub fn frame(seq: u16, body: &(impl ykc::Body + ?Sized)) -> Vec<u8> {
    let mut out = Vec::new();
    ykc::encode(seq.to_le_bytes(), body, &mut out);
    out
}

/// The pile id of 14 hex digits.
#[must_use]
pub fn pile(id: &str) -> Option<PileId> {
    id.parse().ok()
}

/// A login frame of a pile with one gun.
#[must_use]
pub fn login_frame(pile: PileId) -> Vec<u8> {
    frame(0, &login(pile, 1, true))
}

/// Appends a heartbeat of gun 1: 17 bytes.
pub fn push_heartbeat(pile: PileId, seq: u16, out: &mut Vec<u8>) {
    ykc::encode(seq.to_le_bytes(), &Heartbeat { pile, gun: Gun(1), gun_state: GunHealth::Normal }, out);
}

/// Appends real-time data of gun 1, charging, 68 bytes.
pub fn push_real_time(pile: PileId, seq: u16, energy_e4: u32, out: &mut Vec<u8>) {
    let body = RealTime {
        trade_no: TradeNo::compose(pile, Gun(1), 1_764_000_000_000, 1),
        pile,
        gun: Gun(1),
        state: GunState::Charging,
        gun_home: GunHome::No,
        plugged: Flag::Yes,
        voltage: Volts(4_000),
        current: ykc::Amps(1_500),
        cable_temp: Celsius(85),
        cable_code: [0; 8],
        soc: 55,
        battery_max_temp: Celsius(80),
        charge_minutes: 20,
        remain_minutes: 25,
        energy: Energy(energy_e4),
        energy_loss: Energy(energy_e4),
        amount: ykc::Amount(energy_e4),
        fault_bits: 0,
    };
    ykc::encode(seq.to_le_bytes(), &body, out);
}

/// Appends the record of the nth session of gun 1: half an hour, 20 kWh, one price; 166 bytes.
pub fn push_record(pile: PileId, seq: u16, nth: u32, out: &mut Vec<u8>) {
    let (energy, meter) = (Energy(200_000), u64::from(nth) * 200_000);
    let end_ms = 1_764_000_000_000 + i64::from(nth) * 1_800_000;
    let flat = RecordRate { price: Price(100_000), energy, energy_loss: energy, amount: Amount(200_000) };
    let body = Record {
        trade_no: TradeNo::compose(pile, Gun(1), end_ms - 1_800_000, u16::try_from(nth % 10_000).unwrap_or_default()),
        pile,
        gun: Gun(1),
        start_time: Cp56::from_utc_ms(end_ms - 1_800_000),
        end_time: Cp56::from_utc_ms(end_ms),
        rates: RecordRates::Four([RecordRate::default(), RecordRate::default(), flat, RecordRate::default()]),
        meter_start: MeterReading::new(meter),
        meter_end: MeterReading::new(meter + 200_000),
        total_energy: energy,
        total_energy_loss: energy,
        total_amount: Amount(200_000),
        vin: Vin::NONE,
        trade_flag: TradeFlag::App,
        trade_time: Cp56::from_utc_ms(end_ms),
        stop_reason: StopReason(0x40),
        physical_card: Card::ZERO,
    };
    ykc::encode(seq.to_le_bytes(), &body, out);
}

/// What some bytes from the platform mean to a load generator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Bytes of whole frames.
    pub consumed: usize,
    /// Logins accepted.
    pub logged_in: u64,
    /// Logins refused.
    pub refused: u64,
    /// Heartbeats answered.
    pub heartbeats: u64,
    /// Records accepted.
    pub records: u64,
    /// Bytes or frames that could not be read.
    pub bad: u64,
}

/// Reads whole frames and answers time syncs, as every charger must.
#[must_use]
pub fn read(input: &[u8], replies: &mut Vec<u8>) -> Seen {
    let mut seen = Seen::default();
    while let Some(rest) = input.get(seen.consumed..).filter(|rest| !rest.is_empty()) {
        match ykc::scan(rest, ScanOptions::default()) {
            Scan::Incomplete { .. } => break,
            Scan::Skip { consumed, .. } => {
                seen.consumed += consumed;
                seen.bad += 1;
            }
            Scan::Frame { frame, consumed } => {
                seen.consumed += consumed;
                match (frame.kind, frame.message()) {
                    (kind::HEARTBEAT_ACK, Ok(_)) => seen.heartbeats += 1,
                    (kind::RECORD_CONFIRM, Ok(ykc::Message::RecordConfirm(confirm)))
                        if confirm.result() == RecordResult::Accepted =>
                    {
                        seen.records += 1;
                    }
                    (kind::RECORD_CONFIRM, _) => seen.bad += 1,
                    (kind::LOGIN_ACK, Ok(ykc::Message::LoginAck(ack))) if ack.result().code() == 0 => {
                        seen.logged_in += 1;
                    }
                    (kind::LOGIN_ACK, _) => seen.refused += 1,
                    (kind::TIME_SYNC, Ok(ykc::Message::TimeSync(sync))) => {
                        let time: Cp56 = sync.time();
                        ykc::encode(frame.seq, &TimeSyncReply { pile: sync.pile(), time }, replies);
                    }
                    (_, Ok(_)) => {}
                    (_, Err(_)) => seen.bad += 1,
                }
            }
        }
    }
    seen
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_protocol() {
        let pile = pile("32010600000001").unwrap();
        let (mut beat, mut live, mut record) = (Vec::new(), Vec::new(), Vec::new());
        push_record(pile, 3, 7, &mut record);
        assert_eq!(record.len(), 166);
        push_heartbeat(pile, 1, &mut beat);
        push_real_time(pile, 2, 5, &mut live);
        assert_eq!((beat.len(), live.len(), login_frame(pile).len()), (17, 68, 38));
    }

    #[test]
    fn answers_are_counted_and_a_tail_is_left() {
        let pile = pile("32010600000001").unwrap();
        let mut bytes = frame(0, &ykc::LoginAck { pile, result: ykc::LoginResult::Ok });
        bytes.extend(frame(1, &ykc::HeartbeatAck { pile, gun: Gun(1), ack: 0 }));
        let trade_no = TradeNo::compose(pile, Gun(1), 1_764_000_000_000, 1);
        bytes.extend(frame(1, &ykc::RecordConfirm { trade_no, result: RecordResult::Accepted }));
        bytes.extend(frame(1, &ykc::RecordConfirm { trade_no, result: RecordResult::Illegal }));
        bytes.extend(frame(2, &ykc::TimeSync { pile, time: Cp56::from_utc_ms(0) }));
        let whole = bytes.len();
        bytes.extend([0x68, 0x0D]);
        let mut replies = Vec::new();
        let seen = read(&bytes, &mut replies);
        assert_eq!(seen, Seen { consumed: whole, logged_in: 1, refused: 0, heartbeats: 1, records: 1, bad: 1 });
        assert_eq!(replies.len(), 22, "a time sync is answered");
    }
}
