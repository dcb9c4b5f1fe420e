//! Probing a database as a client would meet it, up to the login.
//!
//! The story is [`probe`]: from name to address to connection, one look, its recording judged like
//! any other ([`super::diagnose`]), the certificate judged by [`crate::cert`], and where the cause
//! is still open, further looks of another kind.
//!
//! Not here: printing.

mod attempt;
mod certificate;
mod database;
mod detect;
mod followup;
mod full_hello;
mod handshake;
mod options;
pub(super) mod reach;
mod setup;
mod split;
mod target;

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use tokio::net::TcpStream;

pub use options::{OnlyVersion, Options, Roots, Sni, Split, Starttls};
pub use setup::Setup;
pub use target::{Endpoint, Host, Target, TargetError};

use super::diagnose::{self, Vantage};
use super::dissection;
use super::{Finding, Report, Rule, Severity, rules};
use crate::probe::hint::Hint;
use crate::tls::Sni as Sent;
use crate::tls::config::ALPN_POSTGRES;
use crate::wire::escape;
use attempt::{Attempt, Plan, Preface};
use followup::FollowUp;
use handshake::{HandshakeFailure, Offer};

/// An address of a target, and how it was found.
#[derive(Clone, Debug)]
pub struct ResolvedAddress {
    /// What a client is told to dial.
    host: Host,
    port: u16,
    addr: SocketAddr,
    /// How long its name took to resolve, where there was one.
    dns: Option<Duration>,
}

/// Looks at the first host of a target, at its first address that takes the connection.
pub async fn probe(target: &Target, setup: &Setup) -> Report {
    let timer = Timer::start();
    let report = match target.hosts.first() {
        Some((host, port)) => first_that_answers(target, host, *port, setup).await,
        None => Report::default(),
    };
    timer.finish(report)
}

/// Looks at one address.
pub async fn probe_at(target: &Target, address: &ResolvedAddress, setup: &Setup) -> Report {
    let timer = Timer::start();
    let report = match reach::connect(address.addr, setup.options.timeout).await {
        Ok((tcp, connected)) => at_address(target, address, setup, tcp, connected).await,
        Err(finding) => unreached(target, address, finding),
    };
    timer.finish(report)
}

/// Every address of every host of a target; a host without any gives a report instead.
pub async fn addresses(target: &Target, setup: &Setup) -> (Vec<ResolvedAddress>, Vec<Report>) {
    let (mut addresses, mut failed) = (Vec::new(), Vec::new());
    for (host, port) in &target.hosts {
        let timer = Timer::start();
        match resolve(host, *port, setup).await {
            Ok(found) => addresses.extend(found),
            Err(finding) => failed.push(timer.finish(unresolved(target, host, *port, finding))),
        }
    }
    (addresses, failed)
}

/// When a report began.
struct Timer(Instant, SystemTime);

impl Timer {
    fn start() -> Self {
        Self(Instant::now(), SystemTime::now())
    }

    fn finish(self, mut report: Report) -> Report {
        report.began(self.1);
        report.phase("total", self.0.elapsed());
        report.conclude();
        report
    }
}

/// The addresses of what is to be dialled for a host, at least one.
async fn resolve(host: &Host, port: u16, setup: &Setup) -> Result<Vec<ResolvedAddress>, Finding> {
    let (dialled, at) = match &setup.options.connect {
        Some(instead) => (&instead.host, instead.port.unwrap_or(port)),
        None => (host, port),
    };
    let (addresses, took) = reach::resolve(dialled, at, setup.options.timeout).await?;
    let dns = matches!(dialled, Host::Name(_)).then_some(took);
    let address = |addr| ResolvedAddress {
        host: host.clone(),
        port,
        addr,
        dns,
    };
    Ok(addresses.into_iter().map(address).collect())
}

