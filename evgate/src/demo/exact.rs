//! Which chargers the demo can hold a bill against: a YKC charger knows four prices per half hour, and what it splits by a tariff
//! that does not fit is not what the platform bills.

use business_api::tariff::{BillingModel, DayTable, PeriodKind, Price, Slot};
use events::units::PriceP5;
use simulator::{ChargerConfig, Period, Protocol, TariffBook, TariffVersion, tariff::FourRates};

use crate::fleet_registry::FleetRegistry;

/// Takes out of `known` the chargers whose own reckoning says nothing about the bill.
pub fn keep_only(known: &mut FleetRegistry) {
    let tariffs = &known.tariffs;
    known.chargers.retain(|known| {
        known.config.tariff.as_ref().and_then(|name| tariffs.get(name)).is_some_and(|book| fits(&known.config, book))
    });
}

fn fits(charger: &ChargerConfig, book: &TariffBook) -> bool {
    charger.protocol != Protocol::Ykc || book.versions.iter().all(|version| is_exact(version).unwrap_or(false))
}

/// `None`: the version is no day table.
fn is_exact(version: &TariffVersion) -> Option<bool> {
    let slots = version.slots.iter().map(|slot| Slot {
        kind: match slot.period {
            Period::Sharp => PeriodKind::Sharp,
            Period::Peak => PeriodKind::Peak,
            Period::Flat => PeriodKind::Flat,
            Period::Valley => PeriodKind::Valley,
            Period::DeepValley => PeriodKind::DeepValley,
        },
        price: Price { electricity: PriceP5(slot.elec_p5.into()), service: PriceP5(slot.service_p5.into()) },
    });
    let model = BillingModel::of(&DayTable::from_quarters(&slots.collect::<Vec<_>>()).ok()?);
    let sent = model.to_registry();
    let mut rates = FourRates { prices: [(0, 0); 4], half_hours: model.half_hours.as_slice().try_into().ok()? };
    let prices = sent.energy_price_p5.into_iter().zip(sent.service_price_p5);
    rates.prices.iter_mut().zip(prices).for_each(|(rate, price)| *rate = price);
    Some(model.exact() && version.is_exactly(&rates))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_shipped_registry_has_enough_chargers_that_fit_and_one_that_does_not() {
        let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/registry.toml");
        let mut known = FleetRegistry::read(examples.as_ref()).unwrap();
        let on_five_prices = |known: &FleetRegistry| {
            let mut ykc = known.chargers.iter().filter(|known| known.config.protocol == Protocol::Ykc);
            ykc.any(|known| known.config.tariff.as_deref() == Some("1001/S01/3"))
        };
        assert!(on_five_prices(&known));
        keep_only(&mut known);
        assert!(!on_five_prices(&known));
        let selected = known.select(1001, Some((20, "a")), Some((20, "b")));
        assert_eq!(selected.len(), 40, "{selected:#?}");
    }
}
