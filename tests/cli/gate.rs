//! A gateway to talk to, commands to talk with, and a backend and clients for its sessions.
//!
//! Nothing here sleeps: every wait is for a line or a byte, and ends in a panic that shows the
//! gateway's log when it takes longer than [`LIMIT`].

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Far more than anything here takes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A configuration without databases.
pub(crate) const EMPTY: &str = "[listener.main]\nbind = [\"127.0.0.1:0\"]\n";

/// The binary, in an environment that decides nothing.
pub(crate) fn dbgate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dbgate"));
    for name in [
        "DBGATE_SOCKET",
        "DBGATE_LOG",
        "XDG_RUNTIME_DIR",
        "RUNTIME_DIRECTORY",
        "STATE_DIRECTORY",
        "NOTIFY_SOCKET",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
    ] {
        command.env_remove(name);
    }
    command.env("COLUMNS", "100").stdin(Stdio::null());
    command
}

/// The outcome of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Standard output of a command that was done, without a remark.
    pub(crate) fn done(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{self:?}");
        self.out
    }

    /// Standard output of a `diff` that found something.
    pub(crate) fn differs(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(1), ""), "{self:?}");
        self.out
    }

    /// Standard error of a command that was not done, and said nothing else.
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (Some(code), ""), "{self:?}");
        self.err
    }
}

#[derive(Default)]
struct Kept {
    lines: Vec<String>,
    ended: bool,
}

/// Lines of a stream as they come.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<(Mutex<Kept>, Condvar)>);

impl Lines {
    pub(crate) fn of(stream: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let reader = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                reader.change(|kept| kept.lines.push(line));
            }
            reader.change(|kept| kept.ended = true);
        });
        lines
    }

    fn change(&self, change: impl FnOnce(&mut Kept)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    /// The first line from number `from` on that has `what` in it, and the number after it.
    pub(crate) fn wait(&self, from: usize, what: &str) -> (String, usize) {
        let until = Instant::now() + LIMIT;
        let mut kept = self.0.0.lock().unwrap();
        loop {
            let mut new = kept.lines.iter().enumerate().skip(from);
            if let Some((at, line)) = new.find(|(_, line)| line.contains(what)) {
                return (line.clone(), at + 1);
            }
            let left = until.saturating_duration_since(Instant::now());
            if kept.ended || left.is_zero() {
                let all = kept.lines.join("\n");
                drop(kept);
                panic!("no {what:?} in\n{all}");
            }
            kept = self.0.1.wait_timeout(kept, left).unwrap().0;
        }
    }

    pub(crate) fn all(&self) -> String {
        self.0.0.lock().unwrap().lines.join("\n")
    }
}

/// A process that ends with the test.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) out: Lines,
    pub(crate) err: Lines,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_with(command, Stdio::piped())
    }

    /// With a standard output of the caller's choice.
    pub(crate) fn start_with(command: &mut Command, out: impl Into<Stdio>) -> Self {
        let mut child = command.stdout(out).stderr(Stdio::piped()).spawn().unwrap();
        Self {
            out: child.stdout.take().map(Lines::of).unwrap_or_default(),
            err: Lines::of(child.stderr.take().unwrap()),
            child,
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it ends by itself.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let (told, waiting) = std::sync::mpsc::channel();
        let id = Pid::from_child(&self.child);
        let guard = thread::spawn(move || {
            if waiting.recv_timeout(LIMIT).is_err() {
                let _ = kill_process(id, Signal::KILL);
            }
        });
        let status = self.child.wait().unwrap();
        // Nobody listens where the limit is over.
        let _ = told.send(());
        guard.join().unwrap();
        status
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- {:?}\n{}", self.child.id(), self.err.all());
        }
    }
}

/// A directory with a configuration, a socket and a state directory, and maybe a gateway in it.
pub(crate) struct Gate {
    dir: TempDir,
    socket: PathBuf,
    running: Option<Running>,
}

impl Gate {
    /// A gateway with this configuration, ready.
    pub(crate) fn new(config: &str) -> Self {
        let mut gate = Self::stopped(config);
        gate.start();
        gate
    }

