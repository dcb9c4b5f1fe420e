//! Standard input: rows appear while the capture is still being written.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{captures, command};

/// Most time for a program that does what it should.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Kills what a failed test leaves behind.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let child = command(args)
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn write(&mut self, bytes: &[u8]) {
        let input = self.0.stdin.as_mut().unwrap();
        input.write_all(bytes).unwrap();
        input.flush().unwrap();
    }

    /// Waits until it has taken all that was written.
    fn wait_read(&self) {
        let input = self.0.stdin.as_ref().unwrap();
        let began = Instant::now();
        while rustix::io::ioctl_fionread(input).unwrap() > 0 {
            assert!(began.elapsed() < TIMEOUT, "it does not read");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        let out = BufReader::new(self.0.stdout.take().unwrap());
        out.lines().map(Result::unwrap)
    }

    fn err(&mut self) -> String {
        let mut text = String::new();
        let mut err = self.0.stderr.take().unwrap();
        err.read_to_string(&mut text).unwrap();
        text
    }
}

fn capture(name: &str) -> Vec<u8> {
    let found = captures().into_iter().find(|(other, _)| other == name);
    found.unwrap().1
}

#[test]
fn a_row_appears_before_the_end_of_the_input() {
    let first = capture("pg-unknown-ca.pcap");
    let second = capture("redis-cli-sni.pcap");
    let mut running = Running::start(&["-o", "json"]);
    let mut lines = running.lines();
    let row = |line: Option<String>| -> Value { serde_json::from_str(&line.unwrap()).unwrap() };

    running.write(&first);
    let row_1 = row(lines.next());
    assert_eq!(row_1["code"], "client-unknown-ca", "{row_1:#}");
    // The same link type and byte order, so its records go on without a header of their own.
    running.write(&second[24..]);
    let row_2 = row(lines.next());
    assert_eq!(row_2["sni"], "my-redis.example", "{row_2:#}");
    assert_eq!((&row_1["id"], &row_2["id"]), (&1.into(), &2.into()));

    drop(running.0.stdin.take());
    assert_eq!(lines.next(), None);
    assert_eq!(
        running.0.wait().unwrap().code(),
        Some(4),
        "{}",
        running.err()
    );
}

#[test]
fn a_connection_that_stays_open_is_told_once_tls_stands() {
    let bytes = capture("pg-direct-libpq18.pcap");
    let mut running = Running::start(&["-o", "json"]);
    let mut lines = running.lines();
    // Without the last packets, in which both ends hang up.
    running.write(&bytes[..bytes.len() - 400]);
    let row: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    assert_eq!(
        (&row["established"], &row["code"]),
        (&true.into(), &"ok".into()),
        "{row:#}"
    );
    drop(running.0.stdin.take());
    assert_eq!(lines.next(), None);
    assert_eq!(
        running.0.wait().unwrap().code(),
        Some(0),
        "{}",
        running.err()
    );
}

#[test]
fn an_interrupt_tells_what_is_known() {
    let first = capture("pg-unknown-ca.pcap");
    let open = capture("pg-starttls-psql15.pcap");
    let mut running = Running::start(&[]);
    let mut lines = running.lines();
    running.write(&first);
    let header = lines.next().unwrap();
    assert!(header.starts_with("ID "), "{header}");
    let row = lines.next().unwrap();
    assert!(row.contains("client-unknown-ca"), "{row}");
    running.write(&open[24..900]);
    running.wait_read();
    let id = i32::try_from(running.0.id()).unwrap();
    kill_process(Pid::from_raw(id).unwrap(), Signal::INT).unwrap();
    let rest: Vec<String> = lines.collect();
    let [row, summary] = &rest[..] else {
        panic!("{rest:?} {}", running.err());
    };
    assert!(row.contains("capture-still-open"), "{row}");
    assert!(
        summary.starts_with("2 conversations, 0 established"),
        "{summary}"
    );
    assert_eq!(
        running.0.wait().unwrap().code(),
        Some(4),
        "{}",
        running.err()
    );
}

#[test]
fn a_reader_that_leaves_ends_it() {
    let bytes = capture("pg-plaintext.pcap");
    let mut running = Running::start(&["-o", "json"]);
    drop(running.lines());
    running.write(&bytes);
    // The input is still open: only the row that nobody took can end it.
    let code = running.0.wait().unwrap().code();
    assert_eq!(code, Some(4), "{}", running.err());
}
