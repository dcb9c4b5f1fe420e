//! `dbgate serve`: finds the configuration, starts the gateway, says what to type next.
//!
//! Exit codes: 0 stopped as asked (or, with --check, nothing is wrong), 1 it could not start (or
//! something is wrong), 2 usage.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow, bail};
use dbgate::config::{self, Config, LogFormat, Problem, Severity};
use dbgate::provider::state::StateError;
use dbgate::runtime::{self, Options, Server, StartError};
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::cli::ServeArgs;
use crate::out;

/// Log lines that wait for a slow reader before they are dropped.
const LOG_QUEUE: usize = 16 * 1024;

/// Runs the gateway, or checks its configuration.
pub(crate) fn run(args: ServeArgs) -> Result<ExitCode> {
    let file = args.config.clone().or_else(config::search);
    if args.check {
        return check(file.as_deref());
    }
    // `ctl` shows paths to people who are in other directories.
    let file = file.map(absolute);
    let config = match &file {
        None => Config::default(),
        Some(file) => {
            let parsed = config::load(file);
            out::print_err(&lines(&parsed.problems));
            match parsed.config {
                Some(config) => config,
                None => bail!("not started: {} cannot be used as it is", file.display()),
            }
        }
    };
    let (log, _log_guard) = queue(std::io::stderr());
    init_log(config.log.format, log);
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
    let format = config.log.format;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the control thread")?;
    runtime.block_on(async {
        let server =
            runtime::start(config, options.clone())
                .await
                .map_err(|error| match advice(&error) {
                    None => error.into(),
                    Some(advice) => anyhow!("{error}\n  {advice}"),
                })?;
        announce(&server, &options, format);
        server.run().await;
        Ok(ExitCode::SUCCESS)
    })
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// What to do about an error that does not say so itself.
fn advice(error: &StartError) -> Option<&'static str> {
    match error {
        StartError::State(StateError::Open { .. }) => {
            Some("--state-dir names another place for what has to survive a restart")
        }
        StartError::AccessLog(_) => Some("[log] access_to names another place for it"),
        StartError::Control(_) => Some("--socket names another place for it"),
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
}

fn banner(server: &Server, options: &Options, listening: &str) -> String {
    let snapshot = server.gateway().store.snapshot();
    let config = options.config_file.as_ref().map_or_else(
        || "none found: built-in defaults".to_owned(),
        |f| f.display().to_string(),
    );
    let next = if snapshot.table.is_empty() {
        "dbgate ctl expose pg1 --host my-postgres.example --to 10.0.0.5:5432"
    } else {
        "dbgate ctl list"
    };
    let metrics = server.metrics().map_or(String::new(), |addr| {
        format!("\n  metrics    http://{addr}/metrics")
    });
    // A socket that ctl would not find by itself.
    let socket = match &options.socket {
        path if *path == config::default_socket() => String::new(),
        path => format!(" --socket {}", path.display()),
    };
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
        next.replacen(" ctl", &format!(" ctl{socket}"), 1),
    )
}

fn check(file: Option<&Path>) -> Result<ExitCode> {
    let Some(file) = file else {
        out::print("no configuration file: the built-in defaults would be used\n")?;
        return Ok(ExitCode::SUCCESS);
    };
    let parsed = config::load(file);
    let mut problems = parsed.problems;
    if let Some(config) = &parsed.config
        && let Ok(text) = std::fs::read_to_string(file)
    {
        problems.extend(config::check(config, &text, file, SystemTime::now()));
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
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(out)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}
