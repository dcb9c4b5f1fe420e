//! Certificate of the server in a report: verified against the authorities, each fault by its rule.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use rustls::pki_types::ServerName as PkiName;

use super::attempt::Attempt;
use super::options::{Options, Roots};
use super::plan::Plan;
use super::setup::Setup;
use super::target::Host;
use crate::cert::{self, Fault, Purpose};
use crate::probe::{Finding, Report, Severity, rules};
use crate::protocol::Protocol;

/// Verifies the chain that a connection has shown, and adds its faults.
pub(super) fn verify(report: &mut Report, attempt: &Attempt, plan: &Plan, setup: &Setup) {
    if attempt.certs.chain.is_empty() {
        return;
    }
    let name = name(plan);
    let verification = cert::verify(
        &attempt.certs.chain,
        &setup.roots,
        name.as_ref(),
        Purpose::Server,
        SystemTime::now(),
    );
    let trusted = verification.is_trusted();
    report.trusted = Some(trusted);
    report.root.clone_from(&verification.root);
    report.chain.clone_from(&verification.views);
    let insecure = setup.options.roots == Roots::Insecure;
    for fault in &verification.faults {
        report.find(finding(fault, plan, &setup.options));
    }
    if insecure {
        let detail = match verification.faults.first() {
            Some(fault) if !trusted => format!("the check would have failed: {fault}"),
            _ => "the check would have passed".to_owned(),
        };
        let finding = Finding::new(&rules::TRUST_NOT_CHECKED, detail);
        report.find(finding.with(Severity::Note));
    }
    if plan.protocol == Some(Protocol::Postgres)
        && let Some(file) = libpq_roots()
    {
        report.find(Finding::new(
            &rules::LIBPQ_ROOT_CRT,
            format!("it is {}", file.display()),
        ));
    }
}

/// Name that the certificate has to be for: the one sent, else the one dialled.
fn name(plan: &Plan) -> Option<PkiName<'static>> {
    let name = match (&plan.offer.sni, &plan.dialled.0) {
        (Some(name), _) | (None, Host::Name(name)) => name.as_str().to_owned(),
        (None, Host::Ip(ip)) => return Some(PkiName::from(*ip)),
        (None, Host::Zoned(addr)) => return Some(PkiName::from(IpAddr::from(addr.ip))),
    };
    PkiName::try_from(name).ok()
}

fn finding(fault: &Fault, plan: &Plan, options: &Options) -> Finding {
    let insecure = options.roots == Roots::Insecure;
    let rule = rules::by_code(fault.code()).unwrap_or(&rules::CERT_REJECTED);
    let mut finding = Finding::new(rule, fault.to_string());
    finding.severity = match fault.severity() {
        _ if insecure => Severity::Note,
        cert::Severity::Refused => Severity::Fail,
        cert::Severity::Warning => Severity::Warn,
    };
    let tunnel = match &plan.dialled.0 {
        Host::Ip(ip) => is_loopback(*ip),
        Host::Zoned(addr) => addr.ip.is_loopback(),
        Host::Name(name) => name.as_str() == "localhost",
    };
    if tunnel && let Fault::NameMismatch { names, .. } | Fault::IpNotCovered { names, .. } = fault {
        let (host, port) = &plan.dialled;
        let name = names.iter().find(|name| !name.starts_with('*'));
        let name = name.map_or("NAME", String::as_str);
        let libpq = match plan.protocol {
            Some(Protocol::Postgres) => format!(
                " (libpq: host={name} hostaddr={})",
                host.to_string().trim_matches(['[', ']'])
            ),
            _ => String::new(),
        };
        // Writing to a String cannot fail.
        let _ = write!(
            finding.detail,
            ". This is an address of this machine: through a tunnel or port-forward keep the \
             name{libpq}"
        );
        let ca = match &options.roots {
            Roots::File(file) => format!(" --ca {}", file.display()),
            Roots::System | Roots::Insecure => String::new(),
        };
        finding = finding.then(format!(
            "dbgate probe {}://{name} --connect {host}:{port}{ca}",
            protocol_word(plan.protocol)
        ));
    }
    finding
}

fn protocol_word(protocol: Option<Protocol>) -> &'static str {
    match protocol {
        Some(Protocol::Postgres) => "postgres",
        Some(Protocol::Mysql) => "mysql",
        Some(Protocol::Mariadb) => "mariadb",
        Some(Protocol::Mongodb) => "mongodb",
        Some(Protocol::Redis) => "rediss",
        Some(Protocol::Tls) | None => "tls",
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// The file of authorities that libpq uses without being asked, where it is there
/// (PostgreSQL documentation, "SSL Support", "Client Verification of Server Certificates").
fn libpq_roots() -> Option<PathBuf> {
    let home = std::env::var_os("HOME")?;
    let file = PathBuf::from(home).join(".postgresql/root.crt");
    file.exists().then_some(file)
}
