//! The example configurations hold every key there is, with the values that hold without them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use evgate::config::{Config, Parts};
use serde::Deserialize as _;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(name)
}

fn load(name: &str) -> Config {
    Config::load(Some(&file(name)), std::iter::empty()).unwrap()
}

/// The text with its `#key = value` lines (keys without a default) made real.
fn uncommented(name: &str) -> toml::Table {
    let text = std::fs::read_to_string(file(name)).unwrap();
    let real: Vec<&str> =
        text.lines().map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line)).collect();
    toml::from_str(&real.join("\n")).unwrap()
}

const PROBE: &str = "no-such-key";

/// Asks the structs themselves: an unknown key is refused with the list of the known ones. `None`: not a struct.
fn known_keys(kind: &str, path: &[String]) -> Option<Vec<String>> {
    let mut value = toml::Value::Boolean(true);
    for key in [PROBE.to_owned()].iter().chain(path.iter().rev()) {
        value = toml::Value::Table(toml::Table::from_iter([(key.clone(), value)]));
    }
    let mut table = value.as_table().unwrap().clone();
    if path.first().is_some_and(|section| section == "log") {
        table["log"].as_table_mut().unwrap().insert("kind".to_owned(), kind.into());
    }
    let error = Config::deserialize(table).err()?.to_string();
    let (_, list) = error.split_once(&format!("unknown field `{PROBE}`, expected"))?;
    let list = list.lines().next().unwrap();
    Some(list.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}

fn all_keys(kind: &str, path: &mut Vec<String>, found: &mut BTreeSet<String>) {
    for key in known_keys(kind, path).unwrap_or_default() {
        path.push(key);
        if known_keys(kind, path).is_some() {
            all_keys(kind, path, found);
        } else {
            found.insert(path.join("."));
        }
        path.pop();
    }
}

fn lacks(table: &toml::Table, key: &str) -> bool {
    let mut at: Option<&toml::Value> = None;
    for part in key.split('.') {
        at = match at {
            None => table.get(part),
            Some(value) => value.get(part),
        };
        if at.is_none() {
            return true;
        }
    }
    false
}

#[test]
fn every_key_of_the_structs_is_in_the_example() {
    for (kind, name, only) in
        [("embedded", "docs/evgate.toml", ""), ("kafka", "docs/examples/evgate-cluster.toml", "log.")]
    {
        let mut keys = BTreeSet::new();
        all_keys(kind, &mut Vec::new(), &mut keys);
        assert!(keys.len() > 60, "the structs have more keys than {keys:?}");
        assert!(keys.contains("gateway.limits.login_ms") && keys.contains("api.listen"), "{keys:?}");
        let example = uncommented(name);
        let missing: Vec<_> = keys.iter().filter(|key| key.starts_with(only) && lacks(&example, key)).collect();
        assert!(missing.is_empty(), "{name} lacks {missing:?}");
    }
}

#[test]
fn the_example_says_what_holds_without_it() {
    let mut example = load("docs/evgate.toml");
    let defaults = Config::default();
    // The host's name by default.
    example.gateway.node.clone_from(&defaults.gateway.node);
    assert_eq!(example, defaults);
}

#[test]
fn every_shipped_configuration_is_valid() {
    load("docs/evgate.toml").validate(Parts::Serve).unwrap();
    let cluster = load("docs/examples/evgate-cluster.toml");
    cluster.validate(Parts::Gateway).unwrap();
    cluster.validate(Parts::Api).unwrap();
}

#[test]
fn keys_without_a_default_have_a_valid_example() {
    Config::deserialize(uncommented("docs/evgate.toml")).unwrap();
    Config::deserialize(uncommented("docs/examples/evgate-cluster.toml")).unwrap();
}
