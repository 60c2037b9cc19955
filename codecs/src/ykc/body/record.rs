//! 0x3B transaction record, the charger's bill, and 0x40, which confirms it. The charger repeats a record until it is
//! confirmed (30 s, three times, once more after 5 min), so a confirmation is a receipt, not a judgement.
//!
//! | 0..38 ids and times | 4 x (price, energy, energy with loss, amount: 4 bytes each) | 56 bytes: meter, totals, VIN, ... |
//!
//! A dialect has a fifth rate (深谷, deep valley) and 174 bytes instead of 158.

use nom::Parser;

use crate::error::ParseError;
use crate::ykc::encode::Sealed;
use crate::ykc::wire::{Wire, at, body, fills, piece, pieces, whole};
use crate::ykc::{
    Amount, Body, Card, Cp56, Energy, Field, Gun, MeterReading, PileId, Price, RecordResult, StopReason, TradeFlag,
    TradeNo, Vin, kind,
};

const HEAD: usize = 38;
const RATE: usize = 16;
const TAIL: usize = 56;
/// Bytes with four rates, and with five.
const LEN_FOUR: usize = HEAD + 4 * RATE + TAIL;
const LEN_FIVE: usize = HEAD + 5 * RATE + TAIL;
/// Where the time of the record stands in the tail.
const TRADE_TIME: usize = 40;

body! {
    /// 0x40, platform: a record has been received. Sent for every record, also for a repeated or an unknown one.
    RecordConfirm / RecordConfirmView, kind kind::RECORD_CONFIRM, "record_confirm", 17 bytes {
        /// The charge, byte for byte as in the record.
        0..16 trade_no: TradeNo = "trade_no" "";
        /// Received; or not readable, which stops the repeats.
        16..17 result: RecordResult = "result" "";
    }
}

/// What was charged at one rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordRate {
    /// Energy and service price together, 0.00001 yuan/kWh.
    pub price: Price,
    /// Energy, 0.0001 kWh.
    pub energy: Energy,
    /// Energy with loss, 0.0001 kWh; 0 where the loss ratio is 0.
    pub energy_loss: Energy,
    /// Amount, 0.0001 yuan, cut by some vendors to 0.01.
    pub amount: Amount,
}

impl RecordRate {
    fn from_wire(bytes: &[u8; RATE]) -> Self {
        Self {
            price: Wire::from_wire(at::<0, 4, RATE>(bytes)),
            energy: Wire::from_wire(at::<4, 4, RATE>(bytes)),
            energy_loss: Wire::from_wire(at::<8, 4, RATE>(bytes)),
            amount: Wire::from_wire(at::<12, 4, RATE>(bytes)),
        }
    }

    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.price.to_wire());
        out.extend_from_slice(&self.energy.to_wire());
        out.extend_from_slice(&self.energy_loss.to_wire());
        out.extend_from_slice(&self.amount.to_wire());
    }
}

/// The rates in the order sharp 尖, peak 峰, flat 平, valley 谷, and in one dialect deep valley 深谷.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordRates {
    /// As the document says.
    Four([RecordRate; 4]),
    /// With a deep valley.
    Five([RecordRate; 5]),
}

impl RecordRates {
    /// The rates.
    pub fn as_slice(&self) -> &[RecordRate] {
        match self {
            Self::Four(rates) => rates,
            Self::Five(rates) => rates,
        }
    }
}

/// 0x3B, charger: what was charged, for how much, by the charger's own reckoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The charge.
    pub trade_no: TradeNo,
    /// The charger.
    pub pile: PileId,
    /// The gun.
    pub gun: Gun,
    /// Start, UTC+8.
    pub start_time: Cp56,
    /// End, UTC+8; one real record ends before it starts.
    pub end_time: Cp56,
    /// Per rate. May all be zero although the total is not.
    pub rates: RecordRates,
    /// Meter at the start, 0.0001 kWh.
    pub meter_start: MeterReading,
    /// Meter at the end, 0.0001 kWh.
    pub meter_end: MeterReading,
    /// Energy, 0.0001 kWh.
    pub total_energy: Energy,
    /// Energy with loss, 0.0001 kWh.
    pub total_energy_loss: Energy,
    /// Energy and service together, 0.0001 yuan.
    pub total_amount: Amount,
    /// The vehicle, in normal order (unlike in 0x31).
    pub vin: Vin,
    /// What started the charge.
    pub trade_flag: TradeFlag,
    /// When the record was made.
    pub trade_time: Cp56,
    /// Why it ended.
    pub stop_reason: StopReason,
    /// The card; zero if none.
    pub physical_card: Card,
}

