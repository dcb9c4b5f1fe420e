//! `dbgate cert show`: what certificates say, those of a file or of a server.
//!
//! A server is reached as `dbgate probe` does it; here only its certificates matter.
//! Exit codes: 0 nothing is wrong, 1 something is, 2 usage, 3 a file cannot be read or a server not
//! reached, 4 no usable handshake.

use std::path::Path;
use std::time::SystemTime;

use dbgate::cert::{self, Bundle, Fault, Purpose, Severity, Verification, View};
use dbgate::probe::active::{self, Options, Roots, Setup, Target};
use dbgate::probe::{Finding, Report, Stage};
use rustls::pki_types::CertificateDer;
use serde::Serialize;

use super::common::{Failure, NOT_DONE, UNREADABLE, USAGE, is_stdin, print, read_bundle};
use crate::cli::{CertOutput, ShowArgs};
use crate::table::{escape, fields};

const FINE: u8 = 0;
const WRONG: u8 = 1;
const NO_CONNECTION: u8 = 3;
const NO_HANDSHAKE: u8 = 4;

/// The name of this shape of JSON.
const SCHEMA: &str = "dbgate.cert/1";

/// The word for a key that is another certificate's.
const OTHER: &str = "other";

/// The answer, as in JSON.
#[derive(Serialize)]
struct Shown {
    schema: &'static str,
    source: String,
    /// Only where it was held against authorities.
    #[serde(skip_serializing_if = "Option::is_none")]
    trusted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<String>,
    certificates: Vec<View>,
    /// `fits`, `other` or `encrypted`: the private key in the file or beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'static str>,
    faults: Vec<Told>,
}

#[derive(Serialize)]
struct Told {
    code: &'static str,
    severity: &'static str,
    what: String,
    #[serde(rename = "do")]
    advice: String,
}

impl From<&Fault> for Told {
    fn from(fault: &Fault) -> Self {
        Self {
            code: fault.code(),
            severity: match fault.severity() {
                Severity::Refused => "fail",
                Severity::Warning => "warn",
            },
            what: fault.to_string(),
            advice: fault.advice(),
        }
    }
}

impl From<&Finding> for Told {
    fn from(finding: &Finding) -> Self {
        Self {
            code: finding.rule.code,
            severity: finding.severity.as_str(),
            what: finding.detail.clone(),
            advice: finding.rule.remedy.to_owned(),
        }
    }
}

/// Prints a file or a server; returns the exit code.
pub(super) fn run(args: &ShowArgs) -> Result<u8, Failure> {
    let path = Path::new(&args.what);
    let url = match url(&args.what) {
        Some(url) if !path.exists() => url,
        _ => return file(args, path),
    };
    server(args, &url)
}

/// The address of a server, where it is one.
fn url(what: &str) -> Option<String> {
    if what.contains("://") {
        return Some(what.to_owned());
    }
    let (host, port) = what.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    if host.is_empty() || host.contains('/') {
        return None;
    }
    // The ports on which TLS never starts with the first byte alone.
    let scheme = match port {
        5432 => "postgres",
        3306 => "mysql",
        _ => "tls",
    };
    Some(format!("{scheme}://{what}"))
}

