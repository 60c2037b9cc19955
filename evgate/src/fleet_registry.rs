//! Simulated chargers out of a registry file: who they are, which tokens start them, and what a session should cost there.
//! Reads only what the simulator needs; judging the file is the business of `registry apply`.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;
use simulator::{ChargerConfig, Period, Protocol, Slot, StartBy, TariffBook, TariffVersion};

/// What a registry file says, as far as simulated chargers need it.
#[derive(Clone, Debug, Default)]
pub struct FleetRegistry {
    /// Enabled chargers in the order of the file; `address` is still empty.
    pub chargers: Vec<Known>,
    /// Accepted tokens: (tenant, how it starts).
    pub starts: Vec<(i64, StartBy)>,
    /// Tariffs by `<tenant>/<id>`.
    pub tariffs: BTreeMap<String, TariffBook>,
    /// First plain-text API key of each tenant.
    pub keys: BTreeMap<i64, String>,
}

/// A charger and whose it is.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its tenant.
    pub tenant: i64,
    /// What the simulator makes of it.
    pub config: ChargerConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    tenants: Vec<Tenant>,
    stations: Vec<Station>,
    tariffs: Vec<Tariff>,
    chargers: Vec<Charger>,
    charger_files: Vec<ChargerFile>,
    bindings: Vec<Binding>,
    tokens: Vec<Token>,
}

#[derive(Debug, Deserialize)]
struct Tenant {
    id: i64,
    #[serde(default)]
    keys: Vec<Key>,
}

#[derive(Debug, Deserialize)]
struct Key {
    #[serde(default)]
    key: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Station {
    tenant: i64,
    id: String,
    #[serde(default)]
    default_tariff: String,
}

#[derive(Debug, Deserialize)]
struct Tariff {
    tenant: i64,
    id: String,
    versions: Vec<Version>,
}

#[derive(Debug, Deserialize)]
struct Version {
    effective_from: String,
    effective_to: Option<String>,
    periods: Vec<PeriodEntry>,
}

#[derive(Debug, Deserialize)]
struct PeriodEntry {
    from: String,
    to: String,
    #[serde(rename = "type")]
    kind: Period,
    elec: String,
    service: String,
}

#[derive(Debug, Deserialize)]
struct Charger {
    #[serde(default)]
    tenant: i64,
    id: String,
    station: String,
    protocol: String,
    #[serde(default = "one")]
    connectors: u8,
    rated_power_kw: String,
    #[serde(default)]
    tariff: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    enabled: Option<bool>,
}

fn one() -> u8 {
    1
}

#[derive(Debug, Deserialize)]
struct ChargerFile {
    tenant: i64,
    path: String,
}

#[derive(Debug, Deserialize)]
struct Binding {
    tenant: i64,
    charger: String,
    tariff: String,
}

#[derive(Debug, Deserialize)]
struct Token {
    tenant: i64,
    uid: String,
    kind: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    expires_at: Option<String>,
}

impl FleetRegistry {
    /// Reads a registry file and the charger CSV files beside it.
    ///
    /// # Errors
    /// What cannot be read or understood.
    pub fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        Self::parse(&text, file.parent().unwrap_or(Path::new("."))).with_context(|| file.display().to_string())
    }

    /// Understands the text of a registry file; CSV paths are relative to `folder`.
    ///
    /// # Errors
    /// What cannot be understood.
    pub fn parse(text: &str, folder: &Path) -> Result<Self> {
        let mut file: File = toml::from_str(text)?;
        for csv in std::mem::take(&mut file.charger_files) {
            let path = folder.join(&csv.path);
            let mut reader = csv::ReaderBuilder::new()
                .trim(csv::Trim::All)
                .comment(Some(b'#'))
                .from_path(&path)
                .with_context(|| path.display().to_string())?;
            for row in reader.deserialize::<Charger>() {
                let row = row.with_context(|| path.display().to_string())?;
                file.chargers.push(Charger { tenant: csv.tenant, ..row });
            }
        }
        let mut registry = Self::default();
        for tenant in &file.tenants {
            if let Some(key) = tenant.keys.iter().find_map(|key| key.key.clone()) {
                registry.keys.insert(tenant.id, key);
            }
        }
        for tariff in &file.tariffs {
            let name = format!("{}/{}", tariff.tenant, tariff.id);
            let book = book(tariff).with_context(|| format!("tariff {name}"))?;
            registry.tariffs.insert(name, book);
        }
        for charger in &file.chargers {
            if let Some(config) = known(charger, &file).with_context(|| format!("charger {}", charger.id))? {
                registry.chargers.push(Known { tenant: charger.tenant, config });
            }
        }
        for token in &file.tokens {
            let usable = token.status.as_deref().unwrap_or("accepted") == "accepted" && token.expires_at.is_none();
            let start = match token.kind.as_str() {
                "card" => StartBy::Card(token.uid.clone()),
                "vin" => StartBy::Vin(token.uid.clone()),
                "id_tag" => StartBy::IdTag(token.uid.clone()),
                _ => continue,
            };
            if usable {
                registry.starts.push((token.tenant, start));
            }
        }
        Ok(registry)
    }

