//! One client connection from accept to close.

pub mod accept;
mod answer;
mod choose;
mod connect;
mod facts;
mod greet;
mod refuse;
mod run;
mod upgrade;

pub use refuse::Refusal;
