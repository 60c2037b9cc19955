//! Compares the checked file with the database and writes the difference, with the records that carry it to every gateway,
//! in one transaction.
//!
//! The file adds and changes. What it does not mention stays, but for two things that must be revocable by deleting a line:
//! API keys of a tenant that it names. Chargers are switched off by `enabled = false`, tokens by their `status`.

use std::collections::{BTreeMap, BTreeSet};

use events::{clock::Clock, prost::Message as _, topic::Topic};
use rand::Rng as _;
use sha2::{Digest as _, Sha256};

use super::{
    ApplyError, Change, ChangeKind, Problem, Report,
    check::{Plan, Secret, TenantPlan, only_case},
    file::At,
};
use crate::{
    store::{
        DbError, Store, TenantId, Tx,
        outbox::Outgoing,
        registry::{Charger, Station},
        tariffs::TariffGroup,
        tokens::Token,
    },
    tariff::{LocalDate, Tariff, TariffVersion},
};

/// What is different, and what has to leave because of it.
#[derive(Default)]
pub(super) struct Diff {
    pub changes: Vec<Change>,
    pub unchanged: usize,
    pub outgoing: Vec<Outgoing>,
    pub problems: Vec<Problem>,
    /// An id turned out to be another tenant's.
    pub taken: bool,
}

impl Diff {
    fn note(&mut self, before: bool, what: String) {
        self.changes.push(Change { kind: if before { ChangeKind::Change } else { ChangeKind::Add }, what });
    }

    fn publish(&mut self, key: String, entry: &events::registry::RegistryEntry) {
        self.outgoing.push(Outgoing {
            topic: Topic::Registry,
            key: key.into_bytes(),
            payload: Some(entry.encode_to_vec()),
            headers: Vec::new(),
        });
    }

    /// A record without a value: gateways forget the entry.
    pub fn bury(&mut self, key: String) {
        let headers = Vec::new();
        self.outgoing.push(Outgoing { topic: Topic::Registry, key: key.into_bytes(), payload: None, headers });
    }
}

pub(super) fn charger_key(id: &str) -> String {
    format!("charger/{id}")
}

pub(super) fn token_key(tenant: TenantId, uid: &str) -> String {
    format!("token/{tenant}/{uid}")
}

pub(super) fn tariff_key(tenant: TenantId, id: &str) -> String {
    format!("tariff/{tenant}/{id}")
}

pub(super) async fn apply(store: &Store, plan: Plan, dry_run: bool, now_ms: i64) -> Result<Report, ApplyError> {
    let mut tx = store.write_platform().await?;
    let mut diff = Diff::default();
    for (id, wanted) in plan.tenants {
        let tenant = TenantId(id);
        tx.enter(tenant).await?;
        apply_tenant(&mut tx, tenant, wanted, now_ms, &mut diff).await?;
    }
    if !diff.problems.is_empty() {
        return Err(ApplyError::Invalid(diff.problems));
    }
    let applied = !dry_run && !diff.changes.is_empty();
    if applied {
        // The outbox is looked at by people in real time, whatever clock the platform runs on.
        tx.push_outbox(diff.outgoing, Clock::REAL.now_ms()).await?;
        tx.commit().await?;
    }
    Ok(Report { changes: diff.changes, unchanged: diff.unchanged, applied })
}

