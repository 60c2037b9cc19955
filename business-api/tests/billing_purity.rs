//! The rooms bill, order and tariff are pure: no I/O, no clock, no log, no async, no float.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::{Path, PathBuf};

const ROOMS: [&str; 3] = ["bill", "order", "tariff"];
const BANNED: [&str; 19] = [
    "std::fs",
    "std::net",
    "std::io",
    "std::process",
    "std::env",
    "std::thread",
    "std::sync",
    "SystemTime",
    "Instant::",
    "clock::",
    "tokio",
    "tracing",
    "println!",
    "async ",
    ".await",
    "sqlx",
    "rand::",
    "f32",
    "f64",
];

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn nothing_in_the_pure_rooms_touches_the_world() {
    let mut seen = 0;
    for room in ROOMS {
        for file in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room)) {
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                let banned: Vec<_> = BANNED.iter().filter(|banned| code.contains(**banned)).collect();
                assert!(banned.is_empty(), "{}:{}: {banned:?} in {line:?}", file.display(), number + 1);
                for other in ["crate::store", "crate::http", "crate::consume", "crate::config"] {
                    assert!(!code.contains(other), "{}:{}: {other}", file.display(), number + 1);
                }
            }
            seen += 1;
        }
    }
    assert!(seen >= 25, "only {seen} files read");
}
