//! Captures: the recorded conversations of real clients, in every shape a capture can have, and
//! what `dbgate probe pcap` says about them.
//!
//! No server and no client is needed: the traffic is in `tests/data/captures`, with its origin.

mod expected;
mod live;
mod lossy;
mod same_row;
mod shapes;
mod truncated;
mod tunnels;
mod unreadable;
mod write;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dbgate::probe::Report;
use dbgate::probe::capture::conversations::Pace;
use dbgate::probe::capture::file::{Next, Packets};
use dbgate::probe::capture::{Capture, Hints, Progress};
use serde_json::Value;

/// The directory of the captures.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/captures")
}

/// Every capture: its name and its bytes.
fn captures() -> Vec<(String, Vec<u8>)> {
    let mut captures: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let extension = path.extension().unwrap_or_default();
            extension == "pcap" || extension == "pcapng"
        })
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(&path).unwrap())
        })
        .collect();
    captures.sort();
    assert_eq!(captures.len(), 12, "every capture is there");
    captures
}

/// The report of the library on a capture, and whether something was wrong with the file.
fn read(bytes: &[u8]) -> (Vec<Report>, Vec<&'static str>) {
    let mut capture = Capture::new(bytes, Hints::default(), Pace::Whole);
    while capture.read(1000).expect("a capture") != Progress::End {}
    let rows = std::iter::from_fn(|| capture.row()).collect();
    let faults = capture.faults().iter().map(|f| f.rule.code).collect();
    (rows, faults)
}

/// The packets of a capture, without what was below IP: time in nanoseconds, and bytes.
fn ip_packets(bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut packets = Packets::new(bytes);
    let mut found = Vec::new();
    loop {
        match packets.read().expect("a capture") {
            Next::Packet(packet) => {
                let below = match packet.link {
                    1 => 14,
                    276 => 20,
                    other => panic!("link type {other}"),
                };
                assert_eq!(packet.original, packet.data.len(), "a whole packet");
                found.push((packet.at, packet.data[below..].to_vec()));
            }
            Next::Pause => panic!("a slice does not block"),
            Next::End(_) => return found,
        }
    }
}

/// The output of the command.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    /// The rows of JSON output.
    #[track_caller]
    fn rows(&self) -> Vec<Value> {
        let row = |line: &str| serde_json::from_str(line).expect(line);
        self.out.lines().map(row).collect()
    }
}

/// `dbgate probe pcap` with these arguments, without standard input.
fn pcap(args: &[&str]) -> Ran {
    let output = command(args).stdin(Stdio::null()).output().unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dbgate"));
    command.args(["probe", "pcap"]).args(args);
    command
}
