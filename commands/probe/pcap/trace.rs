//! One conversation, packet by packet.

use std::fmt::Write as _;
use std::io::Read;
use std::process::ExitCode;

use anyhow::Result;
use dbgate::probe::capture::trace::Trace;
use dbgate::probe::capture::{Capture, Progress};

use super::summary::{SOME_FAILED, STRIDE};
use crate::cli::ProbeOutput;
use crate::out;
use crate::probe::exit_code::USAGE;
use crate::probe::print;
use crate::table::escape;

pub(super) fn run<R: Read>(capture: Capture<R>, id: u64, output: ProbeOutput) -> Result<ExitCode> {
    let mut capture = capture.tracing(id);
    while capture.read(STRIDE)? != Progress::End {
        while capture.row().is_some() {}
    }
    let Some(trace) = capture.trace() else {
        let told = capture.counts().told;
        out::complain(&format!("no conversation {id}: the capture has {told}"));
        return Ok(ExitCode::from(USAGE));
    };
    match output {
        ProbeOutput::Json => out::print(&(serde_json::to_string(&trace)? + "\n"))?,
        ProbeOutput::Text => out::print(&text(&trace))?,
    }
    Ok(if trace.report.has_failed() {
        ExitCode::from(SOME_FAILED)
    } else {
        ExitCode::SUCCESS
    })
}

fn text(trace: &Trace) -> String {
    let end = |end: &Option<String>| end.clone().unwrap_or_else(|| "?".to_owned());
    let mut text = format!(
        "{} -> {}, first packet {}\n\n",
        end(&trace.report.client),
        end(&trace.report.server),
        end(&trace.report.time)
    );
    for packet in &trace.packets {
        let done = packet.done.join("; ");
        let line = format!(
            "{:>12.3} ms  {:6}  {:18}  {done}",
            packet.ms, packet.from, packet.tcp
        );
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", escape(line.trim_end()));
    }
    if trace.more_packets > 0 {
        let _ = writeln!(
            text,
            "              and {} more packets",
            trace.more_packets
        );
    }
    text.push('\n');
    text + &print::report(&trace.report, print::colours())
}
