//! The registry file as it is written: TOML tables, and CSV for chargers. Only shapes; `check` judges the values.

use std::path::Path;

use serde::{Deserialize, de::DeserializeOwned};
use toml::Spanned;

use super::Problem;
use crate::tariff::TariffVersion;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawFile {
    tenants: Vec<Spanned<toml::Value>>,
    stations: Vec<Spanned<toml::Value>>,
    tariffs: Vec<Spanned<toml::Value>>,
    chargers: Vec<Spanned<toml::Value>>,
    charger_files: Vec<Spanned<toml::Value>>,
    bindings: Vec<Spanned<toml::Value>>,
    tokens: Vec<Spanned<toml::Value>>,
}

/// An entry and where it stands.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub line: usize,
    pub key: String,
    pub value: T,
}

impl<T> At<T> {
    pub fn problem(&self, field: &str, what: impl Into<String>) -> Problem {
        let key = match (self.key.as_str(), field) {
            (key, "") => key.to_owned(),
            ("", field) => field.to_owned(),
            (key, field) => format!("{key}.{field}"),
        };
        Problem { line: self.line, key, what: what.into() }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantEntry {
    pub id: i64,
    pub name: String,
    #[serde(default)]
    pub keys: Vec<KeyEntry>,
}

/// Either the key itself (demo) or its SHA-256 as hex, so that the file need not hold the secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyEntry {
    pub name: String,
    pub key: Option<String>,
    pub sha256: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StationEntry {
    pub tenant: i64,
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub address: String,
    #[serde(default)]
    pub latitude: String,
    #[serde(default)]
    pub longitude: String,
    #[serde(default)]
    pub phone: String,
    #[serde(default)]
    pub default_tariff: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TariffEntry {
    pub tenant: i64,
    /// `<station>/<group number 1..16>`.
    pub id: String,
    #[serde(default)]
    pub name: String,
    pub versions: Vec<TariffVersion>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChargerEntry {
    pub tenant: i64,
    pub id: String,
    pub station: String,
    #[serde(default)]
    pub name: String,
    pub protocol: String,
    #[serde(default = "one")]
    pub connectors: u32,
    /// kW as a decimal string, at most three decimals.
    pub rated_power_kw: String,
    /// Empty: the station's default.
    #[serde(default)]
    pub tariff: String,
    /// OCPP Basic authentication; only a salted hash is stored.
    #[serde(default)]
    pub password: String,
    #[serde(default)]
    pub profile: String,
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChargerFileEntry {
    tenant: i64,
    path: String,
}

/// A row of a charger CSV: the keys of `[[chargers]]` as columns, without `tenant`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChargerRow {
    id: String,
    station: String,
    #[serde(default)]
    name: String,
    protocol: String,
    connectors: u32,
    rated_power_kw: String,
    #[serde(default)]
    tariff: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    profile: String,
    #[serde(default)]
    enabled: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BindingEntry {
    pub tenant: i64,
    pub charger: String,
    pub tariff: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenEntry {
    pub tenant: i64,
    pub uid: String,
    pub kind: String,
    #[serde(default = "accepted")]
    pub status: String,
    #[serde(default)]
    pub balance_fen: i64,
    pub expires_at: Option<String>,
    #[serde(default)]
    pub logical_card: String,
    #[serde(default)]
    pub parent: String,
    /// Who pays; the token itself when absent.
    #[serde(default)]
    pub account: String,
}

fn accepted() -> String {
    "accepted".to_owned()
}

/// Everything that could be read.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub tenants: Vec<At<TenantEntry>>,
    pub stations: Vec<At<StationEntry>>,
    pub tariffs: Vec<At<TariffEntry>>,
    pub chargers: Vec<At<ChargerEntry>>,
    pub bindings: Vec<At<BindingEntry>>,
    pub tokens: Vec<At<TokenEntry>>,
}

/// Reads every entry that has the right shape and reports every one that has not. CSV paths are relative to `folder`.
pub(super) fn read(text: &str, folder: &Path, problems: &mut Vec<Problem>) -> Entries {
    let raw: RawFile = match toml::from_str(text) {
        Ok(raw) => raw,
        Err(error) => {
            let line = error.span().map_or(0, |span| line_of(text, span.start));
            problems.push(Problem { line, key: "(file)".to_owned(), what: error.message().to_owned() });
            return Entries::default();
        }
    };
    let mut entries = Entries {
        tenants: shape(text, "tenants", raw.tenants, problems),
        stations: shape(text, "stations", raw.stations, problems),
        tariffs: shape(text, "tariffs", raw.tariffs, problems),
        chargers: shape(text, "chargers", raw.chargers, problems),
        bindings: shape(text, "bindings", raw.bindings, problems),
        tokens: shape(text, "tokens", raw.tokens, problems),
    };
    for file in shape::<ChargerFileEntry>(text, "charger_files", raw.charger_files, problems) {
        read_csv(&file, folder, &mut entries.chargers, problems);
    }
    entries
}

fn shape<T: DeserializeOwned>(
    text: &str,
    table: &str,
    values: Vec<Spanned<toml::Value>>,
    problems: &mut Vec<Problem>,
) -> Vec<At<T>> {
    let mut entries = Vec::with_capacity(values.len());
    for (index, value) in values.into_iter().enumerate() {
        let (line, key) = (line_of(text, value.span().start), format!("{table}[{index}]"));
        match value.into_inner().try_into() {
            Ok(value) => entries.push(At { line, key, value }),
            Err(error) => problems.push(Problem { line, key, what: error.message().to_owned() }),
        }
    }
    entries
}

fn read_csv(
    file: &At<ChargerFileEntry>,
    folder: &Path,
    chargers: &mut Vec<At<ChargerEntry>>,
    problems: &mut Vec<Problem>,
) {
    let path = folder.join(&file.value.path);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => return problems.push(file.problem("path", format!("cannot read {}: {error}", path.display()))),
    };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(text.as_bytes());
    let headers = reader.headers().cloned().unwrap_or_default();
    for record in reader.records() {
        let line = |at: Option<&csv::Position>| at.map_or(0, |at| usize::try_from(at.line()).unwrap_or(0));
        let problem = |line, what: String| Problem { line, key: file.value.path.clone(), what };
        match record {
            Err(error) => problems.push(problem(line(error.position()), error.to_string())),
            Ok(record) => match record.deserialize::<ChargerRow>(Some(&headers)) {
                Err(error) => problems.push(problem(line(record.position()), error.to_string())),
                Ok(row) => {
                    let key = format!("{}:{}", file.value.path, row.id);
                    chargers.push(At { line: line(record.position()), key, value: row.entry(file.value.tenant) });
                }
            },
        }
    }
}

impl ChargerRow {
    fn entry(self, tenant: i64) -> ChargerEntry {
        ChargerEntry {
            tenant,
            id: self.id,
            station: self.station,
            name: self.name,
            protocol: self.protocol,
            connectors: self.connectors,
            rated_power_kw: self.rated_power_kw,
            tariff: self.tariff,
            password: self.password,
            profile: self.profile,
            enabled: self.enabled.unwrap_or(true),
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}
