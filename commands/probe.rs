//! `dbgate probe`: why a client does or does not reach a database.
//!
//! Exit codes of `probe URL`: 0 TLS is up and the certificate trusted, 1 TLS is up but something is
//! wrong, 2 usage, 3 cannot resolve or connect, 4 no usable handshake. The other commands document
//! their own.

mod exit_code;
mod explain;
mod listen;
mod pcap;
mod print;
mod repeat;
mod url;

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::{ProbeArgs, ProbeCommand};

pub(crate) fn run(args: ProbeArgs) -> Result<ExitCode> {
    match args.command {
        None => url::run(&args.url),
        Some(ProbeCommand::Listen(args)) => listen::run(args),
        Some(ProbeCommand::Pcap(args)) => pcap::run(&args),
        Some(ProbeCommand::Explain { code }) => explain::run(code.as_deref()),
    }
}
