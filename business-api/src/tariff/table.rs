//! A day of prices: 96 slots of a quarter hour each, built from periods that must cover the day exactly.

use std::fmt;
use std::str::FromStr;

use events::units::{DecimalError, PriceP5};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::local_time::{LocalTime, MS_PER_DAY, MS_PER_SLOT, TimeError};

/// Slots of a day; slot i covers [i x 15 min, (i + 1) x 15 min).
pub const SLOTS: usize = 96;
const SLOT_MINUTES: u16 = 15;

/// The kind of a slot: 尖, 峰, 平, 谷, 深谷.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeriodKind {
    /// 尖
    Sharp,
    /// 峰
    Peak,
    /// 平
    Flat,
    /// 谷
    Valley,
    /// 深谷
    DeepValley,
}

impl PeriodKind {
    /// Every kind, dearest name first.
    pub const ALL: [Self; 5] = [Self::Sharp, Self::Peak, Self::Flat, Self::Valley, Self::DeepValley];

    /// Its name in files, REST and the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sharp => "sharp",
            Self::Peak => "peak",
            Self::Flat => "flat",
            Self::Valley => "valley",
            Self::DeepValley => "deep_valley",
        }
    }
}

impl fmt::Display for PeriodKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Not one of sharp, peak, flat, valley, deep_valley.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not one of sharp, peak, flat, valley, deep_valley")]
pub struct UnknownKind;

impl FromStr for PeriodKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or(UnknownKind)
    }
}

/// The two components of a price, yuan per kWh. They stay apart everywhere: the electricity fee is passed through, the
/// service fee is the operator's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Electricity, in 0.00001 yuan/kWh.
    pub electricity: PriceP5,
    /// Service, in 0.00001 yuan/kWh.
    pub service: PriceP5,
}

impl Price {
    /// Highest price of one component that a YKC frame holds (32 bits): 42949.67295 yuan/kWh.
    pub const MAX: PriceP5 = PriceP5(u32::MAX as i64);

    /// Electricity and service together, as a YKC record states it.
    #[must_use]
    pub const fn sum(self) -> PriceP5 {
        PriceP5(self.electricity.0.saturating_add(self.service.0))
    }
}

/// One quarter hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// Its kind.
    pub kind: PeriodKind,
    /// Its prices.
    pub price: Price,
}

/// A run of slots as people write it; `to` is exclusive, "24:00" ends the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// First minute.
    pub from: LocalTime,
    /// First minute after it.
    pub to: LocalTime,
    /// Kind and prices.
    pub slot: Slot,
}

/// A period as text, the shape of files and of REST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeriodText {
    /// `HH:MM`, a multiple of 15 minutes.
    pub from: String,
    /// `HH:MM`, exclusive, at most 24:00.
    pub to: String,
    /// sharp, peak, flat, valley or deep_valley.
    #[serde(rename = "type")]
    pub kind: String,
    /// Electricity price, yuan/kWh, at most 5 decimals.
    pub elec: String,
    /// Service price, yuan/kWh, at most 5 decimals.
    pub service: String,
}

