//! The architecture's rules about who may import whom, and what is absent where, checked on the
//! text of the sources. ARCHITECTURE.md tells why; a change of the table belongs there too.

#[path = "layers/paths.rs"]
mod paths;
#[path = "layers/tests.rs"]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use paths::{Module, Name, Sources, code, test_modules};

/// Module to the modules it may import. Imports go down only, so there is no circle.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("protocol", &[]),
    ("similar", &[]),
    ("sparse", &[]),
    ("held_clients", &[]),
    ("histogram", &[]),
    ("json", &[]),
    ("one_or_many", &[]),
    ("per_ip", &[]),
    ("file", &[]),
    ("text", &[]),
    ("duration", &["text"]),
    ("rate", &["text"]),
    ("traffic", &[]),
    ("author", &["wire"]),
    ("tls", &["file", "wire"]),
    ("preface", &["protocol", "tls", "wire"]),
    ("proxy_protocol", &["text", "wire"]),
    ("cert", &["file", "tls", "wire"]),
    (
        "upstream",
        &["protocol", "proxy_protocol", "text", "tls", "traffic"],
    ),
    ("net", &["upstream", "tls"]),
    (
        "route",
        &[
            "author",
            "duration",
            "held_clients",
            "histogram",
            "one_or_many",
            "per_ip",
            "protocol",
            "proxy_protocol",
            "rate",
            "sparse",
            "text",
            "tls",
            "traffic",
            "upstream",
        ],
    ),
    ("service", &["net", "wire"]),
    (
        "config",
        &[
            "duration",
            "upstream",
            "one_or_many",
            "file",
            "net",
            "protocol",
            "proxy_protocol",
            "rate",
            "route",
            "service",
            "similar",
            "tls",
        ],
    ),
    ("source", &["author", "file", "json", "route"]),
    (
        "stats",
        &["author", "per_ip", "rate", "route", "tls", "wire"],
    ),
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
            "protocol",
            "route",
            "sessions",
            "stats",
        ],
    ),
    ("handshake", &["net", "preface", "tls"]),
    (
        "probe",
        &[
            "upstream",
            "cert",
            "config",
            "handshake",
            "net",
            "preface",
            "protocol",
            "tls",
            "wire",
        ],
    ),
    (
        "session",
        &[
            "held_clients",
            "admission",
            "config",
            "upstream",
            "gateway",
            "handshake",
            "net",
            "preface",
            "protocol",
            "proxy_protocol",
            "rate",
            "route",
            "sessions",
            "stats",
            "tls",
            "wire",
        ],
    ),
    ("listeners", &["config", "gateway", "net", "session"]),
    (
        "health",
        &[
            "duration",
            "gateway",
            "net",
            "preface",
            "proxy_protocol",
            "stats",
            "tls",
            "upstream",
        ],
    ),
    (
        "metrics",
        &[
            "gateway",
            "histogram",
            "listeners",
            "net",
            "route",
            "stats",
            "upstream",
        ],
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
            "tls",
        ],
    ),
    (
        "control",
        &[
            "author",
            "config",
            "file",
            "gateway",
            "json",
            "protocol",
            "proxy_protocol",
            "rate",
            "reload",
            "route",
            "service",
            "session",
            "sessions",
            "similar",
            "source",
            "stats",
            "tls",
            "upstream",
        ],
    ),
    ("renewal", &["control", "route", "stats", "tls"]),
    (
        "process",
        &[
            "access_log",
            "author",
            "cert",
            "config",
            "control",
            "gateway",
            "health",
            "listeners",
            "metrics",
            "net",
            "reload",
            "renewal",
            "route",
            "service",
            "source",
            "stats",
            "tls",
        ],
    ),
];

/// Words that must not stand in these modules' code: pure ones know neither sockets nor clocks,
/// and the library has neither a command line nor a screen.
const ABSENT: &[(&[&str], &[&str])] = &[
    (
        &[
            "wire",
            "preface",
            "proxy_protocol",
            "tls",
            "upstream",
            "route",
        ],
        &[
            "tokio::",
            "Instant::now",
            "SystemTime::now",
            "std::net::Tcp",
        ],
    ),
    (&["control"], &["json!"]),
    // Protocols are in the registry of `preface`.
    (
        &["session"],
        &[
            "Postgres", "postgres", "Mysql", "MySQL", "mysql", "Mariadb", "MariaDB", "mariadb",
            "Redis", "redis", "Mongo", "mongo",
        ],
    ),
    // Certificates and keys are bytes with an origin.
    (&["route", "tls/config"], &["std::path", "std::fs"]),
    (&[], &["clap", "println!", "eprintln!", "dbg!("]),
];

