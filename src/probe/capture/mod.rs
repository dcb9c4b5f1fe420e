//! What a recording of packets tells: from a file to one report for each conversation.
//!
//! [`file`] gives packets, [`link`] the TCP segments in them, `reassembly` what each side said,
//! and `conversations` a [`super::Report`] for each pair of ends. Every step is bounded
//! in memory, whatever the file holds. Not here: printing, and what the bytes mean
//! ([`super::facts`], [`super::diagnose`]).

pub mod file;
mod foreign;
pub mod link;
