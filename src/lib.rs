//! dbgate: one public address in front of hundreds of databases, each reached by its own name.
//!
//! The library is everything but the command line: it routes raw TCP by the name in the TLS
//! handshake, also where a protocol starts TLS in its own way. It prints nothing and parses no
//! queries.
//!
//! The way of a session, and the files that tell it:
//!
//! ```text
//! accept ─▶ handshake ─▶ route ─▶ upgrade ─▶ connect ─▶ relay ─▶ close
//! session/  handshake.rs  route/    session/   session/   net/     stats/
//! accept.rs preface/ tls/ decide.rs upgrade.rs connect.rs relay.rs close.rs
//! ```
//!
//! Imports go down only: bytes ([`wire`], [`preface`], [`tls`]), domain ([`route`], [`upstream`]),
//! I/O ([`net`], [`handshake`], [`session`]), services ([`control`], [`process`]).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::print_stdout,
        clippy::print_stderr
    )
)]

pub mod access_log;
pub mod admission;
pub mod author;
pub mod cert;
pub mod config;
pub mod control;
pub mod duration;
pub mod file;
pub mod gateway;
pub mod handshake;
pub mod health;
pub mod held_clients;
pub mod histogram;
pub mod json;
pub mod listeners;
pub mod metrics;
pub mod net;
pub mod one_or_many;
pub mod per_ip;
pub mod preface;
pub mod probe;
pub mod process;
pub mod protocol;
pub mod proxy_protocol;
pub mod rate;
pub mod reload;
pub mod renewal;
pub mod route;
pub mod service;
pub mod session;
pub mod sessions;
pub mod similar;
pub mod source;
pub mod sparse;
pub mod stats;
mod text;
pub mod tls;
pub mod traffic;
pub mod upstream;
pub mod wire;
