//! The gateway between real clients and real servers.
//!
//! One binary, a module a theme; `testbed`, `certs`, `servers`, `clients` and `gateway` are the
//! ground they stand on. Run it by `tests/run`.

mod certs;
mod clients;
mod gateway;
mod servers;
mod testbed;

mod direct;
mod reach;
