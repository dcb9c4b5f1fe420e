//! What a protocol says before TLS starts, as bytes in and decisions out.
//!
//! A preface has two halves. The *Responder* faces a client: it reads what the client sends
//! first, and says what to answer and when TLS begins. The *Initiator* faces a backend: it sends
//! the same request and judges the answer. Neither does I/O nor knows the time; whoever calls
//! them owns the socket, the buffer and the deadline.
//!
//! Protocols that start with TLS at byte 0 (Redis, Mongo, Postgres with `sslnegotiation=direct`)
//! have no preface; of Redis and MongoDB it is known here how a client introduces itself.

pub mod mongodb;
pub mod mysql;
pub mod postgres;
pub mod redis;
pub mod sniff;

pub use postgres::{PrefaceError, Responder, Step};
