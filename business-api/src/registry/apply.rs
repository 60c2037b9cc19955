//! Compares the checked file with the database and writes the difference, with the records that carry it to every gateway,
//! in one transaction.
//!
//! The file adds and changes. What it does not mention stays, but for two things that must be revocable by deleting a line:
//! API keys of a tenant that it names. Chargers are switched off by `enabled = false`, tokens by their `status`.

use std::collections::BTreeMap;

use events::{prost::Message as _, topic::Topic};
use rand::Rng as _;
use sha2::{Digest as _, Sha256};

use super::{
    ApplyError, Change, ChangeKind, Problem, Report,
    check::{Plan, TenantPlan},
    file::At,
};
use crate::store::{
    Store, TenantId, Tx,
    outbox::Outgoing,
    registry::{Charger, TariffGroup},
};

#[derive(Default)]
struct Diff {
    changes: Vec<Change>,
    unchanged: usize,
    outgoing: Vec<Outgoing>,
    problems: Vec<Problem>,
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
}

pub(super) async fn apply(store: &Store, plan: Plan, dry_run: bool, now_ms: i64) -> Result<Report, ApplyError> {
    let mut tx = store.write_platform().await?;
    let mut diff = Diff::default();
    for (id, wanted) in plan.tenants {
        let tenant = TenantId(id);
        tx.enter(tenant).await?;
        apply_tenant(&mut tx, tenant, wanted, &mut diff).await?;
    }
    if !diff.problems.is_empty() {
        return Err(ApplyError::Invalid(diff.problems));
    }
    let applied = !dry_run && !diff.changes.is_empty();
    if applied {
        tx.push_outbox(diff.outgoing, now_ms).await?;
        tx.commit().await?;
    }
    Ok(Report { changes: diff.changes, unchanged: diff.unchanged, applied })
}

async fn apply_tenant(tx: &mut Tx, tenant: TenantId, wanted: TenantPlan, diff: &mut Diff) -> Result<(), ApplyError> {
    apply_tenant_row(tx, tenant, &wanted, diff).await?;
    let stations: BTreeMap<_, _> =
        tx.stations(tenant, "", i64::MAX).await?.into_iter().map(|station| (station.id.clone(), station)).collect();
    for station in &wanted.stations {
        let before = stations.get(&station.value.id);
        if before == Some(&station.value) {
            diff.unchanged += 1;
        } else {
            diff.note(before.is_some(), format!("station {tenant} {}", station.value.id));
            tx.put_station(tenant, &station.value).await?;
        }
    }
    let groups: BTreeMap<_, _> = tx.tariffs(tenant).await?.into_iter().map(|group| (group.id.clone(), group)).collect();
    for group in &wanted.tariffs {
        apply_tariff(tx, tenant, groups.get(&group.value.id), group, diff).await?;
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
    for charger in wanted.chargers {
        let before = chargers.get(&charger.value.0.id);
        let default = |of: &BTreeMap<String, String>, station: &str| of.get(station).cloned().unwrap_or_default();
        let defaults = (
            before.map(|before| default(&default_before, &before.station)).unwrap_or_default(),
            default(&default_after, &charger.value.0.station),
        );
        apply_charger(tx, tenant, before, charger, defaults, diff).await?;
    }
    let uids: Vec<String> = wanted.tokens.iter().map(|token| token.value.uid.clone()).collect();
    let tokens: BTreeMap<_, _> =
        tx.tokens_of(tenant, &uids).await?.into_iter().map(|token| (token.uid.clone(), token)).collect();
    for token in &wanted.tokens {
        let before = tokens.get(&token.value.uid);
        if before == Some(&token.value) {
            diff.unchanged += 1;
        } else {
            diff.note(before.is_some(), format!("token {tenant} {}", token.value.uid));
            tx.put_token(tenant, &token.value).await?;
            diff.publish(format!("token/{tenant}/{}", token.value.uid), &token.value.entry(tenant));
        }
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
/// prices and its first date for ever. Only its end and the addition of versions are open.
async fn apply_tariff(
    tx: &mut Tx,
    tenant: TenantId,
    before: Option<&TariffGroup>,
    group: &At<TariffGroup>,
    diff: &mut Diff,
) -> Result<(), ApplyError> {
    let wanted = &group.value;
    if before == Some(wanted) {
        diff.unchanged += 1;
        return Ok(());
    }
    for old in before.map(|before| before.versions.as_slice()).unwrap_or_default() {
        let problem = match wanted.versions.iter().find(|version| version.version == old.version) {
            None => "is stored and may not vanish; give it an effective_to instead",
            Some(new) if new.table != old.table || new.effective_from != old.effective_from => {
                "is stored with other prices or another first date; prices of a version never change, add a version"
            }
            Some(_) => continue,
        };
        diff.problems.push(group.problem("versions", format!("version {} {problem}", old.version)));
    }
    diff.note(before.is_some(), format!("tariff {tenant} {}", wanted.id));
    tx.put_tariff(tenant, wanted).await?;
    diff.publish(format!("tariff/{tenant}/{}", wanted.id), &wanted.entry(tenant));
    Ok(())
}

async fn apply_charger(
    tx: &mut Tx,
    tenant: TenantId,
    before: Option<&Charger>,
    charger: At<(Charger, String)>,
    (default_before, default_after): (String, String),
    diff: &mut Diff,
) -> Result<(), ApplyError> {
    let (line, key, (mut wanted, password)) = (charger.line, charger.key, charger.value);
    (wanted.secret_salt, wanted.secret_hash) = secret(before, &password);
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
    diff.note(before.is_some(), format!("charger {}", wanted.id));
    match tx.put_charger(tenant, &wanted).await {
        Ok(()) => {}
        Err(error) if error.is_unique_violation() => {
            let problem =
                Problem { line, key, what: format!("charger {} belongs to another tenant already", wanted.id) };
            return Err(ApplyError::Invalid(vec![problem]));
        }
        Err(error) => return Err(error.into()),
    }
    diff.publish(format!("charger/{}", wanted.id), &entry);
    Ok(())
}

/// The stored secret while the password is the same; a new salt for a new one.
fn secret(before: Option<&Charger>, password: &str) -> (Vec<u8>, Vec<u8>) {
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
