//! Day tables of 96 quarter hours: what the simulator is told about prices, to say what a session should cost.

use serde::{Deserialize, Serialize};

/// Period type of a slot: sharp 尖, peak 峰, flat 平, valley 谷, deep valley 深谷.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
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

/// Price of one quarter hour, in 0.00001 yuan/kWh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// Period type.
    #[serde(rename = "type")]
    pub period: Period,
    /// Electricity, 0.00001 yuan/kWh.
    pub elec_p5: u32,
    /// Service, 0.00001 yuan/kWh.
    pub service_p5: u32,
}

/// One version of a tariff: a day table and the local (UTC+8) days it is valid on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TariffVersion {
    /// First day, as days since 1970-01-01; none = since ever.
    #[serde(default)]
    pub effective_from: Option<i64>,
    /// First day on which it no longer holds; none = for ever.
    #[serde(default)]
    pub effective_to: Option<i64>,
    /// 96 quarter hours from 00:00 local time.
    pub slots: Vec<Slot>,
}

/// A tariff group: its versions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TariffBook {
    /// All versions, in any order.
    pub versions: Vec<TariffVersion>,
}

impl TariffBook {
    /// A book with one version that always holds.
    #[must_use]
    pub fn always(slots: Vec<Slot>) -> Self {
        Self { versions: vec![TariffVersion { effective_from: None, effective_to: None, slots }] }
    }

    /// The version valid on a local day; of several the one with the latest `effective_from`.
    #[must_use]
    pub fn on_day(&self, day: i64) -> Option<&TariffVersion> {
        self.versions
            .iter()
            .filter(|v| v.effective_from.is_none_or(|from| from <= day) && v.effective_to.is_none_or(|to| day < to))
            .max_by_key(|v| v.effective_from)
    }

    /// Every version has 96 slots.
    ///
    /// # Errors
    /// The number of slots of the first version that has another number.
    pub fn check(&self) -> Result<(), usize> {
        self.versions.iter().map(|v| v.slots.len()).find(|&n| n != 96).map_or(Ok(()), Err)
    }
}

/// Four (electricity, service) prices in the order sharp, peak, flat, valley, and a rate number for each half hour: what a YKC
/// tariff frame holds (YKC V1.6 §0x0A).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FourRates {
    /// (electricity, service), 0.00001 yuan/kWh.
    pub prices: [(u32, u32); 4],
    /// Rate number 0..=3 of each half hour from 00:00 local time.
    pub half_hours: [u8; 48],
}

impl FourRates {
    /// Rate number at a quarter hour of the day (0..=95).
    #[must_use]
    pub fn rate_at(&self, quarter: usize) -> usize {
        usize::from(self.half_hours.get(quarter / 2).copied().unwrap_or(2).min(3))
    }

    /// Price of a rate, electricity and service together, 0.00001 yuan/kWh.
    #[must_use]
    pub fn price(&self, rate: usize) -> u64 {
        self.prices.get(rate).map_or(0, |&(elec, service)| u64::from(elec) + u64::from(service))
    }
}

impl TariffVersion {
    /// True if a charger that holds `four` splits every session exactly as this table does: each half hour has one price, it is
    /// the price of the charger's rate, and each type used has one price pair and one rate number of its own.
    #[must_use]
    pub fn is_exactly(&self, four: &FourRates) -> bool {
        let mut of_type: [Option<(usize, u32, u32)>; 5] = [None; 5];
        let mut of_rate: [Option<Period>; 4] = [None; 4];
        self.slots.len() == 96
            && self.slots.iter().enumerate().all(|(quarter, slot)| {
                let rate = four.rate_at(quarter);
                let pair = (rate, slot.elec_p5, slot.service_p5);
                let one_pair =
                    of_type.get_mut(slot.period as usize).is_some_and(|seen| *seen.get_or_insert(pair) == pair);
                let one_type =
                    of_rate.get_mut(rate).is_some_and(|seen| *seen.get_or_insert(slot.period) == slot.period);
                one_pair && one_type && four.prices.get(rate) == Some(&(slot.elec_p5, slot.service_p5))
            })
    }
}
