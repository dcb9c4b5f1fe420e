//! `dbgate probe pcap`: what became of each conversation of a capture.
//!
//! Exit codes: 0 none has failed, as far as was recorded, 1 the file cannot be read or nothing in
//! it, 2 usage, 4 some have failed: what was seen of them proves it.

mod live;
mod rows;
mod summary;
mod trace;

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use dbgate::probe::capture::conversations::Pace;
use dbgate::probe::capture::{Capture, Hints, Progress};

use crate::cli::PcapArgs;
use crate::out;
use rows::Rows;
use summary::{STRIDE, complain, conclude, exit_code};

/// Interval between two updates of the progress.
const SHOW_EVERY: Duration = Duration::from_millis(250);

pub(crate) fn run(args: &PcapArgs) -> Result<ExitCode> {
    let mut hints = Hints::default();
    for (port, protocol) in &args.ports {
        hints.set(*port, *protocol);
    }
    let live = args.file == Path::new("-");
    match (live, args.stream) {
        (true, None) => live::run(args, hints),
        (true, Some(id)) => {
            let (pipe, _stop) = live::Pipe::stdin();
            trace::run(Capture::new(pipe, hints, Pace::Whole), id, args.output)
        }
        (false, Some(id)) => {
            let capture = Capture::new(open(&args.file)?, hints, Pace::Whole);
            trace::run(capture, id, args.output)
        }
        (false, None) => whole(args, hints),
    }
}

fn open(path: &Path) -> Result<File> {
    let name = || path.display().to_string();
    let file = File::open(path).with_context(name)?;
    if file.metadata().with_context(name)?.is_dir() {
        anyhow::bail!("{}: it is a directory, not a capture", path.display());
    }
    Ok(file)
}

/// Reads all of a file, and lists its conversations, failed ones first.
fn whole(args: &PcapArgs, hints: Hints) -> Result<ExitCode> {
    let file = open(&args.file)?;
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    let mut capture = Capture::new(file, hints, Pace::Whole);
    let mut rows = Rows::new(args.only_failed);
    let mut progress = Meter::new(size);
    let outcome = loop {
        let read = capture.read(STRIDE);
        progress.show(capture.offset());
        while let Some(row) = capture.row() {
            rows.keep(row);
        }
        match read {
            Ok(Progress::End) => break Ok(()),
            Ok(Progress::More | Progress::Pause) => {}
            Err(error) => break Err(error),
        }
    };
    progress.erase();
    let unreadable = outcome.is_err();
    if let Err(error) = &outcome {
        complain(&args.file, error);
        capture.finish();
        while let Some(row) = capture.row() {
            rows.keep(row);
        }
    }
    if !(unreadable && capture.tally().packets == 0) {
        out::print(&rows.print(args.output)?)?;
        conclude(&capture, rows.left_out(), args.output)?;
    }
    Ok(exit_code(&capture, unreadable))
}

/// Progress of reading, on a terminal only.
struct Meter {
    size: u64,
    began: Instant,
    shown: Option<Instant>,
    wanted: bool,
}

impl Meter {
    fn new(size: u64) -> Self {
        Self {
            size,
            began: Instant::now(),
            shown: None,
            wanted: size > 0 && io::stderr().is_terminal(),
        }
    }

    fn show(&mut self, offset: u64) {
        let last = self.shown.unwrap_or(self.began);
        if !self.wanted || last.elapsed() < SHOW_EVERY {
            return;
        }
        self.shown = Some(Instant::now());
        let millis = self.began.elapsed().as_millis().max(1);
        let speed = u128::from(offset) / 1000 / millis;
        let percent = u128::from(offset) * 100 / u128::from(self.size.max(1));
        out::print_err(&format!(
            "\r\u{1b}[K{:>3} %  {speed} MB/s",
            percent.min(100)
        ));
    }

    fn erase(&mut self) {
        if self.shown.is_some() {
            out::print_err("\r\u{1b}[K");
        }
    }
}
