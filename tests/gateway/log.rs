//! The access log: its places, hostile clients, and that it never holds up a session.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::fs::OFlags;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::certs::Ca;
use crate::gateway::Gateway;
use crate::metrics::scan::scan;
use crate::raw::{Hello, put, rest};
use crate::streams::{Echo, Line, StopAtEnd, Trust};
use crate::testbed::{self, TIMEOUT};

/// A gateway with the database `a`, which echoes.
struct Ground {
    gateway: Gateway,
    trust: Trust,
}

impl Ground {
    /// With these lines in the section `[log]`.
    fn new(log: &str) -> Self {
        let ca = Ca::new("Echo");
        let echo = Echo::tls(&ca.leaf(&["*.example.test"]));
        let gateway = Gateway::start(&format!(
            "[log]\n{log}\n[database.a]\nprotocol = \"tls\"\nbackends = [\"{}\"]\nhosts = [\"a.example.test\"]\n",
            echo.addr()
        ));
        Self {
            gateway,
            trust: Trust::new(&ca),
        }
    }

    /// A session that lives as long as one message.
    fn session(&self) {
        let to = self.gateway.addr("main");
        let line = Line::open(to, "a.example.test", &self.trust).expect("a session");
        line.finish().expect("its end");
    }
}

/// The whole lines of a file in JSON.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    text.lines().map(parse).collect()
}

#[test]
fn rotated_files_hold_each_session_once() {
    let folder = testbed::scratch();
    let path = folder.path().join("access.log");
    let ground = Ground::new(&format!(
        "format = \"json\"\naccess_to = \"{}\"",
        path.display()
    ));
    let old = |n: u32| folder.path().join(format!("access.log.{n}"));
    let stop = AtomicBool::new(false);
    let sessions: usize = thread::scope(|scope| {
        let stopping = StopAtEnd(&stop);
        let work = || {
            let mut sessions = 0;
            while !stop.load(Ordering::Relaxed) {
                ground.session();
                sessions += 1;
            }
            sessions
        };
        let workers = [scope.spawn(work), scope.spawn(work)];
        for n in 0..10 {
            assert!(testbed::until(|| !lines(&path).is_empty()), "{n}");
            fs::rename(&path, old(n)).expect("rotation");
            if n % 2 == 0 {
                ground.gateway.signal(Signal::HUP);
            } else {
                ground.gateway.call("reload", &json!({}));
            }
            assert!(testbed::until(|| path.exists()), "{n}: no new file");
        }
        drop(stopping);
        workers.map(|w| w.join().expect("a client")).iter().sum()
    });
    let all = || -> Vec<Value> {
        let files = (0..10).map(old).chain([path.clone()]);
        files.flat_map(|file| lines(&file)).collect()
    };
    assert!(
        testbed::until(|| all().len() >= sessions),
        "{} lines of {sessions} sessions",
        all().len()
    );
    let ids: BTreeSet<u64> = all().iter().filter_map(|l| l["id"].as_u64()).collect();
    assert_eq!((all().len(), ids.len()), (sessions, sessions));
    let mode = fs::metadata(&path).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(ground.gateway.access(), Vec::<Value>::new());
}

#[test]
fn a_place_that_cannot_be_opened_is_told_and_changes_nothing() {
    let ground = Ground::new("format = \"json\"");
    let config = fs::read_to_string(ground.gateway.path("dbgate.toml")).expect("the file");
    let elsewhere = "format = \"json\"\naccess_to = \"/nowhere/access.log\"";
    let config = config.replace("format = \"json\"", elsewhere);
    ground.gateway.configure(&config);
    let told = ground.gateway.try_call("reload", &json!({})).unwrap_err();
    let told = told.to_string();
    assert!(told.contains("access log /nowhere/access.log: "), "{told}");
    ground.session();
    ground.gateway.wait_access(|line| line["database"] == "a");

    let mut gateway = ground.gateway;
    gateway.crash();
    let said = gateway.refuses_to_start();
    assert!(said.contains("access log /nowhere/access.log: "), "{said}");
    assert!(said.contains("access_to names another place"), "{said}");
}

