//! Prometheus, Debian's own, which scrapes one gateway several times a second.
//!
//! Sources: Prometheus documentation, "Configuration", "Management API", "HTTP API".

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
};

use rustix::process::Signal;

use super::{Recipe, Server, install};
use crate::testbed::{self, part};

/// A Prometheus to start.
pub(crate) struct Prometheus;

impl Prometheus {
    /// It scrapes `/metrics` at this address.
    ///
    /// # Panics
    /// When it does not come up, with its log.
    pub(crate) fn of(target: SocketAddr) -> Server {
        let text = format!(
            "global:\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\n\
             scrape_configs:\n- job_name: dbgate\n  static_configs:\n  - targets: [\"{target}\"]\n"
        );
        let command = move |folder: &Path, port: u16| {
            install(folder, "prometheus.yml", &text, &|_| ());
            let mut command = testbed::mortal("KILL", part("prometheus/prometheus"));
            command
                .arg(format!(
                    "--config.file={}",
                    folder.join("prometheus.yml").display()
                ))
                .arg(format!(
                    "--storage.tsdb.path={}",
                    folder.join("data").display()
                ))
                .arg(format!("--web.listen-address=127.0.0.1:{port}"));
            command
        };
        let recipe = Recipe {
            command: Box::new(command),
            ready: Box::new(ready),
            stop: Signal::KILL,
        };
        Server::start("prometheus", testbed::scratch(), recipe)
    }
}

fn ready(port: u16) -> Result<(), String> {
    let answer = get(port, "/-/ready").map_err(|e| e.to_string())?;
    answer
        .starts_with("HTTP/1.0 200")
        .then_some(())
        .ok_or(answer)
}

/// The answer of a server on 127.0.0.1, from the status line on.
pub(crate) fn get(port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(testbed::TIMEOUT))?;
    // Version 1.0, so that the answer comes in one piece.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