fn file(args: &ShowArgs, path: &Path) -> Result<u8, Failure> {
    if !is_stdin(path) && !path.exists() && !args.what.contains('/') {
        let what = &args.what;
        let message = format!(
            "cannot read {what}: no such file; a server is written HOST:PORT or \
             postgres://HOST"
        );
        return Err(Failure::new(UNREADABLE, message));
    }
    let bundle = read_bundle(path)?;
    if bundle.certificates.is_empty() {
        let message = format!("{} holds a private key, but no certificate", path.display());
        return Err(Failure::new(UNREADABLE, message));
    }
    let roots = match &args.ca {
        Some(ca) => Some(cert::read_roots(Some(ca))?),
        None => None,
    };
    let verification = judge(&bundle, roots.as_deref());
    if verification.views.is_empty() {
        let words = verification.faults.first().map(ToString::to_string);
        let words = words.unwrap_or_else(|| "cannot be read".to_owned());
        return Err(Failure::new(
            UNREADABLE,
            format!("{}: {words}", path.display()),
        ));
    }
    let shown = Shown {
        schema: SCHEMA,
        source: args.what.clone(),
        trusted: roots.is_some().then(|| verification.is_trusted()),
        root: verification.root.clone(),
        key: key(&bundle, path),
        faults: verification.faults.iter().map(Told::from).collect(),
        certificates: verification.views,
    };
    show(&shown, args.output)?;
    let is_wrong = !shown.faults.is_empty() || shown.key == Some(OTHER);
    Ok(if is_wrong { WRONG } else { FINE })
}

/// Verifies the certificates of a file; without roots trust is not checked.
fn judge(bundle: &Bundle, roots: Option<&[CertificateDer<'_>]>) -> Verification {
    let chain = &bundle.certificates;
    let now = SystemTime::now();
    let views: Vec<View> = chain
        .iter()
        .filter_map(|der| cert::view(der, now).ok())
        .collect();
    let authorities = views.len() == chain.len() && views.iter().all(|view| view.is_ca);
    let is_client = views
        .first()
        .is_some_and(|leaf| leaf.usages == ["clientAuth"]);
    let purpose = if is_client {
        Purpose::Client
    } else {
        Purpose::Server
    };
    let mut verification = cert::verify(chain, roots.unwrap_or(&[]), None, purpose, now);
    if authorities {
        // A file of authorities is not a chain, and none of them is a server's.
        verification.faults.retain(|fault| {
            matches!(
                fault,
                Fault::Expired { .. }
                    | Fault::NotYetValid { .. }
                    | Fault::ExpiresSoon { .. }
                    | Fault::WeakKey { .. }
            )
        });
    } else if roots.is_none() {
        verification.faults.retain(|fault| {
            !matches!(
                fault,
                Fault::SelfSigned { .. }
                    | Fault::UnknownRoot { .. }
                    | Fault::MissingIntermediate { .. }
            )
        });
    }
    verification
}

/// The key in the file, or in the one beside it that is named alike.
fn key(bundle: &Bundle, path: &Path) -> Option<&'static str> {
    let beside = path.with_extension("key");
    let other = match &bundle.key {
        None if !bundle.has_encrypted_key
            && !is_stdin(path)
            && beside != path
            && beside.exists() =>
        {
            read_bundle(&beside).ok()
        }
        _ => None,
    };
    let holder = other.as_ref().unwrap_or(bundle);
    let leaf = bundle.certificates.first()?;
    match &holder.key {
        Some(key) if cert::fits(leaf, key) => Some("fits"),
        Some(_) => Some(OTHER),
        None if holder.has_encrypted_key => Some("encrypted"),
        None => None,
    }
}

