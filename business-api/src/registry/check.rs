//! Judges the whole file and reports everything that is wrong with it. The file stands for itself: what it refers to is in it.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::{
    Problem,
    file::{At, ChargerEntry, Entries, KeyEntry, StationEntry, TariffEntry, TenantEntry, TokenEntry},
};
use crate::{
    store::{
        registry::{Charger, Key, Station},
        tariffs::TariffGroup,
        tokens::Token,
    },
    tariff::{Tariff, TariffError, parse_instant},
};

/// What becomes of the password that a charger has to show.
#[derive(Debug)]
pub(super) enum Secret {
    /// Stays as it is stored.
    Keep,
    /// Is this; empty = no password is asked.
    Set(String),
}

/// What the file wants, per tenant.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub tenants: BTreeMap<i64, TenantPlan>,
}

#[derive(Debug, Default)]
pub(super) struct TenantPlan {
    pub name: String,
    pub keys: Vec<Key>,
    pub stations: Vec<At<Station>>,
    pub tariffs: Vec<At<TariffGroup>>,
    pub chargers: Vec<At<(Charger, Secret)>>,
    pub tokens: Vec<At<Token>>,
}

/// What an entry may refer to: in a file the other entries, over REST what is stored.
pub(super) trait Known {
    fn station(&self, tenant: i64, id: &str) -> bool;
    fn tariff(&self, tenant: i64, id: &str) -> bool;
}

impl Known for Plan {
    fn station(&self, tenant: i64, id: &str) -> bool {
        // That the tenant itself is missing is said once, where the entry is placed.
        self.tenants.get(&tenant).is_none_or(|of| of.stations.iter().any(|station| station.value.id == id))
    }

    fn tariff(&self, tenant: i64, id: &str) -> bool {
        self.tenants.get(&tenant).is_some_and(|of| of.tariffs.iter().any(|group| group.value.id == id))
    }
}

/// Everything that can be known without the database.
pub(super) fn check(entries: &Entries, problems: &mut Vec<Problem>) -> Plan {
    let mut plan = Plan::default();
    let mut hashes = BTreeSet::new();
    for entry in &entries.tenants {
        check_tenant(entry, &mut plan, &mut hashes, problems);
    }
    let mut seen = BTreeSet::new();
    for entry in &entries.stations {
        let station = check_station(entry, problems);
        if seen.insert((entry.value.tenant, entry.value.id.clone())) {
            place(&mut plan, entry, entry.value.tenant, problems, |tenant| &mut tenant.stations, station);
        } else {
            problems.push(entry.problem("id", "is there twice"));
        }
    }
    let mut seen = BTreeSet::new();
    for entry in &entries.tariffs {
        if !seen.insert((entry.value.tenant, entry.value.id.clone())) {
            problems.push(entry.problem("id", "is there twice"));
        } else if let Some(group) = check_tariff(entry, &plan, problems) {
            place(&mut plan, entry, entry.value.tenant, problems, |tenant| &mut tenant.tariffs, group);
        }
    }
    for (tenant, of) in &plan.tenants {
        for station in &of.stations {
            check_default_tariff(station, *tenant, &plan, problems);
        }
    }
    let bindings = check_bindings(entries, problems);
    let mut seen = BTreeSet::new();
    for entry in &entries.chargers {
        if !seen.insert(entry.value.id.clone()) {
            problems.push(entry.problem("id", "is there twice; a charger's id is unique over all tenants"));
        } else if let Some(charger) = check_charger(entry, bound(entry, &bindings), &plan, problems) {
            place(&mut plan, entry, entry.value.tenant, problems, |tenant| &mut tenant.chargers, charger);
        }
    }
    let mut seen: BTreeMap<(i64, String), String> = BTreeMap::new();
    for entry in &entries.tokens {
        if let Some(token) = check_token(entry, problems) {
            let any_case = (entry.value.tenant, token.uid.to_ascii_lowercase());
            match seen.get(&any_case) {
                Some(uid) if *uid == token.uid => problems.push(entry.problem("uid", "is there twice")),
                Some(uid) => problems.push(entry.problem("uid", only_case(uid))),
                None => {
                    seen.insert(any_case, token.uid.clone());
                    place(&mut plan, entry, entry.value.tenant, problems, |tenant| &mut tenant.tokens, token);
                }
            }
        }
    }
    plan
}

