//! `dbgate probe listen`: what a client really sends.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::cli::ListenArgs;

pub(crate) fn run(_args: ListenArgs) -> Result<ExitCode> {
    bail!("probe listen is not part of this build")
}
