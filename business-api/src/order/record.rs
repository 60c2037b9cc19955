//! The charger's transaction record, as the order room sees it.

use std::fmt;

use events::proto;
use events::units::{AmountE4, EnergyE4, PriceP5};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::bill::Sample;
use crate::tariff::PeriodKind;

/// What the charger speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// 云快充.
    Ykc,
    /// OCPP of any version.
    Ocpp,
}

impl Protocol {
    /// From an envelope.
    #[must_use]
    pub const fn from_event(protocol: proto::Protocol) -> Self {
        match protocol {
            proto::Protocol::Ocpp16 | proto::Protocol::Ocpp201 | proto::Protocol::Ocpp21 => Self::Ocpp,
            proto::Protocol::Ykc | proto::Protocol::Unspecified => Self::Ykc,
        }
    }
}

/// How a session was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartMode {
    /// Not known: a session that began without us.
    #[default]
    Unknown,
    /// By app or mini-program, `POST /orders`.
    Remote,
    /// By a card that the platform approved, or an OCPP idTag at the charger.
    Card,
    /// By the car's VIN.
    Vin,
    /// By a card that the charger approved itself.
    OfflineCard,
}

impl StartMode {
    /// From an event.
    #[must_use]
    pub const fn from_event(mode: proto::StartMode) -> Self {
        match mode {
            proto::StartMode::Unspecified => Self::Unknown,
            proto::StartMode::Remote => Self::Remote,
            proto::StartMode::Card => Self::Card,
            proto::StartMode::Vin => Self::Vin,
            proto::StartMode::OfflineCard => Self::OfflineCard,
        }
    }

    /// Its name in the database and in REST.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Remote => "remote",
            Self::Card => "card",
            Self::Vin => "vin",
            Self::OfflineCard => "offline_card",
        }
    }
}

/// SHA-256 of what makes two records the same; hex as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(&text, &mut bytes).map_err(de::Error::custom)?;
        Ok(Self(bytes))
    }
}

/// What a charger counted in one of its periods. `kind` names the cell of its own table: which kind of ours that is says the
/// billing model it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellEnergy {
    /// sharp, peak, flat, valley: cells 0 to 3; deep valley in the dialect that has a fifth.
    pub kind: PeriodKind,
    /// Electricity and service together.
    pub price: PriceP5,
    /// Energy without loss.
    pub energy: EnergyE4,
    /// The charger's amount.
    pub amount: AmountE4,
}

/// A transaction record: YKC 0x3B, OCPP StopTransaction. Times are the charger's, UTC ms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Session it belongs to.
    pub session: String,
    /// What makes it the same record.
    pub digest: Digest,
    /// Start; OCPP 1.6 has none here.
    pub started_at_ms: Option<i64>,
    /// End.
    pub ended_at_ms: i64,
    /// Meter at the start.
    pub meter_start: Option<EnergyE4>,
    /// Meter at the end.
    pub meter_end: Option<EnergyE4>,
    /// The charger's total; OCPP has none.
    pub energy: Option<EnergyE4>,
    /// The charger's own amount.
    pub amount: Option<AmountE4>,
    /// The charger's split, empty if none.
    pub periods: Vec<CellEnergy>,
    /// Meter readings that came with the record (not relative to the start).
    pub registers: Vec<Sample>,
    /// The car, empty if not known.
    pub vin: String,
    /// Card in hex, empty if none.
    pub card: String,
    /// OCPP idTag of the stop, empty if none.
    pub token: String,
    /// How the charger says it was started.
    pub start_mode: StartMode,
    /// Stop reason in normal form.
    pub stop_reason: String,
    /// The charger's own code.
    pub stop_reason_raw: String,
}

/// How far readings of one energy may be apart: meters count in steps. 0.0100 kWh.
pub const METER_TOLERANCE: EnergyE4 = EnergyE4(100);
/// What rounds to a fen, 0.0001 yuan.
const HALF_A_FEN: i64 = 50;

/// A record event that cannot be a record: it goes to the dead-letter topic, its bytes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// No session.
    #[error("the record names no session")]
    NoSession,
    /// The digest is not 32 bytes.
    #[error("the record's digest is not a SHA-256")]
    NoDigest,
    /// A figure does not fit 63 bits.
    #[error("{0} is too large")]
    TooLarge(&'static str),
}

