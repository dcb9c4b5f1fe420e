//! Certificates and keys of a snapshot built anew from some of their files, each configuration for
//! itself: one whose files do not fit together stays as it was.
//!
//! Not here: when to look ([`crate::renewal`]).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rustls::ClientConfig;

use super::database::{GatewayTls, same};
use super::renewed::{self, RenewedFile};
use super::{Database, Snapshot};
use crate::tls::config::{
    Again, BackendSettings, Loader, MaterialKind, Renewed, ServerSettings, ServerTls,
};
use crate::tls::material::{MaterialError, MaterialOrigin};

/// One configuration that was built anew, or was to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The origins of its material.
    pub origins: Vec<MaterialOrigin>,
    /// The reason why what was in force before stays.
    pub fault: Option<String>,
}

/// The outcome of reading some material again.
#[derive(Debug, Default)]
pub struct Renewal {
    /// The revision after it.
    pub revision: u64,
    /// Each configuration that has any of the material.
    pub attempts: Vec<Attempt>,
    /// The files that hold something else now, by the keys that name them.
    pub renewed: Vec<RenewedFile>,
}

/// The origins of all material that is in use, but for what dbgate made itself.
pub(super) fn origins(snapshot: &Snapshot, gateway: &GatewayTls) -> HashSet<MaterialOrigin> {
    let mut found = HashSet::new();
    let mut add = |origin: &MaterialOrigin| {
        if matches!(origin, MaterialOrigin::File(_)) && !found.contains(origin) {
            found.insert(origin.clone());
        }
    };
    gateway.settings().origins().for_each(&mut add);
    for database in snapshot.databases.iter() {
        for (_, _, origin) in database.spec.tls.material() {
            add(origin);
        }
        let client = database.spec.tls.client();
        if let Some(lists) = client.and_then(|client| client.client_crl.as_ref()) {
            add(lists);
        }
    }
    found
}

/// Builds each configuration once, however many databases share it.
struct Renewing<'a> {
    origins: &'a HashSet<MaterialOrigin>,
    again: Again,
    servers: HashMap<ServerSettings, Option<Arc<ServerTls>>>,
    backends: HashMap<BackendSettings, Option<Arc<ClientConfig>>>,
    attempts: Vec<Attempt>,
}

impl Renewing<'_> {
    fn touches<'o>(&self, mut origins: impl Iterator<Item = &'o MaterialOrigin>) -> bool {
        origins.any(|origin| self.origins.contains(origin))
    }

    /// The configuration towards clients; `None` if the one in force stays.
    fn server(&mut self, settings: ServerSettings) -> Option<Arc<ServerTls>> {
        if !self.touches(settings.origins()) {
            return None;
        }
        if let Some(built) = self.servers.get(&settings) {
            return built.clone();
        }
        let built = self.again.server(&settings);
        let built = attempt(&mut self.attempts, settings.origins(), built);
        self.servers.insert(settings, built.clone());
        built
    }

    /// The configuration towards backends; `None` if the one in force stays.
    fn backend(&mut self, settings: BackendSettings) -> Option<Arc<ClientConfig>> {
        if !self.touches(settings.origins()) {
            return None;
        }
        if let Some(built) = self.backends.get(&settings) {
            return built.clone();
        }
        let built = self.again.backend(&settings);
        let built = attempt(&mut self.attempts, settings.origins(), built);
        self.backends.insert(settings, built.clone());
        built
    }
}

fn attempt<'o, T>(
    attempts: &mut Vec<Attempt>,
    origins: impl Iterator<Item = &'o MaterialOrigin>,
    built: Result<T, MaterialError>,
) -> Option<T> {
    attempts.push(Attempt {
        origins: origins.cloned().collect(),
        fault: built.as_ref().err().map(ToString::to_string),
    });
    built.ok()
}

