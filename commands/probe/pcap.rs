//! `dbgate probe pcap`: what became of each conversation of a capture.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::cli::PcapArgs;

pub(crate) fn run(_args: PcapArgs) -> Result<ExitCode> {
    bail!("probe pcap is not part of this build")
}
