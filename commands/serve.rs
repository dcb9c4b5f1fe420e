//! `dbgate serve`: finds the configuration, starts the gateway, says what to type next.
//!
//! Exit codes: 0 stopped as asked (or, with --check, nothing is wrong), 1 it could not start (or
//! something is wrong), 2 usage.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result};
use dbgate::access_log::AccessLog;
use dbgate::config::{self, Config, LogFormat, Problem, Severity};
use dbgate::runtime::{self, Options, Server};
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::cli::ServeArgs;

/// Log lines that wait for a slow reader before they are dropped.
const LOG_QUEUE: usize = 16 * 1024;

/// Runs the gateway, or checks its configuration.
pub fn run(args: ServeArgs) -> Result<ExitCode> {
    let file = args.config.clone().or_else(config::search);
    if args.check {
        return Ok(check(file.as_deref()));
    }
    let config = match &file {
        None => Config::default(),
        Some(file) => {
            let parsed = config::load(file);
            print_problems(&parsed.problems);
            match parsed.config {
                Some(config) => config,
                None => return Ok(ExitCode::from(1)),
            }
        }
    };
    let (log, _log_guard) = queue(std::io::stderr());
    let (access, _access_guard) = queue(std::io::stdout());
    init_log(config.log.format, log);
    let access_log = AccessLog::new(access, config.log.format);
    let threads = args.threads.map_or_else(
        || std::thread::available_parallelism().map_or(1, usize::from),
        usize::from,
    );
    let options = Options {
        config_file: file.clone(),
        socket: args
            .socket
            .or_else(|| config.control.socket.clone())
            .unwrap_or_else(config::default_socket),
        state_dir: args.state_dir.unwrap_or_else(config::default_state_dir),
        threads,
    };
    let format = config.log.format;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the control thread")?;
    runtime.block_on(async {
        let server = runtime::start(config, options.clone(), access_log).await?;
        announce(&server, &options, format);
        server.run().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// Says what was chosen and what to do next: to a person in words, to a log as one event.
fn announce(server: &Server, options: &Options, format: LogFormat) {
    let addresses = server.addresses();
    let listening: Vec<String> = addresses
        .iter()
        .map(|(name, addr)| format!("{name} {addr}"))
        .collect();
    let snapshot = server.gateway().store.snapshot();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        listeners = listening.join(", "),
        socket = %options.socket.display(),
        state = %options.state_dir.display(),
        config = options.config_file.as_ref().map(|f| tracing::field::display(f.display())),
        databases = snapshot.databases.len(),
        threads = options.threads,
        "ready"
    );
    if format != LogFormat::Text || !std::io::stderr().is_terminal() {
        return;
    }
    let config = options.config_file.as_ref().map_or_else(
        || "none found: built-in defaults".to_owned(),
        |f| f.display().to_string(),
    );
    let port = addresses.first().map_or(7432, |(_, addr)| addr.port());
    let mut words = String::new();
    words += "\ndbgate is ready\n";
    words += &format!("  clients   {}\n", listening.join(", "));
    words += &format!("  config    {config}\n");
    words += &format!("  control   {}\n", options.socket.display());
    words += &format!("  state     {}\n", options.state_dir.display());
    words += &format!("  databases {}\n\n", snapshot.databases.len());
    words += "Next, in another terminal:\n";
    if snapshot.table.is_empty() {
        words += "  dbgate ctl expose pg1 --host my-postgres.example --to 10.0.0.5:5432\n";
        words += &format!(
            "  psql \"host=my-postgres.example hostaddr=127.0.0.1 port={port} sslmode=require\"\n"
        );
    } else {
        words += "  dbgate ctl list\n";
    }
    let _ = writeln!(std::io::stderr(), "{words}");
}

fn check(file: Option<&Path>) -> ExitCode {
    let Some(file) = file else {
        println!(
            "no configuration file: built-in defaults would be used, nothing is wrong with them"
        );
        return ExitCode::SUCCESS;
    };
    let parsed = config::load(file);
    let mut problems = parsed.problems;
    if let Some(config) = &parsed.config
        && let Ok(text) = std::fs::read_to_string(file)
    {
        problems.extend(config::check(config, &text, file, SystemTime::now()));
    }
    print_problems(&problems);
    let errors = count(&problems, Severity::Error);
    let warnings = count(&problems, Severity::Warning);
    println!(
        "{}: {} ({errors} errors, {warnings} warnings)",
        file.display(),
        if errors == 0 { "ok" } else { "not usable" }
    );
    ExitCode::from(u8::from(errors > 0))
}

fn count(problems: &[Problem], severity: Severity) -> usize {
    problems.iter().filter(|p| p.severity == severity).count()
}

fn print_problems(problems: &[Problem]) {
    for problem in problems {
        eprintln!("{problem}");
    }
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
