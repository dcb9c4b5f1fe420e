//! Certificates, keys and authorities that are others now, under the same paths: which section of
//! the configuration names them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::Snapshot;
use super::database::GatewayTls;
use super::spec::DatabaseSpec;
use crate::tls::config::Renewed;

/// A key of the configuration whose file holds something else than what was in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewedFile {
    /// The database; `None` for the section of the gateway itself, `[tls]`.
    pub database: Option<Arc<str>>,
    /// The key.
    pub key: &'static str,
    /// What the file held, and what it holds now.
    pub content: Renewed,
}

type Renewals = BTreeMap<PathBuf, Renewed>;

/// The keys that name one of these files, before and after a change alike.
pub(super) fn named(
    renewed: &Renewals,
    (before, after): (&Snapshot, &Snapshot),
    (gateway_before, gateway): (&GatewayTls, &GatewayTls),
) -> Vec<RenewedFile> {
    if renewed.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut add = |database: Option<&Arc<str>>, was: &Files<'_>, now: &Files<'_>| {
        for ((key, was), (_, now)) in was.iter().zip(now) {
            let path = now.filter(|now| *was == Some(*now));
            if let Some(content) = path.and_then(|path| renewed.get(path)) {
                found.push(RenewedFile {
                    database: database.cloned(),
                    key,
                    content: content.clone(),
                });
            }
        }
    };
    add(None, &of_gateway(gateway_before), &of_gateway(gateway));
    for database in after.by_name() {
        if let Some(was) = before.databases.get(&database.name) {
            add(
                Some(&database.name),
                &of_database(&was.spec),
                &of_database(&database.spec),
            );
        }
    }
    found
}

type Files<'a> = Vec<(&'static str, Option<&'a PathBuf>)>;

fn of_gateway(gateway: &GatewayTls) -> Files<'_> {
    let (cert, key) = (Some(&gateway.cert), Some(&gateway.key));
    vec![("cert", cert), ("key", key)]
}

fn of_database(spec: &DatabaseSpec) -> Files<'_> {
    let (client, backend) = (spec.tls.client(), spec.tls.backend());
    vec![
        ("cert", client.and_then(|c| c.cert.as_ref())),
        ("key", client.and_then(|c| c.key.as_ref())),
        ("client_ca", client.and_then(|c| c.client_ca.as_ref())),
        ("backend_ca", backend.and_then(|b| b.backend_ca.as_ref())),
        ("backend_cert", backend.and_then(|b| b.backend_cert.as_ref())),
        ("backend_key", backend.and_then(|b| b.backend_key.as_ref())),
    ]
}
