//! `dbgate probe listen`: what a client really sends, and what it does with the answer.
//!
//! Exit codes: 0 ended by Ctrl-C, 1 it cannot listen, 2 usage. With --once by what was heard: 0
//! all is well, 1 it works but not as it should, 3 the server of --forward is not reached, 4 it
//! does not work.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result};
use dbgate::probe::active::Endpoint;
use dbgate::probe::listen::{self, ClientReport, Mode, Reaction, Settings, Trust};
use dbgate::probe::{Stage, Verdict};
use dbgate::protocol::Protocol;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::exit_code::{NO_CONNECTION, NO_HANDSHAKE, TROUBLE, USAGE};
use super::print::{self, Page};
use crate::cli::{ListenArgs, ProbeOutput};
use crate::out;
use crate::table::escape;

/// Reports that wait for a slow reader before clients do.
const QUEUE: usize = 64;

/// Signature algorithms that are listed; real clients offer up to thirty.
const SIGNATURES: usize = 6;

/// Listens until interrupted, or for one client.
pub(crate) fn run(args: ListenArgs) -> Result<ExitCode> {
    let mode = match (args.forward, args.then_cert) {
        (
            Some(Endpoint {
                host,
                port: Some(port),
            }),
            _,
        ) => Mode::Forward(host, port),
        (Some(Endpoint { host, port: None }), _) => {
            out::complain(&format!(
                "--forward {host}: say which port, as in {host}:5432"
            ));
            return Ok(ExitCode::from(USAGE));
        }
        (None, true) => Mode::Certify,
        (None, false) => Mode::Refuse,
    };
    let settings = Settings {
        hint: args.protocol,
        mode,
        timeout: args.timeout,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let code = runtime.block_on(hear(args.bind, settings, args.once, args.output));
    // Connections that are still open are closed.
    runtime.shutdown_background();
    Ok(ExitCode::from(code?))
}

async fn hear(bind: SocketAddr, settings: Settings, once: bool, output: ProbeOutput) -> Result<u8> {
    let socket = TcpListener::bind(bind)
        .await
        .with_context(|| format!("cannot listen on {bind}"))?;
    let address = socket.local_addr().context("cannot listen")?;
    out::print_err(&invitation(address, &settings));
    let (sender, mut client) = mpsc::channel(QUEUE);
    let serving = async {
        if once {
            listen::serve_once(socket, settings, sender).await;
        } else {
            listen::serve(socket, settings, sender).await;
        }
    };
    let printing = async {
        let mut worst = 0;
        while let Some(client) = client.recv().await {
            worst = worst.max(code(&client));
            if !show(&client, output)? {
                break;
            }
        }
        Ok(worst)
    };
    // Printing ends with the last client of --once, or when the reader is gone.
    let serving = async {
        serving.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        code = printing => code,
        () = serving => Ok(0),
        _ = tokio::signal::ctrl_c() => Ok(0),
    }
}

/// Exit code of a report.
fn code(client: &ClientReport) -> u8 {
    match (client.report.verdict, client.report.stage) {
        (Verdict::Ok, _) => 0,
        (Verdict::Warn, _) => TROUBLE,
        (Verdict::Fail, Stage::Dns | Stage::Tcp) => NO_CONNECTION,
        (Verdict::Fail | Verdict::Failed | Verdict::Unknown, _) => NO_HANDSHAKE,
    }
}

fn show(client: &ClientReport, output: ProbeOutput) -> Result<bool> {
    let text = match output {
        ProbeOutput::Text => text(client, print::colours()),
        ProbeOutput::Json => {
            let mut line = serde_json::to_string(client).context("cannot write JSON")?;
            line.push('\n');
            line
        }
    };
    out::print_on(&text).context("cannot write the report")
}

/// Address, answer to clients, and commands to try.
fn invitation(address: SocketAddr, settings: &Settings) -> String {
    let answer = match &settings.mode {
        Mode::Refuse => "clients are refused with TLS alert 112, unrecognized_name".to_owned(),
        Mode::Certify => "clients are shown a throwaway certificate".to_owned(),
        Mode::Forward(host, port) => format!("clients are passed on to {host}:{port}"),
    };
    let (ip, port) = (address.ip(), address.port());
    let ip = if ip.is_unspecified() {
        "ADDRESS".to_owned()
    } else {
        ip.to_string()
    };
    let psql = format!("psql 'host=NAME hostaddr={ip} port={port} sslmode=require'");
    let redis = format!("redis-cli --tls --sni NAME -h {ip} -p {port}");
    let mongo = format!("mongosh 'mongodb://NAME:{port}/?tls=true'   (with NAME leading to {ip})");
    let mysql = format!("mysql --ssl-mode=REQUIRED --host={ip} --port={port}");
    let openssl = format!("openssl s_client -connect {ip}:{port} -servername NAME");
    let lines = match settings.hint {
        None => vec![psql, redis],
        Some(Protocol::Postgres) => vec![psql],
        Some(Protocol::Mysql | Protocol::Mariadb) => vec![mysql],
        Some(Protocol::Mongodb) => vec![mongo],
        Some(Protocol::Redis) => vec![redis],
        Some(Protocol::Tls) => vec![openssl],
    };
    let mut text =
        format!("listening on {address}; {answer}\nnow let your client connect, such as:\n");
    for line in lines {
        text.push_str("  ");
        text.push_str(line.as_str());
        text.push('\n');
    }
    if settings.hint.is_none() {
        text += "for MySQL and MariaDB, where the server speaks first: --protocol mysql\n";
    }
    text += "Ctrl-C ends it\n\n";
    text
}

/// One client for people.
fn text(client: &ClientReport, colours: bool) -> String {
    if client.reported_code.as_ref() == Some(&client.report.code) {
        return ended(client);
    }
    let report = &client.report;
    let mut page = Page::new(&headline(client, colours));
    if client.retry {
        return page.text() + "\n";
    }
    page.row("it sent", &sent(client));
    if let Some(hello) = &report.hello {
        page.row("SNI", &sni(client));
        page.row("ALPN", &listed(&report.alpn, "none"));
        page.row("versions", &listed(&hello.versions, "none"));
        let quantum = if hello.post_quantum {
            "   (post-quantum)"
        } else {
            "   (none post-quantum)"
        };
        page.row(
            "groups",
            &format!("{}{quantum}", listed(&hello.groups, "none")),
        );
        page.row("signatures", &shortened(&client.signature_algorithms));
        let count = |n: usize, what: &str| match n {
            1 => format!("1 {what}"),
            n => format!("{n} {what}s"),
        };
        page.row(
            "hello",
            &format!(
                "{}, {}, {}",
                count(hello.bytes, "byte"),
                count(hello.records, "TLS record"),
                count(hello.segments, "segment"),
            ),
        );
        page.row("JA4", &hello.ja4);
    }
    if !client.readable.is_empty() {
        let what = client.readable.join(", ");
        page.row(
            "readable",
            &format!("{what}: in plaintext for anyone on the path"),
        );
    }
    if let Some(to) = client.forwarded_to {
        page.row("passed on to", &to.to_string());
    }
    if let Some(version) = &report.tls_version {
        let parts = [Some(version), report.cipher.as_ref(), report.group.as_ref()];
        let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        page.row("agreed on", &format!("TLS {}", parts.join("  ")));
    }
    if let Some(answer) = &client.answer {
        page.row("it got", answer);
    }
    if let Some(then) = then(client) {
        page.row("it then", &then);
    }
    let leads = report.verdict != Verdict::Ok;
    for (at, finding) in report.findings.iter().enumerate() {
        if at == 0 && leads {
            page.row("why", &finding.detail);
            page.row("meaning", finding.rule.meaning);
            print::remedy(&mut page, finding);
        } else {
            print::other(&mut page, finding);
        }
    }
    let mut text = page.text();
    text.push('\n');
    text
}

/// The first line: verdict, number, protocol, client, and the gist.
fn headline(client: &ClientReport, colours: bool) -> String {
    let report = &client.report;
    let gist = match report.findings.first() {
        Some(lead) if report.verdict != Verdict::Ok => lead.rule.summary.to_owned(),
        _ => gist(client),
    };
    let gist = if client.retry {
        format!("again: {gist}")
    } else {
        gist
    };
    let id = report.id.map(|id| format!("#{id}")).unwrap_or_default();
    let peer = report.client.as_deref().unwrap_or_default();
    let rest = escape(&format!("{id}  {}  {peer}  {gist}", report.protocol));
    format!("{}  {rest}", print::verdict(report.verdict, colours))
}

/// Summary of a client without findings.
fn gist(client: &ClientReport) -> String {
    let report = &client.report;
    let asks = match &report.sni {
        Some(sni) => format!("asks for {sni}"),
        None if report.hello.is_some() => "asks for no name".to_owned(),
        None => {
            return client
                .said
                .first()
                .cloned()
                .unwrap_or_else(|| "said nothing".to_owned());
        }
    };
    match (client.certificate, report.established) {
        (Some(Trust::Refused | Trust::RefusedAfterwards), _) => {
            format!("{asks}, and verifies certificates")
        }
        (_, true) => format!("{asks}; TLS is up"),
        (_, false) => asks,
    }
}

fn sent(client: &ClientReport) -> String {
    match client.said.as_slice() {
        [] if client.first_bytes.is_empty() => "nothing".to_owned(),
        [] => format!("({})", client.first_bytes),
        said => format!("{}   ({})", said.join(", then "), client.first_bytes),
    }
}

fn sni(client: &ClientReport) -> String {
    let report = &client.report;
    match (&report.sni, &client.sni_normalised, report.sni_status) {
        (None, _, _) => "none".to_owned(),
        (Some(sent), Some(name), _) if sent == name => sent.clone(),
        (Some(sent), Some(name), _) => format!("{sent}   (a gateway reads {name})"),
        (Some(sent), None, "ip") => format!("{sent}   (an address is not a valid server name)"),
        (Some(sent), None, _) => format!("{sent}   (not a valid DNS name)"),
    }
}

fn listed(all: &[String], none: &str) -> String {
    match all {
        [] => none.to_owned(),
        all => all.join(" "),
    }
}

fn shortened(all: &[String]) -> String {
    let shown = all.get(..SIGNATURES).unwrap_or(all);
    match all.len().saturating_sub(SIGNATURES) {
        0 => listed(shown, "none"),
        more => format!("{} and {more} more", shown.join(" ")),
    }
}

/// Describes the client's reaction to its answer.
fn then(client: &ClientReport) -> Option<String> {
    let told = match client.certificate {
        Some(Trust::Accepted) => {
            let inside = client.inside.as_deref().unwrap_or("something unknown");
            return Some(format!("took it and sent {inside} inside TLS"));
        }
        Some(Trust::Refused) => match (&client.report.alert, client.report.alert_by) {
            (Some(alert), Some("client")) => format!("refused it with the alert {alert}"),
            _ => "hung up without an alert".to_owned(),
        },
        Some(Trust::RefusedAfterwards) => "completed the handshake and hung up".to_owned(),
        None => reacted(client.reaction.as_ref()?),
    };
    Some(told)
}

fn reacted(reaction: &Reaction) -> String {
    let did = match (reaction.what, &reaction.alert) {
        ("closed", _) => "hung up".to_owned(),
        ("reset", _) => "reset the connection".to_owned(),
        ("alert", Some(alert)) => format!("sent the alert {alert}"),
        ("went-on", _) => "went on as if it had not been refused".to_owned(),
        _ => return "waited until the listener closed".to_owned(),
    };
    match reaction.after_ms {
        Some(ms) => format!("{did} after {ms:.1} ms"),
        None => did,
    }
}

/// Last line of a connection that was reported before.
fn ended(client: &ClientReport) -> String {
    let report = &client.report;
    let id = report.id.unwrap_or_default();
    let peer = report.client.as_deref().unwrap_or_default();
    let seconds = client.duration_ms / 1e3;
    escape(&format!(
        "ENDED #{id}  {}  {peer}  after {seconds:.1} s: {} bytes from the client, {} to it",
        report.protocol, client.bytes_in, client.bytes_out
    )) + "\n\n"
}
