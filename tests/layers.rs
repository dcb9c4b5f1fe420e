//! The architecture's rules about who may import whom, and what is absent where, checked on the
//! text of the sources. ARCHITECTURE.md tells why; a change of the table belongs there too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Module to the modules it may import. Imports go down only, so there is no circle.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("histogram", &[]),
    ("json", &[]),
    ("one_or_many", &[]),
    ("per_ip", &[]),
    ("file", &[]),
    ("text", &[]),
    ("traffic", &[]),
    ("preface", &["wire"]),
    ("tls", &["file", "wire"]),
    ("cert", &["file", "tls", "wire"]),
    ("upstream", &["text", "tls", "traffic"]),
    ("net", &["upstream", "tls"]),
    (
        "route",
        &[
            "upstream",
            "one_or_many",
            "histogram",
            "per_ip",
            "text",
            "tls",
            "traffic",
        ],
    ),
    (
        "config",
        &["upstream", "one_or_many", "file", "net", "route", "tls"],
    ),
    ("source", &["file", "route"]),
    ("service", &["net", "wire"]),
    ("stats", &["per_ip", "route", "tls", "wire"]),
    (
        "sessions",
        &["upstream", "per_ip", "route", "stats", "tls", "traffic"],
    ),
    ("admission", &["config", "net", "per_ip", "stats"]),
    ("access_log", &["config", "stats"]),
    (
        "gateway",
        &[
            "access_log",
            "admission",
            "config",
            "histogram",
            "route",
            "sessions",
            "stats",
        ],
    ),
    ("handshake", &["config", "net", "preface", "tls"]),
    (
        "probe",
        &[
            "upstream",
            "cert",
            "config",
            "handshake",
            "net",
            "preface",
            "tls",
            "wire",
        ],
    ),
    (
        "session",
        &[
            "admission",
            "upstream",
            "config",
            "gateway",
            "handshake",
            "net",
            "preface",
            "route",
            "sessions",
            "stats",
            "tls",
            "wire",
        ],
    ),
    ("listeners", &["config", "gateway", "net", "session"]),
    (
        "metrics",
        &["gateway", "histogram", "listeners", "net", "route", "stats"],
    ),
    (
        "reload",
        &[
            "access_log",
            "cert",
            "config",
            "gateway",
            "listeners",
            "metrics",
            "net",
            "route",
        ],
    ),
    ("revocation", &["gateway"]),
    (
        "control",
        &[
            "upstream", "config", "file", "gateway", "json", "source", "reload", "route",
            "service", "session", "sessions", "stats", "tls",
        ],
    ),
    (
        "runtime",
        &[
            "access_log",
            "cert",
            "config",
            "control",
            "gateway",
            "listeners",
            "metrics",
            "net",
            "source",
            "reload",
            "revocation",
            "route",
            "service",
            "stats",
        ],
    ),
];

/// Words that must not stand in these modules' code: pure ones know neither sockets nor clocks,
/// and the library has neither a command line nor a screen.
const ABSENT: &[(&[&str], &[&str])] = &[
    (
        &["wire", "preface", "tls", "upstream", "route"],
        &[
            "tokio::",
            "Instant::now",
            "SystemTime::now",
            "std::net::Tcp",
        ],
    ),
    (&["control"], &["json!"]),
    (&[], &["clap", "println!", "eprintln!", "dbg!("]),
];

/// The code of a source file: no comments, no tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a source file");
    let without_tests = match text.find("#[cfg(test)]\nmod tests") {
        Some(at) => &text[..at],
        None => &text,
    };
    without_tests
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The source files below a folder; test files are left out.
fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("tests") {
            walk(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

/// Every source file, by the top-level module it belongs to; test files are left out.
fn sources() -> BTreeMap<String, Vec<PathBuf>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&src, &mut files);
    let mut modules: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in files {
        let inside = file.strip_prefix(&src).expect("a path below src");
        let first = inside.iter().next().expect("a name").to_string_lossy();
        let module = first.trim_end_matches(".rs").to_owned();
        if module != "lib" {
            modules.entry(module).or_default().push(file);
        }
    }
    modules
}

/// The top-level modules that a piece of code names as `crate::NAME`.
fn imports(code: &str) -> BTreeSet<String> {
    code.split("crate::")
        .skip(1)
        .map(|rest| {
            rest.chars()
                .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                .collect()
        })
        .filter(|name: &String| !name.is_empty())
        .collect()
}

#[test]
fn every_module_imports_only_what_it_may() {
    let mut wrong = Vec::new();
    for (module, files) in sources() {
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{module} is not in the table"));
            continue;
        };
        for file in files {
            for import in imports(&code(&file)) {
                if import != module && !allowed.contains(&import.as_str()) {
                    wrong.push(format!("{}: {module} imports {import}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_table_goes_down_only_and_names_what_exists() {
    let modules = sources();
    for (at, (module, allowed)) in MAY_IMPORT.iter().enumerate() {
        assert!(modules.contains_key(*module), "{module} does not exist");
        for import in *allowed {
            let above = MAY_IMPORT[..at].iter().any(|(name, _)| name == import);
            assert!(
                above,
                "{module} may import {import}, which does not stand before it"
            );
        }
    }
}

#[test]
fn what_must_be_absent_is() {
    let mut wrong = Vec::new();
    for (module, files) in sources() {
        for file in files {
            let code = code(&file);
            for (modules, words) in ABSENT {
                if !modules.is_empty() && !modules.contains(&module.as_str()) {
                    continue;
                }
                for word in words.iter().filter(|word| code.contains(*word)) {
                    wrong.push(format!("{}: {word}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Answers of the gateway are types: no field is looked up by its name.
#[test]
fn commands_read_typed_answers() {
    let commands = Path::new(env!("CARGO_MANIFEST_DIR")).join("commands");
    let mut files = Vec::new();
    walk(&commands, &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let code = code(&file);
        let indexed = code.match_indices("[\"").any(|(at, _)| {
            let before = code[..at].chars().next_back();
            before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ')' | ']'))
        });
        if indexed || code.contains("as_object()") {
            wrong.push(file.display().to_string());
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
