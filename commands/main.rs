//! The `dbgate` command: parses the command line and calls the library.
//!
//! Exit codes are part of the interface; each subcommand documents its own.

mod cert;
mod cli;
mod completions;
mod ctl;
mod failure;
mod interrupt;
mod out;
mod probe;
mod serve;
mod socket;
mod table;
mod top;
mod usage;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    if let Some(code) = completions::live() {
        return code;
    }
    let words: Vec<_> = std::env::args_os().collect();
    let command = match Cli::try_parse_from(&words) {
        Ok(Cli { command }) => command,
        Err(error) => return usage::report(error, &words),
    };
    let result = match command {
        Command::Serve(args) => serve::run(args),
        Command::Ctl(args) => Ok(ctl::run(*args)),
        Command::Probe(args) => probe::run(*args),
        Command::Cert(args) => Ok(cert::run(args)),
        Command::Top(args) => Ok(top::run(&args)),
        Command::Completions(args) => completions::completions(&args),
        Command::Man(args) => completions::man(&args),
    };
    result.unwrap_or_else(|error| {
        out::complain(&with_causes(&error));
        ExitCode::from(1)
    })
}

/// An error with its causes, leaving out those that it quotes itself.
fn with_causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