/// Why periods do not make a day. `index` is the period's place in the list, from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// `from` or `to` is no time of day.
    #[error("period {index}: {field} {text:?} {error}")]
    Time {
        /// Place in the list.
        index: usize,
        /// from or to.
        field: &'static str,
        /// What was there.
        text: String,
        /// What is wrong with it.
        error: TimeError,
    },
    /// Not a known kind.
    #[error("period {index}: type {text:?} {error}")]
    Kind {
        /// Place in the list.
        index: usize,
        /// What was there.
        text: String,
        /// What is wrong with it.
        error: UnknownKind,
    },
    /// No price, or more than 5 decimals.
    #[error("period {index}: {field} {text:?} {error}")]
    Price {
        /// Place in the list.
        index: usize,
        /// elec or service.
        field: &'static str,
        /// What was there.
        text: String,
        /// What is wrong with it.
        error: DecimalError,
    },
    /// Negative, or above [`Price::MAX`].
    #[error("period {index}: {field} {price} is outside 0..={max}", max = Price::MAX)]
    PriceRange {
        /// Place in the list.
        index: usize,
        /// elec or service.
        field: &'static str,
        /// The price.
        price: PriceP5,
    },
    /// `from` or `to` is not on a quarter hour.
    #[error("period {index}: {field} {at} is not a multiple of 15 minutes")]
    NotQuarterHour {
        /// Place in the list.
        index: usize,
        /// from or to.
        field: &'static str,
        /// The time.
        at: LocalTime,
    },
    /// `to` is not after `from`; a period may not wrap midnight.
    #[error("period {index}: {to} is not after {from}")]
    Empty {
        /// Place in the list.
        index: usize,
        /// Its start.
        from: LocalTime,
        /// Its end.
        to: LocalTime,
    },
    /// Two periods claim the same slot.
    #[error("period {index} overlaps period {other} at {at}")]
    Overlap {
        /// Place in the list.
        index: usize,
        /// The earlier claim.
        other: usize,
        /// First slot that both claim.
        at: LocalTime,
    },
    /// No period covers a slot.
    #[error("no period covers {at}")]
    Gap {
        /// First slot without a price.
        at: LocalTime,
    },
    /// A list of slots of another length than 96 or 48.
    #[error("{count} slots instead of 96 (quarter hours) or 48 (half hours)")]
    SlotCount {
        /// How many there were.
        count: usize,
    },
}

/// The prices of a day, one per quarter hour.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DayTable([Slot; SLOTS]);

impl DayTable {
    /// From periods in any order that cover 00:00 to 24:00 exactly once.
    ///
    /// # Errors
    /// [`TableError`], naming the period.
    pub fn from_periods(periods: &[Period]) -> Result<Self, TableError> {
        let mut claims: [Option<(usize, Slot)>; SLOTS] = [None; SLOTS];
        for (index, period) in periods.iter().enumerate() {
            let (from, to) = (period.from, period.to);
            check_price(index, "elec", period.slot.price.electricity)?;
            check_price(index, "service", period.slot.price.service)?;
            for (field, at) in [("from", from), ("to", to)] {
                if at.minutes() % SLOT_MINUTES != 0 {
                    return Err(TableError::NotQuarterHour { index, field, at });
                }
            }
            if to <= from {
                return Err(TableError::Empty { index, from, to });
            }
            let first = usize::from(from.minutes() / SLOT_MINUTES);
            let count = usize::from((to.minutes() - from.minutes()) / SLOT_MINUTES);
            for (slot, claim) in claims.iter_mut().enumerate().skip(first).take(count) {
                if let Some((other, _)) = *claim {
                    return Err(TableError::Overlap { index, other, at: slot_time(slot) });
                }
                *claim = Some((index, period.slot));
            }
        }
        if let Some(slot) = claims.iter().position(Option::is_none) {
            return Err(TableError::Gap { at: slot_time(slot) });
        }
        Self::from_quarters(claims.iter().flatten().map(|(_, slot)| *slot).collect::<Vec<_>>().as_slice())
    }

    /// From periods as text.
    ///
    /// # Errors
    /// [`TableError`], naming the period.
    pub fn from_text(periods: &[PeriodText]) -> Result<Self, TableError> {
        let parsed = periods.iter().enumerate().map(|(index, text)| read_period(index, text));
        Self::from_periods(&parsed.collect::<Result<Vec<_>, _>>()?)
    }

    /// From 96 slots.
    ///
    /// # Errors
    /// [`TableError::SlotCount`]; [`TableError::PriceRange`], whose index is then the slot's.
    pub fn from_quarters(slots: &[Slot]) -> Result<Self, TableError> {
        for (index, slot) in slots.iter().enumerate() {
            check_price(index, "elec", slot.price.electricity)?;
            check_price(index, "service", slot.price.service)?;
        }
        slots.try_into().map(Self).map_err(|_| TableError::SlotCount { count: slots.len() })
    }

