//! The gateway between real clients and real servers.
//!
//! One binary, a module a theme; `testbed`, `certs`, `servers`, `clients`, `streams`,
//! `raw` and `gateway` are the ground they stand on. Run it by `tests/run`.

mod certs;
mod clients;
mod gateway;
mod raw;
mod servers;
mod streams;
mod testbed;

mod direct;
mod idle;
mod live;
mod policy;
mod reach;
mod refuse;
mod restart;
mod stall;
mod wire;
