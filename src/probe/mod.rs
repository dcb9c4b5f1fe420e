//! Diagnosis of connections: why a client does or does not reach a database through TLS.
//!
//! Three sources, one diagnosis. `active` connects, `listen` accepts a client, and `capture` reads
//! a recording; each of them fills an [`Exchange`]: the bytes of both ends, with their times.
//! [`dissection::dissect`] finds out what they are, [`diagnose`] what they mean, and a [`Report`]
//! holds both for people and programs. Every text about a cause is a [`Rule`].
//!
//! Not here: printing, exit codes, and decrypting anything.

pub mod active;
pub mod capture;
pub mod diagnose;
pub mod dissection;
pub mod exchange;
pub mod listen;
pub mod report;
pub mod rules;
pub mod tap;

pub use dissection::Dissection;
pub use exchange::{Exchange, Flow, Side, StreamEnd};
pub use report::{Finding, Report, Verdict};
pub use rules::{Rule, Severity, Stage};
