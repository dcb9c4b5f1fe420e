//! The whole of dbgate on a machine without a database: two small databases, the gateway in front
//! of them, a client that reaches each by its name, and one that is hidden and exposed again.
//!
//! ```text
//! cargo run --release --example demo              # then try it yourself, until Ctrl-C
//! cargo run --release --example demo -- --once    # only the story; the same without a terminal
//! ```
//!
//! Everything is in this process, on free ports of 127.0.0.1, and in a directory that goes with
//! it. Exit codes: 0 all went as told, 1 it did not, 2 usage.

mod certificate;
mod client;
mod database;
mod gateway;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use dbgate::control::params::{ExposeParams, HideParams};
use tempfile::TempDir;
use tokio::time::timeout;

use client::connect;
use database::Database;
use gateway::Gateway;

const ORDERS: &str = "orders.demo.localhost";
const BILLING: &str = "billing.demo.localhost";

/// For the whole story: it takes a fraction of a second.
const TIMEOUT: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let once = match args.as_slice() {
        [] => !(io::stdin().is_terminal() && io::stdout().is_terminal()),
        [flag] if flag == "--once" => true,
        _ => {
            eprintln!("usage: demo [--once]");
            return ExitCode::from(2);
        }
    };
    match run(once) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(once: bool) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("dbgate-demo-").tempdir()?;
    // The databases and the client; the gateway has a thread of its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut gateway, databases) = runtime.block_on(start(&dir))?;
    let told = runtime.block_on(async {
        timeout(TIMEOUT, tell(&gateway, &databases))
            .await
            .context("the demo takes too long")?
    });
    if told.is_ok() && !once {
        invite(&gateway)?;
        runtime.block_on(gateway.ended());
    }
    drop(runtime);
    let stopped = gateway.stop();
    told.and(stopped)?;
    dir.close().context("the demo's directory stays behind")
}

/// Starts what the story is about.
async fn start(dir: &TempDir) -> Result<(Gateway, [Database; 2])> {
    let orders = Database::start("orders", ORDERS).await?;
    let billing = Database::start("billing", BILLING).await?;
    let sections = format!(
        r#"[database.orders]
protocol = "postgres"
backends = ["{}"]
tls = "passthrough"
hosts = ["{ORDERS}"]

[database.billing]
protocol = "postgres"
backends = ["{}"]
tls = "terminate"
hosts = ["{BILLING}"]
"#,
        orders.addr, billing.addr
    );
    let gateway = Gateway::start(dir.path(), &sections, "*.demo.localhost").await?;
    Ok((gateway, [orders, billing]))
}

/// The story, each line once it has come true.
async fn tell(gateway: &Gateway, [orders, billing]: &[Database; 2]) -> Result<()> {
    let mut out = io::stdout().lock();
    let port = gateway.addr;

    writeln!(
        out,
        "Two databases that speak Postgres, each on a port of its own:"
    )?;
    for database in [orders, billing] {
        writeln!(out, "  {:8} {}", database.name, database.addr)?;
    }
    writeln!(out)?;

    writeln!(out, "One gateway for both, at {port}:")?;
    writeln!(
        out,
        "  {ORDERS:23} -> orders   passthrough: TLS from the client to the database"
    )?;
    writeln!(
        out,
        "  {BILLING:23} -> billing  terminate:   TLS from the client to the gateway"
    )?;
    writeln!(out)?;

    writeln!(
        out,
        "A client connects to {port} by each name and asks `show cluster_name`:"
    )?;
    let open = connect(port, ORDERS, &orders.certificate).await?;
    expect(&open.who().await?, orders)?;
    writeln!(
        out,
        "  {ORDERS:23} orders   (certificate of the database, verified)"
    )?;
    let session = connect(port, BILLING, &gateway.certificate).await?;
    expect(&session.who().await?, billing)?;
    drop(session);
    writeln!(
        out,
        "  {BILLING:23} billing  (certificate of the gateway, verified)"
    )?;
    writeln!(out)?;

    let hide = HideParams {
        name: billing.name.into(),
        ..HideParams::default()
    };
    gateway.command("hide", &hide)?;
    writeln!(out, "dbgate ctl hide billing")?;
    let Err(error) = connect(port, BILLING, &gateway.certificate).await else {
        bail!("billing is hidden, and a client still reached it");
    };
    let refusal = client::refusal(&error)?;
    let indent = "";
    writeln!(
        out,
        "  {BILLING:23} {}: {}",
        refusal.severity(),
        refusal.message()
    )?;
    if let Some(hint) = refusal.hint() {
        writeln!(out, "  {indent:23} HINT: {hint}")?;
    }
    expect(&open.who().await?, orders)?;
    writeln!(
        out,
        "  {ORDERS:23} orders   (the session from before, open all the time)"
    )?;
    writeln!(out)?;

    let expose = ExposeParams {
        name: billing.name.into(),
        ..ExposeParams::default()
    };
    gateway.command("expose", &expose)?;
    writeln!(out, "dbgate ctl expose billing")?;
    let session = connect(port, BILLING, &gateway.certificate).await?;
    expect(&session.who().await?, billing)?;
    writeln!(out, "  {BILLING:23} billing  (reachable again)")?;
    Ok(())
}

fn expect(answer: &str, database: &Database) -> Result<()> {
    ensure!(
        answer == database.name,
        "asked for {}, and {answer} has answered",
        database.name
    );
    Ok(())
}

/// The next commands to type.
fn invite(gateway: &Gateway) -> Result<()> {
    let mut out = io::stdout().lock();
    let (ip, port) = (gateway.addr.ip(), gateway.addr.port());
    writeln!(
        out,
        "\nNow you, in another terminal. The databases know `show cluster_name`:"
    )?;
    for host in [ORDERS, BILLING] {
        writeln!(
            out,
            "  psql \"host={host} hostaddr={ip} port={port} user=demo dbname=demo sslmode=require\""
        )?;
    }
    writeln!(
        out,
        "\nThe gateway (`cargo run --release --` stands for an installed dbgate):"
    )?;
    for command in ["list", "sessions", "hide orders", "expose orders"] {
        writeln!(
            out,
            "  dbgate ctl --socket {} {command}",
            gateway.socket.display()
        )?;
    }
    writeln!(
        out,
        "\nIts configuration: {}",
        gateway.config_file.display()
    )?;
    writeln!(out, "Ctrl-C ends all of it and leaves nothing behind.")?;
    Ok(())
}
