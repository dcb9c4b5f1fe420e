//! The ground the integration tests stand on: what `tests/setup` built, free ports, child processes
//! that never outlive the tests, and waiting for a condition.
//!
//! It knows no server and no client; those are `servers` and `clients`.

use std::{
    env,
    fs::Metadata,
    io,
    net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{LazyLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

/// Most time for anything to come up or to answer: far above what a busy machine needs.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// Time between two looks at a condition.
const POLL: Duration = Duration::from_millis(10);

static TESTBED: LazyLock<PathBuf> = LazyLock::new(|| {
    assert!(
        env::var_os("DBGATE_TESTBED_HOSTS").is_some(),
        "these tests need real servers, real clients and names that resolve: run tests/run"
    );
    env::var_os("DBGATE_TESTBED")
        .map(PathBuf::from)
        .expect("DBGATE_TESTBED is not set: run tests/run")
});

/// The path of a part that `tests/setup` installed, such as `python/bin/python`.
///
/// # Panics
/// Outside `tests/run`, or when the part is not there: a missing server or client is a failure.
pub(crate) fn part(path: &str) -> PathBuf {
    let full = TESTBED.join(path);
    assert!(
        full.exists(),
        "{} is missing: run tests/setup",
        full.display()
    );
    full
}

/// A file of the repository's `tests` folder.
pub(crate) fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(path)
}

/// A temporary directory that everybody may enter: a server may run as another user.
pub(crate) fn scratch() -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    tempfile::Builder::new()
        .prefix("dbgate-test-")
        .permissions(std::fs::Permissions::from_mode(0o755))
        .tempdir()
        .expect("a temporary directory")
}

/// A port of 127.0.0.1 that was free a moment ago: somebody else may take it before it is used.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its own address").port()
}

/// An address of this machine that is not a loopback one, for servers that treat those differently.
///
/// # Panics
/// Where there is none.
pub(crate) fn own_address() -> IpAddr {
    // Nothing is sent: the kernel chooses the address that it would send from. RFC 5737.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
    let chosen = socket
        .connect(("192.0.2.254", 9))
        .and_then(|()| socket.local_addr());
    chosen
        .expect("this machine needs an address besides loopback's")
        .ip()
}

/// Starts a child process from the one thread that lives as long as the tests do.
///
/// The signal of `setpriv --pdeathsig` is sent when the *thread* that started the child ends, and the
/// thread of a test ends early.
///
/// # Panics
/// When the program cannot be started.
pub(crate) fn spawn(command: Command) -> Child {
    type Request = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: LazyLock<mpsc::Sender<Request>> = LazyLock::new(|| {
        let (sender, requests) = mpsc::channel::<Request>();
        thread::spawn(move || {
            for (mut command, answer) in requests {
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let line = format!("{command:?}");
    let (answer, child) = mpsc::channel();
    SPAWNER
        .send((command, answer))
        .expect("the thread that starts processes");
    let child = child.recv().expect("the thread that starts processes");
    child.unwrap_or_else(|error| panic!("cannot start {line}: {error}"))
}

/// `setpriv --pdeathsig SIGNAL PROGRAM`: a command that dies with the tests, however they end.
pub(crate) fn mortal(signal: &str, program: impl AsRef<Path>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal]).arg(program.as_ref());
    command
}

/// The same as the user who owns a file, for servers that refuse to run as root.
pub(crate) fn mortal_as(signal: &str, owner: &Metadata, program: impl AsRef<Path>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal]);
    if rustix::process::geteuid().is_root() {
        command.arg(format!("--reuid={}", owner.uid()));
        command.arg(format!("--regid={}", owner.gid()));
        command.arg("--clear-groups");
    }
    command.arg(program.as_ref());
    command
}

/// Removes what the user's own environment would tell the drivers and tools, such as `PGHOST`.
pub(crate) fn undisturbed(command: &mut Command) {
    for (key, _) in env::vars_os() {
        let foreign = |key: &str| {
            ["PG", "NODE_", "MYSQL"]
                .iter()
                .any(|it| key.starts_with(it))
        };
        if key.to_str().is_some_and(foreign) {
            command.env_remove(key);
        }
    }
}

/// Sends a signal to a child; one that has ended already is left alone.
pub(crate) fn signal(child: &Child, signal: Signal) {
    let _ = rustix::process::kill_process(pid(child), signal);
}

/// The process id of a child.
pub(crate) fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Waits until a condition holds; false after [`TIMEOUT`].
pub(crate) fn until(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + TIMEOUT;
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(POLL);
    }
    true
}