/// Reads these origins again; returns the snapshot with what they hold now, if that is anything
/// else.
pub(super) fn renew(
    before: &Snapshot,
    gateway: &GatewayTls,
    loader: &mut Loader,
    origins: &HashSet<MaterialOrigin>,
) -> (Option<Snapshot>, Renewal) {
    let mut renewing = Renewing {
        origins,
        again: Again::new(loader),
        servers: HashMap::new(),
        backends: HashMap::new(),
        attempts: Vec::new(),
    };
    let gateway_tls = renewing.server(gateway.settings());
    let mut changed: Vec<(&Arc<Database>, Arc<Database>)> = Vec::new();
    for database in before.databases.iter() {
        let server = database.server_settings(gateway);
        let server = server.and_then(|settings| renewing.server(settings));
        let backend = database.backend_settings();
        let backend = backend.and_then(|settings| renewing.backend(settings));
        let server = server.or_else(|| database.server_tls.clone());
        let backend = backend.or_else(|| database.backend_tls.clone());
        if !same(server.as_ref(), database.server_tls.as_ref())
            || !same(backend.as_ref(), database.backend_tls.as_ref())
        {
            changed.push((database, database.with_tls(server, backend)));
        }
    }
    let Renewing {
        again,
        mut attempts,
        ..
    } = renewing;
    let mut lists = HashMap::new();
    for origin in origins {
        let replaced = attempt(&mut attempts, [origin].into_iter(), again.lists(origin));
        if let Some(replaced) = replaced.flatten() {
            lists.insert(origin, replaced);
        }
    }
    let material = again.finish(loader);
    let mut renewed = Vec::new();
    let mut add = |database: Option<&Arc<str>>, key, kind, origin: &MaterialOrigin| {
        let content = match (lists.get(origin), material.get(origin)) {
            (Some((was, now)), _) if kind == MaterialKind::Lists => Renewed::of_lists(*was, now),
            (_, Some((was, now))) if kind != MaterialKind::Lists => Renewed::new(kind, was, now),
            _ => return,
        };
        renewed.push(RenewedFile {
            database: database.cloned(),
            key,
            origin: origin.clone(),
            content,
        });
    };
    for (key, kind, origin) in renewed::of_gateway(gateway) {
        add(None, key, kind, origin);
    }
    for (_, database) in &changed {
        for (key, kind, origin) in database.spec.tls.material() {
            add(Some(&database.name), key, kind, origin);
        }
    }
    if !lists.is_empty() {
        // They are in force already: verifiers have taken them.
        for database in before.databases.iter() {
            let client = database.spec.tls.client();
            if let Some(origin) = client.and_then(|client| client.client_crl.as_ref()) {
                add(
                    Some(&database.name),
                    "client_crl",
                    MaterialKind::Lists,
                    origin,
                );
            }
        }
    }
    let gateway_tls = gateway_tls.filter(|_| before.gateway_tls.is_some());
    let gateway_tls = gateway_tls.or_else(|| before.gateway_tls.clone());
    let unchanged = changed.is_empty() && same(gateway_tls.as_ref(), before.gateway_tls.as_ref());
    let after = (!unchanged).then(|| {
        let mut after = Snapshot {
            revision: before.revision + 1,
            gateway_tls,
            ..before.clone()
        };
        for (old, new) in &changed {
            after.databases.insert(new.clone());
            after.table.remove(old);
        }
        for (_, new) in &changed {
            after.table.insert(new);
        }
        after
    });
    let revision = after
        .as_ref()
        .map_or(before.revision, |after| after.revision);
    let renewal = Renewal {
        revision,
        attempts,
        renewed,
    };
    (after, renewal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cert::gateway_pair;
    use crate::cert::scratch::Scratch;
    use crate::route::runtime::RuntimeRecord;
    use crate::route::source::Declared;
    use crate::route::tests::{Config, Ground, host};

    /// Two databases that show the gateway's certificate, and one that does not.
    fn ground() -> Ground {
        let modes = [("a", "terminate"), ("b", "terminate"), ("c", "passthrough")];
        let declared = modes.map(|(name, tls)| {
            let spec = serde_json::json!({
                "protocol": "postgres", "tls": tls, "backends": ["192.0.2.1:1"],
            });
            let spec = serde_json::from_value(spec).unwrap();
            let hosts = [host(&format!("{name}.x"))].into_iter().collect();
            (name.into(), Declared { spec, hosts })
        });
        Ground::new(Config::from(declared), RuntimeRecord::default())
    }

    fn renewed(ground: &Ground, names: &[&str]) -> Renewal {
        let scratch = Scratch::new();
        let (cert, key) = gateway_pair(scratch.path()).unwrap();
        let own = [(&ground.gateway.cert, cert), (&ground.gateway.key, key)];
        let mut origins = HashSet::new();
        for (origin, from) in own {
            let path = origin.path().unwrap();
            if names.iter().any(|name| path.ends_with(name)) {
                std::fs::copy(from, path).unwrap();
            }
            origins.insert(origin.clone());
        }
        ground.store.renew(&origins)
    }

    #[test]
    fn a_renewal_touches_who_has_the_file_and_makes_no_counters() {
        let ground = ground();
        let before = ground.store.snapshot().clone();
        let ends_here = |database: &Database| database.server_tls.is_some();
        let named = |name: &str| before.databases.get(name).unwrap();
        let (idle, used) = (named("a"), named("b"));
        let live = used.live().clone();
        for round in 1..=3 {
            let renewal = renewed(&ground, &["cert", "key"]);
            assert_eq!(renewal.revision, before.revision + round);
            assert!(
                renewal
                    .attempts
                    .iter()
                    .all(|attempt| attempt.fault.is_none())
            );
        }
        let after = ground.store.snapshot().clone();
        for database in before.databases.iter() {
            let now = after.databases.get(&database.name).unwrap();
            assert_eq!(Arc::ptr_eq(now, database), !ends_here(database));
            for host in database.active_hosts() {
                let route = after.table.route(host).unwrap();
                assert!(Arc::ptr_eq(&route.database, now), "{host}");
            }
        }
        let now = |name: &str| after.databases.get(name).unwrap();
        assert!(Arc::ptr_eq(now(&used.name).counted().unwrap(), &live));
        // A session that chose by the routes of before counts in those of now.
        assert!(now(&idle.name).counted().is_none());
        let late = idle.live().clone();
        assert!(Arc::ptr_eq(now(&idle.name).counted().unwrap(), &late));
        assert!(Arc::ptr_eq(now(&idle.name).live(), &late));
    }

    #[test]
    fn half_a_pair_changes_nothing_and_says_which() {
        let ground = ground();
        let before = ground.store.snapshot().clone();
        let renewal = renewed(&ground, &["key"]);
        assert!(renewal.renewed.is_empty());
        let fault = renewal.attempts.iter().find_map(|a| a.fault.as_ref());
        assert!(fault.unwrap().contains("does not belong"), "{fault:?}");
        assert!(Arc::ptr_eq(&before, &ground.store.snapshot()));
    }
}