    /// The first `ykc` YKC and `ocpp` OCPP 1.6 chargers of `tenant`, in the order of the file, with the gateway's addresses.
    #[must_use]
    pub fn select(&self, tenant: i64, ykc: Option<(usize, &str)>, ocpp: Option<(usize, &str)>) -> Vec<ChargerConfig> {
        let of = |protocol: Protocol, wanted: Option<(usize, &str)>| {
            let (count, address) = wanted.unwrap_or((0, ""));
            let address = address.to_owned();
            self.chargers
                .iter()
                .filter(move |known| known.tenant == tenant && known.config.protocol == protocol)
                .take(count)
                .map(move |known| ChargerConfig { address: address.clone(), ..known.config.clone() })
        };
        of(Protocol::Ykc, ykc).chain(of(Protocol::Ocpp16, ocpp)).collect()
    }

    /// The ways a driver of `tenant` can start.
    #[must_use]
    pub fn starts_of(&self, tenant: i64) -> Vec<StartBy> {
        self.starts.iter().filter(|(owner, _)| *owner == tenant).map(|(_, start)| start.clone()).collect()
    }
}

/// What the simulator makes of a charger; `None`: switched off, or of a protocol that the simulator does not speak.
fn known(charger: &Charger, file: &File) -> Result<Option<ChargerConfig>> {
    let protocol = match charger.protocol.as_str() {
        "ykc" => Protocol::Ykc,
        "ocpp1.6" => Protocol::Ocpp16,
        _ => return Ok(None),
    };
    if charger.enabled == Some(false) {
        return Ok(None);
    }
    let bound = file.bindings.iter().find(|b| b.tenant == charger.tenant && b.charger == charger.id).map(|b| &b.tariff);
    let station = file.stations.iter().find(|s| s.tenant == charger.tenant && s.id == charger.station);
    let default = station.map(|station| &station.default_tariff);
    let tariff = bound
        .or(Some(&charger.tariff).filter(|tariff| !tariff.is_empty()))
        .or(default)
        .filter(|tariff| !tariff.is_empty())
        .map(|tariff| format!("{}/{tariff}", charger.tenant));
    let power = scaled(&charger.rated_power_kw, 3).context("rated_power_kw")?;
    let mut config = match protocol {
        Protocol::Ykc => ChargerConfig::ykc(charger.id.clone(), String::new()),
        Protocol::Ocpp16 => ChargerConfig::ocpp16(charger.id.clone(), String::new()),
    };
    config.connectors = charger.connectors;
    config.rated_power_w = u32::try_from(power).context("rated_power_kw")?;
    config.password = Some(charger.password.clone()).filter(|password| !password.is_empty());
    config.tariff = tariff;
    Ok(Some(config))
}

fn book(tariff: &Tariff) -> Result<TariffBook> {
    let mut versions = Vec::new();
    for version in &tariff.versions {
        let mut slots: Vec<Option<Slot>> = vec![None; 96];
        for period in &version.periods {
            let slot = Slot {
                period: period.kind,
                elec_p5: u32::try_from(scaled(&period.elec, 5)?)?,
                service_p5: u32::try_from(scaled(&period.service, 5)?)?,
            };
            let (from, to) = (quarter(&period.from)?, quarter(&period.to)?);
            // A period may cross midnight.
            let covered: Vec<usize> = if from < to { (from..to).collect() } else { (from..96).chain(0..to).collect() };
            for index in covered {
                if let Some(place) = slots.get_mut(index) {
                    *place = Some(slot);
                }
            }
        }
        let slots: Option<Vec<Slot>> = slots.into_iter().collect();
        versions.push(TariffVersion {
            effective_from: Some(day(&version.effective_from)?),
            effective_to: version.effective_to.as_deref().map(day).transpose()?,
            slots: slots.ok_or_else(|| anyhow!("the periods do not cover the day"))?,
        });
    }
    Ok(TariffBook { versions })
}