    pub(crate) fn stopped(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let gate = Self {
            socket: dir.path().join("s.sock"),
            dir,
            running: None,
        };
        gate.configure(config);
        gate
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn place_socket(&mut self, path: &str) {
        self.socket = self.dir().join(path);
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir().join("state")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir().join("gate.toml")
    }

    pub(crate) fn configure(&self, config: &str) {
        fs::write(self.config(), config).unwrap();
    }

    /// `dbgate serve` here. Its working directory is another one than the callers'.
    pub(crate) fn serve(&self) -> Command {
        self.serve_by("1")
    }

    /// The same with this many threads.
    pub(crate) fn serve_by(&self, threads: &str) -> Command {
        let mut serve = dbgate();
        serve.current_dir("/").arg("serve").arg("-c");
        serve.arg(self.config()).arg("--socket").arg(self.socket());
        serve.arg("--state-dir").arg(self.state());
        serve.args(["--threads", threads]);
        serve
    }

    pub(crate) fn start(&mut self) {
        let running = Running::start(&mut self.serve());
        running.err.wait(0, " ready ");
        self.running = Some(running);
    }

    pub(crate) fn running(&mut self) -> &mut Running {
        self.running.as_mut().unwrap()
    }

    /// As `kill -9` would.
    pub(crate) fn kill(&mut self) {
        let running = self.running();
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        self.running = None;
    }

    /// `dbgate ctl` with these words.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut ctl = dbgate();
        ctl.current_dir(self.dir()).arg("ctl").arg("--socket");
        ctl.arg(self.socket()).args(words);
        ctl
    }

    /// The outcome of `ctl` with these words. The backends that are exposed here are made up, so nobody
    /// looks at them; tests/gateway does (`refuse::check`).
    pub(crate) fn ctl(&self, words: &[&str]) -> Ran {
        let mut words = words.to_vec();
        if let Some(at) = words.iter().position(|word| *word == "expose") {
            words.insert(at + 1, "--no-check");
        }
        Ran::of(&mut self.command(&words))
    }

    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let out = self.ctl(&[&["-o", "json"], words].concat()).done();
        serde_json::from_str(&out).unwrap()
    }

    pub(crate) fn revision(&self) -> u64 {
        self.json(&["status"])["revision"].as_u64().unwrap()
    }

    /// The address at which clients connect.
    pub(crate) fn addr(&self) -> SocketAddr {
        let status = self.json(&["status"]);
        let addr = status["listeners"][0]["bind"][0].as_str().unwrap();
        addr.parse().unwrap()
    }

    /// The command as somebody who has no rights here: root turns into nobody, others are that
    /// already once the owner's rights are gone.
    pub(crate) fn as_stranger(&self, command: Command) -> Command {
        if !rustix::process::geteuid().is_root() {
            return command;
        }
        // Nobody may be unable to reach the binary where it was built.
        let binary = self.dir().join("dbgate");
        // A process forked by another test must not inherit the file while it is written to: it
        // could not be run then.
        let copied = Command::new("cp")
            .arg(command.get_program())
            .arg(&binary)
            .status();
        assert!(copied.unwrap().success());
        let mut setpriv = Command::new("setpriv");
        setpriv
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
            .arg(binary)
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => setpriv.env(name, value),
                None => setpriv.env_remove(name),
            };
        }
        setpriv
    }

    /// Follows events; returns when none can be missed any more.
    pub(crate) fn follow(&self) -> Running {
        let follower = Running::start(&mut self.command(&["-o", "json", "events", "--follow"]));
        follower.err.wait(0, "Following");
        follower
    }

    /// A session with the backend of `host`, which an [`echo`] is.
    pub(crate) fn session(&self, host: &str) -> TcpStream {
        let mut client = self.client(host);
        // What comes back has been through both ends.
        client.read_exact(&mut [0]).unwrap();
        client
    }

    /// A client that asks for `host` with TLS from the first byte.
    pub(crate) fn client(&self, host: &str) -> TcpStream {
        let mut client = TcpStream::connect(self.addr()).unwrap();
        client.set_read_timeout(Some(LIMIT)).unwrap();
        client.write_all(&hello(host)).unwrap();
        client
    }
}

/// Waits until a client's connection is closed from the other end.
pub(crate) fn closed(client: &mut TcpStream) {
    let mut rest = Vec::new();
    match client.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::ConnectionReset, "{e}"),
    }
}

/// A backend that sends back what it gets.
pub(crate) fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut back = stream.try_clone().unwrap();
                let _ = std::io::copy(&mut &stream, &mut back);
            });
        }
    });
    addr
}

/// The first bytes of a TLS client.
fn hello(host: &str) -> Vec<u8> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = host.to_owned().try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}