async fn first_that_answers(target: &Target, host: &Host, port: u16, setup: &Setup) -> Report {
    let addresses = match resolve(host, port, setup).await {
        Ok(addresses) => addresses,
        Err(finding) => return unresolved(target, host, port, finding),
    };
    // One that swallows packets must leave time for the next.
    let share = setup.options.timeout / u32::try_from(addresses.len()).unwrap_or(1).max(1);
    let mut before: Vec<String> = Vec::new();
    let mut last = None;
    for address in addresses {
        match reach::connect(address.addr, share).await {
            Ok((tcp, connected)) => {
                let mut report = at_address(target, &address, setup, tcp, connected).await;
                report.looks.splice(..0, before);
                return report;
            }
            Err(finding) => {
                before.push(finding.detail.clone());
                last = Some((address, finding));
            }
        }
    }
    match last {
        Some((address, mut finding)) => {
            finding.detail = before.join("; ");
            unreached(target, &address, finding)
        }
        None => Report::default(),
    }
}

/// A report without a connection.
fn unresolved(target: &Target, host: &Host, port: u16, finding: Finding) -> Report {
    let mut report = Report {
        protocol: target.name.to_owned(),
        sni_status: Sent::None.status(),
        target: Some(format!("{host}:{port}")),
        ..Report::default()
    };
    report.find(finding);
    report
}

fn unreached(target: &Target, address: &ResolvedAddress, finding: Finding) -> Report {
    let mut report = unresolved(target, &address.host, address.port, finding);
    report.server = Some(address.addr.to_string());
    if let Some(took) = address.dns {
        report.phase("dns", took);
    }
    report
}

/// One look at an address, what it means, and further looks where it leaves that open.
async fn at_address(
    target: &Target,
    address: &ResolvedAddress,
    setup: &Setup,
    tcp: TcpStream,
    connected: Duration,
) -> Report {
    let plan = plan(target, &address.host, address.port, setup);
    let attempt = attempt::run(tcp, connected, &plan).await;
    let mut report = attempt_report(&attempt, &plan);
    report.target = Some(format!("{}:{}", address.host, address.port));
    report.server = Some(address.addr.to_string());
    if let Some(took) = address.dns {
        report.phase("dns", took);
    }
    certificate::verify(&mut report, &attempt, &plan, setup);
    FollowUp::new(&mut report, &attempt, &plan, setup, address.addr)
        .run()
        .await;
    report
}

fn plan(target: &Target, host: &Host, port: u16, setup: &Setup) -> Plan {
    let options = &setup.options;
    let preface = match (target.protocol, options.starttls) {
        (Hint::Mysql | Hint::Mariadb, _) => Preface::Greeting,
        (Hint::Postgres, Starttls::Auto) | (_, Starttls::SslRequest) => Preface::SslRequest,
        (_, Starttls::Auto | Starttls::Direct) => Preface::Direct,
    };
    let direct_postgres = target.protocol == Hint::Postgres && preface == Preface::Direct;
    let sni = match (&options.sni, host) {
        (Sni::Name(name), _) | (Sni::Host, Host::Name(name)) => Some(name.clone()),
        (Sni::None, _) | (Sni::Host, Host::Ip(_) | Host::Zoned(_)) => None,
    };
    Plan {
        protocol: target.protocol,
        preface,
        offer: Offer {
            sni,
            alpn: direct_postgres.then_some(ALPN_POSTGRES),
            only: options.only,
            split: options.split,
            small: false,
            identity: setup.identity.clone(),
        },
        dialled: (host.clone(), port),
        limit: options.timeout,
    }
}

