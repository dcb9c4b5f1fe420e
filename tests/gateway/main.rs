//! The gateway between real clients and real servers.
//!
//! One binary, a module a theme; what lies in `tests/ground`, `streams` and `raw` are the ground they
//! stand on. Run it by `tests/run`.

// The ground serves two binaries, and neither uses all of it.
#[allow(dead_code, reason = "some certificates are for tests/probe only")]
#[path = "../ground/certs.rs"]
mod certs;
#[allow(dead_code, reason = "some clients are for tests/probe only")]
#[path = "../ground/clients/mod.rs"]
mod clients;
#[path = "../ground/gateway.rs"]
mod gateway;
#[allow(
    dead_code,
    unused_imports,
    reason = "some servers are for tests/probe only"
)]
#[path = "../ground/servers/mod.rs"]
mod servers;
#[allow(dead_code, reason = "some of it is for tests/probe only")]
#[path = "../ground/testbed.rs"]
mod testbed;

mod raw;
mod streams;

mod direct;
mod enforce;
mod failover;
mod health;
mod hold;
mod hostile;
mod idle;
mod last_words;
mod live;
mod log;
mod metrics;
mod networks;
mod policy;
mod proxied;
mod rate;
mod reach;
mod refuse;
mod restart;
mod send_proxy;
mod stall;
mod wire;
