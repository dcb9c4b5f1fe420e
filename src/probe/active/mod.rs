//! Probing a database as a client would meet it, up to the login.
//!
//! The story is [`probe`]: from name to address to connection, one look, its recording judged like
//! any other ([`super::diagnose`]), the certificate judged by [`crate::cert`], and where the cause
//! is still open, further looks of another kind.
//!
//! Not here: printing.

mod again;
mod certificate;
mod cut;
mod database;
mod look;
mod options;
pub(super) mod reach;
mod secure;
mod setup;
mod target;
mod wide;
mod words;

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use tokio::net::TcpStream;

pub use options::{OnlyVersion, Options, Roots, Sni, Split, Starttls};
pub use setup::Setup;
pub use target::{Endpoint, Host, Target, TargetError};

use super::diagnose::{self, Vantage};
use super::facts::{self, Hint};
use super::{Finding, Report, Rule, Severity, rules};
use crate::tls::Sni as Sent;
use crate::tls::config::ALPN_POSTGRES;
use crate::wire::escape;
use again::Again;
use look::{Look, Plan, Way};
use secure::{NoTls, Offer};

/// An address of a target, and how it was found.
#[derive(Clone, Debug)]
pub struct Place {
    /// What a client is told to dial.
    host: Host,
    port: u16,
    address: SocketAddr,
    /// How long its name took to resolve, where there was one.
    dns: Option<Duration>,
}

/// Looks at the first host of a target, at its first address that takes the connection.
pub async fn probe(target: &Target, setup: &Setup) -> Report {
    let began = Began::now();
    let report = match target.hosts.first() {
        Some((host, port)) => first_that_answers(target, host, *port, setup).await,
        None => Report::default(),
    };
    began.end(report)
}

/// Looks at one address.
pub async fn probe_at(target: &Target, place: &Place, setup: &Setup) -> Report {
    let began = Began::now();
    let report = match reach::connect(place.address, setup.options.timeout).await {
        Ok((tcp, connected)) => at_address(target, place, setup, tcp, connected).await,
        Err(finding) => unreached(target, place, finding),
    };
    began.end(report)
}

/// Every address of every host of a target; a host without any gives a report instead.
pub async fn places(target: &Target, setup: &Setup) -> (Vec<Place>, Vec<Report>) {
    let (mut places, mut failed) = (Vec::new(), Vec::new());
    for (host, port) in &target.hosts {
        let began = Began::now();
        match resolve(host, *port, setup).await {
            Ok(found) => places.extend(found),
            Err(finding) => failed.push(began.end(unresolved(target, host, *port, finding))),
        }
    }
    (places, failed)
}

/// When a report began.
struct Began(Instant, SystemTime);

impl Began {
    fn now() -> Self {
        Self(Instant::now(), SystemTime::now())
    }

    fn end(self, mut report: Report) -> Report {
        report.began(self.1);
        report.phase("total", self.0.elapsed());
        report.conclude();
        report
    }
}

/// The addresses of what is to be dialled for a host, at least one.
async fn resolve(host: &Host, port: u16, setup: &Setup) -> Result<Vec<Place>, Finding> {
    let (dialled, at) = match &setup.options.connect {
        Some(instead) => (&instead.host, instead.port.unwrap_or(port)),
        None => (host, port),
    };
    let (addresses, took) = reach::resolve(dialled, at, setup.options.timeout).await?;
    let dns = matches!(dialled, Host::Name(_)).then_some(took);
    let place = |address| Place {
        host: host.clone(),
        port,
        address,
        dns,
    };
    Ok(addresses.into_iter().map(place).collect())
}