async fn apply_tenant(
    tx: &mut Tx,
    tenant: TenantId,
    wanted: TenantPlan,
    now_ms: i64,
    diff: &mut Diff,
) -> Result<(), ApplyError> {
    apply_tenant_row(tx, tenant, &wanted, diff).await?;
    tx.lock_registry(tenant).await?;
    let stations: BTreeMap<_, _> =
        tx.stations(tenant, "", i64::MAX).await?.into_iter().map(|station| (station.id.clone(), station)).collect();
    for station in &wanted.stations {
        apply_station(tx, tenant, stations.get(&station.value.id), station, diff).await?;
    }
    let groups: BTreeMap<_, _> = tx.tariffs(tenant).await?.into_iter().map(|group| (group.id.clone(), group)).collect();
    for group in &wanted.tariffs {
        apply_tariff(tx, tenant, groups.get(&group.value.id), group, now_ms, diff).await?;
    }
    let default_before: BTreeMap<_, _> =
        stations.into_iter().map(|(id, station)| (id, station.default_tariff)).collect();
    let default_after: BTreeMap<_, _> = wanted
        .stations
        .iter()
        .map(|station| (station.value.id.clone(), station.value.default_tariff.clone()))
        .collect();
    let chargers: BTreeMap<_, _> =
        tx.registered_chargers(tenant).await?.into_iter().map(|charger| (charger.id.clone(), charger)).collect();
    let mut mentioned = BTreeSet::new();
    for charger in wanted.chargers {
        let before = chargers.get(&charger.value.0.id);
        let default = |of: &BTreeMap<String, String>, station: &str| of.get(station).cloned().unwrap_or_default();
        let defaults = (
            before.map(|before| default(&default_before, &before.station)).unwrap_or_default(),
            default(&default_after, &charger.value.0.station),
        );
        mentioned.insert(charger.value.0.id.clone());
        apply_charger(tx, tenant, before, charger, defaults, diff).await?;
    }
    for station in &wanted.stations {
        let id = &station.value.id;
        if let Some(before) = default_before.get(id) {
            apply_default(tx, tenant, before, &station.value, &mentioned, diff).await?;
        }
    }
    let uids: Vec<String> = wanted.tokens.iter().map(|token| token.value.uid.clone()).collect();
    let mut tokens: BTreeMap<String, Vec<Token>> = BTreeMap::new();
    for token in tx.tokens_of(tenant, &uids).await? {
        tokens.entry(token.uid.to_ascii_lowercase()).or_default().push(token);
    }
    for token in &wanted.tokens {
        let uid = &token.value.uid;
        let stored = tokens.get(&uid.to_ascii_lowercase()).map_or(&[][..], Vec::as_slice);
        let before = stored.iter().find(|stored| stored.uid == *uid);
        if let (None, Some(other)) = (before, stored.first()) {
            diff.problems.push(token.problem("uid", only_case(&other.uid)));
        } else {
            apply_token(tx, tenant, before, token, diff).await?;
        }
    }
    Ok(())
}

pub(super) async fn apply_station(
    tx: &mut Tx,
    tenant: TenantId,
    before: Option<&Station>,
    station: &At<Station>,
    diff: &mut Diff,
) -> Result<(), ApplyError> {
    if before == Some(&station.value) {
        diff.unchanged += 1;
    } else {
        diff.note(before.is_some(), format!("station {tenant} {}", station.value.id));
        tx.put_station(tenant, &station.value).await?;
    }
    Ok(())
}

/// Another default of a station is another tariff for its chargers without one of their own: those that are not `mentioned`
/// (and so published already) are published again.
pub(super) async fn apply_default(
    tx: &mut Tx,
    tenant: TenantId,
    default_before: &str,
    station: &Station,
    mentioned: &BTreeSet<String>,
    diff: &mut Diff,
) -> Result<(), ApplyError> {
    if default_before == station.default_tariff {
        return Ok(());
    }
    for charger in tx.chargers_without_tariff(tenant, &station.id).await? {
        if !mentioned.contains(&charger.id) {
            diff.note(true, format!("charger {}", charger.id));
            diff.publish(charger_key(&charger.id), &charger.entry(tenant, &station.default_tariff));
        }
    }
    Ok(())
}

pub(super) async fn apply_token(
    tx: &mut Tx,
    tenant: TenantId,
    before: Option<&Token>,
    token: &At<Token>,
    diff: &mut Diff,
) -> Result<(), ApplyError> {
    if before == Some(&token.value) {
        diff.unchanged += 1;
    } else {
        diff.note(before.is_some(), format!("token {tenant} {}", token.value.uid));
        tx.put_token(tenant, &token.value).await?;
        diff.publish(token_key(tenant, &token.value.uid), &token.value.entry(tenant));
    }
    Ok(())
}

