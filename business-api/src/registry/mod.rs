//! The registry: kept as a file (checked whole, compared with what is stored, applied in one transaction), or changed one entry at
//! a time over REST by the same rules.

mod again;
mod apply;
mod check;
mod edit;
mod file;

use std::{fmt, path::Path};

pub(crate) use again::publish_again;
pub(crate) use edit::{
    EditError, Which, kilowatts, put_charger, put_station, put_tariff, put_token, remove_charger, remove_station,
    remove_tariff, remove_token,
};
pub(crate) use file::{ChargerEntry, StationEntry, TariffEntry, TokenEntry};

use crate::store::{DbError, Store};

/// Something wrong in the file; all of them are reported at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, 1.., 0 when it has none.
    pub line: usize,
    /// Where, as a key path: `chargers[3].connectors`.
    pub key: String,
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: {}", self.line, self.key, self.what)
    }
}

/// What one entry becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Add,
    Change,
    Remove,
}

/// One difference between file and database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub kind: ChangeKind,
    /// `charger 10010001000001`, `tariff 1001 S01/1`, ..
    pub what: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.kind {
            ChangeKind::Add => '+',
            ChangeKind::Change => '~',
            ChangeKind::Remove => '-',
        };
        write!(f, "{sign} {}", self.what)
    }
}

/// What applying the file did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub changes: Vec<Change>,
    /// Entries of the file that are stored already.
    pub unchanged: usize,
    /// False for a dry run, and when there was nothing to change.
    pub applied: bool,
}

/// Why a file was not applied; the database is then as before.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("cannot read {0}: {1}")]
    Read(String, std::io::Error),
    #[error("{} problem(s) in the registry file; the first: {}", .0.len(), .0.first().map(ToString::to_string).unwrap_or_default())]
    Invalid(Vec<Problem>),
    #[error(transparent)]
    Database(#[from] DbError),
}

/// Checks the registry file (TOML, with CSV files beside it), compares it with the database and, unless `dry_run`, applies
/// the difference in one transaction together with the outbox rows that carry it to every gateway. `now_ms` is the platform's
/// clock: no day that has begun by it gets another price.
///
/// # Errors
/// Everything that is wrong with the file, or the database's word.
pub async fn apply(store: &Store, file: &Path, dry_run: bool, now_ms: i64) -> Result<Report, ApplyError> {
    let text = std::fs::read_to_string(file).map_err(|error| ApplyError::Read(file.display().to_string(), error))?;
    let mut problems = Vec::new();
    let entries = file::read(&text, file.parent().unwrap_or_else(|| Path::new(".")), &mut problems);
    let plan = check::check(&entries, &mut problems);
    if !problems.is_empty() {
        problems.sort_by_key(|problem| problem.line);
        return Err(ApplyError::Invalid(problems));
    }
    apply::apply(store, plan, dry_run, now_ms).await
}
