//! A running gateway: the real binary with its own configuration, state and control socket.
//!
//! When a test fails, its log is printed.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use dbgate::control::client::{Client, ClientError};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::testbed::{self, TIMEOUT};

/// The sections that every configuration here begins with unless it has its own; a test adds its databases
/// and, if it wants others, its listeners.
const HEAD: &str = "[log]\nformat = \"json\"\n";

/// One listener on a free port of 127.0.0.1, for tests that do not care.
const LISTENER: &str = "[listener.main]\nbind = [\"127.0.0.1:0\"]\n";

/// A running gateway, until it is dropped.
pub(crate) struct Gateway {
    folder: TempDir,
    child: Option<Child>,
    threads: u16,
    /// Run before the program, such as `prlimit --nofile=64`.
    wrapper: Vec<String>,
}

impl Gateway {
    /// Starts a gateway with this configuration, and waits until it answers on its control socket.
    ///
    /// A configuration without a `[listener.…]` gets one on a free port.
    ///
    /// # Panics
    /// When it does not come up, with what it printed.
    pub(crate) fn start(config: &str) -> Self {
        Self::start_under(config, &[])
    }

    /// The same under another program, such as `prlimit --nofile=64`.
    pub(crate) fn start_under(config: &str, wrapper: &[&str]) -> Self {
        Self::start_with(config, wrapper, 2)
    }

    /// The same with one worker, by whose state that of all is known.
    pub(crate) fn start_single(config: &str, wrapper: &[&str]) -> Self {
        Self::start_with(config, wrapper, 1)
    }

    fn start_with(config: &str, wrapper: &[&str], threads: u16) -> Self {
        let mut gateway = Self {
            folder: testbed::scratch(),
            child: None,
            threads,
            wrapper: wrapper.iter().map(ToString::to_string).collect(),
        };
        gateway.configure(config);
        gateway.run();
        gateway
    }

    /// Writes another configuration; it is in force after a reload or a restart.
    pub(crate) fn configure(&self, config: &str) {
        let listener = if config.contains("[listener.") {
            ""
        } else {
            LISTENER
        };
        let head = if config.contains("[log]") { "" } else { HEAD };
        let text = format!("{head}{listener}{config}");
        fs::write(self.path("dbgate.toml"), text).expect("the configuration file");
    }