async fn apply_tenant_row(
    tx: &mut Tx,
    tenant: TenantId,
    wanted: &TenantPlan,
    diff: &mut Diff,
) -> Result<(), ApplyError> {
    let before = tx.tenants().await?.into_iter().find(|(id, _)| *id == tenant).map(|(_, name)| name);
    if before.as_ref() == Some(&wanted.name) {
        diff.unchanged += 1;
    } else {
        diff.note(before.is_some(), format!("tenant {tenant}"));
        tx.put_tenant(tenant, &wanted.name).await?;
    }
    let keys = tx.keys(tenant).await?;
    for key in &wanted.keys {
        if keys.contains(key) {
            diff.unchanged += 1;
            continue;
        }
        diff.note(keys.iter().any(|before| before.hash == key.hash), format!("key {tenant} {}", key.name));
        if let Err(error) = tx.put_key(tenant, key).await {
            if !error.is_unique_violation() {
                return Err(error.into());
            }
            let what = format!("key {} belongs to another tenant already", key.name);
            let problem = Problem { line: 0, key: "tenants".to_owned(), what };
            return Err(ApplyError::Invalid(vec![problem]));
        }
    }
    for key in keys.iter().filter(|before| !wanted.keys.iter().any(|key| key.hash == before.hash)) {
        diff.changes.push(Change { kind: ChangeKind::Remove, what: format!("key {tenant} {}", key.name) });
        tx.remove_key(tenant, &key.hash).await?;
    }
    Ok(())
}

/// Orders name the version they were started under, and a bill must be explainable years later: a stored version keeps its
/// prices and its first date for ever, and one that is not mentioned stays. Versions may be added, and end, from tomorrow on:
/// no day that has begun (UTC+8) is priced anew. Only a new group may have versions of any date.
pub(super) async fn apply_tariff(
    tx: &mut Tx,
    tenant: TenantId,
    before: Option<&TariffGroup>,
    group: &At<TariffGroup>,
    now_ms: i64,
    diff: &mut Diff,
) -> Result<(), ApplyError> {
    let mut wanted = group.value.clone();
    if let Some(before) = before {
        let today = LocalDate::of(now_ms);
        for new in &wanted.versions {
            let old = before.versions.iter().find(|old| old.version == new.version);
            if let Some((member, what)) = repriced(old, new, today) {
                let key = format!("versions[{}]{member}", new.version);
                diff.problems.push(group.problem(&key, format!("version {} {what}", new.version)));
            }
        }
        let unnamed = |old: &&TariffVersion| group.value.versions.iter().all(|new| new.version != old.version);
        wanted.versions.extend(before.versions.iter().filter(unnamed).cloned());
        match Tariff::new(wanted.versions.clone()) {
            Ok(tariff) => wanted.versions = tariff.versions().to_vec(),
            Err(error) => diff.problems.push(group.problem("versions", error.to_string())),
        }
    }
    if before == Some(&wanted) {
        diff.unchanged += 1;
        return Ok(());
    }
    diff.note(before.is_some(), format!("tariff {tenant} {}", wanted.id));
    tx.put_tariff(tenant, &wanted, if before.is_some() { now_ms } else { 0 }).await?;
    diff.publish(tariff_key(tenant, &wanted.id), &wanted.entry(tenant));
    Ok(())
}

/// How a version of a stored group would change the prices of a day that has begun: the member, and what is wrong with it.
fn repriced(
    old: Option<&TariffVersion>,
    new: &TariffVersion,
    today: LocalDate,
) -> Option<(&'static str, &'static str)> {
    let past = |end: Option<LocalDate>| end.is_some_and(|end| end <= today);
    match old {
        None if new.effective_from <= today => {
            Some((".effective_from", "is added to a stored tariff: it begins tomorrow (UTC+8) or later"))
        }
        Some(old) if new.table != old.table || new.effective_from != old.effective_from => Some((
            "",
            "is stored with other prices or another first date; prices of a version never change, add a version",
        )),
        Some(old) if new.effective_to != old.effective_to && (past(new.effective_to) || past(old.effective_to)) => {
            Some((".effective_to", "is stored: it may end tomorrow (UTC+8) or later, and one that is over stays over"))
        }
        _ => None,
    }
}

