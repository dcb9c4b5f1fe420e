//! A scanner that tries a hundred thousand names: what is kept of it does not grow with it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use serde_json::json;

use super::{METRICS, Scrape};
use crate::certs::Ca;
use crate::gateway::Gateway;
use crate::streams::Trust;
use crate::testbed::TIMEOUT;

const NAMES: usize = 100_000;

/// Scanners at a time; below `limits.max_handshakes_per_ip`.
const SCANNERS: usize = 32;

/// Far above what the last rejects, buffers and the allocator's leftovers take, and far below what
/// 100,000 records would.
const GROWTH_KB: u64 = 32 * 1024;

/// The digits of a name in the template, which each hello replaces.
const DIGITS: &str = "0000000000";

/// A hello for the name `DIGITS.example.test`, and where the digits stand.
fn template() -> (Vec<u8>, usize) {
    let mut hello = Vec::new();
    let trust = Trust::new(&Ca::new("Scanner"));
    trust.hello(&format!("{DIGITS}.example.test"), &mut hello);
    let found = hello
        .windows(DIGITS.len())
        .position(|w| w == DIGITS.as_bytes());
    (hello, found.expect("the name in the hello"))
}

/// Resident memory of a process, in KiB. Source: proc(5), `VmRSS`.
pub(super) fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.expect("a number").parse().expect("a number")
}

/// Asks a gateway for each of these names, and is turned away each time.
pub(crate) fn scan(gateway: &Gateway, from: usize, to: usize) {
    let addr = gateway.addr("main");
    let (hello, at) = template();
    thread::scope(|scope| {
        for scanner in 0..SCANNERS {
            let mut hello = hello.clone();
            scope.spawn(move || {
                for number in (from + scanner..to).step_by(SCANNERS) {
                    let digits = format!("{number:010}");
                    hello[at..at + digits.len()].copy_from_slice(digits.as_bytes());
                    let mut stream = TcpStream::connect(addr).expect("a connection");
                    stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
                    stream.write_all(&hello).expect("a hello");
                    let mut answer = Vec::new();
                    stream.read_to_end(&mut answer).expect("an alert");
                    // TLS record of an alert: fatal, unrecognized_name. RFC 8446, section 6.
                    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 112], "{number}");
                }
            });
        }
    });
}

#[test]
fn a_hundred_thousand_names_cost_what_some_thousands_do() {
    let gateway = Gateway::start(METRICS);
    // What is kept of rejects is full after the first thousand.
    scan(&gateway, 0, NAMES / 20);
    let (series, before) = (Scrape::of(&gateway).0.len(), memory(gateway.pid()));
    scan(&gateway, NAMES / 20, NAMES);

    let count = |scrape: &Scrape| {
        scrape.value("dbgate_rejects_total{listener=\"main\",reason=\"unknown_host\"}")
    };
    let mut scrape = Scrape::of(&gateway);
    crate::testbed::until(|| {
        scrape = Scrape::of(&gateway);
        count(&scrape) >= NAMES as u64
    });
    assert_eq!(count(&scrape), NAMES as u64);
    assert_eq!(scrape.0.len(), series, "{:#?}", scrape.0.keys());
    assert_eq!(scrape.about("example.test"), Vec::<&String>::new());
    let kept = gateway.call("rejects", &json!({}))["rejects"].clone();
    assert_eq!(kept.as_array().map(Vec::len), Some(1000));
    let grown = memory(gateway.pid()).saturating_sub(before);
    assert!(grown < GROWTH_KB, "from {before} KiB by {grown} KiB");
}
