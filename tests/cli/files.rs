//! Files that are made from the command line's own description and checked in: the help of every
//! command, completions, man pages.
//!
//! `DBGATE_REFRESH=1 cargo test --test cli files` writes them anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::gate::{Ran, dbgate};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Holds the files of a directory, not those below it, against what they should be.
fn compare(dir: &str, wanted: &BTreeMap<String, String>) {
    let dir = Path::new(ROOT).join(dir);
    let there: BTreeMap<String, String> = fs::read_dir(&dir)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    if std::env::var_os("DBGATE_REFRESH").is_some() {
        fs::create_dir_all(&dir).unwrap();
        for name in there.keys() {
            fs::remove_file(dir.join(name)).unwrap();
        }
        for (name, text) in wanted {
            fs::write(dir.join(name), text).unwrap();
        }
        return;
    }
    let stale: BTreeSet<&String> = there
        .keys()
        .chain(wanted.keys())
        .filter(|name| there.get(*name) != wanted.get(*name))
        .collect();
    assert!(
        stale.is_empty(),
        "stale in {}: {stale:?}; DBGATE_REFRESH=1 cargo test --test cli files",
        dir.display()
    );
}

fn run(words: &[&str]) -> String {
    Ran::of(dbgate().args(words)).done()
}

#[test]
fn completions() {
    let wanted = [
        ("bash", "dbgate.bash"),
        ("zsh", "_dbgate"),
        ("fish", "dbgate.fish"),
    ]
    .map(|(shell, file)| (file.to_owned(), run(&["completions", shell])));
    compare("completions", &wanted.into());
}

#[test]
fn man_pages() {
    let pages = tempfile::tempdir().unwrap();
    run(&["man", pages.path().to_str().unwrap()]);
    let wanted = fs::read_dir(pages.path())
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    compare("completions/man", &wanted);
}

#[test]
fn help() {
    let mut wanted = BTreeMap::new();
    gather(&[], &mut wanted);
    assert!(wanted.len() > 15, "{:?}", wanted.keys());
    compare("tests/cli/help", &wanted);
}

/// The help of a command and of those below it.
fn gather(command: &[&str], into: &mut BTreeMap<String, String>) {
    let text = run(&[command, &["--help"]].concat());
    let below = text
        .split_once("\nCommands:\n")
        .map_or("", |(_, rest)| rest);
    for line in below.lines().take_while(|line| !line.is_empty()) {
        // A description that goes on is indented further.
        let name = line.strip_prefix("  ").and_then(|l| l.split(' ').next());
        match name {
            None | Some("" | "help") => {}
            Some(name) => gather(&[command, &[name]].concat(), into),
        }
    }
    let name = [&["dbgate"], command].concat().join("-");
    into.insert(format!("{name}.txt"), text);
}

/// The table of `ctl` that sets its commands beside those of others names each of them, and no
/// other.
#[test]
fn each_command_of_ctl_is_set_beside_those_of_others() {
    let help = run(&["ctl", "--help"]);
    let section = |from: &str| {
        let (_, section) = help.split_once(from).expect(from);
        let words = section.lines().skip(1).take_while(|line| !line.is_empty());
        // What goes on behind the first line of a description stands further in.
        let words = words.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        let words = words.map(|line| line.split_whitespace().next().unwrap().to_owned());
        words.collect::<BTreeSet<String>>()
    };
    let mut commands = section("Commands:");
    assert!(commands.remove("help"), "{help}");
    let mut table = section("What it is called elsewhere:");
    assert!(table.remove("dbgate"), "{help}");
    assert_eq!(table, commands);
}
