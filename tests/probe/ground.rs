//! The ground that only the diagnostics stand on, without `dbgate`: servers that misbehave on purpose
//! do so, clients that are refused tell everything they know, certificates are wrong as they say.
//!
//! When a test fails here, the fault is not dbgate's. What the gateway's tests stand on too is tested
//! in `tests/gateway/direct.rs`.

mod certs;
mod clients;
mod servers;
