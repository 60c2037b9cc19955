//! What a YKC charger can be told of a tariff (YKC V1.6 0x0A, 0x58): four price pairs and 48 half hours that name one each.
//!
//! Five kinds, quarter hours and several prices per kind may not fit. Then the charger gets the closest table for its
//! screen, which never shows less than is due, and orders are flagged `charger_price_approximate`.

use events::registry;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::table::{DayTable, PeriodKind, Price, Slot};

/// Price cells of a frame: 尖 峰 平 谷.
const CELLS: usize = 4;
const HALF_HOURS: usize = 48;

/// Why a table does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotRepresentable {
    /// A price changes at a quarter hour that is no half hour.
    QuarterHours,
    /// More than four price pairs.
    TooManyPrices,
}

/// A table as a YKC charger holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillingModel {
    /// The four cells; an unused one repeats the dearest, so that a charger that misreads a slot never shows too little.
    pub prices: [Price; CELLS],
    /// The kind whose energy a record reports in each cell; `None` where no half hour uses it, or where kinds of one price
    /// share it and the record cannot tell them apart.
    pub kinds: [Option<PeriodKind>; CELLS],
    /// Cell of each half hour from 00:00, 0..=3.
    pub half_hours: Vec<u8>,
    /// `None`: it says exactly what the table says.
    pub not_representable: Option<NotRepresentable>,
}

impl BillingModel {
    /// The model of a table, exact where that is possible, else the closest.
    #[must_use]
    pub fn of(table: &DayTable) -> Self {
        let (quarters, _) = table.slots().as_chunks::<2>();
        let quarter_edges = quarters.iter().any(|[first, second]| first != second);
        let mut halves: Vec<Slot> = quarters.iter().map(|[first, second]| dearer(*first, *second)).collect();
        let mut not_representable = quarter_edges.then_some(NotRepresentable::QuarterHours);
        // Kinds of one price get a cell each while there is room, so that a record can tell them apart.
        let mut entries = distinct(&halves, |slot| slot);
        if entries.len() > CELLS {
            entries = distinct(&halves, first_of_its_price(&halves));
        }
        if entries.len() > CELLS {
            not_representable = not_representable.or(Some(NotRepresentable::TooManyPrices));
            raise_until_they_fit(&mut halves);
            entries = distinct(&halves, first_of_its_price(&halves));
        }
        let cells = place(&entries);
        let dearest =
            entries.iter().map(|slot| slot.price).max_by_key(|price| (price.sum(), *price)).unwrap_or_default();
        let cell_of = |slot: &Slot| {
            let exact = cells.iter().position(|cell| *cell == Some(*slot));
            exact.or_else(|| cells.iter().position(|cell| cell.is_some_and(|cell| cell.price == slot.price)))
        };
        let half_hours: Vec<u8> =
            halves.iter().map(|slot| u8::try_from(cell_of(slot).unwrap_or(0)).unwrap_or(0)).collect();
        let mut kinds = [None; CELLS];
        for (index, kind) in kinds.iter_mut().enumerate() {
            let mut used = halves.iter().filter(|slot| cell_of(slot) == Some(index)).map(|slot| slot.kind);
            *kind = used.next().filter(|first| used.all(|other| other == *first));
        }
        Self { prices: cells.map(|cell| cell.map_or(dearest, |slot| slot.price)), kinds, half_hours, not_representable }
    }

    /// It says exactly what the table says.
    #[must_use]
    pub const fn exact(&self) -> bool {
        self.not_representable.is_none()
    }

    /// SHA-256 in hex of what is sent: the prices and the half hours. Two tables with one hash need no new delivery.
    #[must_use]
    pub fn content_hash(&self) -> String {
        let mut hash = Sha256::new();
        for price in &self.prices {
            hash.update(price.electricity.0.to_le_bytes());
            hash.update(price.service.0.to_le_bytes());
        }
        hash.update(&self.half_hours);
        hex::encode(hash.finalize())
    }

    /// A model number made from the content, 0001..=9999 as two BCD bytes. The YKC text says "always 01 00", real platforms
    /// send others and chargers echo what they got: with a number of its own per content, 0x05 tells a stale table.
    #[must_use]
    pub fn model_no(&self) -> u16 {
        let hash = self.content_hash();
        let number = u64::from_str_radix(hash.get(..15).unwrap_or("0"), 16).unwrap_or(0) % 9_999 + 1;
        u16::from_str_radix(&number.to_string(), 16).unwrap_or(1)
    }

