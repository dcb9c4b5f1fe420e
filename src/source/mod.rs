//! Where declarations come from besides the configuration file: so far, what `ctl` left on disk.
//!
//! Not here: laying them over the configuration ([`crate::route::runtime`]).

mod disk;
mod journal;
pub mod state_dir;
