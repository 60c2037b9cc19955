//! One entry at a time, for REST: judged by the file's rules, compared and published as the file's entries are.
//!
//! Every function works in the caller's transaction, which it makes wait for other changes of the same tenant's registry. Nothing
//! leaves unless the caller commits.

use std::collections::BTreeSet;

use events::clock::Clock;

use super::{
    ApplyError, Problem,
    apply::{
        Diff, apply_charger, apply_default, apply_station, apply_tariff, apply_token, charger_key, has_open_orders,
        hides, tariff_key, token_key,
    },
    check::{
        Known, RATED_POWER_W, Secret, check_charger, check_default_tariff, check_station, check_tariff, check_token,
        only_case,
    },
    file::{At, ChargerEntry, StationEntry, TariffEntry, TokenEntry},
};
use crate::store::{DbError, TenantId, Tx};

/// Whether an entry is to be added, or which one is to be changed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which<'a> {
    New,
    Stored(&'a str),
}

/// Why nothing was changed; the transaction must be dropped.
#[derive(Debug)]
pub(crate) enum EditError {
    /// Keys are members of the entry as the file names them.
    Invalid(Vec<Problem>),
    /// The id is taken, by whomever.
    Exists,
    Missing,
    /// Something needs it: a code and what.
    InUse(&'static str, &'static str),
    Database(DbError),
}

impl From<DbError> for EditError {
    fn from(error: DbError) -> Self {
        Self::Database(error)
    }
}

/// Neither removed nor disabled is a charger whose record is still to come: gateways would not take it.
const OPEN_ORDERS: EditError = EditError::InUse("charger_has_open_orders", "the charger has an order that is not over");

/// What is stored of what the entry refers to.
#[derive(Debug, Default)]
struct Stored {
    stations: BTreeSet<String>,
    tariffs: BTreeSet<String>,
}

impl Known for Stored {
    fn station(&self, _: i64, id: &str) -> bool {
        self.stations.contains(id)
    }

    fn tariff(&self, _: i64, id: &str) -> bool {
        self.tariffs.contains(id)
    }
}

impl Stored {
    async fn of(tx: &mut Tx, tenant: TenantId, station: &str, tariff: &str) -> Result<Self, DbError> {
        let mut known = Self::default();
        known.stations.extend(tx.station(tenant, station).await?.map(|station| station.id));
        let tariffs = if tariff.is_empty() { Vec::new() } else { tx.tariffs_of(tenant, &[tariff.to_owned()]).await? };
        known.tariffs.extend(tariffs.into_iter().map(|group| group.id));
        Ok(known)
    }
}

fn alone<T>(value: T) -> At<T> {
    At { line: 0, key: String::new(), value }
}

/// Refuses what is wrong with the entry itself, an id that is taken, a change of the id.
fn judge<T>(
    which: Which<'_>,
    id: &str,
    field: &str,
    before: Option<&T>,
    mut problems: Vec<Problem>,
) -> Result<(), EditError> {
    if matches!(which, Which::Stored(stored) if stored != id) {
        problems.push(alone(()).problem(field, "cannot be changed"));
    }
    match (which, before) {
        _ if !problems.is_empty() => Err(EditError::Invalid(problems)),
        (Which::New, Some(_)) => Err(EditError::Exists),
        (Which::Stored(_), None) => Err(EditError::Missing),
        _ => Ok(()),
    }
}

/// Queues what has to leave.
async fn finish(tx: &mut Tx, applied: Result<(), ApplyError>, diff: Diff) -> Result<(), EditError> {
    match applied {
        Err(ApplyError::Database(error)) => return Err(error.into()),
        Err(_) if diff.taken => return Err(EditError::Exists),
        Err(ApplyError::Invalid(problems)) => return Err(EditError::Invalid(problems)),
        Err(ApplyError::Read(_, error)) => return Err(DbError::Unreadable(error.to_string()).into()),
        Ok(()) => {}
    }
    if !diff.problems.is_empty() {
        return Err(EditError::Invalid(diff.problems));
    }
    // As for the file: the outbox is looked at by people in real time.
    tx.push_outbox(diff.outgoing, Clock::REAL.now_ms()).await?;
    Ok(())
}

