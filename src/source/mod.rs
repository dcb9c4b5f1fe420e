//! Sources of routes besides the configuration file: so far, what `ctl` left on disk.
//!
//! Not here: which source wins ([`crate::route`]).

mod journal;
pub mod state_dir;
mod syscalls;
