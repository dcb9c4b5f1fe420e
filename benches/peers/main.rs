//! dbgate, nginx, `HAProxy` and Traefik with equal settings, on the same certificate and backend:
//! what each uses of processor and memory for the same work.
//!
//! `benches/run` installs what it needs and runs it; `benches/README.md` tells what each row does.
//! Figures are told, not judged by the exit code: that is 1 only where nothing could be measured.

mod backend;
mod certs;
mod client;
mod config;
mod experiment;
mod expose;
mod family;
mod goals;
mod load;
mod machine;
mod peer;
mod report;
mod results;
mod syscalls;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use backend::Backend;
use certs::Certs;
use client::Client;
use experiment::{Experiment, Ground, Sample};
use machine::Machine;
use peer::{Kind, Peer};
use report::{Report, figure};
use results::{Record, Results};

/// Measures dbgate beside nginx, HAProxy and Traefik.
#[derive(Parser)]
struct Args {
    /// Rounds: each measures every row with every program once
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// Only rows whose name contains one of these words, such as passthrough/ or trips; --list shows the names
    #[arg(long, value_name = "WORD", value_delimiter = ',')]
    rows: Vec<String>,
    /// Only programs whose name contains one of these words, such as nginx or 3.0; dbgate always takes part
    #[arg(long, value_name = "WORD", value_delimiter = ',')]
    peers: Vec<String>,
    /// A dbgate to measure, under a name; several are compared with the first [default: the release build]
    #[arg(long, value_name = "[NAME=]PATH")]
    gateway: Vec<Named>,
    /// The binary of Traefik, which is left out otherwise
    #[arg(long, value_name = "PATH")]
    traefik: Option<PathBuf>,
    /// Measure each HAProxy a second time, set up for bulk: it always splices, with pipes of 256 KiB
    #[arg(long)]
    tuned: bool,
    /// Another Debian, unpacked into a folder, whose nginx and HAProxy take part
    #[arg(long, value_name = "DIR")]
    root: Vec<PathBuf>,
    /// Write every sample here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Count system calls instead, by strace
    #[arg(long)]
    syscalls: bool,
    /// Show the names of rows and programs, and measure nothing
    #[arg(long)]
    list: bool,
}

/// A binary and what it is called in the table.
#[derive(Clone)]
struct Named {
    name: Option<String>,
    path: PathBuf,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.split_once('=') {
            Some((name, path)) => Self {
                name: Some(name.to_owned()),
                path: path.into(),
            },
            None => Self {
                name: None,
                path: text.into(),
            },
        })
    }
}

