//! Sockets: listening, reading ahead, dialling, relaying, and closing so that the last byte
//! arrives.
//!
//! Not here: the meaning of the bytes.

mod allowance;
pub mod buffered;
pub mod cork;
pub mod descriptors;
pub mod dial;
pub mod hangup;
pub mod held;
pub mod http;
pub mod linger;
pub mod listen;
pub mod pump;
pub mod relay;
pub mod resolve;
pub mod socket_options;
mod splice;
pub mod stream;
pub mod zone;

pub use allowance::ReadAllowance;
pub use buffered::Buffered;
pub use stream::Stream;
