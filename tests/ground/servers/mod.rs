//! Real database servers for the integration tests, each with a certificate and a name of its own, so
//! that a test can tell which one answered.
//!
//! They listen on 127.0.0.1 only, keep nothing, and end with the tests. Nothing here is the gateway.

mod mongo;
mod postgres;
mod redis;

use std::{
    fs::{self, File},
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

pub(crate) use mongo::Mongo;
pub(crate) use postgres::Postgres;
pub(crate) use redis::Redis;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{clients::Answer, testbed};

/// How often a start is tried when the port that was free a moment ago is taken.
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

/// What differs from one kind of server to the other.
struct Recipe {
    command: Box<ServeCommand>,
    /// Asks the server on a port for its name, after giving it one where it cannot have it from the start.
    question: Box<dyn Fn(u16) -> Answer + Send + Sync>,
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

    /// Starts the process and waits until it answers with its name; false when its port is taken.
    fn run(&mut self) -> bool {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("a log file");
        let mut command = (self.recipe.command)(self.folder.path(), self.port);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log file"))
            .stderr(log);
        let mut child = testbed::spawn(command);

        let (addr, mut ended, mut last) = (self.addr(), false, None);
        testbed::until(|| {
            ended = !matches!(child.try_wait(), Ok(None));
            if ended || TcpStream::connect(addr).is_err() {
                return ended;
            }
            let answer = (self.recipe.question)(self.port);
            let up = answer.who.as_deref() == Some(&self.name);
            last = Some(answer);
            up
        });
        if ended && self.log().to_lowercase().contains("address already in use") {
            return false;
        }
        let up = last
            .as_ref()
            .is_some_and(|answer| answer.who.as_deref() == Some(&self.name));
        // Before the assertion: what fails to come up must not stay behind.
        self.child = Some(child);
        assert!(
            up && !ended,
            "{} did not come up: {last:#?}\n{}",
            self.name,
            self.log()
        );
        true
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
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
