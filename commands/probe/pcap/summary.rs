//! End of a capture: its totals, its faults and the exit code.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use dbgate::probe::capture::Capture;
use dbgate::probe::capture::file::CaptureError;

use super::rows;
use crate::cli::ProbeOutput;
use crate::out;

pub(super) const SOME_FAILED: u8 = 4;

/// Packets between two updates of the progress and the rows.
pub(super) const STRIDE: usize = 4096;

pub(super) fn complain(file: &Path, error: &CaptureError) {
    let name = file.display().to_string();
    let text = error.to_string().replace("FILE", &name);
    out::complain(&format!("{name}: {text}"));
}

/// Says what all of it came to, and what is wrong with the recording.
pub(super) fn conclude<R: Read>(
    capture: &Capture<R>,
    left_out: u64,
    output: ProbeOutput,
) -> Result<()> {
    let summary = rows::summary(&capture.counts(), capture.tally());
    match output {
        ProbeOutput::Text => out::print(&summary)?,
        ProbeOutput::Json => {
            out::print(&rows::unread(capture.tally())?)?;
            out::print_err(&summary);
        }
    }
    for finding in capture.faults() {
        let rule = finding.rule;
        out::complain(&format!(
            "{}: {}. {} {}",
            rule.code, rule.summary, finding.detail, rule.remedy
        ));
    }
    if left_out > 0 {
        out::complain(&format!(
            "capture-dropped: {left_out} conversations are counted, but not listed: there are too \
             many. Filter the capture by host or port, or list only failures: --only-failed."
        ));
    }
    Ok(())
}

pub(super) fn exit_code<R: Read>(capture: &Capture<R>, unreadable: bool) -> ExitCode {
    let counts = capture.counts();
    if unreadable {
        ExitCode::from(1)
    } else if counts.failed > 0 {
        ExitCode::from(SOME_FAILED)
    } else if capture.is_unread() {
        ExitCode::from(1)
    } else {
        ExitCode::SUCCESS
    }
}