    /// From 48 half hours, each of which becomes two equal quarters.
    ///
    /// # Errors
    /// As [`DayTable::from_quarters`].
    pub fn from_half_hours(slots: &[Slot]) -> Result<Self, TableError> {
        if slots.len() * 2 != SLOTS {
            return Err(TableError::SlotCount { count: slots.len() });
        }
        Self::from_quarters(&slots.iter().flat_map(|slot| [*slot, *slot]).collect::<Vec<_>>())
    }

    /// The 96 slots.
    #[must_use]
    pub const fn slots(&self) -> &[Slot; SLOTS] {
        &self.0
    }

    /// The slot in force at an instant (UTC ms).
    #[must_use]
    pub fn at(&self, at_ms: i64) -> Slot {
        let of_day = at_ms.saturating_sub(super::LocalDate(0).starts_at_ms()).rem_euclid(MS_PER_DAY);
        let index = usize::try_from(of_day / MS_PER_SLOT).unwrap_or(0);
        let [first, ..] = self.0;
        self.0.get(index).copied().unwrap_or(first)
    }

    /// Maximal runs of equal slots, from 00:00 on: the shortest list of periods that makes this table.
    #[must_use]
    pub fn periods(&self) -> Vec<Period> {
        let mut periods: Vec<Period> = Vec::new();
        for (index, slot) in self.0.iter().enumerate() {
            let (from, to) = (slot_time(index), slot_time(index + 1));
            match periods.last_mut() {
                Some(last) if last.slot == *slot => last.to = to,
                _ => periods.push(Period { from, to, slot: *slot }),
            }
        }
        periods
    }

    /// The one price of a kind, `None` where the table has the kind not at all or with several prices (rule R6a).
    #[must_use]
    pub fn only_price(&self, kind: PeriodKind) -> Option<Price> {
        let mut prices = self.0.iter().filter(|slot| slot.kind == kind).map(|slot| slot.price);
        let first = prices.next()?;
        prices.all(|price| price == first).then_some(first)
    }
}

impl Period {
    /// As text.
    #[must_use]
    pub fn to_text(&self) -> PeriodText {
        PeriodText {
            from: self.from.to_string(),
            to: self.to.to_string(),
            kind: self.slot.kind.to_string(),
            elec: self.slot.price.electricity.to_string(),
            service: self.slot.price.service.to_string(),
        }
    }
}

impl Serialize for DayTable {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.periods().iter().map(Period::to_text).collect::<Vec<_>>().serialize(to)
    }
}

impl<'de> Deserialize<'de> for DayTable {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::from_text(&Vec::<PeriodText>::deserialize(from)?).map_err(de::Error::custom)
    }
}

fn check_price(index: usize, field: &'static str, price: PriceP5) -> Result<(), TableError> {
    if price < PriceP5::ZERO || price > Price::MAX {
        return Err(TableError::PriceRange { index, field, price });
    }
    Ok(())
}

fn slot_time(slot: usize) -> LocalTime {
    let minutes = u16::try_from(slot).unwrap_or(u16::MAX).saturating_mul(SLOT_MINUTES);
    LocalTime::from_minutes(minutes).unwrap_or(LocalTime::END)
}

fn read_period(index: usize, text: &PeriodText) -> Result<Period, TableError> {
    let time = |field, text: &str| {
        text.parse().map_err(|error| TableError::Time { index, field, text: text.to_owned(), error })
    };
    let price = |field, text: &str| {
        text.parse().map_err(|error| TableError::Price { index, field, text: text.to_owned(), error })
    };
    let kind = text.kind.parse().map_err(|error| TableError::Kind { index, text: text.kind.clone(), error })?;
    let price = Price { electricity: price("elec", &text.elec)?, service: price("service", &text.service)? };
    Ok(Period { from: time("from", &text.from)?, to: time("to", &text.to)?, slot: Slot { kind, price } })
}
