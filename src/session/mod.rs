//! One client connection from accept to close.

pub mod accept;
pub mod admission;
mod connect;
mod refuse;
mod run;
mod upgrade;

pub use refuse::Refusal;