/// Adds or changes a station; another default tariff is published for the chargers that it holds for. Answers its id.
pub(crate) async fn put_station(
    tx: &mut Tx,
    tenant: TenantId,
    which: Which<'_>,
    entry: StationEntry,
) -> Result<String, EditError> {
    tx.lock_registry(tenant).await?;
    let (entry, mut problems) = (alone(entry), Vec::new());
    let station = alone(check_station(&entry, &mut problems));
    let known = Stored::of(tx, tenant, "", &station.value.default_tariff).await?;
    check_default_tariff(&station, tenant.0, &known, &mut problems);
    let before = tx.station(tenant, &station.value.id).await?;
    judge(which, &station.value.id, "id", before.as_ref(), problems)?;
    let mut diff = Diff::default();
    let mut applied = apply_station(tx, tenant, before.as_ref(), &station, &mut diff).await;
    if let (Ok(()), Some(before)) = (&applied, &before) {
        let default = &before.default_tariff;
        applied = apply_default(tx, tenant, default, &station.value, &BTreeSet::new(), &mut diff).await;
    }
    finish(tx, applied, diff).await?;
    Ok(station.value.id)
}

/// Adds or changes a charger. The entry's password counts unless `keep_secret`. Answers its id.
pub(crate) async fn put_charger(
    tx: &mut Tx,
    tenant: TenantId,
    which: Which<'_>,
    entry: ChargerEntry,
    keep_secret: bool,
) -> Result<String, EditError> {
    tx.lock_registry(tenant).await?;
    let (entry, mut problems) = (alone(entry), Vec::new());
    let known = Stored::of(tx, tenant, &entry.value.station, &entry.value.tariff).await?;
    let checked = check_charger(&entry, &entry.value.tariff, &known, &mut problems);
    let id = checked.as_ref().map_or(entry.value.id.as_str(), |(charger, _)| charger.id.as_str()).to_owned();
    let before = tx.registered_charger(tenant, &id).await?;
    judge(which, &id, "id", before.as_ref(), problems)?;
    let Some((charger, secret)) = checked else { return Err(EditError::Missing) };
    if hides(before.as_ref(), &charger) && has_open_orders(tx, tenant, &id).await? {
        return Err(OPEN_ORDERS);
    }
    let secret = if keep_secret { Secret::Keep } else { secret };
    let default = |station: Option<crate::store::registry::Station>| station.map(|it| it.default_tariff);
    let default_before = match &before {
        Some(before) => default(tx.station(tenant, &before.station).await?),
        None => None,
    };
    let default_after = default(tx.station(tenant, &charger.station).await?);
    let defaults = (default_before.unwrap_or_default(), default_after.unwrap_or_default());
    let mut diff = Diff::default();
    let applied = apply_charger(tx, tenant, before.as_ref(), alone((charger, secret)), defaults, &mut diff).await;
    finish(tx, applied, diff).await?;
    Ok(id)
}

/// Watts as the file writes them, kW; `None` when no charger has such a power.
pub(crate) fn kilowatts(watts: u32) -> Option<String> {
    RATED_POWER_W.contains(&watts).then(|| format!("{}.{:03}", watts / 1_000, watts % 1_000))
}

/// Adds or changes a token. Answers its uid as it is stored.
pub(crate) async fn put_token(
    tx: &mut Tx,
    tenant: TenantId,
    which: Which<'_>,
    entry: TokenEntry,
) -> Result<String, EditError> {
    tx.lock_registry(tenant).await?;
    let (entry, mut problems) = (alone(entry), Vec::new());
    let checked = check_token(&entry, &mut problems);
    let uid = checked.as_ref().map_or(entry.value.uid.as_str(), |token| token.uid.as_str()).to_owned();
    let mut before = None;
    for stored in tx.tokens_of(tenant, std::slice::from_ref(&uid)).await? {
        match (which, stored.uid == uid) {
            (_, true) => before = Some(stored),
            (Which::New, false) => problems.push(entry.problem("uid", only_case(&stored.uid))),
            (Which::Stored(_), false) => {} // An older version took both: each can be changed, and taken away.
        }
    }
    judge(which, &uid, "uid", before.as_ref(), problems)?;
    let Some(token) = checked else { return Err(EditError::Missing) };
    let mut diff = Diff::default();
    let applied = apply_token(tx, tenant, before.as_ref(), &alone(token), &mut diff).await;
    finish(tx, applied, diff).await?;
    Ok(uid)
}

