//! The programs that are compared: which there are, starting one with its configuration in a folder
//! of its own, and ending it.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::certs::Certs;
use crate::config::{self, Setup};
use crate::family::Family;

/// Most time for a program to start.
const START: Duration = Duration::from_secs(60);

/// Most time for a program to end before it is killed.
const END: Duration = Duration::from_secs(3);

/// Between two looks at a program that starts or ends.
const LOOK: Duration = Duration::from_millis(1);

/// Whose configuration a program takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Dbgate,
    Nginx,
    HaProxy,
    Traefik,
}

/// A program that can be measured.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// As in the table.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) program: PathBuf,
    /// Another system's root, where the program is started by chroot.
    pub(crate) root: Option<PathBuf>,
    /// Its version, as it prints it.
    pub(crate) version: String,
    /// Set up for bulk, beyond what is equal.
    pub(crate) tuned: bool,
}

/// A started program, until it is dropped.
pub(crate) struct Running {
    child: Child,
    kind: Kind,
    pub(crate) family: Family,
    pub(crate) addr: SocketAddr,
    pub(crate) folder: TempDir,
    /// From the start of the process to the first session.
    pub(crate) started_in: Duration,
}

impl Peer {
    /// A program, if it is there and runs.
    ///
    /// # Errors
    /// The reason why it cannot take part.
    pub(crate) fn find(kind: Kind, program: &Path, root: Option<&Path>) -> Result<Self> {
        let mut peer = Self {
            name: String::new(),
            kind,
            program: program.to_owned(),
            root: root.map(Path::to_owned),
            version: String::new(),
            tuned: false,
        };
        let word = match kind {
            Kind::Dbgate => "--version",
            Kind::Nginx | Kind::HaProxy => "-v",
            Kind::Traefik => "version",
        };
        let Output {
            status,
            stdout,
            stderr,
        } = peer
            .command("KILL")
            .arg(word)
            .output()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let said = [stdout, stderr].concat();
        let said = String::from_utf8_lossy(&said);
        ensure!(
            status.success(),
            "{} does not run: {}",
            program.display(),
            said.trim()
        );
        said.lines()
            .next()
            .unwrap_or_default()
            .trim()
            .clone_into(&mut peer.version);
        let number = said
            .split(|c: char| !c.is_ascii_digit() && c != '.')
            .find(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()));
        let number = number.context("it tells no version")?.trim_matches('.');
        peer.name = match kind {
            Kind::Dbgate => "dbgate".to_owned(),
            Kind::Nginx => format!("nginx {number}"),
            Kind::HaProxy => format!("HAProxy {number}"),
            Kind::Traefik => format!("Traefik {number}"),
        };
        Ok(peer)
    }

    /// Starts it and waits until a visit succeeds.
    ///
    /// # Errors
    /// It does not come up, with what it printed.
    pub(crate) fn start(
        &self,
        setup: &Setup,
        certs: &Certs,
        visit: &dyn Fn(SocketAddr) -> Result<()>,
    ) -> Result<Running> {
        let scratch = self
            .root
            .as_ref()
            .map_or_else(std::env::temp_dir, |root| root.join("tmp"));
        let folder = tempfile::Builder::new()
            .prefix("dbgate-bench-")
            .tempdir_in(&scratch)?;
        certs.write(folder.path())?;
        let addr = free_address()?;
        let command = self.configured(setup, addr, folder.path())?;
        self.run(command, addr, folder, visit)
    }

    fn run(
        &self,
        mut command: Command,
        addr: SocketAddr,
        folder: TempDir,
        visit: &dyn Fn(SocketAddr) -> Result<()>,
    ) -> Result<Running> {
        let log = File::create(folder.path().join("log"))?;
        command
            .stdout(log.try_clone()?)
            .stderr(log)
            .stdin(std::process::Stdio::null());
        let begun = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        let mut running = Running {
            family: Family::of(child.id()),
            child,
            kind: self.kind,
            addr,
            folder,
            started_in: Duration::ZERO,
        };
        loop {
            let error = match visit(addr) {
                Ok(()) => break,
                Err(error) => error,
            };
            let ended = running.child.try_wait()?;
            if ended.is_some() || begun.elapsed() > START {
                let log = fs::read_to_string(running.folder.path().join("log")).unwrap_or_default();
                let log = log.lines().take(20).collect::<Vec<_>>().join("\n  ");
                bail!(
                    "{} does not come up: {error:#} ({ended:?})\n  {log}",
                    self.name
                );
            }
            thread::sleep(LOOK);
        }
        running.started_in = begun.elapsed();
        Ok(running)
    }

    /// Writes its configuration; the command that starts it.
    fn configured(&self, setup: &Setup, listen: SocketAddr, folder: &Path) -> Result<Command> {
        // With TERM nginx ends its workers as well; the others are one process each.
        let mut command = self.command(if self.kind == Kind::Nginx {
            "TERM"
        } else {
            "KILL"
        });
        let seen = match &self.root {
            Some(root) => Path::new("/").join(folder.strip_prefix(root)?),
            None => folder.to_owned(),
        };
        let seen = seen.to_str().context("a folder with a plain name")?;
        let write = |name: &str, text: String| fs::write(folder.join(name), text);
        match self.kind {
            Kind::Dbgate => {
                write("dbgate.toml", config::dbgate(setup, listen))?;
                let [config, socket, state] =
                    ["dbgate.toml", "control.sock", "state"].map(|name| folder.join(name));
                if setup.by_ctl {
                    fs::create_dir(&state)?;
                    let kept = config::dbgate_exposures(setup).to_string();
                    fs::write(state.join("exposures.json"), kept)?;
                }
                command.arg("serve").arg("--config").arg(config);
                command
                    .arg("--socket")
                    .arg(socket)
                    .arg("--state-dir")
                    .arg(state);
                command.arg("--threads").arg(setup.workers.to_string());
            }
            Kind::Nginx => {
                write("nginx.conf", config::nginx(setup, listen, seen))?;
                write("map", config::nginx_map(setup))?;
                command.args([
                    "-p",
                    seen,
                    "-e",
                    "stderr",
                    "-c",
                    &format!("{seen}/nginx.conf"),
                ]);
            }
            Kind::HaProxy => {
                write(
                    "haproxy.cfg",
                    config::haproxy(setup, self.tuned, listen, seen),
                )?;
                write("map", config::haproxy_map(setup))?;
                command.args(["-db", "-f", &format!("{seen}/haproxy.cfg")]);
            }
            Kind::Traefik => {
                write("traefik.yml", config::traefik(listen))?;
                write("routes.yml", config::traefik_routes(setup))?;
                command.arg("--configFile=traefik.yml").current_dir(folder);
                command.env("GOMAXPROCS", setup.workers.to_string());
            }
        }
        Ok(command)
    }

    /// The program, which dies with this one.
    fn command(&self, signal: &str) -> Command {
        match &self.root {
            None => mortal(signal, &self.program),
            Some(root) => {
                let mut command = mortal(signal, Path::new("chroot"));
                command.arg(root).arg(&self.program);
                command
            }
        }
    }
}

impl Running {
    /// The control socket; only dbgate has one.
    pub(crate) fn control(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let members = self.family.members();
        if self.kind == Kind::Nginx {
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
            let deadline = Instant::now() + END;
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                thread::sleep(LOOK);
            }
        }
        // Whatever is left; the first one is a child that nobody has waited for, or gone.
        if matches!(self.child.try_wait(), Ok(None)) {
            for pid in members
                .iter()
                .filter_map(|pid| Pid::from_raw(i32::try_from(*pid).ok()?))
            {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let _ = self.child.wait();
    }
}

/// `setpriv --pdeathsig SIGNAL PROGRAM`: a command that dies with this program, however it ends.
pub(crate) fn mortal(signal: &str, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal]).arg(program);
    command
}

/// An address of this machine that nobody listens on.
fn free_address() -> Result<SocketAddr> {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(probe.local_addr()?)
}