fn server(args: &ShowArgs, url: &str) -> Result<u8, Failure> {
    let target = Target::parse(url)
        .map_err(|e| Failure::new(USAGE, format!("the address cannot be used: {e}")))?;
    let options = Options {
        roots: args.ca.clone().map_or(Roots::System, Roots::File),
        ..Options::default()
    };
    let setup = Setup::load(options).map_err(|e| Failure::new(UNREADABLE, e.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(NOT_DONE, format!("cannot start: {e}")))?;
    let report = runtime.block_on(active::probe(&target, &setup));
    // A resolver that does not answer must not hold the end up.
    runtime.shutdown_background();
    let reached = !report.chain.is_empty();
    if !reached && args.output == CertOutput::Text {
        return Err(no_certificate(&report));
    }
    let without = unreached(&report);
    // Without a certificate the fault is the reason for that.
    let told = |finding: &&Finding| !reached || finding.rule.code.starts_with("cert-");
    let shown = Shown {
        schema: SCHEMA,
        source: report.target.clone().unwrap_or_default(),
        trusted: report.trusted,
        root: report.root.clone(),
        key: None,
        faults: report
            .findings
            .iter()
            .filter(told)
            .map(Told::from)
            .collect(),
        certificates: report.chain,
    };
    show(&shown, args.output)?;
    Ok(match (reached, shown.faults.is_empty()) {
        (false, _) => without,
        (true, true) => FINE,
        (true, false) => WRONG,
    })
}

/// The exit code of a server that showed no certificate.
fn unreached(report: &Report) -> u8 {
    match report.stage {
        Stage::Dns | Stage::Tcp => NO_CONNECTION,
        _ => NO_HANDSHAKE,
    }
}

/// Failure for a server that showed none.
fn no_certificate(report: &Report) -> Failure {
    let target = report.target.as_deref().unwrap_or_default();
    let message = match report.findings.first() {
        Some(finding) => format!(
            "{target}: {}: {}\n  {}",
            finding.rule.summary, finding.detail, finding.rule.remedy
        ),
        None => format!("{target} showed no certificate"),
    };
    Failure::new(unreached(report), message)
}

fn show(shown: &Shown, output: CertOutput) -> Result<(), Failure> {
    match output {
        CertOutput::Json => {
            let json = serde_json::to_string_pretty(shown)
                .map_err(|e| Failure::new(NOT_DONE, format!("cannot write JSON: {e}")))?;
            print(&(json + "\n"))
        }
        CertOutput::Text => print(&text(shown)),
    }
}

fn text(shown: &Shown) -> String {
    let count = shown.certificates.len();
    let mut parts: Vec<String> = Vec::new();
    for (at, view) in shown.certificates.iter().enumerate() {
        parts.push(match count {
            1 => "certificate\n".to_owned(),
            _ => format!("certificate {} of {count}\n", at + 1),
        });
        parts.push(fields(&rows(view)));
    }
    parts.extend(shown.key.map(|key| match key {
        "fits" => "the private key fits the certificate\n".to_owned(),
        "encrypted" => "the private key is behind a password\n".to_owned(),
        _ => "the private key is that of ANOTHER certificate\n".to_owned(),
    }));
    let root = shown.root.as_deref().unwrap_or("the trust store");
    parts.extend(shown.trusted.map(|trusted| {
        if trusted {
            format!("trusted by {}\n", escape(root))
        } else {
            "not trusted\n".to_owned()
        }
    }));
    for fault in &shown.faults {
        let (what, advice) = (escape(&fault.what), escape(&fault.advice));
        parts.push(format!(
            "{}  {}: {what}\n      {advice}\n",
            fault.severity.to_uppercase(),
            fault.code
        ));
    }
    parts.concat()
}

fn rows(view: &View) -> Vec<(&'static str, String)> {
    let names = match (view.names.join(", "), view.more_names) {
        (names, 0) if names.is_empty() => "-".to_owned(),
        (names, 0) => names,
        (names, more) => format!("{names} and {more} more"),
    };
    let days = match view.days_left {
        left @ 0.. => format!("{left} days left"),
        over => format!("over for {} days", -over),
    };
    let kind = match (view.is_ca, view.usages.is_empty()) {
        (true, _) => "an authority (CA:TRUE)".to_owned(),
        (false, true) => "any purpose".to_owned(),
        (false, false) => view.usages.join(", "),
    };
    let issuer = if view.self_signed {
        "itself".to_owned()
    } else {
        view.issuer.clone()
    };
    vec![
        ("  subject", view.subject.clone()),
        ("  names", names),
        ("  signed by", issuer),
        (
            "  valid",
            format!("{} to {} ({days})", view.not_before, view.not_after),
        ),
        ("  for", kind),
        ("  key", view.key.clone()),
        ("  signature", view.signature.clone()),
        ("  serial", view.serial.clone()),
        ("  sha256", view.sha256.clone()),
    ]
}
