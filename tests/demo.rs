//! `examples/demo` run as a newcomer runs it, without a terminal: it has to tell its whole story,
//! end by itself, and leave nothing behind.
//!
//! `cargo test` builds the examples beside its test binaries: a test is
//! `target/PROFILE/deps/demo-HASH`, the example `target/PROFILE/examples/demo`. With `--test demo`
//! alone cargo builds no example; `cargo build --example demo` does, before it.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

fn example() -> PathBuf {
    let test = env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).unwrap();
    let example = profile.join("examples/demo");
    assert!(
        example.is_file(),
        "{} is not there: cargo build --example demo",
        example.display()
    );
    example
}

fn demo(args: &[&str], tmp: &tempfile::TempDir) -> Output {
    Command::new(example())
        .args(args)
        .env("TMPDIR", tmp.path())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn it_tells_the_whole_story_and_leaves_nothing_behind() {
    for args in [&["--once"][..], &[]] {
        let tmp = tempfile::tempdir().unwrap();
        let output = demo(args, &tmp);
        let told = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{told}{errors}");
        assert_eq!(errors, "", "{told}");
        let mut rest = told.as_str();
        for line in [
            "\n  orders   127.0.0.1:",
            "\n  billing  127.0.0.1:",
            "\nOne gateway for both, at 127.0.0.1:",
            "\n  orders.demo.localhost   -> orders   passthrough",
            "\n  billing.demo.localhost  -> billing  terminate",
            "\n  orders.demo.localhost   orders   (certificate of the database, verified)",
            "\n  billing.demo.localhost  billing  (certificate of the gateway, verified)",
            "\ndbgate ctl hide billing\n",
            "  billing.demo.localhost  FATAL: dbgate: the database published under \"billing.demo.localhost\" is not available\n",
            " HINT: ",
            "\n  orders.demo.localhost   orders   (the session from before, open all the time)",
            "\ndbgate ctl expose billing\n",
            "  billing.demo.localhost  billing  (reachable again)\n",
        ] {
            let Some(at) = rest.find(line) else {
                panic!("no {line:?} in its place in\n{told}");
            };
            // A line's end is the next one's beginning.
            rest = &rest[at + line.len() - 1..];
        }
        assert!(!told.contains("Ctrl-C"), "{told}");
        let left: Vec<_> = fs::read_dir(tmp.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_wrong_argument_is_told() {
    let tmp = tempfile::tempdir().unwrap();
    let output = demo(&["--twice"], &tmp);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "usage: demo [--once]\n"
    );
}

#[test]
fn a_failure_is_told_and_exits_1() {
    let tmp = tempfile::tempdir().unwrap();
    let nowhere = tmp.path().join("nowhere");
    let output = Command::new(example())
        .arg("--once")
        .env("TMPDIR", &nowhere)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.starts_with("demo: "), "{errors}");
    assert!(errors.contains("nowhere"), "{errors}");
}
