//! Probing a database as a client would meet it, up to the login.
//!
//! Not here: what recorded bytes mean ([`super::facts`], [`super::diagnose`]), whether a chain is
//! trusted ([`crate::cert`]), printing.

mod options;
mod reach;
mod setup;
mod target;

use std::time::{Instant, SystemTime};

pub use options::{OnlyVersion, Options, Roots, Sni, Split, Starttls};
pub use setup::{Setup, SetupError};
pub use target::{Endpoint, Host, Target, TargetError};

use super::Report;

/// Looks at the first host of a target.
pub async fn probe(target: &Target, setup: &Setup) -> Report {
    let start = Instant::now();
    let mut report = Report::default();
    report.began(SystemTime::now());
    target.name.clone_into(&mut report.protocol);
    report.sni_status = "none";
    let Some((host, port)) = target.hosts.first() else {
        return report;
    };
    report.target = Some(format!("{host}:{port}"));
    let limit = setup.options.timeout;
    match reach::resolve(host, *port, limit).await {
        Ok((addresses, took)) => {
            if matches!(host, Host::Name(_)) {
                report.phase("dns", took);
            }
            for address in addresses {
                match reach::connect(address, limit).await {
                    Ok((_, took)) => {
                        report.server = Some(address.to_string());
                        report.phase("tcp", took);
                    }
                    Err(finding) => report.find(finding),
                }
            }
        }
        Err(finding) => report.find(finding),
    }
    report.phase("total", start.elapsed());
    report.conclude();
    report
}
