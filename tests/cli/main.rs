//! The command line as its users meet it: the real binary, a real `dbgate serve` in a directory
//! of its own on a port of its own, and what both say.
//!
//! Not here: databases and their clients (`tests/gateway`).

mod answers;
mod author;
mod cert;
mod changes;
mod diff;
mod errors;
mod files;
mod gate;
mod keys;
mod life;
mod looks;
mod planted;
mod probe;
mod readers;
mod service;
mod serving;
mod sessions;
mod shells;
mod sockets;
mod terminal;
mod top;
mod unreachable;
mod user;
mod watch;
