//! Diagnosis: why a client does or does not reach a database through TLS, and what to do about it.
//!
//! Three ways to look, one way to judge. `active` dials, `listen` lets a client dial, and
//! `capture` reads what was recorded; each of them fills an [`Exchange`]: what both ends said,
//! byte for byte, and when. [`dissection::dissect`] tells what that was, [`diagnose`] what it means, and a
//! [`Report`] carries both to people and programs. Every sentence about a cause is a [`Rule`].
//!
//! Not here: printing, exit codes, and decrypting anything.

pub mod active;
pub mod capture;
pub mod diagnose;
pub mod dissection;
pub mod exchange;
mod hint;
pub mod listen;
pub mod report;
pub mod rules;
pub mod tap;

pub use dissection::Dissection;
pub use exchange::{Exchange, Flow, Side, StreamEnd};
pub use hint::Hint;
pub use report::{Finding, Report, Verdict};
pub use rules::{Rule, RuleStage, Severity};
