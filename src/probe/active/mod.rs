//! Probe of a database, as a client would connect to it, up to the login.
//!
//! [`probe`] goes from name to address to connection; the recording is diagnosed like any other
//! ([`super::diagnose`]), the certificate verified by [`crate::cert`], and where the cause is still
//! open, further connections follow (`followup`).
//!
//! Not here: printing.

mod attempt;
mod certificate;
mod connection;
mod database;
mod detect;
mod followup;
mod full_hello;
mod handshake;
mod options;
mod plan;
pub(super) mod reach;
mod read;
mod report;
mod setup;
mod split;
mod target;

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use tokio::net::TcpStream;

pub use options::{OnlyVersion, Options, Roots, Sni, Split, Starttls};
pub use setup::Setup;
pub use target::{Endpoint, Host, Target, TargetError};

use super::report::{Finding, Report};
use crate::protocol::ALPN_POSTGRES;
use crate::protocol::Protocol;
use crate::tls::Sni as Sent;
use followup::FollowUp;
use handshake::Offer;
use plan::{Plan, Preface};

/// An address of a target, and how it was found.
#[derive(Clone, Debug)]
pub struct ResolvedAddress {
    /// Host as in the URL.
    host: Host,
    port: u16,
    addr: SocketAddr,
    /// Duration of the name's lookup, if there was one.
    dns: Option<Duration>,
}

/// Probes the first host of a target, at its first address that accepts the connection.
pub async fn probe(target: &Target, setup: &Setup) -> Report {
    let timer = Timer::start();
    let report = match target.hosts.first() {
        Some((host, port)) => first_that_answers(target, host, *port, setup).await,
        None => Report::default(),
    };
    timer.finish(report)
}

/// Probes one address.
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

/// Start of a report.
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

/// Probes an address, with further connections where the first leaves the cause open.
async fn at_address(
    target: &Target,
    address: &ResolvedAddress,
    setup: &Setup,
    tcp: TcpStream,
    connected: Duration,
) -> Report {
    let plan = plan(target, &address.host, address.port, setup);
    let attempt = connection::run(tcp, connected, &plan).await;
    let mut report = report::report(&attempt, &plan);
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
        (Some(Protocol::Mysql | Protocol::Mariadb), _) => Preface::Greeting,
        (Some(Protocol::Postgres), Starttls::Auto) | (_, Starttls::SslRequest) => {
            Preface::SslRequest
        }
        (_, Starttls::Auto | Starttls::Direct) => Preface::Direct,
    };
    let direct_postgres = target.protocol == Some(Protocol::Postgres) && preface == Preface::Direct;
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

#[cfg(test)]
mod tests;