/// Adds a tariff group, or changes its name, adds versions, ends versions, as of `now_ms` on the platform's clock. Answers its id.
pub(crate) async fn put_tariff(
    tx: &mut Tx,
    tenant: TenantId,
    which: Which<'_>,
    entry: TariffEntry,
    now_ms: i64,
) -> Result<String, EditError> {
    tx.lock_registry(tenant).await?;
    let (entry, mut problems) = (alone(entry), Vec::new());
    let station = entry.value.id.split_once('/').map(|(station, _)| station).unwrap_or_default();
    let known = Stored::of(tx, tenant, station, "").await?;
    let checked = check_tariff(&entry, &known, &mut problems);
    let id = checked.as_ref().map_or(entry.value.id.as_str(), |group| group.id.as_str()).to_owned();
    let before = tx.tariffs_of(tenant, std::slice::from_ref(&id)).await?.pop();
    judge(which, &id, "id", before.as_ref(), problems)?;
    let Some(group) = checked else { return Err(EditError::Missing) };
    let mut diff = Diff::default();
    let applied = apply_tariff(tx, tenant, before.as_ref(), &alone(group), now_ms, &mut diff).await;
    finish(tx, applied, diff).await?;
    Ok(id)
}

/// Takes a station away that has neither chargers nor tariffs.
pub(crate) async fn remove_station(tx: &mut Tx, tenant: TenantId, id: &str) -> Result<(), EditError> {
    tx.lock_registry(tenant).await?;
    if tx.station(tenant, id).await?.is_none() {
        return Err(EditError::Missing);
    }
    if tx.has_chargers(tenant, id).await? {
        return Err(EditError::InUse("station_has_chargers", "the station has chargers"));
    }
    if tx.has_tariffs(tenant, id).await? {
        return Err(EditError::InUse("station_has_tariffs", "the station has tariffs"));
    }
    Ok(tx.remove_station(tenant, id).await?)
}

/// Takes a charger away that has no order that is not over; its past stays.
pub(crate) async fn remove_charger(tx: &mut Tx, tenant: TenantId, id: &str) -> Result<(), EditError> {
    tx.lock_registry(tenant).await?;
    if tx.registered_charger(tenant, id).await?.is_none() {
        return Err(EditError::Missing);
    }
    if has_open_orders(tx, tenant, id).await? {
        return Err(OPEN_ORDERS);
    }
    tx.remove_charger(tenant, id).await?;
    bury(tx, charger_key(id)).await
}

/// Takes a token away.
pub(crate) async fn remove_token(tx: &mut Tx, tenant: TenantId, uid: &str) -> Result<(), EditError> {
    tx.lock_registry(tenant).await?;
    if !tx.remove_token(tenant, uid).await? {
        return Err(EditError::Missing);
    }
    bury(tx, token_key(tenant, uid)).await
}

/// Takes a tariff group away that nothing refers to.
pub(crate) async fn remove_tariff(tx: &mut Tx, tenant: TenantId, id: &str) -> Result<(), EditError> {
    tx.lock_registry(tenant).await?;
    if tx.tariffs_of(tenant, &[id.to_owned()]).await?.is_empty() {
        return Err(EditError::Missing);
    }
    if tx.tariff_in_use(tenant, id).await? {
        return Err(EditError::InUse("tariff_in_use", "a charger, a station or an order refers to the tariff"));
    }
    tx.remove_tariff(tenant, id).await?;
    bury(tx, tariff_key(tenant, id)).await
}

async fn bury(tx: &mut Tx, key: String) -> Result<(), EditError> {
    let mut diff = Diff::default();
    diff.bury(key);
    finish(tx, Ok(()), diff).await
}