/// Checked view of a [`Record`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RecordView<'a> {
    head: &'a [u8; HEAD],
    rates: &'a [[u8; RATE]],
    tail: &'a [u8; TAIL],
    extra: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// Checks the length once. 158 bytes are four rates and 174 are five. A longer body has additions at its end: it
    /// has five rates only if the time of the record makes sense there and not where four rates would put it.
    ///
    /// # Errors
    /// The body is shorter than 158 bytes, or longer than a frame can carry.
    pub fn new_checked(body: &'a [u8]) -> Result<Self, ParseError> {
        let count = if body.len() == LEN_FIVE || (body.len() > LEN_FIVE && has_five_rates(body)) { 5 } else { 4 };
        let mut parser = (piece::<HEAD>, pieces::<RATE>(count), piece::<TAIL>);
        let ((head, rates, tail), extra) = whole(body, "record", RECORD_FIELDS, |input| parser.parse(input))?;
        Ok(Self { head, rates, tail, extra })
    }

    /// The charge.
    pub fn trade_no(&self) -> TradeNo {
        TradeNo(at::<0, 16, HEAD>(self.head))
    }
    /// The charger.
    pub fn pile(&self) -> PileId {
        PileId(at::<16, 7, HEAD>(self.head))
    }
    /// The gun.
    pub fn gun(&self) -> Gun {
        Wire::from_wire(at::<23, 1, HEAD>(self.head))
    }
    /// Start, UTC+8.
    pub fn start_time(&self) -> Cp56 {
        Cp56(at::<24, 7, HEAD>(self.head))
    }
    /// End, UTC+8.
    pub fn end_time(&self) -> Cp56 {
        Cp56(at::<31, 7, HEAD>(self.head))
    }
    /// Per rate, four or five.
    pub fn rates(&self) -> impl ExactSizeIterator<Item = RecordRate> + 'a {
        self.rates.iter().map(RecordRate::from_wire)
    }
    /// Meter at the start, 0.0001 kWh.
    pub fn meter_start(&self) -> MeterReading {
        Wire::from_wire(at::<0, 5, TAIL>(self.tail))
    }
    /// Meter at the end, 0.0001 kWh.
    pub fn meter_end(&self) -> MeterReading {
        Wire::from_wire(at::<5, 5, TAIL>(self.tail))
    }
    /// Energy, 0.0001 kWh.
    pub fn total_energy(&self) -> Energy {
        Wire::from_wire(at::<10, 4, TAIL>(self.tail))
    }
    /// Energy with loss, 0.0001 kWh.
    pub fn total_energy_loss(&self) -> Energy {
        Wire::from_wire(at::<14, 4, TAIL>(self.tail))
    }
    /// Energy and service together, 0.0001 yuan.
    pub fn total_amount(&self) -> Amount {
        Wire::from_wire(at::<18, 4, TAIL>(self.tail))
    }
    /// The vehicle, in normal order.
    pub fn vin(&self) -> Vin {
        Vin(at::<22, 17, TAIL>(self.tail))
    }
    /// What started the charge.
    pub fn trade_flag(&self) -> TradeFlag {
        Wire::from_wire(at::<39, 1, TAIL>(self.tail))
    }
    /// When the record was made.
    pub fn trade_time(&self) -> Cp56 {
        Cp56(at::<TRADE_TIME, 7, TAIL>(self.tail))
    }
    /// Why it ended.
    pub fn stop_reason(&self) -> StopReason {
        Wire::from_wire(at::<47, 1, TAIL>(self.tail))
    }
    /// The card; zero if none.
    pub fn physical_card(&self) -> Card {
        Card(at::<48, 8, TAIL>(self.tail))
    }

    /// What follows behind the table.
    pub fn extra(&self) -> &'a [u8] {
        self.extra
    }

    /// The field table that fits: with four or five rates.
    pub fn fields(&self) -> &'static [Field] {
        if self.rates.len() == 5 { RECORD_FIELDS_FIVE_RATES } else { RECORD_FIELDS }
    }

    /// All fields at once.
    pub fn read(&self) -> Record {
        let rates = match self.rates {
            [a, b, c, d, e] => RecordRates::Five([a, b, c, d, e].map(RecordRate::from_wire)),
            _ => {
                let mut four = [RecordRate::default(); 4];
                four.iter_mut().zip(self.rates()).for_each(|(to, from)| *to = from);
                RecordRates::Four(four)
            }
        };
        Record {
            trade_no: self.trade_no(),
            pile: self.pile(),
            gun: self.gun(),
            start_time: self.start_time(),
            end_time: self.end_time(),
            rates,
            meter_start: self.meter_start(),
            meter_end: self.meter_end(),
            total_energy: self.total_energy(),
            total_energy_loss: self.total_energy_loss(),
            total_amount: self.total_amount(),
            vin: self.vin(),
            trade_flag: self.trade_flag(),
            trade_time: self.trade_time(),
            stop_reason: self.stop_reason(),
            physical_card: self.physical_card(),
        }
    }
}

