//! `dbgate probe` and `dbgate cert` against real servers and real clients.
//!
//! One binary, a module a theme; what lies in `tests/ground` is the ground they stand on, and `ground`
//! tests that. Run it by `tests/run --test probe`.

#[path = "../ground/capture.rs"]
mod capture;
// The ground serves two binaries, and neither uses all of it.
#[allow(dead_code, reason = "some certificates are for tests/gateway only")]
#[path = "../ground/certs.rs"]
mod certs;
#[allow(dead_code, reason = "some clients are for tests/gateway only")]
#[path = "../ground/clients/mod.rs"]
mod clients;
#[allow(dead_code, reason = "most of it is for tests/gateway only")]
#[path = "../ground/gateway.rs"]
mod gateway;
#[allow(
    dead_code,
    unused_imports,
    reason = "some servers are for tests/gateway only"
)]
#[path = "../ground/servers/mod.rs"]
mod servers;
#[allow(dead_code, reason = "some of it is for tests/gateway only")]
#[path = "../ground/testbed.rs"]
mod testbed;

mod cert;
mod drills;
mod ground;
mod listen;