/// What the recording of a look says, and what only this end of it knows.
fn attempt_report(attempt: &Attempt, plan: &Plan) -> Report {
    let mut report = diagnose::report(&attempt.exchange, plan.protocol, Vantage::Active);
    for (name, took) in &attempt.phases {
        report.phase(name, *took);
    }
    report.told.clone_from(&attempt.told);
    if let Some(negotiated) = &attempt.negotiated {
        report.established = true;
        report.tls_version = Some(negotiated.version.clone());
        report.cipher = Some(negotiated.cipher.clone());
        report.group.clone_from(&negotiated.group);
        report.alpn_agreed = negotiated.alpn.as_deref().map(escape);
    }
    if let Some(why) = &attempt.certs.wrong_key {
        report.established = false;
        report.find(Finding::new(&rules::TLS_OTHER_KEY, why.clone()));
    }
    match &attempt.failed {
        Some(HandshakeFailure::Alert(alert)) => {
            refused(&mut report, attempt, plan, u8::from(*alert));
        }
        Some(HandshakeFailure::Unacceptable(words)) => {
            // From outside it looks as if this end had left for no reason.
            let interrupted = &rules::TLS_INTERRUPTED;
            let left = |finding: &Finding| std::ptr::eq(finding.rule, interrupted);
            report.findings.retain(|finding| !left(finding));
            if report.findings.is_empty() {
                let detail = format!("the handshake was ended here: {words}");
                report.find(Finding::new(&rules::TLS_INCOMPATIBLE, detail));
            }
        }
        Some(HandshakeFailure::Ended)
            if attempt.negotiated.is_none() && has_answered_request(attempt, plan) =>
        {
            // A server of TLS 1.2 that misses a certificate may be gone before all that follows is
            // sent, and a connection that breaks takes its alert along.
            let (rule, asked) = words_of_request(attempt, plan);
            report.findings.retain(|old| old.severity != Severity::Fail);
            report.find(Finding::new(rule, format!("{asked}, and it hung up")));
        }
        _ => {}
    }
    for finding in &attempt.findings {
        report.find(finding.clone());
    }
    report
}

/// Whether the server has the answer to its request for a certificate, which TLS 1.2 shows: one that
/// is gone before has no quarrel with it.
fn has_answered_request(attempt: &Attempt, plan: &Plan) -> bool {
    /// `certificate` (RFC 5246 section 7.4).
    const CERTIFICATE: u8 = 11;
    let dissection = dissection::dissect(&attempt.exchange, plan.protocol);
    let mut sent = dissection.client_tls.messages.iter();
    attempt.certs.requested && sent.any(|message| message.kind == CERTIFICATE)
}

/// The rule for a server that ends because of the certificate it asked for, and what it got.
fn words_of_request(attempt: &Attempt, plan: &Plan) -> (&'static Rule, &'static str) {
    if attempt.certs.presented {
        let asked = "it asked for a certificate, was shown one";
        return (&rules::CLIENT_CERT_REFUSED, asked);
    }
    let asked = match plan.offer.identity {
        Some(_) => {
            "it asked for a certificate, the key of the one at hand fits none of the signature \
             algorithms that it takes, so none was shown"
        }
        None => "it asked for a certificate, none was shown",
    };
    (&rules::ALERT_CERTIFICATE_REQUIRED, asked)
}

/// The server ended TLS by an alert, which may have been encrypted.
fn refused(report: &mut Report, attempt: &Attempt, plan: &Plan, code: u8) {
    let name = dissection::alert_name(code);
    let mut rule =
        diagnose::server_alert_rule(code, plan.offer.sni.is_some(), attempt.certs.requested);
    let about_certificate = [
        &rules::ALERT_CERTIFICATE_REQUIRED,
        &rules::CLIENT_CERT_REFUSED,
    ];
    let when = if attempt.negotiated.is_some() {
        "once TLS was up"
    } else {
        "in the handshake"
    };
    let mut detail = format!("alert {code} {name} came {when}");
    if about_certificate
        .iter()
        .any(|other| std::ptr::eq(*other, rule))
        && attempt.certs.requested
    {
        // Servers do not agree on which alert is for which of the two; this end knows.
        let (fitting, asked) = words_of_request(attempt, plan);
        (rule, detail) = (fitting, format!("{asked}, and {detail}"));
    } else if report.alert.is_some() && attempt.negotiated.is_none() {
        // It came in the clear, and was judged with the rest of the recording.
        return;
    }
    report.findings.retain(|old| old.severity != Severity::Fail);
    report.find(Finding::new(rule, detail));
    report.alert = Some(name);
    report.alert_by = Some("server");
    report.established = false;
}

#[cfg(test)]
mod tests;
