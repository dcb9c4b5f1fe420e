//! The `dbgate` command: parses the command line and calls the library.
//!
//! Exit codes are part of the interface; each subcommand documents its own.

mod cli;
mod completions;
mod ctl;
mod serve;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let result = match command {
        Command::Serve(args) => serve::run(args),
        Command::Ctl(args) => ctl::run(args),
        Command::Completions(args) => completions::completions(&args),
        Command::Man(args) => completions::man(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("dbgate: {error:#}");
        ExitCode::from(1)
    })
}
