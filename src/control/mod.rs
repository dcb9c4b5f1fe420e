//! The control socket: one JSON object a line in both directions, over a Unix socket.
//!
//! `ctl` and everything else that steers a running gateway speak it; it works by hand with
//! `socat - UNIX-CONNECT:/run/dbgate/control.sock` as well.

pub mod answer;
pub mod caller;
pub mod client;
pub mod controller;
mod disk_thread;
pub mod error;
mod events;
mod explain;
pub mod params;
mod readers;
mod reads;
pub mod request;
pub mod server;
pub mod socket;
mod undo;
pub mod watch;
