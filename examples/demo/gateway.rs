//! The gateway of the demo: the library's own, as `dbgate serve` runs it, on a thread of its own.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};
use dbgate::config::{self, Config};
use dbgate::control::client::Client;
use dbgate::net::held::HeldSockets;
use dbgate::process::{self, Options, Server};
use rustix::process::{Signal, getpid, kill_process};
use rustls::pki_types::CertificateDer;
use serde::Serialize;
use tokio::sync::oneshot;

use crate::certificate::Certificate;

/// Threads that serve sessions; the demo has one session or two.
const WORKERS: usize = 1;

/// A running gateway.
pub(crate) struct Gateway {
    /// The address of its listener.
    pub(crate) addr: SocketAddr,
    /// The configuration that it read.
    pub(crate) config_file: PathBuf,
    /// Its control socket.
    pub(crate) socket: PathBuf,
    /// Its certificate for clients whose TLS it ends.
    pub(crate) certificate: CertificateDer<'static>,
    thread: JoinHandle<()>,
    ended: oneshot::Receiver<()>,
}

impl Gateway {
    /// Starts a gateway that keeps its files in `dir`, with `databases` as sections of its
    /// configuration and a certificate for `host`.
    ///
    /// # Errors
    /// Says what could not be written, read or bound.
    pub(crate) async fn start(dir: &Path, databases: &str, host: &str) -> Result<Self> {
        let certificate = Certificate::new("demo gateway", host)?;
        fs::write(dir.join("gateway.crt"), certificate.cert_pem)?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(dir.join("gateway.key"))?
            .write_all(certificate.key_pem.as_bytes())?;
        let config_file = dir.join("dbgate.toml");
        fs::write(&config_file, configuration(databases))?;
        let config = read(&config_file)?;
        let options = Options {
            config_file: Some(config_file.clone()),
            socket: dir.join("control.sock"),
            state_dir: dir.join("state"),
            threads: WORKERS,
        };
        let socket = options.socket.clone();
        let (ready, started) = oneshot::channel();
        let (alive, ended) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("gateway".into())
            .spawn(move || {
                run(config, options, ready);
                drop(alive);
            })?;
        let addr = started.await.context("the gateway's thread died")??;
        Ok(Self {
            addr,
            config_file,
            socket,
            certificate: certificate.cert,
            thread,
            ended,
        })
    }

    /// Waits until somebody stops the gateway, as Ctrl-C does.
    pub(crate) async fn ended(&mut self) {
        // Nothing is ever sent; the sender goes with the thread.
        let _ = (&mut self.ended).await;
    }

    /// Stops the gateway as a service manager does, by SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// It did not end well.
    pub(crate) fn stop(self) -> Result<()> {
        kill_process(getpid(), Signal::TERM)?;
        self.thread
            .join()
            .map_err(|_| anyhow!("the gateway's thread panicked"))
    }

    /// Gives a command over the control socket, as `dbgate ctl` does.
    ///
    /// # Errors
    /// The gateway is gone, or refuses.
    pub(crate) fn command(&self, name: &str, params: &impl Serialize) -> Result<serde_json::Value> {
        // Blocks this thread; the gateway answers from its own.
        Client::connect(&self.socket)
            .and_then(|mut client| client.call(name, params))
            .with_context(|| format!("dbgate ctl {name}"))
    }
}

fn configuration(databases: &str) -> String {
    format!(
        r#"# The gateway of the demo.

[listener.main]
bind = ["127.0.0.1:0"]

[tls]
cert = "gateway.crt"
key = "gateway.key"

[timeouts]
drain = "5s"

[log]
access = false

{databases}"#
    )
}

fn read(file: &Path) -> Result<Config> {
    let parsed = config::load(file);
    parsed.config.ok_or_else(|| {
        let problems: Vec<String> = parsed.problems.iter().map(ToString::to_string).collect();
        anyhow!(problems.join("\n"))
    })
}

/// The life of the gateway's thread: what `dbgate serve` does, with nobody to read the logs.
fn run(config: Config, options: Options, ready: oneshot::Sender<Result<SocketAddr>>) {
    let life = async {
        let started = process::start(config, options, HeldSockets::default()).await;
        match started.map_err(Into::into).and_then(with_address) {
            Ok((server, addr)) => {
                // Nobody waits for the address only where the demo has failed already.
                let _ = ready.send(Ok(addr));
                server.run().await;
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        }
    };
    // A failure drops `ready`, which the other end reports.
    if let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        runtime.block_on(life);
    }
}

fn with_address(server: Server) -> Result<(Server, SocketAddr)> {
    let addresses = server.addresses();
    let (_, addr) = addresses.first().context("the gateway listens nowhere")?;
    let addr = *addr;
    Ok((server, addr))
}