#[test]
fn the_journal_gets_the_fields_of_each_session() {
    let folder = testbed::scratch();
    let path = folder.path().join("journal");
    let journal = UnixDatagram::bind(&path).expect("a socket");
    journal.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    let ground = Ground::new(&format!(
        "access_to = \"journal\"\njournal_socket = \"{}\"",
        path.display()
    ));
    let next = || {
        let mut datagram = vec![0; 64 * 1024];
        let n = journal.recv(&mut datagram).expect("an entry");
        datagram.truncate(n);
        String::from_utf8(datagram).expect("text")
    };
    ground.session();
    let entry = next();
    let field = |name: &str| -> String {
        let mut lines = entry.lines().filter_map(|l| l.split_once('='));
        let found = lines.find(|(key, _)| *key == name);
        found
            .unwrap_or_else(|| panic!("no {name}: {entry}"))
            .1
            .to_owned()
    };
    assert_eq!(field("SYSLOG_IDENTIFIER"), "dbgate");
    assert_eq!(field("PRIORITY"), "6");
    assert_eq!(field("DBGATE_DATABASE"), "a");
    assert_eq!(field("DBGATE_SNI"), "a.example.test");
    assert!(field("DBGATE_BYTES_IN").parse::<u64>().is_ok_and(|n| n > 0));
    assert!(field("MESSAGE").contains(" database=a "), "{entry}");
    let reason = field("DBGATE_REASON");
    assert!(reason.ends_with("_closed"), "{reason}");

    let mut client = ground.gateway.connect();
    put(
        &mut client,
        &Hello::to(b"x\nDBGATE_DATABASE=a\nPRIORITY=0").bytes(),
    );
    rest(&mut client);
    let entry = next();
    assert!(entry.contains("\nDBGATE_REASON=invalid_sni\n"), "{entry}");
    assert!(entry.contains("\nDBGATE_SNI=x\\x0a"), "{entry}");
    assert!(!entry.contains("\nDBGATE_DATABASE="), "{entry}");

    // The journal is restarted.
    drop(journal);
    fs::remove_file(&path).expect("the socket");
    let journal = UnixDatagram::bind(&path).expect("a socket");
    journal.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    ground.session();
    assert!(journal.recv(&mut [0; 1024]).expect("an entry") > 0);
}

/// Names and protocols that would be lines or fields of their own if they could.
const HOSTILE: [&str; 6] = [
    "a\nts=2026-01-01T00:00:00.000Z id=1 database=a",
    "a\r\n{\"id\":1,\"database\":\"a\"}",
    "\",\"database\":\"a",
    "x\" database=a y=\"",
    "\u{1b}]0;title\u{7}\u{1b}[2J\u{1b}[31m",
    "a\0b\u{202e}\u{2028}",
];

#[test]
fn hostile_hellos_forge_neither_lines_nor_fields() {
    for format in ["text", "json"] {
        let ground = Ground::new(&format!("format = \"{format}\""));
        for hostile in HOSTILE {
            let mut client = ground.gateway.connect();
            put(&mut client, &Hello::to(hostile).alpn(hostile).bytes());
            rest(&mut client);
        }
        let log = || fs::read_to_string(ground.gateway.path("access.log")).unwrap_or_default();
        assert!(testbed::until(|| log().lines().count() >= HOSTILE.len()));
        let log = log();
        assert_eq!(log.lines().count(), HOSTILE.len(), "{log}");
        assert!(
            log.bytes().all(|b| b == b'\n' || (0x20..0x7f).contains(&b)),
            "{log:?}"
        );
        for line in log.lines() {
            let told = if format == "text" {
                line.contains(" tls_version=- user_cert=- database=- backend=- ")
            } else {
                let json: Value = serde_json::from_str(line).expect("JSON");
                json["database"].is_null()
            };
            assert!(told, "{line}");
            assert!(line.contains("invalid_sni"), "{line}");
        }
    }
}

/// More than the queue, a pipe and what is being written hold together.
const MANY: usize = 18_000;

#[test]
fn a_stuck_reader_stalls_no_session_and_what_is_lost_is_told() {
    let folder = testbed::scratch();
    let path = folder.path().join("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)
        .expect("a pipe");
    let mut reader = File::options()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(&path)
        .expect("a reader");
    let ground = Ground::new(&format!(
        "format = \"json\"\naccess_to = \"{}\"",
        path.display()
    ));
    let lost = || {
        let status = ground.gateway.call("status", &json!({}));
        status["log_lines_lost"].as_u64().expect("a number")
    };
    scan(&ground.gateway, 0, MANY);
    assert!(testbed::until(|| lost() > 0), "nothing is lost");
    ground.session();
    ground
        .gateway
        .wait_log("nobody takes the lines of the access log");

    // Once somebody reads, everything that was not lost comes, and whole.
    let mut text = Vec::new();
    let all = testbed::until(|| {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = reader.read(&mut buffer) {
            text.extend_from_slice(&buffer[..n]);
        }
        let count = text.split(|b| *b == b'\n').count() - 1;
        text.ends_with(b"\n") && count as u64 + lost() == MANY as u64 + 1
    });
    assert!(all, "{} bytes came, {} lines are lost", text.len(), lost());
    let text = String::from_utf8(text).expect("text");
    for line in text.lines() {
        let json: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(json["id"].is_u64(), "{line}");
    }
    ground
        .gateway
        .wait_log("the lines of the access log are taken again");
}