    /// A file in the gateway's own folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&mut self) {
        self.spawn();
        let up = testbed::until(|| self.has_ended() || self.try_call("status", &json!({})).is_ok());
        assert!(
            up && !self.has_ended(),
            "the gateway does not come up:\n{}",
            self.log()
        );
    }

    fn spawn(&mut self) {
        let log = |name: &str| {
            File::options()
                .create(true)
                .append(true)
                .open(self.path(name))
                .expect("a log file")
        };
        let mut command = testbed::mortal("KILL", program(&self.wrapper));
        command
            .args(self.wrapper.iter().skip(1))
            .args((!self.wrapper.is_empty()).then_some(binary()))
            .arg("serve")
            .args(["--config".as_ref(), self.path("dbgate.toml").as_os_str()])
            .args(["--socket".as_ref(), self.socket().as_os_str()])
            .args(["--state-dir".as_ref(), self.path("state").as_os_str()])
            .args(["--threads", &self.threads.to_string()])
            .stdout(log("access.log"))
            .stderr(log("gateway.log"));
        self.child = Some(testbed::spawn(command));
    }

    fn has_ended(&mut self) -> bool {
        match &mut self.child {
            Some(child) => !matches!(child.try_wait(), Ok(None)),
            None => true,
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running gateway").id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        testbed::signal(self.child.as_ref().expect("a running gateway"), signal);
    }

    /// Waits until it has ended by itself, and gives its exit code.
    pub(crate) fn wait_end(&mut self) -> Option<i32> {
        assert!(testbed::until(|| self.has_ended()), "it does not end");
        let mut child = self.child.take().expect("a gateway");
        child.wait().expect("its exit status").code()
    }

    /// Kills it as `kill -9` does, and starts it again with the same state.
    pub(crate) fn crash_and_restart(&mut self) {
        self.crash();
        self.start_again();
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn crash(&mut self) {
        let mut child = self.child.take().expect("a running gateway");
        child.kill().expect("kill -9");
        child.wait().expect("its end");
    }

    /// Starts it again after it has ended, with the same configuration and state.
    pub(crate) fn start_again(&mut self) {
        self.run();
    }

    /// Starts it again after it has ended; it must refuse, and what it says is given back.
    #[track_caller]
    pub(crate) fn refuses_to_start(&mut self) -> String {
        let before = self.log().len();
        self.spawn();
        let code = self.wait_end();
        let said = self.log().split_off(before);
        assert_eq!(code, Some(1), "{said}");
        said
    }

    /// The path of its control socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("control.sock")
    }

    /// Sends a control command and gives its answer.
    ///
    /// # Panics
    /// When the gateway refuses.
    #[track_caller]
    pub(crate) fn call(&self, cmd: &str, params: &Value) -> Value {
        self.try_call(cmd, params)
            .unwrap_or_else(|e| panic!("{cmd} {params}: {e}"))
    }

    /// Sends a control command.
    pub(crate) fn try_call(&self, cmd: &str, params: &Value) -> Result<Value, ClientError> {
        Client::connect(&self.socket())?.call(cmd, params)
    }

    /// Runs `dbgate ctl` and gives what it printed.
    pub(crate) fn ctl(&self, args: &[&str]) -> Output {
        Command::new(binary())
            .args(["ctl", "--socket"])
            .arg(self.socket())
            .args(args)
            .output()
            .expect("dbgate ctl")
    }

    /// Runs `dbgate ctl` and gives its standard output.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub(crate) fn ctl_ok(&self, args: &[&str]) -> String {
        let output = self.ctl(args);
        assert!(output.status.success(), "dbgate ctl {args:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// The port of its first listener.
    pub(crate) fn port(&self) -> u16 {
        self.addr("main").port()
    }

    /// The first address of a listener.
    pub(crate) fn addr(&self, listener: &str) -> SocketAddr {
        let status = self.call("status", &json!({}));
        let listeners = status["listeners"].as_array().expect("listeners");
        let listener = listeners
            .iter()
            .find(|l| l["name"] == listener)
            .unwrap_or_else(|| panic!("no listener {listener}: {status}"));
        let bind = listener["bind"][0].as_str().expect("an address");
        bind.parse().expect("an address")
    }

    /// A plain connection to its first listener, with a read timeout against hanging tests.
    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.port())
    }

    /// Everything it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("gateway.log")).unwrap_or_default()
    }

    /// The lines of its access log so far.
    pub(crate) fn access(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("access.log")).unwrap_or_default();
        let complete = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
        complete
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }

    /// Waits for a line of the access log that fits.
    ///
    /// # Panics
    /// When none comes, with those that did.
    #[track_caller]
    pub(crate) fn wait_access(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        testbed::until(|| {
            found = self.access().into_iter().find(|line| fits(line));
            found.is_some()
        });
        found.unwrap_or_else(|| panic!("no such line: {:#?}", self.access()))
    }

    /// Waits for a line of the access log with this reason.
    #[track_caller]
    pub(crate) fn wait_reason(&self, reason: &str) -> Value {
        self.wait_access(|line| line["reason"] == reason)
    }

    /// Waits until a reject with this reason is counted, and gives the last such reject.
    #[track_caller]
    pub(crate) fn wait_reject(&self, reason: &str) -> Value {
        let mut found = None;
        testbed::until(|| {
            let answer = self.call("rejects", &json!({}));
            let rejects = answer["rejects"].as_array().cloned().unwrap_or_default();
            found = rejects.into_iter().rfind(|r| r["reason"] == reason);
            found.is_some()
        });
        found.unwrap_or_else(|| panic!("no such reject: {:#}", self.call("rejects", &json!({}))))
    }

    /// Waits until its log holds these words.
    #[track_caller]
    pub(crate) fn wait_log(&self, words: &str) {
        assert!(
            testbed::until(|| self.log().contains(words)),
            "\"{words}\" is not in the log:\n{}",
            self.log()
        );
    }

    /// The number of live sessions.
    pub(crate) fn sessions(&self) -> Vec<Value> {
        let answer = self.call("sessions", &json!({}));
        answer["sessions"].as_array().cloned().expect("sessions")
    }

    /// Waits until there are this many live sessions.
    #[track_caller]
    pub(crate) fn wait_sessions(&self, count: usize) {
        assert!(
            testbed::until(|| self.sessions().len() == count),
            "not {count} sessions: {:#?}",
            self.sessions()
        );
    }

    /// The routes now: the revision, and the databases as a configuration.
    pub(crate) fn routes(&self) -> (u64, String) {
        let revision = self.call("status", &json!({}))["revision"].as_u64();
        let export = self.call("export", &json!({}));
        let text = export["toml"].as_str().expect("a configuration");
        (revision.expect("a revision"), text.to_owned())
    }

    /// The live session of the client with this address, once its backend is connected.
    #[track_caller]
    pub(crate) fn session(&self, client: SocketAddr) -> Value {
        let client = client.to_string();
        let mut found = None;
        testbed::until(|| {
            let open = |s: &Value| s["client"] == client && s["state"] != "connecting";
            found = self.sessions().into_iter().find(open);
            found.is_some()
        });
        found.unwrap_or_else(|| panic!("no session of {client}: {:#?}", self.sessions()))
    }

    /// Waits for the end of a session, and gives its line of the access log.
    #[track_caller]
    pub(crate) fn ended(&self, id: u64) -> Value {
        self.wait_access(|line| line["id"] == id)
    }

    /// The number of its open descriptors, without those of [`Self::callers`].
    ///
    /// A caller that has hung up may be there a moment longer: a child that another test starts
    /// just then has a copy of the caller's end until it runs its program. So a count that is to
    /// be reached again later leaves them out.
    pub(crate) fn descriptors(&self) -> usize {
        // Before the descriptors: whoever was accepted until now is in it.
        let callers = self.callers();
        fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .expect("its descriptors")
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .filter(|link| !callers.iter().any(|caller| link.as_os_str() == &**caller))
            .count()
    }

    /// Its end of each connection to the control socket, as `socket:[INODE]`, and the listening
    /// socket.
    pub(crate) fn callers(&self) -> Vec<String> {
        let socket = self.socket();
        let table = fs::read_to_string("/proc/net/unix").expect("the sockets of the machine");
        table
            .lines()
            .map(|line| line.split_ascii_whitespace().skip(6))
            .filter_map(|mut fields| {
                let inode = fields.next()?;
                let here = fields.next().is_some_and(|path| socket.as_os_str() == path);
                here.then(|| format!("socket:[{inode}]"))
            })
            .collect()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of the gateway\n{}", self.log());
            let access = fs::read_to_string(self.path("access.log")).unwrap_or_default();
            eprintln!("--- its access log\n{access}");
        }
    }
}

/// A plain connection to a port of 127.0.0.1, with a read timeout against hanging tests.
pub(crate) fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
    stream
        .set_read_timeout(Some(TIMEOUT))
        .expect("a read timeout");
    stream
}

/// The program under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_dbgate"))
}

fn program(wrapper: &[String]) -> &Path {
    wrapper.first().map_or_else(|| binary(), |w| Path::new(w))
}
