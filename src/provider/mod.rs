//! Where declarations come from besides the configuration file: so far, what `ctl` left on disk.
//!
//! Not here: laying them over the configuration ([`crate::route::overlay`]).

mod disk;
mod journal;
pub mod state;