/// `HH:MM` as a quarter of the day, 0..=96.
fn quarter(text: &str) -> Result<usize> {
    let (hour, minute) = text.split_once(':').ok_or_else(|| anyhow!("{text:?} is no HH:MM"))?;
    let (hour, minute): (usize, usize) = (hour.parse()?, minute.parse()?);
    if minute % 15 != 0 || hour * 60 + minute > 24 * 60 {
        bail!("{text:?} is no quarter hour");
    }
    Ok(hour * 4 + minute / 15)
}

/// A date as days since 1970-01-01.
fn day(text: &str) -> Result<i64> {
    let mut parts = text.splitn(3, '-').map(str::parse::<i64>);
    let mut next = || parts.next().ok_or_else(|| anyhow!("{text:?} is no date"))?.map_err(anyhow::Error::from);
    let (year, month, date) = (next()?, next()?, next()?);
    // Hinnant's days_from_civil, the inverse of `simulator::clock::civil`.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + date - 1;
    Ok(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

/// A decimal text times 10^`digits`, exactly.
fn scaled(text: &str, digits: usize) -> Result<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > digits || !part.bytes().all(|b| b.is_ascii_digit()) {
        bail!("{text:?} has more than {digits} decimals, or is no number");
    }
    let number = format!("{whole}{part:0<digits$}");
    number.parse().with_context(|| format!("{text:?} is no number"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn dates_and_decimals() {
        assert_eq!(day("1970-01-01").unwrap(), 0);
        assert_eq!(day("2000-03-01").unwrap(), 11_017);
        assert_eq!(day("2025-11-24").unwrap(), 20_416);
        assert_eq!(scaled("0.3125", 5).unwrap(), 31_250);
        assert_eq!(scaled("120", 3).unwrap(), 120_000);
        assert!(scaled("0.123456", 5).is_err());
        assert_eq!(quarter("24:00").unwrap(), 96);
        assert!(quarter("07:10").is_err());
    }

    #[test]
    fn chargers_take_their_tariff_from_binding_then_own_then_station() {
        let text = r#"
            [[tenants]]
            id = 7
            name = "t"
            keys = [{ name = "k", key = "secret" }]
            [[stations]]
            tenant = 7
            id = "S1"
            name = "s"
            default_tariff = "S1/1"
            [[tariffs]]
            tenant = 7
            id = "S1/1"
            versions = [{ version = "v", effective_from = "2025-01-01", periods = [
                { from = "23:00", to = "07:00", type = "valley", elec = "0.3", service = "0.2" },
                { from = "07:00", to = "23:00", type = "flat", elec = "0.5", service = "0.2" } ] }]
            [[chargers]]
            tenant = 7
            id = "10010001000001"
            station = "S1"
            protocol = "ykc"
            rated_power_kw = "120"
            [[chargers]]
            tenant = 7
            id = "CP"
            station = "S1"
            protocol = "ocpp1.6"
            rated_power_kw = "7"
            tariff = "S1/2"
            [[bindings]]
            tenant = 7
            charger = "CP"
            tariff = "S1/3"
            [[tokens]]
            tenant = 7
            uid = "TAG"
            kind = "id_tag"
            [[tokens]]
            tenant = 7
            uid = "NO"
            kind = "id_tag"
            status = "blocked"
        "#;
        let registry = FleetRegistry::parse(text, Path::new(".")).unwrap();
        assert_eq!(registry.keys[&7], "secret");
        assert_eq!(registry.starts_of(7), [StartBy::IdTag("TAG".into())]);
        let slots = &registry.tariffs["7/S1/1"].versions[0].slots;
        assert_eq!(
            (slots[0].elec_p5, slots[27].elec_p5, slots[28].elec_p5, slots[92].elec_p5),
            (30_000, 30_000, 50_000, 30_000)
        );
        let chargers = registry.select(7, Some((9, "a:1")), Some((9, "b:2")));
        let told: Vec<_> =
            chargers.iter().map(|c| (c.id.as_str(), c.address.as_str(), c.tariff.as_deref().unwrap())).collect();
        assert_eq!(told, [("10010001000001", "a:1", "7/S1/1"), ("CP", "b:2", "7/S1/3")]);
    }
}
