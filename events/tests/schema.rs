//! The schema is a contract with everything that is stored and with every other release. What is in the committed snapshot stays;
//! what is added has to be added there too: `EVGATE_UPDATE_SCHEMA=1 cargo test -p events --test schema`.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{collections::BTreeSet, env, fs, path::PathBuf};

/// What the schema says now, as `build.rs` has listed it: one line per field and per enum value.
const NOW: [(&str, &str); 3] = [
    ("evgate.events.v1", include_str!(concat!(env!("OUT_DIR"), "/evgate.events.v1.snapshot"))),
    ("evgate.commands.v1", include_str!(concat!(env!("OUT_DIR"), "/evgate.commands.v1.snapshot"))),
    ("evgate.registry.v1", include_str!(concat!(env!("OUT_DIR"), "/evgate.registry.v1.snapshot"))),
];

/// Lines that are gone, and lines that are new.
fn compare<'a>(then: &'a str, now: &'a str) -> (Vec<&'a str>, Vec<&'a str>) {
    let (then, now): (BTreeSet<_>, BTreeSet<_>) = (then.lines().collect(), now.lines().collect());
    (then.difference(&now).copied().collect(), now.difference(&then).copied().collect())
}

#[test]
fn nothing_is_removed_renumbered_or_retyped() {
    for (package, now) in NOW {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/schema/{package}.snapshot"));
        let then = fs::read_to_string(&path).unwrap_or_default();
        let (gone, new) = compare(&then, now);
        assert!(
            gone.is_empty(),
            "{package}: removed, renamed, renumbered or retyped:\n{}\nStored events and other releases still have it. Add a new \
             field beside it instead.",
            gone.join("\n")
        );
        if new.is_empty() {
            continue;
        }
        if env::var_os("EVGATE_UPDATE_SCHEMA").is_some() {
            fs::write(&path, now).unwrap();
        } else {
            panic!(
                "{package}: new, and not in {}:\n{}\nIf that is meant: EVGATE_UPDATE_SCHEMA=1 cargo test -p events --test schema",
                path.display(),
                new.join("\n")
            );
        }
    }
}

/// A number means one thing in a message.
#[test]
fn no_number_is_used_twice() {
    for (package, now) in NOW {
        let mut seen = BTreeSet::new();
        for line in now.lines() {
            let name =
                line.split_whitespace().take(if line.contains(" = ") { 3 } else { 2 }).collect::<Vec<_>>().join(" ");
            assert!(seen.insert(name), "{package}: {line}");
        }
        assert!(seen.len() > 10, "{package}: the listing is there");
    }
}

#[test]
fn the_comparison_sees_every_kind_of_change() {
    let then = "m 1 bytes a\nm 2 uint64 b\n";
    assert_eq!(compare(then, then), (vec![], vec![]));
    assert_eq!(compare(then, "m 1 bytes a\nm 2 uint64 b\nm 3 bool c\n").0, Vec::<&str>::new());
    for changed in
        ["m 1 bytes a\n", "m 1 bytes a\nm 3 uint64 b\n", "m 1 bytes a\nm 2 sint64 b\n", "m 1 bytes a\nm 2 uint64 c\n"]
    {
        assert_eq!(compare(then, changed).0, ["m 2 uint64 b"], "{changed}");
    }
}
