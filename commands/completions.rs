//! `dbgate completions` and `dbgate man`: what packages install, made from the command line's own
//! description.
//!
//! What these write is checked in under `completions/`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::out;

/// Prints the completions of one shell.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "dbgate", &mut script);
    out::print(&String::from_utf8_lossy(&script)).context("cannot write the completions")?;
    Ok(ExitCode::SUCCESS)
}

/// Writes one man page for each command.
pub(crate) fn man(args: &ManArgs) -> Result<ExitCode> {
    std::fs::create_dir_all(&args.dir)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &args.dir))
        .with_context(|| format!("cannot write man pages to {}", args.dir.display()))?;
    Ok(ExitCode::SUCCESS)
}