/// Looks at the time of the record in a body that is longer than either table.
fn has_five_rates(body: &[u8]) -> bool {
    let time_behind = |rates: usize| {
        let time = body.get(HEAD + rates * RATE + TRADE_TIME..).and_then(|tail| tail.first_chunk());
        time.is_some_and(|bytes| Cp56(*bytes).utc_ms().is_some())
    };
    time_behind(5) && !time_behind(4)
}

impl core::fmt::Debug for RecordView<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RecordView").field("table", &self.read()).field("extra", &self.extra).finish()
    }
}

impl Sealed for RecordView<'_> {}
impl Body for RecordView<'_> {
    fn kind(&self) -> u8 {
        kind::RECORD
    }
    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head);
        out.extend_from_slice(self.rates.as_flattened());
        out.extend_from_slice(self.tail);
        out.extend_from_slice(self.extra);
    }
}

impl Sealed for Record {}
impl Body for Record {
    fn kind(&self) -> u8 {
        kind::RECORD
    }
    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.trade_no.0);
        out.extend_from_slice(&self.pile.0);
        out.push(self.gun.0);
        out.extend_from_slice(&self.start_time.0);
        out.extend_from_slice(&self.end_time.0);
        self.rates.as_slice().iter().for_each(|rate| rate.emit(out));
        out.extend_from_slice(&self.meter_start.to_wire());
        out.extend_from_slice(&self.meter_end.to_wire());
        out.extend_from_slice(&self.total_energy.to_wire());
        out.extend_from_slice(&self.total_energy_loss.to_wire());
        out.extend_from_slice(&self.total_amount.to_wire());
        out.extend_from_slice(&self.vin.0);
        out.push(self.trade_flag.code());
        out.extend_from_slice(&self.trade_time.0);
        out.push(self.stop_reason.0);
        out.extend_from_slice(&self.physical_card.0);
    }
}

macro_rules! row {
    ($name:expr, $at:expr, $ty:ty, $len:literal, $unit:literal) => {
        Field { name: $name, at: $at, len: $len, shape: <$ty as Wire<$len>>::SHAPE, unit: $unit }
    };
}

macro_rules! record_fields {
    ($($rate:literal $at:literal),* ; $tail:expr) => { &[
        row!("trade_no", 0, TradeNo, 16, ""),
        row!("pile_id", 16, PileId, 7, ""),
        row!("gun", 23, Gun, 1, ""),
        row!("start_time", 24, Cp56, 7, ""),
        row!("end_time", 31, Cp56, 7, ""),
        $(
            row!(concat!($rate, "_price"), $at, Price, 4, "yuan/kWh"),
            row!(concat!($rate, "_energy"), $at + 4, Energy, 4, "kWh"),
            row!(concat!($rate, "_energy_loss"), $at + 8, Energy, 4, "kWh"),
            row!(concat!($rate, "_amount"), $at + 12, Amount, 4, "yuan"),
        )*
        row!("meter_start", $tail, MeterReading, 5, "kWh"),
        row!("meter_end", $tail + 5, MeterReading, 5, "kWh"),
        row!("total_energy", $tail + 10, Energy, 4, "kWh"),
        row!("total_energy_loss", $tail + 14, Energy, 4, "kWh"),
        row!("total_amount", $tail + 18, Amount, 4, "yuan"),
        row!("vin", $tail + 22, Vin, 17, ""),
        row!("trade_flag", $tail + 39, TradeFlag, 1, ""),
        row!("trade_time", $tail + TRADE_TIME, Cp56, 7, ""),
        row!("stop_reason", $tail + 47, StopReason, 1, ""),
        row!("physical_card", $tail + 48, Card, 8, ""),
    ] };
}

/// The field table of 0x3B.
pub const RECORD_FIELDS: &[Field] = record_fields!("sharp" 38, "peak" 54, "flat" 70, "valley" 86; 102);
/// The field table of 0x3B with five rates.
pub const RECORD_FIELDS_FIVE_RATES: &[Field] =
    record_fields!("sharp" 38, "peak" 54, "flat" 70, "valley" 86, "deep_valley" 102; 118);

const _: () = assert!(fills(RECORD_FIELDS, LEN_FOUR) && fills(RECORD_FIELDS_FIVE_RATES, LEN_FIVE));
