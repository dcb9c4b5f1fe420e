//! Real servers for the integration tests: databases, each with a certificate and a name of its own, so
//! that a test can tell which one answered; proxies, and `openssl s_server` for awkward TLS.
//!
//! They listen on 127.0.0.1 unless told, keep nothing, and end with the tests. Nothing here is dbgate.

mod mariadb;
mod mongo;
mod openssl;
mod pgadmin;
mod postgres;
mod prometheus;
mod proxies;
mod redis;

use std::{
    fs::{self, File},
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

pub(crate) use mariadb::MariaDb;
pub(crate) use mongo::Mongo;
pub(crate) use openssl::OpensslServer;
pub(crate) use pgadmin::PgAdmin;
pub(crate) use postgres::{Postgres, promote, query};
pub(crate) use prometheus::{Prometheus, get as prometheus_get};
pub(crate) use proxies::{HaProxy, Nginx, Stunnel};
pub(crate) use redis::Redis;
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::{
    certs::Leaf,
    clients::Answer,
    testbed::{self, source},
};

/// Most starts that are tried when the port that was free a moment ago is taken.
const ATTEMPTS: usize = 5;

/// A server that runs, until it is dropped.
pub(crate) struct Server {
    name: String,
    port: u16,
    folder: TempDir,
    child: Option<Child>,
    recipe: Recipe,
}

/// The command that serves on a port, with the server's folder.
type ServeCommand = dyn Fn(&Path, u16) -> Command + Send + Sync;

/// Checks that the server on a port answers as it should; the error says why not.
type Ready = dyn Fn(u16) -> Result<(), String> + Send + Sync;

/// The differences from one kind of server to the other.
struct Recipe {
    command: Box<ServeCommand>,
    ready: Box<Ready>,
    /// Ends the server at once, and in good order.
    stop: Signal,
}

impl Server {
    fn start(name: &str, folder: TempDir, recipe: Recipe) -> Self {
        let mut server = Self {
            name: name.to_owned(),
            port: 0,
            folder,
            child: None,
            recipe,
        };
        for _ in 0..ATTEMPTS {
            server.port = testbed::free_port();
            if server.run() {
                return server;
            }
        }
        panic!("{name} found no free port:\n{}", server.log());
    }

    /// Its name, which is also what a client learns when it asks.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Everything it has logged so far.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The file of its log.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Stops it at once; its sessions end, and its port refuses connections.
    pub(crate) fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        testbed::signal(&child, self.recipe.stop);
        if !testbed::until(|| !matches!(child.try_wait(), Ok(None))) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stands still from now on, as a stuck server does: it can be connected to, and does nothing. It
    /// goes on when what is given back is dropped.
    pub(crate) fn freeze(&self) -> Frozen {
        let pid = testbed::pid(self.child.as_ref().expect("a running server"));
        rustix::process::kill_process(pid, Signal::STOP).expect("a running server");
        Frozen(pid)
    }

    /// Stops it if it runs, and starts it again on the same port.
    ///
    /// # Panics
    /// When it does not come up, with its log.
    pub(crate) fn restart(&mut self) {
        self.stop();
        assert!(
            self.run(),
            "{} lost its port {}:\n{}",
            self.name,
            self.port,
            self.log()
        );
    }

    /// Starts the process and waits until it answers as it should; false when its port is taken.
    fn run(&mut self) -> bool {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("a log file");
        let mut command = (self.recipe.command)(self.folder.path(), self.port);
        command
            // Open as long as the server runs: `openssl s_server` ends a session when it is closed.
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("the log file"))
            .stderr(log);
        let mut child = testbed::spawn(command);

        let (addr, mut ended) = (self.addr(), false);
        let mut last = Err("nothing listens".to_owned());
        testbed::until(|| {
            ended = !matches!(child.try_wait(), Ok(None));
            if ended || TcpStream::connect(addr).is_err() {
                return ended;
            }
            last = (self.recipe.ready)(self.port);
            last.is_ok()
        });
        if ended && self.log().to_lowercase().contains("address already in use") {
            return false;
        }
        // Before the assertion: what fails to come up must not stay behind.
        self.child = Some(child);
        assert!(
            last.is_ok() && !ended,
            "{} did not come up: {}\n{}",
            self.name,
            last.err().unwrap_or_default(),
            self.log()
        );
        true
    }
}

/// A server that stands still.
pub(crate) struct Frozen(Pid);

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(self.0, Signal::CONT);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Ready when a client has learned this name.
fn named(name: &str, ask: impl Fn(u16) -> Answer + Send + Sync + 'static) -> Box<Ready> {
    let name = name.to_owned();
    Box::new(move |port| {
        let answer = ask(port);
        if answer.who.as_deref() == Some(&name) {
            Ok(())
        } else {
            Err(format!("{answer:#?}"))
        }
    })
}

/// Ready when a `ClientHello` has any answer: bytes, be they an alert, or the end of the connection.
fn reacts(port: u16) -> Result<(), String> {
    let attempt = || {
        let hello = fs::read(source("data/hello/psql15-after-sslrequest.bin"))?;
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(&hello)?;
        stream.read(&mut [0; 1])
    };
    match attempt() {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => Err(error.to_string()),
        _ => Ok(()),
    }
}

/// The certificate and the key as the files `server.crt` and `server.key`.
fn install_leaf(folder: &Path, leaf: &Leaf, own: &dyn Fn(&Path)) {
    install(folder, "server.crt", &leaf.cert_pem, own);
    install(folder, "server.key", &leaf.key_pem, own);
}

/// Writes a file that only its owner may read, and gives it to the user the server runs as.
fn install(folder: &Path, name: &str, text: &str, own: &dyn Fn(&Path)) {
    let path = folder.join(name);
    // The template has some of them already, with modes of its own.
    let _ = fs::remove_file(&path);
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .expect("a file for the server");
    file.write_all(text.as_bytes())
        .expect("a file for the server");
    own(&path);
}
