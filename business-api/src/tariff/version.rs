//! Dated versions of a day table, and which of them holds on a date (rule R7).

use serde::{Deserialize, Serialize};

use super::local_time::LocalDate;
use super::table::DayTable;

/// One version of a tariff group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TariffVersion {
    /// Its name, unique in the group.
    pub version: String,
    /// First local date, inclusive.
    pub effective_from: LocalDate,
    /// Local date from which it no longer holds; `None` = open.
    #[serde(default)]
    pub effective_to: Option<LocalDate>,
    /// Prices of each of its days.
    #[serde(rename = "periods")]
    pub table: DayTable,
}

impl TariffVersion {
    /// Whether it may be used on a local date.
    #[must_use]
    pub fn holds_on(&self, date: LocalDate) -> bool {
        self.effective_from <= date && self.effective_to.is_none_or(|to| date < to)
    }
}

/// Why versions do not make a tariff.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TariffError {
    /// No version at all.
    #[error("no version")]
    NoVersion,
    /// Two versions of one name.
    #[error("version {version:?} is there twice")]
    SameName {
        /// The name.
        version: String,
    },
    /// A version that never holds.
    #[error("version {version:?}: effective_to {to} is not after effective_from {from}")]
    NeverHolds {
        /// Its name.
        version: String,
        /// Its first date.
        from: LocalDate,
        /// Its end.
        to: LocalDate,
    },
    /// Two versions begin on one date: "the latest effective_from wins" would not decide.
    #[error("versions {version:?} and {other:?} both begin on {from}")]
    SameStart {
        /// The later in the list.
        version: String,
        /// The earlier in the list.
        other: String,
        /// The date.
        from: LocalDate,
    },
}

/// A tariff group: versions with their dates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct Tariff {
    versions: Vec<TariffVersion>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    versions: Vec<TariffVersion>,
}

impl TryFrom<Unchecked> for Tariff {
    type Error = TariffError;

    fn try_from(unchecked: Unchecked) -> Result<Self, TariffError> {
        Self::new(unchecked.versions)
    }
}

impl From<Tariff> for Unchecked {
    fn from(tariff: Tariff) -> Self {
        Self { versions: tariff.versions }
    }
}

impl Tariff {
    /// From versions in any order; they may overlap (a short holiday version over a long one).
    ///
    /// # Errors
    /// [`TariffError`].
    pub fn new(mut versions: Vec<TariffVersion>) -> Result<Self, TariffError> {
        if versions.is_empty() {
            return Err(TariffError::NoVersion);
        }
        for (index, version) in versions.iter().enumerate() {
            if let Some(to) = version.effective_to.filter(|to| *to <= version.effective_from) {
                let (version, from) = (version.version.clone(), version.effective_from);
                return Err(TariffError::NeverHolds { version, from, to });
            }
            for other in versions.iter().take(index) {
                if other.version == version.version {
                    return Err(TariffError::SameName { version: version.version.clone() });
                }
                if other.effective_from == version.effective_from {
                    return Err(TariffError::SameStart {
                        version: version.version.clone(),
                        other: other.version.clone(),
                        from: version.effective_from,
                    });
                }
            }
        }
        versions.sort_by_key(|version| version.effective_from);
        Ok(Self { versions })
    }

    /// The version for a local date: of those valid, the one with the latest `effective_from` (rule R7).
    #[must_use]
    pub fn on(&self, date: LocalDate) -> Option<&TariffVersion> {
        self.versions.iter().rev().find(|version| version.holds_on(date))
    }

    /// A version by its name.
    #[must_use]
    pub fn version(&self, name: &str) -> Option<&TariffVersion> {
        self.versions.iter().find(|version| version.version == name)
    }

    /// All versions, by first date.
    #[must_use]
    pub fn versions(&self) -> &[TariffVersion] {
        &self.versions
    }
}
