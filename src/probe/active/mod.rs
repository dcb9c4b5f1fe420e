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
mod words;

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use tokio::net::TcpStream;

pub use options::{OnlyVersion, Options, Roots, Sni, Split, Starttls};
pub use setup::{Setup, SetupError};
pub use target::{Endpoint, Host, Target, TargetError};

use super::diagnose::{self, Vantage};
use super::facts::{self, Hint};
use super::{Finding, Report, Severity, rules};
use crate::tls::config::ALPN_POSTGRES;
use crate::wire::escape;
use again::Again;
use look::{Look, Plan, Way};
use secure::{NoTls, Offer};

/// Looks at the first host of a target, at its first address that takes the connection.
pub async fn probe(target: &Target, setup: &Setup) -> Report {
    let start = Instant::now();
    let began = SystemTime::now();
    let mut report = match target.hosts.first() {
        Some((host, port)) => at_host(target, host, *port, setup).await,
        None => Report::default(),
    };
    report.began(began);
    report.phase("total", start.elapsed());
    report.conclude();
    report
}

/// A connection, and how it came to be.
struct Reached {
    tcp: TcpStream,
    address: SocketAddr,
    dns: Option<Duration>,
    connected: Duration,
    /// Addresses that did not take the connection, a sentence each.
    before: Vec<String>,
}

async fn at_host(target: &Target, host: &Host, port: u16, setup: &Setup) -> Report {
    let mut report = match reach(host, port, setup).await {
        Ok(reached) => at_address(target, host, port, setup, reached).await,
        Err(finding) => {
            let mut report = Report {
                protocol: target.name.to_owned(),
                sni_status: "none",
                ..Report::default()
            };
            report.find(finding);
            report
        }
    };
    report.target = Some(format!("{host}:{port}"));
    report
}

/// Resolves what is to be dialled, and connects to its first address that answers.
async fn reach(host: &Host, port: u16, setup: &Setup) -> Result<Reached, Finding> {
    let limit = setup.options.timeout;
    let (host, port) = match &setup.options.connect {
        Some(instead) => (&instead.host, instead.port.unwrap_or(port)),
        None => (host, port),
    };
    let (addresses, took) = reach::resolve(host, port, limit).await?;
    let dns = matches!(host, Host::Name(_)).then_some(took);
    // One that swallows packets must leave time for the next.
    let share = limit / u32::try_from(addresses.len()).unwrap_or(1).max(1);
    let mut before = Vec::new();
    let mut last = None;
    for address in addresses {
        match reach::connect(address, share).await {
            Ok((tcp, connected)) => {
                return Ok(Reached {
                    tcp,
                    address,
                    dns,
                    connected,
                    before,
                });
            }
            Err(finding) => {
                before.push(finding.detail.clone());
                last = Some(finding);
            }
        }
    }
    let mut finding = last.unwrap_or_else(|| Finding::new(&rules::DNS_FAILED, "no address"));
    finding.detail = before.join("; ");
    Err(finding)
}

/// One look at an address, and what it means.
async fn at_address(
    target: &Target,
    host: &Host,
    port: u16,
    setup: &Setup,
    reached: Reached,
) -> Report {
    let plan = plan(target, host, port, setup);
    let look = look::look(reached.tcp, reached.connected, &plan).await;
    let mut report = tell(&look, &plan);
    report.server = Some(reached.address.to_string());
    report.looks = reached.before;
    if let Some(took) = reached.dns {
        report.phase("dns", took);
    }
    certificate::judge(&mut report, &look, &plan, setup);
    Again::new(&mut report, &look, &plan, setup, reached.address)
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
        (Sni::None, _) | (Sni::Host, Host::Ip(_)) => None,
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
    match &look.failed {
        Some(NoTls::Alert(alert)) => refused(&mut report, look, plan, u8::from(*alert)),
        Some(NoTls::Unacceptable(words)) if report.findings.is_empty() => {
            let detail = format!("the handshake ended here with: {words}");
            report.find(Finding::new(&rules::TLS_INCOMPATIBLE, detail));
        }
        _ => {}
    }
    for finding in &look.findings {
        report.find(finding.clone());
    }
    report
}

/// The server ended TLS by an alert, which may have been encrypted.
fn refused(report: &mut Report, look: &Look, plan: &Plan, code: u8) {
    let name = facts::alert_name(code);
    let given = plan.offer.identity.is_some();
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
        (rule, detail) = if given {
            let detail = format!("it asked for a certificate, was shown one, and {detail}");
            (&rules::CLIENT_CERT_REFUSED, detail)
        } else {
            let detail = format!("it asked for a certificate, none was shown, and {detail}");
            (&rules::ALERT_CERTIFICATE_REQUIRED, detail)
        };
    } else if !report.findings.is_empty() && look.agreed.is_none() {
        // In the clear, and judged with the rest of the recording.
        return;
    }
    report.findings.retain(|old| old.severity != Severity::Fail);
    report.find(Finding::new(rule, detail));
    report.alert = Some(name);
    report.alert_by = Some("server");
    report.established = false;
}