async fn first_that_answers(target: &Target, host: &Host, port: u16, setup: &Setup) -> Report {
    let places = match resolve(host, port, setup).await {
        Ok(places) => places,
        Err(finding) => return unresolved(target, host, port, finding),
    };
    // One that swallows packets must leave time for the next.
    let share = setup.options.timeout / u32::try_from(places.len()).unwrap_or(1).max(1);
    let mut before: Vec<String> = Vec::new();
    let mut last = None;
    for place in places {
        match reach::connect(place.address, share).await {
            Ok((tcp, connected)) => {
                let mut report = at_address(target, &place, setup, tcp, connected).await;
                report.looks.splice(..0, before);
                return report;
            }
            Err(finding) => {
                before.push(finding.detail.clone());
                last = Some((place, finding));
            }
        }
    }
    match last {
        Some((place, mut finding)) => {
            finding.detail = before.join("; ");
            unreached(target, &place, finding)
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

fn unreached(target: &Target, place: &Place, finding: Finding) -> Report {
    let mut report = unresolved(target, &place.host, place.port, finding);
    report.server = Some(place.address.to_string());
    if let Some(took) = place.dns {
        report.phase("dns", took);
    }
    report
}

/// One look at an address, what it means, and further looks where it leaves that open.
async fn at_address(
    target: &Target,
    place: &Place,
    setup: &Setup,
    tcp: TcpStream,
    connected: Duration,
) -> Report {
    let plan = plan(target, &place.host, place.port, setup);
    let look = look::look(tcp, connected, &plan).await;
    let mut report = tell(&look, &plan);
    report.target = Some(format!("{}:{}", place.host, place.port));
    report.server = Some(place.address.to_string());
    if let Some(took) = place.dns {
        report.phase("dns", took);
    }
    certificate::judge(&mut report, &look, &plan, setup);
    Again::new(&mut report, &look, &plan, setup, place.address)
        .look()
        .await;
    report
}

fn plan(target: &Target, host: &Host, port: u16, setup: &Setup) -> Plan {
    let options = &setup.options;
    let way = match (target.protocol, options.starttls) {
        (Hint::Mysql | Hint::Mariadb, _) => Way::Greeting,
        (Hint::Postgres, Starttls::Auto) | (_, Starttls::SslRequest) => Way::SslRequest,
        (_, Starttls::Auto | Starttls::Direct) => Way::Direct,
    };
    let direct_postgres = target.protocol == Hint::Postgres && way == Way::Direct;
    let sni = match (&options.sni, host) {
        (Sni::Name(name), _) | (Sni::Host, Host::Name(name)) => Some(name.clone()),
        (Sni::None, _) | (Sni::Host, Host::Ip(_) | Host::Zoned(_)) => None,
    };
    Plan {
        protocol: target.protocol,
        way,
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
fn tell(look: &Look, plan: &Plan) -> Report {
    let mut report = diagnose::report(&look.exchange, plan.protocol, Vantage::Active);
    for (name, took) in &look.phases {
        report.phase(name, *took);
    }
    report.told.clone_from(&look.told);
    if let Some(agreed) = &look.agreed {
        report.established = true;
        report.tls_version = Some(agreed.version.clone());
        report.cipher = Some(agreed.cipher.clone());
        report.group.clone_from(&agreed.group);
        report.alpn_agreed = agreed.alpn.as_deref().map(escape);
    }
    if let Some(why) = &look.shown.other_key {
        report.established = false;
        report.find(Finding::new(&rules::TLS_OTHER_KEY, why.clone()));
    }
    match &look.failed {
        Some(NoTls::Alert(alert)) => refused(&mut report, look, plan, u8::from(*alert)),
        Some(NoTls::Unacceptable(words)) => {
            // From outside it looks as if this end had left for no reason.
            let interrupted = &rules::TLS_INTERRUPTED;
            let left = |finding: &Finding| std::ptr::eq(finding.rule, interrupted);
            report.findings.retain(|finding| !left(finding));
            if report.findings.is_empty() {
                let detail = format!("the handshake was ended here: {words}");
                report.find(Finding::new(&rules::TLS_INCOMPATIBLE, detail));
            }
        }
        Some(NoTls::Ended) if look.agreed.is_none() && has_answered_request(look, plan) => {
            // A server of TLS 1.2 that misses a certificate may be gone before all that follows is
            // sent, and a connection that breaks takes its alert along.
            let (rule, asked) = words_of_request(look, plan);
            report.findings.retain(|old| old.severity != Severity::Fail);
            report.find(Finding::new(rule, format!("{asked}, and it hung up")));
        }
        _ => {}
    }
    for finding in &look.findings {
        report.find(finding.clone());
    }
    report
}

/// Whether the server has the answer to its request for a certificate, which TLS 1.2 shows: one that
/// is gone before has no quarrel with it.
fn has_answered_request(look: &Look, plan: &Plan) -> bool {
    /// `certificate` (RFC 5246 section 7.4).
    const CERTIFICATE: u8 = 11;
    let facts = facts::read(&look.exchange, plan.protocol);
    let mut sent = facts.client_tls.messages.iter();
    look.shown.asked && sent.any(|message| message.kind == CERTIFICATE)
}

/// The rule for a server that ends because of the certificate it asked for, and what it got.
fn words_of_request(look: &Look, plan: &Plan) -> (&'static Rule, &'static str) {
    if look.shown.given {
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
fn refused(report: &mut Report, look: &Look, plan: &Plan, code: u8) {
    let name = facts::alert_name(code);
    let mut rule = diagnose::server_alert_rule(code, plan.offer.sni.is_some(), look.shown.asked);
    let about_certificate = [
        &rules::ALERT_CERTIFICATE_REQUIRED,
        &rules::CLIENT_CERT_REFUSED,
    ];
    let when = if look.agreed.is_some() {
        "once TLS was up"
    } else {
        "in the handshake"
    };
    let mut detail = format!("alert {code} {name} came {when}");
    if about_certificate
        .iter()
        .any(|other| std::ptr::eq(*other, rule))
        && look.shown.asked
    {
        // Servers do not agree on which alert is for which of the two; this end knows.
        let (fitting, asked) = words_of_request(look, plan);
        (rule, detail) = (fitting, format!("{asked}, and {detail}"));
    } else if report.alert.is_some() && look.agreed.is_none() {
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