/// Why a token cannot be beside another one.
pub(super) fn only_case(uid: &str) -> String {
    format!("differs only in case from the token {uid}; a token is found in any case")
}

fn place<E, T>(
    plan: &mut Plan,
    entry: &At<E>,
    tenant: i64,
    problems: &mut Vec<Problem>,
    list: impl Fn(&mut TenantPlan) -> &mut Vec<At<T>>,
    value: T,
) {
    match plan.tenants.get_mut(&tenant) {
        Some(of) => list(of).push(At { line: entry.line, key: entry.key.clone(), value }),
        None => problems.push(entry.problem("tenant", format!("tenant {tenant} is not in this file"))),
    }
}

fn check_tenant(entry: &At<TenantEntry>, plan: &mut Plan, hashes: &mut BTreeSet<String>, problems: &mut Vec<Problem>) {
    let tenant = &entry.value;
    if tenant.id <= 0 {
        problems.push(entry.problem("id", "must be positive"));
    }
    if tenant.name.is_empty() {
        problems.push(entry.problem("name", "must not be empty"));
    }
    let mut keys = Vec::new();
    for (index, key) in tenant.keys.iter().enumerate() {
        match key_hash(key) {
            Err(what) => problems.push(entry.problem(&format!("keys[{index}]"), what)),
            Ok(hash) if !hashes.insert(hash.clone()) => {
                problems.push(entry.problem(&format!("keys[{index}]"), "is there twice"));
            }
            Ok(hash) => keys.push(Key { hash, name: key.name.clone() }),
        }
    }
    let of = TenantPlan { name: tenant.name.clone(), keys, ..TenantPlan::default() };
    if plan.tenants.insert(tenant.id, of).is_some() {
        problems.push(entry.problem("id", "is there twice"));
    }
}

fn key_hash(entry: &KeyEntry) -> Result<String, &'static str> {
    if entry.name.is_empty() {
        return Err("needs a name");
    }
    match (&entry.key, &entry.sha256) {
        (Some(key), None) if key.len() >= 12 && key.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(hex::encode(Sha256::digest(key.as_bytes())))
        }
        (Some(_), None) => Err("a key has at least 12 printable characters"),
        (None, Some(hash)) if hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Ok(hash.to_lowercase())
        }
        (None, Some(_)) => Err("sha256 has 64 hexadecimal digits"),
        _ => Err("needs either key or sha256"),
    }
}