fn main() -> Result<ExitCode> {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(backend::WORD) {
        let certs = words.next().context("the folder of the certificate")?;
        backend::serve(Path::new(&certs))?;
        return Ok(ExitCode::SUCCESS);
    }
    // What `cargo bench` adds.
    let args = Args::parse_from(std::env::args().filter(|word| word != "--bench"));
    raise_limit()?;
    let (peers, left_out) = find(&args)?;
    let mut groups = Experiment::groups();
    for group in &mut groups {
        group.retain(|e| chosen(&args.rows, &e.to_string()));
    }
    if args.list {
        for experiment in groups.iter().flatten() {
            println!("{experiment}");
        }
        for Peer { name, version, .. } in &peers {
            println!("{name}: {version}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    for reason in &left_out {
        eprintln!("left out: {reason}");
    }

    let machine = Machine::this();
    let certs = Certs::make()?;
    let folder = tempfile::tempdir()?;
    certs.write(folder.path())?;
    let backend = Backend::start(folder.path())?;
    let ground = Ground {
        client: Client::trusting(&certs.authority)?,
        certs,
        backend: backend.addr,
        workers: machine.cores,
    };
    if args.syscalls {
        syscalls::print(&groups.concat(), &peers, &ground)?;
        return Ok(ExitCode::SUCCESS);
    }
    let results = measure(&groups, &peers, &ground, args.rounds);
    let report = Report {
        machine: &machine,
        peers: &peers,
        left_out: &left_out,
        rounds: args.rounds,
        results: &results,
    };
    report.print();
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&report.json())? + "\n";
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if results.0.iter().all(|record| record.outcome.is_err()) {
        bail!("nothing could be measured");
    }
    Ok(ExitCode::SUCCESS)
}

/// Every experiment with every program in turn, round after round, so that whatever else the
/// machine does falls on all alike.
fn measure(groups: &[Vec<Experiment>], peers: &[Peer], ground: &Ground, rounds: usize) -> Results {
    let mut results = Results::default();
    for round in 1..=rounds {
        for group in groups {
            for peer in peers {
                for experiment in group.iter().filter(|e| e.suits(peer)) {
                    let outcome = experiment.sample(peer, ground);
                    let outcome = outcome.map_err(|error| format!("{error:#}"));
                    let told = told(&outcome);
                    eprintln!(
                        "round {round} of {rounds}: {experiment}, {}: {told}",
                        peer.name
                    );
                    results.0.push(Record {
                        round,
                        experiment: *experiment,
                        peer: peer.name.clone(),
                        outcome,
                    });
                }
            }
        }
    }
    results
}

/// One sample, for people who wait.
fn told(outcome: &Result<Sample, String>) -> String {
    match outcome {
        Ok(sample) => {
            let measures = sample.iter();
            let words =
                measures.map(|(measure, value)| format!("{measure} {}", figure(*value, "")));
            words.collect::<Vec<_>>().join(", ")
        }
        Err(error) => format!("failed: {error}"),
    }
}

/// The programs that take part, and why others do not.
fn find(args: &Args) -> Result<(Vec<Peer>, Vec<String>)> {
    let (mut peers, mut left_out) = (Vec::new(), Vec::new());
    let none = [None];
    let roots = args.root.iter().map(|root| Some(root.as_path()));
    for root in none.into_iter().chain(roots) {
        for (kind, program) in [
            (Kind::Nginx, "/usr/sbin/nginx"),
            (Kind::HaProxy, "/usr/sbin/haproxy"),
        ] {
            match Peer::find(kind, Path::new(program), root) {
                Ok(peer) => peers.push(peer),
                Err(error) => {
                    let place =
                        root.map_or(String::new(), |root| format!(" in {}", root.display()));
                    left_out.push(format!("{program}{place}: {error:#}"));
                }
            }
        }
    }
    if let Some(program) = &args.traefik {
        peers.push(Peer::find(
            Kind::Traefik,
            &fs::canonicalize(program)?,
            None,
        )?);
    }
    if args.tuned {
        let tuned = peers
            .iter()
            .filter(|p| p.kind == Kind::HaProxy)
            .map(|p| Peer {
                name: format!("{} tuned", p.name),
                tuned: true,
                ..p.clone()
            });
        let tuned: Vec<_> = tuned.collect();
        peers.extend(tuned);
    }
    peers.retain(|peer| chosen(&args.peers, &peer.name));
    let mut gateways = args.gateway.clone();
    if gateways.is_empty() {
        gateways.push(Named {
            name: None,
            path: env!("CARGO_BIN_EXE_dbgate").into(),
        });
    }
    for Named { name, path } in gateways {
        let path = fs::canonicalize(&path).with_context(|| path.display().to_string())?;
        let mut peer = Peer::find(Kind::Dbgate, &path, None)?;
        peer.name = name.unwrap_or(peer.name);
        peers.push(peer);
    }
    for (number, peer) in peers.iter().enumerate() {
        if peers.iter().take(number).any(|p| p.name == peer.name) {
            bail!(
                "two programs are called {} (--gateway NAME=PATH names one)",
                peer.name
            );
        }
    }
    Ok((peers, left_out))
}

fn chosen(words: &[String], name: &str) -> bool {
    words.is_empty() || words.iter().any(|word| name.contains(word.as_str()))
}

/// Thousands of sessions are held open here, in the backend and in each program, which all
/// inherit this limit.
fn raise_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).context("cannot raise the limit on open files")
}
