//! What holds for every bill, and an oracle that computes it another way: second by second, over the list of periods as it was
//! drawn, with none of the engine's code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use business_api::bill::{Bill, FreeWindow, Occupancy, Options, PricePolicy, Rate, Sample, Session, Source, rate};
use business_api::tariff::{DayTable, LocalDate, LocalTime, PeriodKind, Price, SLOTS, Slot, Tariff, TariffVersion};
use events::units::{EnergyE4, Fen, PriceP5};
use proptest::prelude::*;

const HOUR_MS: i64 = 3_600_000;
/// 2025-11-10T00:00:00+08:00
const DAY_ZERO_MS: i64 = 1_762_704_000_000;

fn price() -> impl Strategy<Value = Price> {
    // Few prices, so that neighbours are often alike; odd last digits, so that fees have ties and tails.
    let p5 = prop_oneof![Just(0), Just(31_250), Just(62_345), Just(131_841), 0..300_000_i64];
    (p5.clone(), p5)
        .prop_map(|(electricity, service)| Price { electricity: PriceP5(electricity), service: PriceP5(service) })
}

fn day() -> impl Strategy<Value = Vec<Slot>> {
    let slot = (prop::sample::select(PeriodKind::ALL.to_vec()), price()).prop_map(|(kind, price)| Slot { kind, price });
    (prop::collection::vec(slot, 1..6), prop::collection::vec((0..6_usize, 1..20_usize), 1..20)).prop_map(
        |(palette, runs)| {
            let runs = runs
                .iter()
                .cycle()
                .flat_map(|(pick, length)| std::iter::repeat_n(palette[pick % palette.len()], *length));
            runs.take(SLOTS).collect()
        },
    )
}

#[derive(Clone, Debug)]
struct Drawn {
    days: [Vec<Slot>; 2],
    /// Date of the second version, as days from the first.
    change: i32,
    session: Session,
    options: Options,
}

impl Drawn {
    fn tariff(&self) -> Tariff {
        let first = LocalDate::of(DAY_ZERO_MS);
        let version = |name: &str, from, table| TariffVersion {
            version: name.to_owned(),
            effective_from: LocalDate(from),
            effective_to: None,
            table: DayTable::from_quarters(table).unwrap(),
        };
        Tariff::new(vec![
            version("one", first.0 - 1, &self.days[0]),
            version("two", first.0 + self.change, &self.days[1]),
        ])
        .unwrap()
    }

    fn bill(&self) -> Bill {
        rate(&self.tariff(), &self.session, &self.options).unwrap()
    }
}

fn sessions() -> impl Strategy<Value = Session> {
    let times = (0..48 * HOUR_MS, prop_oneof![0..8 * HOUR_MS, 0..90_000_i64], prop::bool::ANY);
    let samples = prop::collection::vec((-600_000..9 * HOUR_MS, 0..1_200_000_i64), 0..12);
    let skew = prop_oneof![4 => Just(0_i64), 1 => -200_000..200_000_i64];
    let stay = prop::option::of(-HOUR_MS..30 * HOUR_MS);
    (times, prop_oneof![Just(0), 0..1_000_000_i64, 0..100_i64], samples, skew, stay).prop_map(
        |((start, length, whole), energy, samples, clock_skew_ms, stay)| {
            let cut = if whole { 60_000 } else { 1 };
            let start_ms = DAY_ZERO_MS + start / cut * cut;
            let end_ms = start_ms + length / cut * cut;
            let sample = |(after, energy): &(i64, i64)| Sample {
                at_ms: start_ms + after / cut * cut,
                energy: EnergyE4(*energy),
            };
            Session {
                start_ms,
                end_ms,
                energy: EnergyE4(energy),
                samples: samples.iter().map(sample).collect(),
                clock_skew_ms,
                unplug_ms: stay.map(|stay| end_ms + stay),
                ..Session::default()
            }
        },
    )
}

fn options() -> impl Strategy<Value = Options> {
    let minute = || (0..=1_440_u16).prop_map(|minutes| LocalTime::from_minutes(minutes).unwrap());
    let window = (minute(), minute()).prop_map(|(from, to)| FreeWindow { from, to });
    let occupancy = (0..30_u32, 0..100_i64, prop::option::of(0..3_000_i64), prop::collection::vec(window, 0..3))
        .prop_map(|(grace_min, fen, cap, free_windows)| Occupancy {
            grace_min,
            fen_per_min: Fen(fen),
            cap: cap.map(Fen),
            free_windows,
        });
    let policy = prop_oneof![Just(PricePolicy::LockAtStart), Just(PricePolicy::BySlotDate)];
    (
        0..6_u32,
        prop_oneof![Just(10_000_u32), 0..=10_000_u32],
        0..300_i64,
        0..600_i64,
        policy,
        prop::option::of(occupancy),
    )
        .prop_map(|(loss_percent, discount, min_charge, coupon, price_policy, occupancy)| Options {
            loss_percent,
            service_discount_rate: Rate(discount),
            min_charge: Fen(min_charge),
            coupon: Fen(coupon),
            price_policy,
            clock_tolerance_s: 60,
            occupancy,
        })
}

