//! Prices that change while chargers are connected: idle ones are sent them at a set pace, one that charges when it is done.

use std::{sync::Arc, time::Duration};

use codecs::ykc::{BillingModelView, GunState, ModelSetReply, Outcome, kind};
use events::{
    clock::Clock,
    proto::envelope::Body,
    registry::{BillingModel, Tariff, TariffVersion, registry_entry::Value},
    topic::Topic,
};

use crate::common::{
    MemoryLog, Rig, counter, eventually, registry,
    ykc::{self, Client, Got},
};

const DAY_MS: i64 = 24 * 3_600_000;

/// A pile with two idle guns.
async fn idle_pile(rig: &Rig, id: &str) -> Client {
    let mut pile = rig.pile(id).await;
    for gun in [1, 2] {
        pile.send(&ykc::idle(id, gun)).await;
    }
    pile.beats(id).await;
    pile
}

/// The pile is sent a model, and takes it; its number.
async fn takes(pile: &mut Client, id: &str) -> u32 {
    let got = pile.expect(kind::MODEL_SET).await;
    pile.send(&ModelSetReply { pile: ykc::pile(id), result: Outcome::Ok }).await;
    model(&got).model_no
}

fn model(got: &Got) -> BillingModel {
    gateway::translate::ykc::registry_model(&BillingModelView::new_checked(kind::MODEL_SET, &got.body).unwrap())
}

async fn delivered(rig: &Rig, id: &str, hash: &str) {
    rig.event(Topic::Device, |envelope, body| match body {
        Body::TariffChecked(checked) if envelope.charger == id && checked.tariff_hash == hash => {
            checked.delivered.then_some(())
        }
        _ => None,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_pile_is_sent_them_at_once_and_one_that_charges_afterwards() {
    let rig = Rig::start().await;
    let accepted = || counter("evgate_tariff_pushes_total", &["accepted"]);
    let before = accepted();
    let mut idle = idle_pile(&rig, registry::PILE).await;
    let mut busy = idle_pile(&rig, registry::PILE_B).await;
    busy.send(&ykc::real_time(registry::PILE_B, GunState::Charging, true, ykc::trade(registry::PILE_B, 1))).await;
    busy.beats(registry::PILE_B).await;
    let Value::Tariff(tariff) = registry::priced(7) else { panic!() };
    registry::put(&rig.log, &registry::tariff_key(), Value::Tariff(tariff.clone()));
    let got = idle.expect(kind::MODEL_SET).await;
    let wanted = tariff.versions[0].model.clone().unwrap();
    assert_eq!(model(&got).energy_price_p5, wanted.energy_price_p5);
    assert_eq!(model(&got).half_hours, wanted.half_hours);
    idle.send(&ModelSetReply { pile: ykc::pile(registry::PILE), result: Outcome::Ok }).await;
    delivered(&rig, registry::PILE, "h7").await;
    busy.silence(300).await;
    busy.send(&ykc::idle(registry::PILE_B, 1)).await;
    assert_eq!(takes(&mut busy, registry::PILE_B).await, 7);
    delivered(&rig, registry::PILE_B, "h7").await;
    eventually(|| (accepted() >= before + 2.0).then_some(())).await;
    // Written again, or with another version to come: nobody has to hear of it.
    registry::put(&rig.log, &registry::tariff_key(), Value::Tariff(tariff.clone()));
    let mut later = tariff;
    let next = TariffVersion { effective_from: 99_999, ..later.versions[0].clone() };
    later.versions.push(next);
    registry::put(&rig.log, &registry::tariff_key(), Value::Tariff(later));
    idle.silence(800).await;
    busy.silence(1).await;
    rig.drained().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_tariff_bound_to_a_pile_is_sent_to_that_one() {
    let rig = Rig::start().await;
    let Value::Tariff(other) = registry::priced(8) else { panic!() };
    let other = Tariff { id: "S01/2".into(), ..other };
    registry::put(&rig.log, &format!("tariff/{}/S01/2", registry::TENANT), Value::Tariff(other));
    let mut pile = idle_pile(&rig, registry::PILE).await;
    let mut neighbour = idle_pile(&rig, registry::PILE_B).await;
    registry::entries(|key, value| {
        if let Value::Charger(mut charger) = value
            && charger.charger == registry::PILE
        {
            charger.tariff = "S01/2".into();
            registry::put(&rig.log, key, Value::Charger(charger));
        }
    });
    assert_eq!(takes(&mut pile, registry::PILE).await, 8);
    neighbour.silence(300).await;
    rig.drained().await;
}

/// Versions begin at local midnight (UTC+8): nothing in the registry changes then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_is_sent_when_its_first_day_begins() {
    let log = Arc::new(MemoryLog::default());
    registry::fill(&log);
    let day = 20_000;
    let version = |version: &str, from, until, model_no| TariffVersion {
        version: version.into(),
        effective_from: from,
        effective_to: until,
        model: Some(BillingModel { model_no, ..registry::model() }),
    };
    let versions = vec![version("v1", 0, Some(day), 1), version("v2", day, None, 2)];
    let tariff = Tariff { tenant: registry::TENANT, id: "S01/1".into(), versions };
    registry::put(&log, &registry::tariff_key(), Value::Tariff(tariff));
    // Midnight is 16:00 UTC of the day before, two seconds from now.
    let midnight = i64::from(day) * DAY_MS - 8 * 3_600_000;
    let rig = Rig::clocked(log, Clock::starting_at(midnight - 2_000, 1)).await;
    let mut pile = idle_pile(&rig, registry::PILE).await;
    pile.silence(500).await;
    assert_eq!(takes(&mut pile, registry::PILE).await, 2);
    rig.drained().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_piles_are_sent_them_at_the_set_pace() {
    const PILES: u32 = 30;
    let log = Arc::new(MemoryLog::default());
    registry::fill(&log);
    let ids: Vec<String> = (0..PILES).map(|n| format!("3299000000{n:04}")).collect();
    for id in &ids {
        registry::bound_pile(&log, id);
    }
    let rig = Rig::over(log, |config| config.ykc.tariffs_per_second = 10).await;
    // Behind one concentrator, so that one socket shows the order of all.
    let mut piles = rig.ykc().await;
    for id in &ids {
        piles.log_in(id).await;
        for gun in [1, 2] {
            piles.send(&ykc::idle(id, gun)).await;
        }
        piles.beats(id).await;
    }
    registry::put(&rig.log, &registry::tariff_key(), registry::priced(7));
    let mut begun = None;
    for _ in 0..PILES {
        piles.expect(kind::MODEL_SET).await;
        begun.get_or_insert_with(tokio::time::Instant::now);
    }
    // Half a second's worth at once, the others in turn: 25 at 10 per second.
    let took = begun.unwrap().elapsed();
    assert!(took >= Duration::from_millis(2_300), "{took:?}");
    rig.drained().await;
}
