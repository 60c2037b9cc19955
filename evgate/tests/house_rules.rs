//! The walls of the house (ARCHITECTURE.md): which crate may know which, and what the pure rooms may not touch.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Crate -> the crates of this workspace it may depend on, in any way (tests and benches included).
const ARROWS: [(&str, &[&str]); 8] = [
    ("codecs", &[]),
    ("events", &[]),
    ("listener", &[]),
    ("gateway", &["codecs", "events", "listener"]),
    ("business-api", &["events", "listener"]),
    ("simulator", &["codecs"]),
    ("load", &["simulator", "codecs"]),
    ("evgate", &["codecs", "events", "gateway", "business-api", "simulator", "load"]),
];

/// Everything `codecs` may link. None of these opens a socket or a file, tells the time or writes a log line; whoever adds one
/// checks that first.
const CODECS_DEPENDENCIES: [&str; 12] = [
    "base64",
    "bytes",
    "crc",
    "hex",
    "httparse",
    "memchr",
    "nom",
    "serde",
    "serde_json",
    "sha1",
    "thiserror",
    // Only for `codec::{Decoder, Encoder}`: the sources may name nothing else of it, see below.
    "tokio-util",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

struct Package {
    name: String,
    /// (name, is it a normal dependency)
    dependencies: Vec<(String, bool)>,
}

fn packages() -> Vec<Package> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let out = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--locked", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&out.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| Package {
            name: package["name"].as_str().unwrap().to_owned(),
            dependencies: package["dependencies"]
                .as_array()
                .unwrap()
                .iter()
                .map(|dependency| (dependency["name"].as_str().unwrap().to_owned(), dependency["kind"].is_null()))
                .collect(),
        })
        .collect()
}

