//! `dbgate probe listen`: what real clients send, and how they take the answer.
//!
//! `clients` has the table of facts, one row a client; `agree` holds the listener against captures
//! of the same connections; `raw` says what no client of a database says.

mod agree;
mod clients;
mod raw;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Stdio};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::clients::{Answer, Client, Target};
use crate::testbed;

/// A `dbgate probe listen` that runs; dropped, it is killed.
struct Listen {
    child: Child,
    port: u16,
    /// Until the reader leaves.
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Option<JoinHandle<String>>,
}

/// Its output until it ended.
#[derive(Debug)]
struct Heard {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Listen {
    fn start(arguments: &[&str]) -> Self {
        let mut command = testbed::mortal("KILL", env!("CARGO_BIN_EXE_dbgate"));
        command.args(["probe", "listen"]).args(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = testbed::spawn(command);
        let stdout = BufReader::new(child.stdout.take().expect("its output"));
        let mut pipe = BufReader::new(child.stderr.take().expect("its remarks"));
        let mut first = String::new();
        pipe.read_line(&mut first).expect("its address");
        let address = first
            .strip_prefix("listening on ")
            .and_then(|rest| rest.split(';').next())
            .and_then(|address| address.parse::<SocketAddr>().ok());
        let port = address
            .unwrap_or_else(|| panic!("no address: {first}"))
            .port();
        let stderr = std::thread::spawn(move || {
            let mut rest = String::new();
            let _ = pipe.read_to_string(&mut rest);
            first + &rest
        });
        Self {
            child,
            port,
            stdout: Some(stdout),
            stderr: Some(stderr),
        }
    }

    /// For one client, in JSON.
    fn once(arguments: &[&str]) -> Self {
        Self::start(&[&["--once", "-o", "json"], arguments].concat())
    }

    /// The next report.
    fn next(&mut self) -> Value {
        let mut line = String::new();
        let stdout = self.stdout.as_mut().expect("a reader");
        stdout.read_line(&mut line).expect("its output");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }

    fn end(mut self) -> Heard {
        let mut stdout = String::new();
        if let Some(mut reader) = self.stdout.take() {
            reader.read_to_string(&mut stdout).expect("its output");
        }
        let code = self.child.wait().expect("its end").code();
        let stderr = self.stderr.take().expect("its remarks").join();
        Heard {
            code,
            stdout,
            stderr: stderr.expect("its remarks"),
        }
    }
}

impl Drop for Listen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Heard {
    /// The reports, of which there are so many.
    #[track_caller]
    fn reports<const N: usize>(&self) -> [Value; N] {
        let lines = self.stdout.lines();
        let reports: Result<Vec<Value>, _> = lines.map(serde_json::from_str).collect();
        let reports = reports.unwrap_or_else(|e| panic!("{e}: {self:#?}"));
        reports
            .try_into()
            .unwrap_or_else(|_| panic!("not {N} reports: {self:#?}"))
    }

    /// The first report, however often the client came back.
    #[track_caller]
    fn first(&self) -> Value {
        let line = self.stdout.lines().next();
        let line = line.unwrap_or_else(|| panic!("no report: {self:#?}"));
        serde_json::from_str(line).expect("JSON")
    }
}

/// Lets a client come to a listener that serves one.
fn hear(arguments: &[&str], client: Client, target: impl FnOnce(u16) -> Target) -> (Heard, Answer) {
    let listen = Listen::once(arguments);
    let target = Target {
        timeout: 2,
        ..target(listen.port)
    };
    let answer = client.whoami(&target);
    (listen.end(), answer)
}

fn findings(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().expect("findings");
    findings
        .iter()
        .filter_map(|finding| finding["code"].as_str())
        .collect()
}

fn reaction(report: &Value) -> &str {
    report["reaction"]["what"].as_str().unwrap_or("none")
}

const PG: &str = "pg1.example.test";

fn pg(port: u16) -> Target {
    Target::unverified(PG, port).app()
}

fn redis(port: u16) -> Target {
    Target::unverified("redis1.example.test", port)
}

fn mongo(port: u16) -> Target {
    Target::unverified("mongo1.example.test", port)
}

fn mysql(port: u16) -> Target {
    Target::unverified("mysql1.example.test", port).app()
}
