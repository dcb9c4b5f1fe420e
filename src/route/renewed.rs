//! Certificates, keys and authorities with another content than before, under the same origin:
//! the keys of the configuration that name them.

use std::collections::HashMap;
use std::sync::Arc;

use super::Snapshot;
use super::database::GatewayTls;
use crate::tls::config::{MaterialKind, Renewed};
use crate::tls::material::{Material, MaterialOrigin};

/// A key of the configuration whose material has another content than what was in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewedFile {
    /// The database; `None` for the section of the gateway itself, `[tls]`.
    pub database: Option<Arc<str>>,
    /// The key.
    pub key: &'static str,
    /// Its value.
    pub origin: MaterialOrigin,
    /// The content before, and now.
    pub content: Renewed,
}

type Renewals = HashMap<MaterialOrigin, (Material, Material)>;

pub(super) type Keys<'a> = Vec<(&'static str, MaterialKind, &'a MaterialOrigin)>;

/// The keys that name one of these origins, before and after a change alike.
pub(super) fn named(
    renewed: &Renewals,
    (before, after): (&Snapshot, &Snapshot),
    (gateway_before, gateway): (&GatewayTls, &GatewayTls),
) -> Vec<RenewedFile> {
    if renewed.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut add = |database: Option<&Arc<str>>, was: &Keys<'_>, now: Keys<'_>| {
        for item in now {
            let (key, kind, origin) = item;
            if let Some((old, new)) = renewed.get(origin)
                && was.contains(&item)
            {
                found.push(RenewedFile {
                    database: database.cloned(),
                    key,
                    origin: origin.clone(),
                    content: Renewed::new(kind, old, new),
                });
            }
        }
    };
    add(None, &of_gateway(gateway_before), of_gateway(gateway));
    for database in after.by_name() {
        if let Some(was) = before.databases.get(&database.name) {
            let now = database.spec.tls.material();
            add(Some(&database.name), &was.spec.tls.material(), now);
        }
    }
    found
}

pub(super) fn of_gateway(gateway: &GatewayTls) -> Keys<'_> {
    vec![
        ("cert", MaterialKind::Chain, &gateway.cert),
        ("key", MaterialKind::Key, &gateway.key),
    ]
}