fn drawn() -> impl Strategy<Value = Drawn> {
    ([day(), day()], 0..3_i32, sessions(), options()).prop_map(|(days, change, session, options)| Drawn {
        days,
        change,
        session,
        options,
    })
}

/// The rules once more, slowly. Returns (energy, billed, electricity, service) per segment and the fen figures.
struct Oracle {
    segments: Vec<[i128; 4]>,
    electricity: i128,
    service: i128,
    discount: i128,
    topup: i128,
    coupon: i128,
    minutes: i128,
    occupancy: i128,
    total: i128,
}

fn round(n: i128, d: i128) -> i128 {
    (2 * n + d).div_euclid(2 * d)
}

fn oracle(drawn: &Drawn) -> Oracle {
    let (session, options) = (&drawn.session, &drawn.options);
    let skew = if session.clock_skew_ms.abs() > 60_000 { session.clock_skew_ms } else { 0 };
    let (start, end, total_e4) = (session.start_ms - skew, session.end_ms - skew, i128::from(session.energy.0));
    let day_of = |t: i64| (t + 8 * HOUR_MS).div_euclid(24 * HOUR_MS);
    let second = |t: i64| usize::from(day_of(t) >= day_of(DAY_ZERO_MS) + i64::from(drawn.change));
    let slot_at = |t: i64| {
        let version = second(if options.price_policy == PricePolicy::BySlotDate { t } else { start });
        (day_of(t), version, drawn.days[version][((t + 8 * HOUR_MS).rem_euclid(24 * HOUR_MS) / 900_000) as usize])
    };
    // The curve by definition: the highest of all samples up to each time.
    let mut times: Vec<i64> =
        session.samples.iter().map(|s| s.at_ms - skew).filter(|t| *t > start && *t < end).collect();
    times.sort_unstable();
    times.dedup();
    let highest = |t: i64| {
        let until = session.samples.iter().filter(|s| s.at_ms - skew > start && s.at_ms - skew <= t);
        until.map(|s| i128::from(s.energy.0)).max().unwrap_or(0).min(total_e4)
    };
    let mut points = vec![(start, 0)];
    points.extend(times.iter().map(|t| (*t, highest(*t))));
    points.push((end, total_e4));
    let energy_at = |t: i64| {
        for pair in points.windows(2) {
            let ((ta, ea), (tb, eb)) = (pair[0], pair[1]);
            if ta <= t && t < tb {
                return ea + round((eb - ea) * i128::from(t - ta), i128::from(tb - ta));
            }
        }
        total_e4
    };
    // Second by second; a key that changes begins a segment.
    let mut edges = Vec::new();
    if total_e4 > 0 && end > start {
        let mut t = start;
        let mut key = None;
        while t < end {
            if key != Some(slot_at(t)) {
                key = Some(slot_at(t));
                edges.push((t, slot_at(t).2));
            }
            t = (t.div_euclid(1_000) + 1) * 1_000;
        }
    } else if total_e4 > 0 {
        edges.push((start, slot_at(start).2));
    }
    let mut segments = Vec::new();
    for (index, (from, slot)) in edges.iter().enumerate() {
        let energy = match edges.get(index + 1) {
            _ if end <= start => total_e4,
            Some((to, _)) => energy_at(*to) - energy_at(*from),
            None => total_e4 - energy_at(*from),
        };
        let billed = round(energy * (100 + i128::from(options.loss_percent)), 100);
        let fee = |p5: PriceP5| round(billed * i128::from(p5.0), 100_000);
        segments.push([energy, billed, fee(slot.price.electricity), fee(slot.price.service)]);
    }
    let sum = |column: usize| segments.iter().map(|segment| segment[column]).sum::<i128>();
    let (electricity, service) = (round(sum(2), 100), round(sum(3), 100));
    let discount = service - round(sum(3) * i128::from(options.service_discount_rate.0), 1_000_000);
    let so_far = electricity + service - discount;
    let topup = if total_e4 > 0 { (i128::from(options.min_charge.0) - so_far).max(0) } else { 0 };
    let coupon = i128::from(options.coupon.0).min(so_far + topup);
    let (mut minutes, mut occupancy) = (0, 0);
    if let (Some(rule), Some(unplug)) = (&options.occupancy, session.unplug_ms) {
        let mut t = end + i64::from(rule.grace_min) * 60_000;
        while t < unplug - skew {
            let minute = ((t + 8 * HOUR_MS).rem_euclid(24 * HOUR_MS) / 60_000) as u16;
            let free = rule.free_windows.iter().any(|window| {
                let (from, to) = (window.from.minutes(), window.to.minutes());
                if from <= to { (from..to).contains(&minute) } else { !(to..from).contains(&minute) }
            });
            minutes += i128::from(!free);
            t += 60_000;
        }
        occupancy = minutes * i128::from(rule.fen_per_min.0);
        occupancy = rule.cap.map_or(occupancy, |cap| occupancy.min(i128::from(cap.0)));
    }
    let total = electricity + service - discount + topup - coupon + occupancy;
    Oracle { segments, electricity, service, discount, topup, coupon, minutes, occupancy, total }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_is_the_oracle(drawn in drawn()) {
        let (bill, slow) = (drawn.bill(), oracle(&drawn));
        let segments: Vec<[i128; 4]> = bill.segments.iter().map(|segment| {
            [segment.energy.0, segment.billed.0, segment.electricity.0, segment.service.0].map(i128::from)
        }).collect();
        prop_assert_eq!(segments, slow.segments);
        let fen = [bill.electricity_fen, bill.service_fen, bill.service_discount_fen, bill.min_topup_fen, bill.coupon_fen,
            bill.occupancy_fen, bill.total_fen].map(|fen| i128::from(fen.0));
        prop_assert_eq!(fen, [slow.electricity, slow.service, slow.discount, slow.topup, slow.coupon, slow.occupancy, slow.total]);
        prop_assert_eq!(i128::from(bill.occupancy_minutes), slow.minutes);
    }

    #[test]
    fn segments_add_up_and_touch(drawn in drawn()) {
        let bill = drawn.bill();
        prop_assert!(bill.total_fen >= Fen::ZERO);
        prop_assert_eq!(bill.source == Source::None, drawn.session.energy == EnergyE4::ZERO);
        if bill.source != Source::None {
            prop_assert_eq!(bill.segments.iter().map(|segment| segment.energy.0).sum::<i64>(), bill.energy.0);
            prop_assert!(bill.segments.iter().all(|segment| segment.energy >= EnergyE4::ZERO));
            prop_assert_eq!(bill.segments[0].from_ms, Some(bill.basis.start_ms));
            prop_assert_eq!(bill.segments[bill.segments.len() - 1].to_ms, Some(bill.basis.end_ms));
            for pair in bill.segments.windows(2) {
                prop_assert_eq!(pair[0].to_ms, pair[1].from_ms);
            }
        }
    }

    #[test]
    fn the_order_of_samples_does_not_matter(drawn in drawn(), turn in 0..12_usize) {
        let mut turned = drawn.clone();
        let count = turned.session.samples.len();
        if count > 0 {
            turned.session.samples.rotate_left(turn % count);
            turned.session.samples.swap(0, count / 2);
        }
        prop_assert_eq!(turned.bill(), drawn.bill());
    }

    #[test]
    fn a_sample_on_the_curve_moves_nothing_by_more_than_the_last_digit(mut drawn in drawn()) {
        drawn.session.clock_skew_ms = 0;
        let bill = drawn.bill();
        let mut so_far = 0;
        for edge in bill.segments.iter().take(bill.segments.len().saturating_sub(1)) {
            so_far += edge.energy.0;
            let mut moved = drawn.clone();
            moved.session.samples.push(Sample { at_ms: edge.to_ms.unwrap(), energy: EnergyE4(so_far) });
            for (before, after) in bill.segments.iter().zip(moved.bill().segments) {
                prop_assert!((before.energy.0 - after.energy.0).abs() <= 1);
            }
        }
    }

    #[test]
    fn another_kind_at_the_same_price_moves_only_the_last_digit(drawn in drawn(), from in 0..SLOTS, length in 1..SLOTS) {
        let mut split = drawn.clone();
        for slot in split.days.iter_mut().flat_map(|day| day.iter_mut().skip(from).take(length)) {
            slot.kind = if slot.kind == PeriodKind::Sharp { PeriodKind::Flat } else { PeriodKind::Sharp };
        }
        let (whole, split) = (drawn.bill(), split.bill());
        let edges = 2 * i64::try_from(whole.segments.len() + split.segments.len()).unwrap();
        // Each cut rounds the energy (loss) and both fees once more: half a digit of energy at the dearest price, half a digit of fee.
        let dearest = drawn.days.iter().flatten().map(|slot| slot.price.electricity.0.max(slot.price.service.0)).max().unwrap();
        let digit = 1 + dearest / 100_000;
        prop_assert!((whole.billed.0 - split.billed.0).abs() <= edges);
        prop_assert!((whole.electricity.0 - split.electricity.0).abs() <= edges * digit);
        prop_assert!((whole.service.0 - split.service.0).abs() <= edges * digit);
    }

    #[test]
    fn without_loss_another_kind_moves_a_segment_by_one(mut drawn in drawn(), from in 0..SLOTS, length in 1..SLOTS) {
        // The stated property: one digit per segment and component, for one cut of one energy.
        drawn.options.loss_percent = 0;
        drawn.options.price_policy = PricePolicy::LockAtStart;
        drawn.session.samples.clear();
        let mut split = drawn.clone();
        for slot in split.days.iter_mut().flat_map(|day| day.iter_mut().skip(from).take(length)) {
            slot.kind = if slot.kind == PeriodKind::Sharp { PeriodKind::Flat } else { PeriodKind::Sharp };
        }
        let (whole, split) = (drawn.bill(), split.bill());
        let most = i64::try_from(whole.segments.len().max(split.segments.len())).unwrap();
        prop_assert!((whole.electricity.0 - split.electricity.0).abs() <= most);
        prop_assert!((whole.service.0 - split.service.0).abs() <= most);
    }

    #[test]
    fn a_dearer_tariff_scales(mut drawn in drawn()) {
        let bill = drawn.bill();
        for slot in drawn.days.iter_mut().flatten() {
            slot.price.electricity.0 *= 10;
            slot.price.service.0 *= 10;
        }
        let dear = drawn.bill();
        prop_assert_eq!(bill.segments.len(), dear.segments.len());
        for (cheap, dear) in bill.segments.iter().zip(&dear.segments) {
            prop_assert_eq!(cheap.billed, dear.billed);
            prop_assert!((cheap.electricity.0 * 10 - dear.electricity.0).abs() <= 5, "half a digit, ten times");
            prop_assert!((cheap.service.0 * 10 - dear.service.0).abs() <= 5);
        }
    }

    #[test]
    fn half_hours_are_two_quarters(mut drawn in drawn()) {
        let halves: Vec<Slot> = drawn.days[0].iter().step_by(2).copied().collect();
        let quarters: Vec<Slot> = halves.iter().flat_map(|slot| [*slot, *slot]).collect();
        let expanded = DayTable::from_half_hours(&halves).unwrap();
        prop_assert_eq!(&expanded, &DayTable::from_quarters(&quarters).unwrap());
        drawn.days = [quarters.clone(), quarters];
        let version = TariffVersion {
            version: "one".to_owned(),
            effective_from: LocalDate(0),
            effective_to: None,
            table: DayTable::from_periods(&expanded.periods()).unwrap(),
        };
        let from_periods = rate(&Tariff::new(vec![version]).unwrap(), &drawn.session, &drawn.options).unwrap();
        drawn.change = 9; // One version for the whole session.
        prop_assert_eq!(drawn.bill(), from_periods);
    }

    #[test]
    fn no_input_makes_it_panic_or_wrap(
        (start_ms, end_ms, energy, clock_skew_ms) in (any::<i64>(), any::<i64>(), any::<i64>(), any::<i64>()),
        samples in prop::collection::vec((any::<i64>(), any::<i64>()), 0..4),
        unplug_ms in any::<Option<i64>>(),
        amount in any::<Option<i64>>(),
        (loss_percent, discount, tolerance) in (any::<u32>(), any::<u32>(), any::<u32>()),
        (min_charge, coupon, fen_per_min) in (any::<i64>(), any::<i64>(), any::<i64>()),
        near in prop::bool::ANY,
        day in day(),
    ) {
        let session = Session {
            start_ms,
            end_ms: if near { start_ms.saturating_add(end_ms.rem_euclid(HOUR_MS)) } else { end_ms },
            energy: EnergyE4(energy),
            samples: samples.iter().map(|(at_ms, energy)| Sample { at_ms: *at_ms, energy: EnergyE4(*energy) }).collect(),
            clock_skew_ms,
            unplug_ms,
            charger_amount: amount.map(events::units::AmountE4),
            ..Session::default()
        };
        let options = Options {
            loss_percent,
            service_discount_rate: Rate(discount),
            min_charge: Fen(min_charge),
            coupon: Fen(coupon),
            clock_tolerance_s: tolerance,
            occupancy: Some(Occupancy { fen_per_min: Fen(fen_per_min), ..Occupancy::default() }),
            ..Options::default()
        };
        let table = DayTable::from_quarters(&day).unwrap();
        let version = TariffVersion { version: "v".to_owned(), effective_from: LocalDate(i32::MIN), effective_to: None, table };
        if let Ok(bill) = rate(&Tariff::new(vec![version]).unwrap(), &session, &options) {
            prop_assert!(bill.total_fen >= Fen::ZERO);
        }
    }
}