    /// As the registry topic carries it.
    #[must_use]
    pub fn to_registry(&self) -> registry::BillingModel {
        let price =
            |of: fn(&Price) -> i64| self.prices.iter().map(|p| u32::try_from(of(p)).unwrap_or(u32::MAX)).collect();
        registry::BillingModel {
            model_no: u32::from(self.model_no()),
            energy_price_p5: price(|price| price.electricity.0),
            service_price_p5: price(|price| price.service.0),
            half_hours: self.half_hours.clone().into(),
            exact: self.exact(),
            content_hash: self.content_hash(),
        }
    }

    /// The table that a charger with this model works by, where the model is exact: 48 half hours as 96 quarters.
    #[must_use]
    pub fn to_table(&self) -> Option<DayTable> {
        let slots = self.half_hours.iter().map(|cell| {
            let cell = usize::from(*cell);
            Some(Slot { kind: (*self.kinds.get(cell)?)?, price: *self.prices.get(cell)? })
        });
        let slots = slots.collect::<Option<Vec<_>>>()?;
        (slots.len() == HALF_HOURS).then(|| DayTable::from_half_hours(&slots).ok()).flatten()
    }
}

fn dearer(first: Slot, second: Slot) -> Slot {
    let rank = |slot: Slot| (slot.price.sum(), slot.price.electricity);
    if rank(second) > rank(first) { second } else { first }
}

/// Distinct slots in order of their first half hour, after `as_seen`.
fn distinct(halves: &[Slot], as_seen: impl Fn(Slot) -> Slot) -> Vec<Slot> {
    let mut entries: Vec<Slot> = Vec::new();
    for slot in halves.iter().map(|slot| as_seen(*slot)) {
        if !entries.contains(&slot) {
            entries.push(slot);
        }
    }
    entries
}

fn first_of_its_price(halves: &[Slot]) -> impl Fn(Slot) -> Slot {
    move |slot| halves.iter().find(|other| other.price == slot.price).copied().unwrap_or(slot)
}

/// Raises the price pair that is nearest to the next dearer one, until four are left.
fn raise_until_they_fit(halves: &mut [Slot]) {
    loop {
        let mut prices: Vec<Price> = halves.iter().map(|slot| slot.price).collect();
        prices.sort_by_key(|price| (price.sum(), *price));
        prices.dedup();
        if prices.len() <= CELLS {
            return;
        }
        let steps = prices.iter().zip(prices.iter().skip(1));
        let nearest = steps.min_by_key(|(low, high)| high.sum().0.saturating_sub(low.sum().0));
        let Some((low, high)) = nearest.map(|(low, high)| (*low, *high)) else { return };
        let kind = halves.iter().find(|slot| slot.price == high).map(|slot| slot.kind);
        for slot in halves.iter_mut().filter(|slot| slot.price == low) {
            *slot = Slot { kind: kind.unwrap_or(slot.kind), price: high };
        }
    }
}

/// Cells by kind first; deep valley takes valley's where there is no valley; the rest takes the first cell left.
fn place(entries: &[Slot]) -> [Option<Slot>; CELLS] {
    let mut cells = [None; CELLS];
    let valley_used = entries.iter().any(|slot| slot.kind == PeriodKind::Valley);
    let mut rest = Vec::new();
    for entry in entries {
        let home = match entry.kind {
            PeriodKind::Sharp => Some(0),
            PeriodKind::Peak => Some(1),
            PeriodKind::Flat => Some(2),
            PeriodKind::Valley => Some(3),
            PeriodKind::DeepValley if !valley_used => Some(3),
            PeriodKind::DeepValley => None,
        };
        match home.and_then(|home: usize| cells.get_mut(home)) {
            Some(cell) if cell.is_none() => *cell = Some(*entry),
            _ => rest.push(*entry),
        }
    }
    for entry in rest {
        if let Some(cell) = cells.iter_mut().find(|cell| cell.is_none()) {
            *cell = Some(entry);
        }
    }
    cells
}
