//! Certificates, keys and authorities renewed on disk, with nobody asking for a reload.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::Ground;
use crate::certs::{Ca, Leaf, Validity};
use crate::gateway::{self, Gateway};
use crate::metrics::{METRICS, Scrape};
use crate::streams::{Echo, Trust};
use crate::testbed::{self, TIMEOUT};

/// A folder of a pair, its names links as Kubernetes makes them: `crt` leads to `..data/crt`, and
/// `..data` to a folder that is there as a whole.
struct Mounted(TempDir);

impl Mounted {
    fn new(leaf: &Leaf) -> Self {
        let mounted = Self(testbed::scratch());
        mounted.swap(leaf);
        for name in ["crt", "key"] {
            symlink(format!("..data/{name}"), mounted.path(name)).expect("a link");
        }
        mounted
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn swap(&self, leaf: &Leaf) {
        let folder = format!("..{}", leaf.serial);
        fs::create_dir(self.path(&folder)).expect("a folder");
        fs::write(self.path(&folder).join("crt"), &leaf.cert_pem).expect("a certificate");
        fs::write(self.path(&folder).join("key"), &leaf.key_pem).expect("a key");
        symlink(&folder, self.path("..tmp")).expect("a link");
        fs::rename(self.path("..tmp"), self.path("..data")).expect("a swap");
    }
}

fn pair(crt: &Path, key: &Path) -> String {
    format!(
        "cert = \"{}\"\nkey = \"{}\"\n",
        crt.display(),
        key.display()
    )
}

fn database(name: &str, echo: &Echo, more: &str) -> String {
    format!(
        "[database.{name}]\nprotocol = \"tls\"\nbackends = [\"{}\"]\nhosts = [\"{name}.example.test\"]\n{more}",
        echo.addr()
    )
}

/// The events of a gateway from now on.
fn follow(gateway: &Gateway) -> Receiver<Value> {
    let mut command = testbed::mortal("KILL", gateway::binary());
    command
        .args(["ctl", "--socket"])
        .arg(gateway.socket())
        .args(["-o", "json", "events", "--follow"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut ctl = testbed::spawn(command);
    let stdout = ctl.stdout.take().expect("its output");
    let (lines, events) = mpsc::channel();
    thread::spawn(move || {
        let _ctl = ctl;
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let event = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
            if lines.send(event).is_err() {
                return;
            }
        }
    });
    let mut n = 0;
    let begun = testbed::until(|| {
        n += 1;
        let host = format!("begin{n}.example.test");
        gateway.ctl_ok(&[
            "expose",
            "follow",
            "--host",
            &host,
            "--to",
            "127.0.0.1:1",
            "--protocol",
            "tls",
            "--no-check",
        ]);
        events.try_recv().is_ok()
    });
    assert!(begun, "no event");
    events
}

#[track_caller]
fn next_certificate(events: &Receiver<Value>) -> Value {
    loop {
        let event = events.recv_timeout(TIMEOUT).expect("an event");
        if event["event"] == "certificate" {
            return event;
        }
    }
}

/// A leaf as `dbgate cert show` has it.
fn shown(leaf: &Leaf) -> Value {
    let mut show = Command::new(gateway::binary());
    show.args(["cert", "show", "-o", "json"])
        .arg(&leaf.cert_path);
    let output = show.output().expect("dbgate cert show");
    let shown: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    shown["certificates"][0].clone()
}

fn expiry(gateway: &Gateway, name: &str) -> u64 {
    let series = format!("dbgate_certificate_expiry_timestamp_seconds{{name=\"{name}\"}}");
    Scrape::of(gateway).value(&series)
}

#[test]
fn a_swapped_link_is_noticed_and_only_new_sessions_see_it() {
    let ca = Ca::new("Renewal");
    let leaf = || ca.leaf(&["*.example.test"]);
    let (general, old) = (leaf(), leaf());
    let new = ca
        .prepare(&["special.example.test", "*.example.test"])
        .validity(Validity::Days(20))
        .sign();
    let (mounted, echo) = (Mounted::new(&old), Echo::plain());
    let own = pair(&mounted.path("crt"), &mounted.path("key"));
    let config = format!(
        "{METRICS}[tls]\n{}{}{}",
        pair(&general.cert_path, &general.key_path),
        database("general", &echo, "tls = \"terminate\"\n"),
        database(
            "special",
            &echo,
            &format!("tls = \"terminate\"\nmax_sessions = 2\n{own}")
        )
    );
    let ground = Ground {
        gateway: Gateway::start(&config),
        trust: Trust::new(&ca),
        echo,
        ca: Ca::new("Unused"),
    };
    let (mut running, id) = ground.open("special");
    let (mut other, other_id) = ground.open("general");
    let before = expiry(&ground.gateway, "database.special");
    let others_before = expiry(&ground.gateway, "tls");
    let events = follow(&ground.gateway);

    mounted.swap(&new);
    let event = next_certificate(&events);
    assert_eq!(event["section"], "database.special", "{event}");
    assert_eq!(event["content"], "certificate", "{event}");
    assert_eq!(event["subject_names"][0], "special.example.test", "{event}");
    let (was, now) = (shown(&old), shown(&new));
    let until = event["not_after"].as_str().expect("an end");
    assert_eq!(
        until[..19],
        now["not_after"].as_str().expect("an end")[..19]
    );
    assert_eq!(event["old_fingerprint"], was["sha256"], "{event}");
    assert_eq!(event["new_fingerprint"], now["sha256"], "{event}");

    // The limit of two counts the session from before.
    let (late, _) = ground.open("special");
    assert_eq!(late.certificate(), new.der);
    assert!(ground.try_open("special").is_err(), "a third session");
    running.echo().expect("a session from before");
    assert_eq!(running.certificate(), old.der);
    other.echo().expect("a session of another database");
    let (another, _) = ground.open("general");
    assert_eq!(another.certificate(), general.der);
    assert_eq!(ground.states(&[id, other_id]), ["open", "open"]);
    assert_ne!(expiry(&ground.gateway, "database.special"), before);
    assert_eq!(expiry(&ground.gateway, "tls"), others_before);
    let told = ground.gateway.log();
    assert_eq!(
        told.matches("in force for new sessions").count(),
        1,
        "{told}"
    );
    let diff = ground.gateway.ctl(&["diff"]);
    let diff = String::from_utf8_lossy(&diff.stdout);
    assert!(!diff.contains("renewed"), "{diff}");

    // A reload finds nothing left to do, and one session's end leaves room for one more.
    drop(late);
    ground.gateway.wait_sessions(3);
    ground.gateway.ctl_ok(&["reload"]);
    let (late, _) = ground.open("special");
    assert_eq!(late.certificate(), new.der);
    let told = ground.gateway.log();
    assert_eq!(
        told.matches("in force for new sessions").count(),
        1,
        "{told}"
    );
}

#[test]
fn half_a_pair_is_waited_out_and_told_once() {
    let ca = Ca::new("Renewal");
    let leaf = || ca.leaf(&["*.example.test"]);
    let (old, new, last) = (leaf(), leaf(), leaf());
    let folder = testbed::scratch();
    let at = |name: &str| folder.path().join(name);
    let write = |name: &str, text: &str| fs::write(at(name), text).expect("a file");
    for pair in ["a", "b"] {
        write(&format!("{pair}.crt"), &old.cert_pem);
        write(&format!("{pair}.key"), &old.key_pem);
    }
    let echo = Echo::plain();
    let own = |name: &str| {
        let files = pair(&at(&format!("{name}.crt")), &at(&format!("{name}.key")));
        database(name, &echo, &format!("tls = \"terminate\"\n{files}"))
    };
    let ground = Ground {
        gateway: Gateway::start(&(own("a") + &own("b"))),
        trust: Trust::new(&ca),
        echo,
        ca: Ca::new("Unused"),
    };
    // The other pair, which is renewed as a whole, does not wait for it.
    write("a.crt", &new.cert_pem);
    write("b.crt", &new.cert_pem);
    write("b.key", &new.key_pem);
    ground.gateway.wait_log("changed files cannot be used");
    assert!(testbed::until(
        || ground.open("b").0.certificate() == new.der
    ));
    assert_eq!(ground.open("a").0.certificate(), old.der);
    // Whoever looks is told, of the database that it is about.
    let file = at("a.crt").display().to_string();
    let fault = |answer: &Value| {
        let all = answer["certificate_faults"].as_array();
        all.map_or(0, |all| {
            let about =
                |fault: &&Value| fault["files"][0] == json!(file) && fault["error"].is_string();
            all.iter().filter(about).count()
        })
    };
    let status = || ground.gateway.call("status", &json!({}));
    assert!(testbed::until(|| fault(&status()) == 1), "{:#}", status());
    for (name, count) in [("a", 1), ("b", 0)] {
        let shown = ground.gateway.call("show", &json!({"name": name}));
        assert_eq!(fault(&shown["database"]), count, "{shown:#}");
    }
    let told = ground.gateway.ctl_ok(&["status"]);
    assert!(
        told.contains("changed files cannot be used") && told.contains("a.crt"),
        "{told}"
    );
    let told = ground.gateway.ctl_ok(&["events", "--kind", "certificate"]);
    assert!(
        told.contains("certificate_fault") && told.contains("a.crt"),
        "{told}"
    );
    // Nor does a change by `ctl` of either, which finds them as they are in force.
    ground
        .gateway
        .ctl_ok(&["expose", "a", "--host", "more.example.test"]);
    ground
        .gateway
        .ctl_ok(&["expose", "b", "--host", "most.example.test"]);
    assert_eq!(ground.open("more").0.certificate(), old.der);
    assert_eq!(ground.open("most").0.certificate(), new.der);

    // At the next look it is still half a pair, and then not even a certificate.
    write("b.crt", &last.cert_pem);
    write("b.key", &last.key_pem);
    assert!(testbed::until(
        || ground.open("b").0.certificate() == last.der
    ));
    let told = ground.gateway.log();
    assert_eq!(
        told.matches("changed files cannot be used").count(),
        1,
        "{told}"
    );
    fs::remove_file(at("a.crt")).expect("a removed file");
    ground.gateway.wait_log("No such file");
    assert_eq!(ground.open("a").0.certificate(), old.der);

    write("a.crt", &new.cert_pem);
    write("a.key", &new.key_pem);
    ground.gateway.wait_log("files fit together again");
    assert_eq!(ground.open("a").0.certificate(), new.der);
    let told = ground.gateway.log();
    assert_eq!(
        told.matches("changed files cannot be used").count(),
        2,
        "{told}"
    );
    assert_eq!(
        told.matches("files fit together again").count(),
        1,
        "{told}"
    );
    assert!(
        testbed::until(|| status().get("certificate_faults").is_none()),
        "{:#}",
        status()
    );
    let told = ground.gateway.ctl_ok(&["events", "--kind", "certificate"]);
    assert!(told.contains("can be used again"), "{told}");
}

#[test]
fn a_backends_authority_is_noticed() {
    let (ca, backends, another) = (Ca::new("Gateway"), Ca::new("Backends"), Ca::new("Backends"));
    let shown = ca.leaf(&["*.example.test"]);
    let folder = testbed::scratch();
    let file = folder.path().join("backends.pem");
    fs::write(&file, another.pem()).expect("a file");
    let echo = Echo::tls(&backends.leaf(&["*.example.test"]));
    let keys = format!("tls = \"reencrypt\"\nbackend_ca = \"{}\"\n", file.display());
    let config = format!(
        "[tls]\n{}{}",
        pair(&shown.cert_path, &shown.key_path),
        database("pg1", &echo, &keys)
    );
    let ground = Ground {
        gateway: Gateway::start(&config),
        trust: Trust::new(&ca),
        echo,
        ca,
    };
    assert!(
        ground.try_open("pg1").is_err(),
        "a backend of another authority"
    );
    let events = follow(&ground.gateway);
    fs::write(&file, backends.pem()).expect("a file");
    let event = next_certificate(&events);
    assert_eq!(event["content"], "authorities", "{event}");
    assert_eq!(event["section"], "database.pg1", "{event}");
    ground.open("pg1");
}
