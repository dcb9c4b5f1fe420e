//! Not ready while nobody is accepted; ready again by itself.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{METRICS, address, get};
use crate::gateway::Gateway;
use crate::raw::is_accepted;
use crate::testbed::{self, TIMEOUT};

const DESCRIPTORS: usize = 64;
const WORDS: &str = "cannot accept clients";

/// The answer of `/readyz` while clients hold every descriptor that the gateway has.
fn asked_without_descriptors(gateway: &Gateway) -> String {
    let told = || gateway.log().matches(WORDS).count();
    let clients_to = gateway.addr("main");
    // Whoever asks needs a descriptor, so the connection is there before.
    let mut late = TcpStream::connect(address(gateway)).expect("a connection");
    late.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    assert!(testbed::until(|| is_accepted(&late)));
    let (before, mut idle) = (told(), Vec::new());
    while told() == before {
        assert!(
            idle.len() < DESCRIPTORS,
            "it accepts more clients than it may"
        );
        let client = TcpStream::connect(clients_to).expect("a connection");
        let noticed = testbed::until(|| is_accepted(&client) || told() > before);
        assert!(noticed, "client {}\n{}", idle.len(), gateway.log());
        idle.push(client);
    }
    let mut answer = String::new();
    // The gateway's timeout for a request may have passed on a machine that was stalled: no answer.
    let _ = late.write_all(b"GET /readyz HTTP/1.1\r\nHost: gate\r\n\r\n");
    let _ = late.read_to_string(&mut answer);
    answer
}

#[test]
fn a_gateway_without_descriptors_is_not_ready_until_it_has_some() {
    let config =
        format!("{METRICS}[limits]\nmax_sessions = 1000\n[timeouts]\nhandshake = \"60s\"\n");
    let limit = format!("--nofile={DESCRIPTORS}:{DESCRIPTORS}");
    let gateway = Gateway::start_single(&config, &["prlimit", &limit]);
    let to = address(&gateway);
    assert!(get(to, "/readyz").starts_with("HTTP/1.1 200"));
    let mut answer = String::new();
    let seen = testbed::until(|| {
        answer = asked_without_descriptors(&gateway);
        answer.starts_with("HTTP/1.1 503") && answer.ends_with("no listener accepts clients\n")
    });
    assert!(seen, "{answer}\n{}", gateway.log());
    // All have left. Nobody new comes: balancers send nobody to a gateway that is not ready.
    let ready = testbed::until(|| get(to, "/readyz").starts_with("HTTP/1.1 200"));
    assert!(ready, "{}\n{}", get(to, "/readyz"), gateway.log());
}