/// Ids appear in URLs and topic keys.
fn is_id(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

pub(super) fn check_station(entry: &At<StationEntry>, problems: &mut Vec<Problem>) -> Station {
    let station = &entry.value;
    if !is_id(&station.id, 20) {
        problems.push(entry.problem("id", "has 1 to 20 of A-Z a-z 0-9 - _ ."));
    }
    if station.name.is_empty() {
        problems.push(entry.problem("name", "must not be empty"));
    }
    for (field, value, max) in [("latitude", &station.latitude, 90), ("longitude", &station.longitude, 180)] {
        let size = value.strip_prefix('-').unwrap_or(value);
        let (degrees, fraction) = size.split_once('.').unwrap_or((size, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let decimal = digits(degrees) && digits(fraction) && fraction.len() <= 10;
        if !(value.is_empty() || decimal && degrees.parse::<u32>().is_ok_and(|degrees| degrees <= max)) {
            problems.push(entry.problem(field, "is a decimal number of degrees"));
        }
    }
    Station {
        id: station.id.clone(),
        name: station.name.clone(),
        address: station.address.clone(),
        latitude: station.latitude.clone(),
        longitude: station.longitude.clone(),
        phone: station.phone.clone(),
        default_tariff: station.default_tariff.clone(),
    }
}

pub(super) fn check_tariff(
    entry: &At<TariffEntry>,
    known: &impl Known,
    problems: &mut Vec<Problem>,
) -> Option<TariffGroup> {
    let group = &entry.value;
    let parts = group.id.split_once('/').and_then(|(station, number)| {
        number.parse::<u32>().ok().filter(|number| (1..=16).contains(number)).map(|number| (station, number))
    });
    let Some((station, group_no)) = parts else {
        problems.push(entry.problem("id", "is <station>/<group number 1..16>"));
        return None;
    };
    if !known.station(group.tenant, station) {
        problems.push(entry.problem("id", format!("there is no station {station}")));
    }
    for (index, version) in group.versions.iter().enumerate() {
        if !is_id(&version.version, 40) {
            problems.push(entry.problem(&format!("versions[{index}].version"), "has 1 to 40 of A-Z a-z 0-9 - _ ."));
        }
    }
    match Tariff::new(group.versions.clone()) {
        Ok(tariff) => Some(TariffGroup {
            id: format!("{station}/{group_no}"),
            station: station.to_owned(),
            group_no,
            name: group.name.clone(),
            versions: tariff.versions().to_vec(),
        }),
        Err(error) => {
            let place = |name: &str| group.versions.iter().position(|version| version.version == name);
            let key = match &error {
                TariffError::NeverHolds { version, .. } => place(version)
                    .map_or_else(|| "versions".to_owned(), |index| format!("versions[{index}].effective_to")),
                _ => "versions".to_owned(),
            };
            problems.push(entry.problem(&key, error.to_string()));
            None
        }
    }
}

pub(super) fn check_default_tariff(
    station: &At<Station>,
    tenant: i64,
    known: &impl Known,
    problems: &mut Vec<Problem>,
) {
    let tariff = &station.value.default_tariff;
    if !tariff.is_empty() && !known.tariff(tenant, tariff) {
        problems.push(station.problem("default_tariff", format!("there is no tariff {tariff}")));
    }
}

type Bindings = BTreeMap<(i64, String), String>;

fn check_bindings(entries: &Entries, problems: &mut Vec<Problem>) -> Bindings {
    let mut bindings = Bindings::new();
    for entry in &entries.bindings {
        let binding = &entry.value;
        let of_charger = |c: &&At<ChargerEntry>| c.value.tenant == binding.tenant && c.value.id == binding.charger;
        match entries.chargers.iter().find(of_charger) {
            None => problems.push(entry.problem("charger", "is not a charger of this tenant in this file")),
            Some(charger) if !charger.value.tariff.is_empty() => {
                problems.push(entry.problem("charger", "names its tariff itself already"));
            }
            Some(_) => {}
        }
        if bindings.insert((binding.tenant, binding.charger.clone()), binding.tariff.clone()).is_some() {
            problems.push(entry.problem("charger", "is bound twice"));
        }
    }
    bindings
}

fn bound<'a>(entry: &'a At<ChargerEntry>, bindings: &'a Bindings) -> &'a str {
    bindings.get(&(entry.value.tenant, entry.value.id.clone())).unwrap_or(&entry.value.tariff)
}

/// The charger as it is to be stored, without its secret, and the password that the entry names.
pub(super) fn check_charger(
    entry: &At<ChargerEntry>,
    bound: &str,
    known: &impl Known,
    problems: &mut Vec<Problem>,
) -> Option<(Charger, Secret)> {
    let charger = &entry.value;
    let before = problems.len();
    let mut id = charger.id.clone();
    match charger.protocol.as_str() {
        "ykc" => {
            id = id.to_lowercase();
            if id.len() != 14 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                problems.push(entry.problem("id", "of a YKC charger has 14 hexadecimal digits"));
            }
            if !charger.password.is_empty() {
                problems.push(entry.problem("password", "is for OCPP; YKC has none"));
            }
        }
        "ocpp1.6" => {
            if !is_id(&id, 48) {
                problems.push(entry.problem("id", "has 1 to 48 of A-Z a-z 0-9 - _ ."));
            }
        }
        _ => problems.push(entry.problem("protocol", "is ykc or ocpp1.6")),
    }
    if !(1..=32).contains(&charger.connectors) {
        problems.push(entry.problem("connectors", "must be 1..=32"));
    }
    let power = watts(&charger.rated_power_kw);
    if power.is_none() {
        problems
            .push(entry.problem("rated_power_kw", "is a decimal number of kW, above 0, at most 2000, three decimals"));
    }
    if charger.password.len() > 64 {
        problems.push(entry.problem("password", "has at most 64 bytes"));
    }
    if !known.station(charger.tenant, &charger.station) {
        problems.push(entry.problem("station", format!("there is no station {}", charger.station)));
    }
    if !bound.is_empty() && !known.tariff(charger.tenant, bound) {
        problems.push(entry.problem("tariff", format!("there is no tariff {bound}")));
    }
    (problems.len() == before).then(|| {
        let name = if charger.name.is_empty() { charger.id.clone() } else { charger.name.clone() };
        let row = Charger {
            id,
            station: charger.station.clone(),
            name,
            protocol: charger.protocol.clone(),
            enabled: charger.enabled,
            connectors: charger.connectors,
            rated_power_w: power.unwrap_or(0),
            tariff: bound.to_owned(),
            secret_salt: Vec::new(),
            secret_hash: Vec::new(),
            profile: charger.profile.clone(),
        };
        (row, Secret::Set(charger.password.clone()))
    })
}

/// What a charger may be rated at, W.
pub(super) const RATED_POWER_W: std::ops::RangeInclusive<u32> = 1..=2_000_000;

/// kW as text to W, without a float.
fn watts(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 4 || fraction.len() > 3 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let watts = whole.parse::<u32>().ok()? * 1_000 + format!("{fraction:0<3}").parse::<u32>().ok()?;
    RATED_POWER_W.contains(&watts).then_some(watts)
}

pub(super) fn check_token(entry: &At<TokenEntry>, problems: &mut Vec<Problem>) -> Option<Token> {
    let token = &entry.value;
    let before = problems.len();
    let mut uid = token.uid.clone();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match token.kind.as_str() {
        "card" => {
            uid = uid.to_lowercase();
            if uid.len() != 16 || !uid.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                problems.push(entry.problem("uid", "of a card has 16 hexadecimal digits"));
            }
        }
        "vin" => {
            uid = uid.to_uppercase();
            if uid.len() != 17 || !uid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                problems.push(entry.problem("uid", "of a VIN has 17 letters and digits"));
            }
        }
        "id_tag" => {
            if !(1..=20).contains(&uid.len()) || !uid.bytes().all(|byte| byte.is_ascii_graphic()) {
                problems.push(entry.problem("uid", "of an idTag has 1 to 20 printable characters"));
            }
        }
        _ => problems.push(entry.problem("kind", "is card, vin or id_tag")),
    }
    if !["accepted", "blocked", "expired", "invalid"].contains(&token.status.as_str()) {
        problems.push(entry.problem("status", "is accepted, blocked, expired or invalid"));
    }
    if !(0..=i64::from(u32::MAX)).contains(&token.balance_fen) {
        problems.push(entry.problem("balance_fen", "must be 0..=4294967295"));
    }
    if !(token.logical_card.is_empty() || token.logical_card.len() == 16 && digits(&token.logical_card)) {
        problems.push(entry.problem("logical_card", "has 16 digits"));
    }
    let expires_at_ms = match token.expires_at.as_deref().map(parse_instant) {
        None => 0,
        Some(Ok(at_ms)) => at_ms,
        Some(Err(error)) => {
            problems.push(entry.problem("expires_at", error.to_string()));
            0
        }
    };
    (problems.len() == before).then(|| Token {
        account: if token.account.is_empty() { uid.clone() } else { token.account.clone() },
        uid,
        kind: token.kind.clone(),
        status: token.status.clone(),
        balance_fen: token.balance_fen,
        expires_at_ms,
        logical_card: token.logical_card.clone(),
        parent: token.parent.clone(),
    })
}