impl Record {
    /// From an event of the log.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn from_event(event: &proto::TransactionRecorded) -> Result<Self, RecordError> {
        if event.session.is_empty() {
            return Err(RecordError::NoSession);
        }
        let digest: [u8; 32] = event.digest.as_ref().try_into().map_err(|_| RecordError::NoDigest)?;
        let energy = |value: Option<u64>, field| {
            value.map(|value| EnergyE4::try_from(value).map_err(|_| RecordError::TooLarge(field))).transpose()
        };
        let mut periods = Vec::with_capacity(event.periods.len());
        for period in &event.periods {
            // An unknown kind cannot be billed from. Where it has energy, the others do not add up to the total: a person looks.
            let Some(kind) = kind_of(period.kind()) else { continue };
            periods.push(CellEnergy {
                kind,
                price: PriceP5::try_from(period.price_p5).map_err(|_| RecordError::TooLarge("periods.price"))?,
                energy: EnergyE4::try_from(period.energy_e4).map_err(|_| RecordError::TooLarge("periods.energy"))?,
                amount: AmountE4::try_from(period.amount_e4).map_err(|_| RecordError::TooLarge("periods.amount"))?,
            });
        }
        let mut registers = Vec::with_capacity(event.samples.len());
        for sample in &event.samples {
            let energy = EnergyE4::try_from(sample.register_e4).map_err(|_| RecordError::TooLarge("samples"))?;
            registers.push(Sample { at_ms: sample.at_ms, energy });
        }
        let amount = event.amount_e4.map(AmountE4::try_from).transpose();
        Ok(Self {
            session: event.session.clone(),
            digest: Digest(digest),
            started_at_ms: event.started_at_ms,
            ended_at_ms: event.ended_at_ms,
            meter_start: energy(event.meter_start_e4, "meter_start")?,
            meter_end: energy(event.meter_end_e4, "meter_end")?,
            energy: energy(event.energy_e4, "energy")?,
            amount: amount.map_err(|_| RecordError::TooLarge("amount"))?,
            periods,
            registers,
            vin: event.vin.clone(),
            card: event.card.clone(),
            token: event.token.clone(),
            start_mode: StartMode::from_event(event.start_mode()),
            stop_reason: event.stop_reason.clone(),
            stop_reason_raw: event.stop_reason_raw.clone(),
        })
    }

    /// Energy of the session: the charger's total, else the difference of its meter readings; `None` where it says neither or
    /// its meter ran backwards. `meter_start` is the reading that the start of the session brought.
    #[must_use]
    pub fn total_energy(&self, meter_start: Option<EnergyE4>) -> Option<EnergyE4> {
        self.energy.or_else(|| {
            let energy = self.meter_end?.checked_sub(self.meter_start.or(meter_start)?)?;
            (!energy.is_negative()).then_some(energy)
        })
    }

    /// The record says that nothing was delivered: no total, no meter, no period and no amount of it speaks of any.
    /// `meter_start` as in [`Record::total_energy`].
    #[must_use]
    pub fn is_empty(&self, meter_start: Option<EnergyE4>) -> bool {
        self.total_energy(meter_start) == Some(EnergyE4::ZERO) && self.claim_without_energy(meter_start).is_none()
    }

    /// What of a record whose total is 0 speaks of a delivery all the same, in words: its meter, its periods, or an amount that does not
    /// round to 0 fen.
    #[must_use]
    pub fn claim_without_energy(&self, meter_start: Option<EnergyE4>) -> Option<String> {
        self.claim_of_energy(meter_start).or_else(|| {
            let amount = self.amount.filter(|amount| amount.0 >= HALF_A_FEN)?;
            Some(format!("the amount is {amount} yuan"))
        })
    }

    /// What beside its total speaks of energy, in words. Meters count in steps: up to [`METER_TOLERANCE`] is nothing. A meter that
    /// ran backwards says nothing.
    #[must_use]
    pub fn claim_of_energy(&self, meter_start: Option<EnergyE4>) -> Option<String> {
        let tolerance = i128::from(METER_TOLERANCE.0);
        let from = self.meter_start.or(meter_start).map(|from| i128::from(from.0));
        let points = self.registers.iter().map(|point| point.energy).chain(self.meter_end);
        let metered = points.max().zip(from).map_or(0, |(most, from)| i128::from(most.0) - from);
        let kwh = |energy: i128| EnergyE4(i64::try_from(energy).unwrap_or(i64::MAX));
        if metered > tolerance {
            return Some(format!("the meter moved by {} kWh", kwh(metered)));
        }
        let periods = self.periods_sum();
        (periods > tolerance).then(|| format!("the periods add up to {} kWh", kwh(periods)))
    }

    /// Energy of all periods, 0.0001 kWh.
    #[must_use]
    pub fn periods_sum(&self) -> i128 {
        self.periods.iter().map(|period| i128::from(period.energy.0)).sum()
    }
}

fn kind_of(kind: proto::PeriodKind) -> Option<PeriodKind> {
    match kind {
        proto::PeriodKind::Unspecified => None,
        proto::PeriodKind::Sharp => Some(PeriodKind::Sharp),
        proto::PeriodKind::Peak => Some(PeriodKind::Peak),
        proto::PeriodKind::Flat => Some(PeriodKind::Flat),
        proto::PeriodKind::Valley => Some(PeriodKind::Valley),
        proto::PeriodKind::DeepValley => Some(PeriodKind::DeepValley),
    }
}