pub(super) async fn apply_charger(
    tx: &mut Tx,
    tenant: TenantId,
    before: Option<&Charger>,
    charger: At<(Charger, Secret)>,
    (default_before, default_after): (String, String),
    diff: &mut Diff,
) -> Result<(), ApplyError> {
    let at = At { line: charger.line, key: charger.key, value: () };
    let (mut wanted, secret) = charger.value;
    (wanted.secret_salt, wanted.secret_hash) = match (secret, before) {
        (Secret::Set(password), before) => salted(before, &password),
        (Secret::Keep, Some(before)) if wanted.protocol == before.protocol => {
            (before.secret_salt.clone(), before.secret_hash.clone())
        }
        (Secret::Keep, _) => (Vec::new(), Vec::new()),
    };
    if before == Some(&wanted) && default_before == default_after {
        diff.unchanged += 1;
        return Ok(());
    }
    let entry = wanted.entry(tenant, &default_after);
    let published = before.map(|before| before.entry(tenant, &default_before));
    if before == Some(&wanted) && published.as_ref() == Some(&entry) {
        diff.unchanged += 1;
        return Ok(());
    }
    if hides(before, &wanted) && has_open_orders(tx, tenant, &wanted.id).await? {
        let what = "the charger has an order that is not over: disabled, it could not send its record";
        diff.problems.push(at.problem("enabled", what));
        return Ok(());
    }
    if before.is_some_and(|before| wanted.connectors < before.connectors) {
        tx.lock_connectors(tenant, &wanted.id).await?;
        let open = tx.open_orders(tenant, std::slice::from_ref(&wanted.id)).await?;
        if let Some(order) = open.iter().find(|order| order.facts.order.connector > wanted.connectors) {
            let what = format!("connector {} has an order that is not over", order.facts.order.connector);
            diff.problems.push(at.problem("connectors", what));
            return Ok(());
        }
    }
    diff.note(before.is_some(), format!("charger {}", wanted.id));
    match tx.put_charger(tenant, &wanted).await {
        Ok(()) => {}
        Err(error) if error.is_unique_violation() => {
            diff.taken = true;
            let problem = at.problem("", format!("charger {} belongs to another tenant already", wanted.id));
            return Err(ApplyError::Invalid(vec![problem]));
        }
        Err(error) => return Err(error.into()),
    }
    diff.publish(charger_key(&wanted.id), &entry);
    Ok(())
}

/// The change disables a charger that was enabled.
pub(super) fn hides(before: Option<&Charger>, wanted: &Charger) -> bool {
    before.is_some_and(|before| before.enabled && !wanted.enabled)
}

/// Whether the charger has an order that is not over. A start that came first is seen here, one that comes later finds the charger as
/// this transaction leaves it.
pub(super) async fn has_open_orders(tx: &mut Tx, tenant: TenantId, id: &str) -> Result<bool, DbError> {
    tx.lock_connectors(tenant, id).await?;
    Ok(!tx.open_orders(tenant, &[id.to_owned()]).await?.is_empty())
}

/// The stored secret while the password is the same; a new salt for a new one.
fn salted(before: Option<&Charger>, password: &str) -> (Vec<u8>, Vec<u8>) {
    if password.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let hash = |salt: &[u8]| Sha256::new().chain_update(salt).chain_update(password.as_bytes()).finalize().to_vec();
    if let Some(before) = before.filter(|before| hash(&before.secret_salt) == before.secret_hash) {
        return (before.secret_salt.clone(), before.secret_hash.clone());
    }
    let salt: [u8; 16] = rand::rng().random();
    (salt.to_vec(), hash(&salt))
}