#[test]
fn arrows_between_crates_point_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let packages = packages();
    let members: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(members, allowed.keys().copied().collect(), "a new crate gets its row in ARROWS first");
    let mut wrong = Vec::new();
    for package in &packages {
        for (dependency, _) in &package.dependencies {
            if members.contains(dependency.as_str()) && !allowed[package.name.as_str()].contains(&dependency.as_str()) {
                wrong.push(format!("{} -> {dependency}", package.name));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that point the wrong way: {wrong:?}");
}

#[test]
fn codecs_links_nothing_that_could_do_io() {
    let packages = packages();
    let codecs = packages.iter().find(|package| package.name == "codecs").unwrap();
    let unknown: Vec<_> = codecs
        .dependencies
        .iter()
        .filter(|(name, normal)| *normal && !CODECS_DEPENDENCIES.contains(&name.as_str()))
        .collect();
    assert!(unknown.is_empty(), "not on the list of {:?}: {unknown:?}", CODECS_DEPENDENCIES);
}

/// What the two crates that all others meet in open to them. Whoever needs another door between two parts puts it here first, and is
/// asked why it is neither a message, an event, a command nor a registry entry, nor what carries them.
const DOORS: [(&str, &[&str]); 2] = [
    ("codecs", &["error", "ocpp", "ws", "ykc"]),
    (
        "events",
        // `card`: that two card numbers are one card is what gateway and business side must agree on.
        &[
            "bytes", "card", "clock", "commands", "envelope", "json", "log", "prost", "proto", "registry", "topic",
            "units",
        ],
    ),
];

/// Names that a crate's root gives away: `pub mod x`, `pub use x`, `pub fn x`, ..
fn doors_of(root: &str) -> BTreeSet<&str> {
    let public = root.lines().filter_map(|line| line.strip_prefix("pub "));
    public
        .filter_map(|item| item.split([' ', ';', ':', '{', '(', '<']).filter(|word| !word.is_empty()).nth(1))
        .collect()
}

#[test]
fn what_crosses_between_crates_goes_through_a_door() {
    assert_eq!(doors_of("pub mod a;\npub use b::c;\npub mod d {\nfn x() {}\nmod e;\npub fn f() {}").len(), 4);
    for (name, doors) in DOORS {
        let text = fs::read_to_string(root().join(name).join("src/lib.rs")).unwrap();
        assert_eq!(doors_of(&text), doors.iter().copied().collect(), "{name} has another door");
    }
    // And nobody goes through the wall: no source of another crate is made part of one's own.
    let mut wrong = Vec::new();
    for (name, _) in ARROWS {
        let source = root().join(name).join("src");
        let mut files = Vec::new();
        rust_files(&source, &mut files);
        for file in files {
            let depth = file.strip_prefix(&source).unwrap().components().count();
            let text = fs::read_to_string(&file).unwrap();
            let out_of_the_crate = format!("\"{}", "../".repeat(depth + 1));
            for (number, line) in code_lines(&text) {
                let takes_in = line.contains("#[path") || line.contains("include!(");
                if takes_in && line.contains(&out_of_the_crate) {
                    wrong.push(format!("{}:{number}: {}", file.display(), line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Licences that a program under Apache-2.0 can carry along.
const LICENCES: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// One alternative of the expression needs nothing but licences of the list.
fn can_be_carried(expression: &str) -> bool {
    let expression = expression.replace(['(', ')'], " ").replace('/', " OR ").replace(" WITH LLVM-exception", "");
    expression.split(" OR ").any(|way| way.split(" AND ").all(|licence| LICENCES.contains(&licence.trim())))
}

#[test]
fn every_dependency_has_a_licence_that_can_be_carried() {
    assert!(can_be_carried("MIT/Apache-2.0") && can_be_carried("GPL-3.0 OR MIT") && !can_be_carried("GPL-3.0 AND MIT"));
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let about = Command::new(&cargo).arg("-vV").output().unwrap();
    let about = String::from_utf8(about.stdout).unwrap();
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    // What other platforms would need has perhaps never been fetched.
    let args = ["metadata", "--offline", "--locked", "--format-version", "1", "--filter-platform", host];
    let out = Command::new(cargo).args(args).current_dir(root()).output().unwrap();
    assert!(out.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&out.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100);
    let wrong: Vec<String> = packages
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(can_be_carried))
        .map(|package| format!("{} {}", package["name"], package["license"]))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Words that a pure room may not contain, each with what it would break.
const BANNED: [(&str, &str); 25] = [
    ("std::fs", "I/O"),
    ("std::net", "I/O"),
    ("std::process", "I/O"),
    ("std::env", "hidden input"),
    ("std::thread", "a thread"),
    ("tokio::", "I/O or a runtime"),
    ("tokio_util::", "I/O or a runtime"),
    ("async fn", "I/O or a runtime"),
    ("sqlx", "a database"),
    ("rusqlite", "a database"),
    ("rdkafka", "a log"),
    ("reqwest", "I/O"),
    ("EventLog", "a log"),
    ("SystemTime", "a clock"),
    ("Instant", "a clock"),
    ("now_ms", "a clock"),
    ("clock::", "a clock"),
    ("rand::", "hidden input"),
    ("tracing", "logging"),
    ("log::", "logging"),
    ("metrics::", "telemetry"),
    ("println!", "output"),
    ("eprintln!", "output"),
    ("static mut", "hidden state"),
    ("thread_local!", "hidden state"),
];

/// `word` in `line`, but not as the tail of a longer identifier (an identifier that only ends like a word is none).
fn holds(line: &str, word: &str) -> bool {
    let mut from = 0;
    while let Some(at) = line[from..].find(word) {
        let start = from + at;
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        let own = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let open_end = !word.ends_with(|c: char| c.is_alphanumeric());
        if !own(before) && (open_end || !own(after)) {
            return true;
        }
        from = start + word.len();
    }
    false
}

fn rust_files(under: &Path, found: &mut Vec<PathBuf>) {
    if under.is_file() {
        found.push(under.to_path_buf());
        return;
    }
    for entry in fs::read_dir(under).unwrap_or_else(|error| panic!("{}: {error}", under.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Code lines of a file: no comments, and nothing from the test module (by house style the last item) on.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .map(|(number, line)| (number + 1, line.split("//").next().unwrap_or_default()))
}

fn violations(under: &Path, allowed: &[&str]) -> Vec<String> {
    let mut files = Vec::new();
    rust_files(under, &mut files);
    assert!(!files.is_empty(), "nothing under {}", under.display());
    let mut wrong = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in code_lines(&text) {
            if allowed.iter().any(|exact| line.contains(exact)) {
                continue;
            }
            for (word, breaks) in BANNED {
                if holds(line, word) {
                    wrong.push(format!("{}:{number}: `{word}` ({breaks})", file.display()));
                }
            }
        }
    }
    wrong
}

#[test]
fn codecs_has_no_io_no_clock_no_log() {
    let wrong = violations(&root().join("codecs/src"), &["tokio_util::codec"]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_order_state_machine_has_no_io_no_clock_no_log() {
    let wrong = violations(&root().join("business-api/src/order"), &[]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn billing_has_no_io_no_clock_no_log() {
    let wrong = violations(&root().join("business-api/src/bill"), &[]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_scanner_sees_what_it_must_see() {
    assert!(holds("let t = std::time::Instant::now();", "Instant"));
    assert!(holds("use tokio::net::TcpStream;", "tokio::"));
    assert!(holds("tracing::info!(\"x\")", "tracing"));
    assert!(!holds("let constant = InstantCamera;", "Instant"));
    assert!(!holds("catalog::entry()", "log::"));
    assert_eq!(code_lines("a // std::fs\n#[cfg(test)]\nstd::fs").count(), 1);
    assert_eq!(code_lines("a // std::fs").next(), Some((1, "a ")));
}

/// Pages that people are sent to, from pages and from the sources.
#[test]
fn every_page_that_is_named_exists() {
    let root = root();
    let mut pages = vec![root.join("README.md"), root.join("README.zh-CN.md"), root.join("ARCHITECTURE.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    let mut missing = Vec::new();
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") && !page.parent().unwrap().join(file).exists() {
                missing.push(format!("{} -> {link}", page.display()));
            }
        }
    }
    let mut sources = Vec::new();
    for (name, _) in ARROWS {
        rust_files(&root.join(name).join("src"), &mut sources);
    }
    for source in &sources {
        let text = fs::read_to_string(source).unwrap();
        for rest in text.split("docs/").skip(1) {
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || "/-_.".contains(*c)).collect();
            let name = name.trim_end_matches('.');
            if name.ends_with(".md") && !root.join("docs").join(name).exists() {
                missing.push(format!("{} -> docs/{name}", source.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// `file::test` in the ack contract: the file has a test of that name.
#[test]
fn the_tests_that_the_ack_contract_names_exist() {
    let page = fs::read_to_string(root().join("docs/ack-contract.md")).unwrap();
    let named: BTreeSet<(&str, &str)> = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|quoted| quoted.split_once("::"))
        .filter(|(file, _)| *file != "file")
        .collect();
    assert!(named.len() > 20, "{named:?}");
    let mut files = Vec::new();
    for (name, _) in ARROWS {
        rust_files(&root().join(name).join("tests"), &mut files);
    }
    let has = |file: &str, test: &str| {
        let mut of_name = files.iter().filter(|path| path.file_stem().is_some_and(|stem| stem == file));
        of_name.any(|path| fs::read_to_string(path).unwrap().contains(&format!("fn {test}(")))
    };
    let missing: Vec<_> = named.iter().filter(|(file, test)| !has(file, test)).collect();
    assert!(missing.is_empty(), "docs/ack-contract.md names tests that are not there: {missing:?}");
}
