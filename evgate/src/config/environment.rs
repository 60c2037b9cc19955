//! `EVGATE__SECTION__KEY=value`: any key of the file can be set from the environment, which wins.

use serde::Deserialize as _;

use super::{Config, ConfigError, say_which_log};

const PREFIX: &str = "EVGATE__";
const LOG_KIND: &str = "EVGATE__LOG__KIND";

/// Puts every `EVGATE__..` variable into `table`. A value is read as TOML (numbers, `true`, `["a"]`) where that fits the key,
/// else as text, so that neither numbers nor addresses need quotes.
pub(super) fn apply(
    table: &mut toml::Table,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
    let mut ours: Vec<(String, String)> = variables.filter(|(name, _)| name.starts_with(PREFIX)).collect();
    // The kind of the log first: its other keys depend on it. Sorted, so that the same environment gives the same message.
    ours.sort_by(|a, b| (a.0 != LOG_KIND, &a.0).cmp(&(b.0 != LOG_KIND, &b.0)));
    for (name, text) in ours {
        let path: Vec<String> = name.trim_start_matches(PREFIX).split("__").map(str::to_ascii_lowercase).collect();
        let mut problem = None;
        for value in readings(&text) {
            let mut candidate = table.clone();
            if let Err(what) = set(&mut candidate, &path, value) {
                return Err(ConfigError::Environment { name, problem: what });
            }
            let mut whole = candidate.clone();
            say_which_log(&mut whole);
            match Config::deserialize(whole) {
                Ok(_) => {
                    *table = candidate;
                    problem = None;
                    break;
                }
                Err(error) => {
                    problem.get_or_insert_with(|| one_line(&error.to_string()));
                }
            }
        }
        if let Some(problem) = problem {
            return Err(ConfigError::Environment { name, problem });
        }
    }
    Ok(())
}

/// What `text` may mean, likeliest first.
fn readings(text: &str) -> Vec<toml::Value> {
    let as_toml =
        toml::from_str::<toml::Table>(&format!("value = {text}")).ok().and_then(|mut table| table.remove("value"));
    as_toml.into_iter().chain([toml::Value::String(text.to_owned())]).collect()
}

fn set(table: &mut toml::Table, path: &[String], value: toml::Value) -> Result<(), String> {
    match path {
        [] => Err("names no key".into()),
        [key] if key.is_empty() => Err("names no key".into()),
        [key] => {
            table.insert(key.clone(), value);
            Ok(())
        }
        [section, rest @ ..] => {
            let inner = table.entry(section.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            match inner.as_table_mut() {
                Some(inner) => set(inner, rest, value),
                None => Err(format!("{section} is a value, not a section")),
            }
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
