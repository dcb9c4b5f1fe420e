//! `dbgate serve`: finds the configuration, starts the gateway, says what to type next.
//!
//! Exit codes: 0 stopped as asked (or, with --check, nothing is wrong), 1 it could not start (or
//! something is wrong), 2 usage.

mod lines;

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow, bail};
use dbgate::config::{self, Config, LogFormat, Parsed, Problem, Severity};
use dbgate::listeners::BindError;
use dbgate::metrics::MetricsError;
use dbgate::net::held::HeldSockets;
use dbgate::net::listen::needs_v6_only;
use dbgate::process::{self, Options, Server, StartError};
use dbgate::service::sockets;
use dbgate::service::user::{Account, is_privileged, with_user};
use dbgate::source::state_dir::StateError;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use lines::Lines;

use crate::cli::ServeArgs;
use crate::out;

/// Log lines that wait for a slow reader before they are dropped.
const LOG_QUEUE: usize = 16 * 1024;

/// Runs the gateway, or checks its configuration.
pub(crate) fn run(args: ServeArgs) -> Result<ExitCode> {
    let account = args.user.as_deref().map(Account::find).transpose()?;
    let file = args.config.clone().or_else(config::search);
    if args.check {
        if let Some(account) = &account {
            account.assume()?;
        }
        return check(file.as_deref());
    }
    // `ctl` shows paths to people who are in other directories.
    let file = file.map(absolute);
    let mut held = sockets::inherited()?;
    let mut config = read(file.as_deref(), account.is_none())?;
    let threads = args.threads.map_or_else(
        || std::thread::available_parallelism().map_or(1, usize::from),
        usize::from,
    );
    let options = Options {
        config_file: file.clone(),
        socket: absolute(
            args.socket
                .or_else(|| config.control.socket.clone())
                .unwrap_or_else(config::default_socket),
        ),
        state_dir: absolute(args.state_dir.unwrap_or_else(config::default_state_dir)),
        threads,
    };
    if let Some(account) = &account {
        leave_root(account, &config, &options, &mut held)?;
        // A reload will have to read it, too.
        config = read(file.as_deref(), true)?;
    }
    let (log, _log_guard) = queue(std::io::stderr());
    init_log(config.log.format, log);
    // A first look, without a file, needs no lesson.
    if file.is_some() && rustix::process::geteuid().is_root() {
        tracing::warn!(
            "running as root, which dbgate does not need: start it with --user NAME, or by its systemd unit"
        );
    }
    let format = config.log.format;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the control thread")?;
    runtime.block_on(async {
        let server = process::start(config, options.clone(), held)
            .await
            .map_err(|error| {
                let text = with_user(&error.to_string());
                match advice(&error) {
                    None => anyhow!(text),
                    Some(advice) => anyhow!("{text}\n  {advice}"),
                }
            })?;
        announce(&server, &options, format);
        server.run().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// Reads the configuration and prints its problems, warnings only with `all`.
fn read(file: Option<&Path>, all: bool) -> Result<Config> {
    let Some(file) = file else {
        return Ok(Config::default());
    };
    let parsed = load(file);
    if all || parsed.config.is_none() {
        out::print_err(&lines(&parsed.problems));
    }
    match parsed.config {
        Some(config) => Ok(config),
        None => bail!("not started: {} cannot be used as it is", file.display()),
    }
}

fn load(file: &Path) -> Parsed {
    let mut parsed = config::load(file);
    for problem in &mut parsed.problems {
        problem.message = with_user(&problem.message);
    }
    parsed
}

/// Does what only root can do, and turns into an ordinary user.
fn leave_root(
    account: &Account,
    config: &Config,
    options: &Options,
    held: &mut HeldSockets,
) -> Result<()> {
    account.directory(&options.state_dir, 0o700)?;
    let read_only = config.control.read_only.iter().map(|socket| &socket.path);
    for dir in read_only
        .chain([&options.socket])
        .filter_map(|p| p.parent())
    {
        // Who may steer the gateway is decided by the socket's own mode and group.
        account.directory(dir, 0o755)?;
    }
    let listeners = config.listeners.iter();
    let all: Vec<SocketAddr> = listeners.clone().flat_map(|l| l.bind.clone()).collect();
    for listener in listeners {
        for &addr in listener.bind.iter().filter(|a| is_privileged(a.port())) {
            held.bind(addr, needs_v6_only(addr, &all), options.threads)
                .map_err(|source| BindError {
                    listener: listener.name.clone(),
                    addr,
                    source,
                })?;
        }
    }
    if let Some(addr) = config.metrics.filter(|addr| is_privileged(addr.port())) {
        held.bind(addr, false, 1)
            .map_err(|source| MetricsError { addr, source })?;
    }
    account.assume()?;
    Ok(())
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// The next step after an error that does not name it itself.
fn advice(error: &StartError) -> Option<&'static str> {
    match error {
        StartError::State(StateError::Open { .. }) => {
            Some("--state-dir names another place for what has to survive a restart")
        }
        StartError::AccessLog(_) => Some("[log] access_to names another place for it"),
        StartError::Control(_) => Some("--socket names another place for it"),
        StartError::ReadOnly(_) => Some("[control] read_only_socket names another place for it"),
        _ => None,
    }
}

/// Says what was chosen and what to do next: to a person in words, to a log as one event.
fn announce(server: &Server, options: &Options, format: LogFormat) {
    let listening: Vec<String> = server
        .addresses()
        .iter()
        .map(|(name, addr)| format!("{name} {addr}"))
        .collect();
    let listening = listening.join(", ");
    if format == LogFormat::Text && std::io::stderr().is_terminal() {
        out::print_err(&banner(server, options, &listening));
        return;
    }
    let snapshot = server.gateway().store.snapshot();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        listeners = listening,
        socket = %options.socket.display(),
        state = %options.state_dir.display(),
        config = options.config_file.as_ref().map(|f| tracing::field::display(f.display())),
        metrics = server.metrics().map(tracing::field::display),
        databases = snapshot.databases.len(),
        threads = options.threads,
        "ready"
    );
    // A service manager starts no other terminal.
    let managed = ["NOTIFY_SOCKET", "INVOCATION_ID", "JOURNAL_STREAM"];
    if format == LogFormat::Text && managed.iter().all(|name| std::env::var_os(name).is_none()) {
        tracing::info!("Next, in another terminal: {}", next(server, options));
    }
}

/// The next command to type.
fn next(server: &Server, options: &Options) -> String {
    let snapshot = server.gateway().store.snapshot();
    let next = match snapshot.by_name().first() {
        _ if !snapshot.table.is_empty() => "dbgate ctl list".to_owned(),
        // Where it is, the configuration says.
        Some(database) => {
            let name = &database.name;
            format!("dbgate ctl expose {name} --host {name}.example")
        }
        None => "dbgate ctl expose pg1 --host my-postgres.example --to 10.0.0.5:5432".to_owned(),
    };
    // A socket that ctl would not find by itself.
    let socket = match &options.socket {
        path if *path == config::default_socket() => String::new(),
        path => format!(" --socket {}", path.display()),
    };
    next.replacen(" ctl", &format!(" ctl{socket}"), 1)
}

fn banner(server: &Server, options: &Options, listening: &str) -> String {
    let snapshot = server.gateway().store.snapshot();
    let config = options.config_file.as_ref().map_or_else(
        || "none found: built-in defaults".to_owned(),
        |f| f.display().to_string(),
    );
    let metrics = server.metrics().map_or(String::new(), |addr| {
        format!("\n  metrics    http://{addr}/metrics")
    });
    format!(
        "
dbgate {} is ready
  clients    {listening}
  config     {config}
  control    {}
  state      {}
  databases  {}{metrics}

Next, in another terminal:
  {}

",
        env!("CARGO_PKG_VERSION"),
        options.socket.display(),
        options.state_dir.display(),
        snapshot.databases.len(),
        next(server, options),
    )
}

fn check(file: Option<&Path>) -> Result<ExitCode> {
    let Some(file) = file else {
        out::print("no configuration file: the built-in defaults would be used\n")?;
        return Ok(ExitCode::SUCCESS);
    };
    let parsed = load(file);
    let mut found = Vec::new();
    if let Ok(text) = std::fs::read_to_string(file) {
        found = config::check(&parsed, &text, file, SystemTime::now());
    }
    let mut problems = parsed.problems;
    if !found.is_empty() {
        problems.extend(found);
        problems.sort_by_key(|problem| (problem.line, problem.column));
    }
    let count = |severity| problems.iter().filter(|p| p.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let plural = |number| if number == 1 { "" } else { "s" };
    let verdict = if errors == 0 { "ok" } else { "not usable" };
    out::print(&format!(
        "{}{}: {verdict} ({errors} error{}, {warnings} warning{})\n",
        lines(&problems),
        file.display(),
        plural(errors),
        plural(warnings),
    ))?;
    Ok(ExitCode::from(u8::from(errors > 0)))
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().fold(String::new(), |lines, problem| {
        lines + &problem.to_string() + "\n"
    })
}

fn queue(out: impl Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .buffered_lines_limit(LOG_QUEUE)
        .lossy(true)
        .finish(out)
}

fn init_log(format: LogFormat, out: NonBlocking) {
    // DBGATE_LOG takes tracing's filter syntax, such as debug or dbgate=trace.
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .with_env_var("DBGATE_LOG")
        .from_env_lossy();
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(colours);
    match format {
        LogFormat::Text => builder
            .with_writer(move || Lines::new(out.clone(), colours))
            .init(),
        // JSON escapes what would end a line.
        LogFormat::Json => builder.json().with_writer(out).init(),
    }
}
