//! The replica of `biz.registry.v1` in memory: login, authorisation and tariff answers come from here, in microseconds,
//! also while the business side is down.

use std::{
    collections::HashSet,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use dashmap::DashMap;
use events::{
    card,
    prost::{DecodeError, Message as _},
    registry::{BillingModel, Charger, RegistryEntry, Tariff, Token, registry_entry::Value},
};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The day in UTC+8 of an instant, as days since 1970-01-01: the unit of tariff versions.
#[must_use]
pub const fn local_day(wall_ms: i64) -> i64 {
    (wall_ms + 8 * HOUR_MS).div_euclid(DAY_MS)
}

/// Why a registry record was not taken. The replica keeps what it had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaError {
    /// The key has none of the known forms.
    #[error("the key names no charger, token or tariff")]
    Key,
    /// The value is not a `RegistryEntry`.
    #[error("not a registry entry: {0}")]
    Value(#[from] DecodeError),
    /// Key and value disagree on what this is.
    #[error("key and value are of different kinds")]
    Kind,
}

/// What a record was about, as far as somebody who is connected may have to hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'k> {
    /// A card, VIN or id tag: asked for when it is used.
    Token,
    /// A charger.
    Charger {
        /// Which one.
        id: &'k str,
        /// It was known before, and another tariff is bound to it now.
        rebound: bool,
    },
    /// This tariff, `<tenant>/<id>`.
    Tariff(&'k str),
}

/// Last value per key. Readers never wait for each other; a writer locks one of many parts for a moment.
#[derive(Debug, Default)]
pub struct Replica {
    chargers: DashMap<Box<str>, Arc<Charger>>,
    /// `<tenant>/<uid>` in lower case: idTags are case-insensitive (OCPP 1.6 CiString20), cards and VINs have one case each.
    tokens: DashMap<Box<str>, Arc<Token>>,
    /// `<tenant>/<id>`.
    tariffs: DashMap<Box<str>, Arc<Tariff>>,
    loaded: AtomicBool,
}

impl Replica {
    /// Takes one record of the topic; no payload deletes.
    ///
    /// # Errors
    /// When key or value cannot be understood; nothing changes then.
    pub fn apply<'k>(&self, key: &'k [u8], payload: Option<&[u8]>) -> Result<Change<'k>, ReplicaError> {
        let key = std::str::from_utf8(key).map_err(|_| ReplicaError::Key)?;
        let (kind, rest) = key.split_once('/').ok_or(ReplicaError::Key)?;
        let value = match payload {
            Some(bytes) => Some(RegistryEntry::decode(bytes)?.value.ok_or(ReplicaError::Kind)?),
            None => None,
        };
        let mut rebound = false;
        match (kind, value) {
            ("charger", Some(Value::Charger(charger))) => {
                let charger = Arc::new(charger);
                let before = self.chargers.insert(rest.into(), Arc::clone(&charger));
                rebound = before.is_some_and(|before| before.tariff != charger.tariff);
            }
            ("token", Some(Value::Token(token))) => {
                self.tokens.insert(rest.to_ascii_lowercase().into(), Arc::new(token));
            }
            ("tariff", Some(Value::Tariff(tariff))) => {
                self.tariffs.insert(rest.into(), Arc::new(tariff));
            }
            ("charger", None) => drop(self.chargers.remove(rest)),
            // Only the one that is meant: of two that differ in case (older versions took both) the last told is kept.
            ("token", None) => {
                let uid = rest.split_once('/').map(|(_, uid)| uid);
                drop(
                    self.tokens
                        .remove_if(rest.to_ascii_lowercase().as_str(), |_, token| uid == Some(token.uid.as_str())),
                );
            }
            ("tariff", None) => drop(self.tariffs.remove(rest)),
            ("charger" | "token" | "tariff", Some(_)) => return Err(ReplicaError::Kind),
            _ => return Err(ReplicaError::Key),
        }
        Ok(match kind {
            "charger" => Change::Charger { id: rest, rebound },
            "tariff" => Change::Tariff(rest),
            _ => Change::Token,
        })
    }

    /// The charger of this id.
    #[must_use]
    pub fn charger(&self, id: &str) -> Option<Arc<Charger>> {
        self.chargers.get(id).map(|entry| Arc::clone(&entry))
    }

    /// The charger may be connected as this tenant's: it is known and enabled.
    #[must_use]
    pub fn admits(&self, tenant: u64, id: &str) -> bool {
        self.chargers.get(id).is_some_and(|charger| charger.enabled && charger.tenant == tenant)
    }

    /// The token of this uid, in whatever case it is written.
    #[must_use]
    pub fn token(&self, tenant: u64, uid: &str) -> Option<Arc<Token>> {
        self.tokens.get(format!("{tenant}/{}", uid.to_ascii_lowercase()).as_str()).map(|entry| Arc::clone(&entry))
    }

    /// The token that this physical card number means ([`card::find`]).
    #[must_use]
    pub fn card(&self, tenant: u64, uid: &str) -> Option<Arc<Token>> {
        card::find(uid, |uid| self.token(tenant, uid), |token| token.kind == "card")
    }

    /// The billing model of a tariff group that holds on the local day of `wall_ms`.
    #[must_use]
    pub fn billing_model(&self, tenant: u64, tariff: &str, wall_ms: i64) -> Option<BillingModel> {
        self.model_on(&format!("{tenant}/{tariff}"), local_day(wall_ms))
    }

    /// The billing model of a tariff group, `<tenant>/<id>`, that holds on a local day.
    #[must_use]
    pub fn model_on(&self, tariff: &str, today: i64) -> Option<BillingModel> {
        let tariff = self.tariffs.get(tariff).map(|entry| Arc::clone(&entry))?;
        tariff
            .versions
            .iter()
            .filter(|version| i64::from(version.effective_from) <= today)
            .filter(|version| version.effective_to.is_none_or(|end| today < i64::from(end)))
            .max_by_key(|version| version.effective_from)
            .and_then(|version| version.model.clone())
    }

    /// Every tariff group, `<tenant>/<id>`.
    pub(crate) fn tariffs(&self) -> Vec<Box<str>> {
        self.tariffs.iter().map(|entry| entry.key().clone()).collect()
    }

    /// Every charger to which one of these tariff groups is bound. Goes over all chargers; nobody who reads waits for it.
    pub(crate) fn bound_to(&self, tariffs: &HashSet<Box<str>>) -> Vec<Box<str>> {
        let mut key = String::new();
        let mut bound = |charger: &Charger| {
            key.clear();
            let _ = write!(key, "{}/{}", charger.tenant, charger.tariff); // a String takes everything
            tariffs.contains(key.as_str())
        };
        self.chargers.iter().filter(|entry| bound(entry)).map(|entry| entry.key().clone()).collect()
    }

    /// Everything that was in the topic when the gateway started has been read.
    #[must_use]
    pub fn loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    pub(crate) fn set_loaded(&self) {
        self.loaded.store(true, Ordering::Release);
    }

    /// Number of chargers, tokens, tariffs.
    #[must_use]
    pub fn sizes(&self) -> [usize; 3] {
        [self.chargers.len(), self.tokens.len(), self.tariffs.len()]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use events::registry::TariffVersion;

    use super::*;

    fn put(replica: &Replica, key: &str, value: Value) {
        let bytes = RegistryEntry { value: Some(value) }.encode_to_vec();
        replica.apply(key.as_bytes(), Some(&bytes)).unwrap();
    }

    #[test]
    fn last_value_holds_and_no_value_deletes() {
        let replica = Replica::default();
        put(&replica, "charger/A", Value::Charger(Charger { tenant: 1, ..Charger::default() }));
        put(&replica, "charger/A", Value::Charger(Charger { tenant: 2, ..Charger::default() }));
        assert_eq!(replica.charger("A").unwrap().tenant, 2);
        replica.apply(b"charger/A", None).unwrap();
        assert!(replica.charger("A").is_none());
    }

    #[test]
    fn tokens_belong_to_a_tenant() {
        let replica = Replica::default();
        put(&replica, "token/1001/a/b", Value::Token(Token { tenant: 1001, ..Token::default() }));
        assert!(replica.token(1001, "a/b").is_some());
        assert!(replica.token(1002, "a/b").is_none());
    }

    #[test]
    fn a_card_is_found_on_either_side() {
        let replica = Replica::default();
        for (uid, kind) in [("00000000d1000002", "card"), ("00000000d1000003", "id_tag")] {
            let token = Token { uid: uid.into(), kind: kind.into(), ..Token::default() };
            put(&replica, &format!("token/1/{uid}"), Value::Token(token));
        }
        assert_eq!(replica.card(1, "d100000200000000").unwrap().uid, "00000000d1000002");
        assert_eq!(replica.card(1, "00000000D1000002").unwrap().uid, "00000000d1000002");
        assert!(replica.card(2, "d100000200000000").is_none(), "another tenant's");
        assert!(replica.card(1, "d100000300000000").is_none(), "an idTag has no alignment");
        let left = Token { uid: "d100000200000000".into(), kind: "card".into(), ..Token::default() };
        put(&replica, "token/1/d100000200000000", Value::Token(left));
        assert_eq!(replica.card(1, "d100000200000000").unwrap().uid, "d100000200000000");
        assert!(replica.card(1, "0000d10000020000").is_none(), "nobody knows whose it is");
    }

    #[test]
    fn tokens_are_found_in_any_case() {
        let replica = Replica::default();
        for uid in ["04a1b2c3", "LB370ADN2SJ188288", "Tag-x"] {
            put(&replica, &format!("token/1/{uid}"), Value::Token(Token { uid: uid.into(), ..Token::default() }));
            for asked in [uid.to_owned(), uid.to_lowercase(), uid.to_uppercase()] {
                assert_eq!(replica.token(1, &asked).unwrap().uid, uid);
            }
        }
        replica.apply(b"token/1/TAG-X", None).unwrap();
        assert!(replica.token(1, "Tag-x").is_some(), "another token was taken away");
        replica.apply(b"token/1/Tag-x", None).unwrap();
        assert!(replica.token(1, "TAG-X").is_none());
    }

    #[test]
    fn nonsense_changes_nothing() {
        let replica = Replica::default();
        let entry = RegistryEntry { value: Some(Value::Token(Token::default())) }.encode_to_vec();
        assert_eq!(replica.apply(b"charger/A", Some(&entry)), Err(ReplicaError::Kind));
        assert_eq!(replica.apply(b"shoe/A", None), Err(ReplicaError::Key));
        assert!(matches!(replica.apply(b"charger/A", Some(&[0xff])), Err(ReplicaError::Value(_))));
        assert_eq!(replica.sizes(), [0, 0, 0]);
    }

    #[test]
    fn the_version_of_the_local_day_is_taken() {
        let model = |no| Some(BillingModel { model_no: no, ..BillingModel::default() });
        let replica = Replica::default();
        let versions = vec![
            TariffVersion { effective_from: 0, effective_to: Some(10), model: model(1), ..TariffVersion::default() },
            TariffVersion { effective_from: 10, effective_to: None, model: model(2), ..TariffVersion::default() },
        ];
        put(&replica, "tariff/1/S/1", Value::Tariff(Tariff { tenant: 1, id: "S/1".into(), versions }));
        // Day 10 begins at 16:00 UTC of day 9.
        let switch = 9 * DAY_MS + 16 * HOUR_MS;
        assert_eq!(replica.billing_model(1, "S/1", switch - 1).unwrap().model_no, 1);
        assert_eq!(replica.billing_model(1, "S/1", switch).unwrap().model_no, 2);
        assert!(replica.billing_model(1, "S/1", -DAY_MS).is_none());
    }
}