/// Modules whose files may need each other in a circle; the list only gets shorter.
const CIRCLES: &[&str] = &[
    "src/control",
    "src/metrics",
    "src/net",
    "src/preface",
    "src/route",
    "src/session",
    "src/sessions",
    "src/tls",
];

/// The source files below a folder of this package by their module paths, with their text; test
/// files are left out.
fn files(folder: &str) -> BTreeMap<Name, String> {
    fn walk(dir: &Path, module: &Name, files: &mut BTreeMap<Name, String>) {
        for entry in fs::read_dir(dir).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().expect("a name").to_string_lossy();
            let child = [module.as_slice(), &[name.to_string()]].concat();
            if path.is_dir() {
                walk(&path, &child, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let root = matches!(&*name, "mod" | "lib" | "main");
                let module = if root { module.clone() } else { child };
                let text = fs::read_to_string(&path).expect("a source file");
                files.insert(module, text);
            }
        }
    }
    let mut files = BTreeMap::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    walk(&folder, &Name::new(), &mut files);
    for (module, text) in files.clone() {
        for test in test_modules(&text) {
            let below = [module.as_slice(), &[test]].concat();
            files.retain(|name, _| !name.starts_with(&below));
        }
    }
    files
}

fn sources(folder: &str) -> Sources {
    let read = |(name, text): (Name, String)| (name, Module::read(&text));
    Sources(files(folder).into_iter().map(read).collect())
}

/// Top-level modules of the library.
fn modules(sources: &Sources) -> BTreeMap<&str, Vec<&Name>> {
    let mut modules: BTreeMap<&str, Vec<&Name>> = BTreeMap::new();
    for name in sources.0.keys() {
        if let Some(top) = name.first() {
            modules.entry(top).or_default().push(name);
        }
    }
    modules
}

#[test]
fn every_module_imports_only_what_it_may() {
    let sources = sources("src");
    let mut wrong = Vec::new();
    for (module, files) in modules(&sources) {
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{module} is not in the table"));
            continue;
        };
        for file in files {
            for import in sources.named(file) {
                let top = import.first().map_or("", String::as_str);
                if top != module && !allowed.contains(&top) {
                    let (file, import) = (file.join("::"), import.join("::"));
                    wrong.push(format!("{file} names {import}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_table_goes_down_only_and_names_what_exists() {
    let sources = sources("src");
    let modules = modules(&sources);
    for (at, (module, allowed)) in MAY_IMPORT.iter().enumerate() {
        assert!(modules.contains_key(*module), "{module} does not exist");
        for import in *allowed {
            let above = MAY_IMPORT[..at].iter().any(|(name, _)| name == import);
            assert!(
                above,
                "{module} may import {import}, which is not above it in the table"
            );
        }
    }
}

#[test]
fn no_files_of_a_module_need_each_other_in_a_circle() {
    let mut circles = Vec::new();
    for folder in ["src", "commands"] {
        let sources = sources(folder);
        for top in modules(&sources).keys() {
            let found = sources.circles(&[(*top).to_owned()]);
            let listed = CIRCLES.contains(&format!("{folder}/{top}").as_str());
            if !listed {
                circles.extend(found);
            }
        }
    }
    assert!(circles.is_empty(), "{circles:#?}");
}

/// Every file that a document names in code quotes, from the top of the repository.
#[test]
fn documents_name_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [
        "src/",
        "commands/",
        "config/",
        "tests/",
        "completions/",
        "fuzz/",
        "benches/",
    ];
    for document in [
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "README.md",
        "tests/README.md",
    ] {
        let text = fs::read_to_string(root.join(document)).unwrap();
        for code in text.split('`').skip(1).step_by(2) {
            let is_path = folders.iter().any(|folder| code.starts_with(folder));
            if is_path && !code.contains(char::is_whitespace) {
                assert!(root.join(code).exists(), "{document} names {code}");
            }
        }
    }
}

#[test]
fn what_must_be_absent_is() {
    let mut wrong = Vec::new();
    for (name, text) in files("src") {
        let code = code(&text);
        for (modules, words) in ABSENT {
            if !modules.is_empty() && !modules.iter().any(|module| is_in(&name, module)) {
                continue;
            }
            for word in words.iter().filter(|word| code.contains(*word)) {
                wrong.push(format!("{}: {word}", name.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Returns whether a module is this one, or below it.
fn is_in(name: &Name, module: &str) -> bool {
    format!("{}/", name.join("/")).starts_with(&format!("{module}/"))
}

/// Answers of the gateway are types: no field is looked up by its name.
#[test]
fn commands_read_typed_answers() {
    let mut wrong = Vec::new();
    for (name, text) in files("commands") {
        let code = code(&text);
        let indexed = code.match_indices("[\"").any(|(at, _)| {
            let before = code[..at].chars().next_back();
            before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ')' | ']'))
        });
        if indexed || code.contains("as_object()") {
            wrong.push(name.join("::"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
