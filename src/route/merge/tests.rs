//! Merged sources, in cases and against a model that looks at everything at each change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::{Just, Strategy, any};
use proptest::sample::{select, subsequence};
use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::author::Author;
use crate::route::Lookup;
use crate::route::RouteChange;
use crate::route::admin::Drain;
use crate::route::request::{
    ChangeError, DeleteRequest, DrainRequest, ExposeRequest, HideRequest, Settings,
};
use crate::route::runtime::{Lease, RuntimeChanges, RuntimeEntry, RuntimeRecord};
use crate::route::source::Declared;
use crate::route::tests::{Config, Ground, broken, host, spec};
use crate::tls::ServerName;
use crate::upstream::BackendAddr;

fn config(entries: &[(&str, u16, &[&str])]) -> Config {
    entries
        .iter()
        .map(|(name, port, hosts)| {
            let hosts = hosts.iter().map(|h| host(h)).collect();
            let spec = spec(*port);
            ((*name).into(), Declared { spec, hosts })
        })
        .collect()
}

fn exposed(hosts: &[&str]) -> BTreeMap<Host, Lease> {
    let leases = hosts.iter().map(|h| (host(h), Lease::default()));
    leases.collect()
}

/// Every exposure in words.
fn told(snapshot: &Snapshot) -> Vec<String> {
    let all = snapshot.by_name().into_iter();
    all.flat_map(|d| {
        d.exposures.iter().map(|e| {
            format!(
                "{} {:?} {} {:?} {:?}",
                d.name, d.origin, e.host, e.origin, e.state
            )
        })
    })
    .collect()
}

#[test]
fn runtime_hosts_join_and_hidden_ones_stay_listed() {
    let config = config(&[("pg1", 1, &["a.example", "b.example"])]);
    let mut runtime = RuntimeRecord::default();
    let hidden = BTreeSet::from([host("b.example")]);
    runtime.hidden.insert("pg1".into(), hidden);
    runtime
        .exposed
        .insert("pg1".into(), exposed(&["c.example"]));
    let ground = Ground::new(config, runtime);
    let snapshot = ground.store.snapshot();
    assert_eq!(
        told(&snapshot),
        [
            "pg1 Config a.example Config Active",
            "pg1 Config b.example Config Hidden",
            "pg1 Config c.example Runtime Active",
        ]
    );
    assert!(snapshot.notes.is_empty(), "{:?}", snapshot.notes);
}

#[test]
fn the_configuration_wins_names_and_hosts_and_it_is_said() {
    let config = config(&[("pg1", 1, &["a.example"])]);
    let mut runtime = RuntimeRecord::default();
    runtime.databases.insert("pg1".into(), spec(9));
    runtime.databases.insert("pg2".into(), spec(2));
    runtime
        .exposed
        .insert("pg1".into(), exposed(&["b.example"]));
    for name in ["pg2", "gone"] {
        runtime.exposed.insert(name.into(), exposed(&["a.example"]));
    }
    let ground = Ground::new(config, runtime);
    let snapshot = ground.store.snapshot();
    assert_eq!(
        told(&snapshot),
        [
            "pg1 Config a.example Config Active",
            "pg1 Config b.example Runtime Active",
            "pg2 Runtime a.example Runtime Shadowed",
        ]
    );
    assert_eq!(snapshot.databases.get("pg1").unwrap().spec, spec(1));
    assert_eq!(snapshot.all_notes().count(), 3, "{:?}", snapshot.notes);
}

#[test]
fn what_a_change_is_not_about_is_not_touched() {
    let before = config(&[("a", 1, &["a.example"]), ("b", 2, &["b.example"])]);
    let ground = Ground::new(before.clone(), RuntimeRecord::default());
    let store = &ground.store;
    let of = |name: &str| store.snapshot().databases.get(name).cloned().unwrap();
    let (a, b) = (of("a"), of("b"));
    let request = ExposeRequest {
        name: "a".into(),
        hosts: vec![host("c.example")],
        settings: Settings::default(),
        lease: Lease::default(),
        replace: false,
        reason: None,
    };
    store.expose(&[request], false, &|_, _| Ok(())).unwrap();
    assert!(Arc::ptr_eq(&b, &of("b")));
    // What sessions count on goes on where the database is another one.
    assert!(Arc::ptr_eq(a.live(), of("a").live()));
    let revision = store.snapshot().revision;
    let change = ground.reload(before).unwrap();
    assert!(!change.changed && change.revision == revision, "{change:?}");
}

/// The routes that there should be, found by looking at everything.
mod model {
    use super::*;

    /// Databases by name, and the notes.
    pub(super) type World = (BTreeMap<String, Merged>, BTreeSet<String>);

    /// All sources.
    #[derive(Clone, Debug, Default)]
    pub(super) struct Sources {
        pub(super) config: Config,
        pub(super) runtime: RuntimeRecord,
        pub(super) third: Config,
    }

    /// A host that a source gives to a database.
    struct Claim<'a> {
        source: Origin,
        database: &'a str,
        host: &'a Host,
        lease: Lease,
    }

    impl Sources {
        /// The declarations of a name, the one that counts first.
        fn declarations(&self, name: &str) -> Vec<(Origin, &DatabaseSpec)> {
            let config = self.config.get(name).map(|d| (Origin::Config, &d.spec));
            let runtime = self.runtime.databases.get(name);
            let runtime = runtime.map(|spec| (Origin::Runtime, spec));
            let third = self.third.get(name).map(|d| (Origin::Third, &d.spec));
            [config, runtime, third].into_iter().flatten().collect()
        }

        fn names(&self) -> BTreeSet<&str> {
            let config = self.config.keys().chain(self.third.keys());
            let runtime = self.runtime.databases.keys();
            let all = config.chain(runtime).chain(self.runtime.exposed.keys());
            let drained = self.runtime.admin.iter();
            let drained = drained.filter(|(_, admin)| !admin.is_idle());
            let all = all.chain(drained.map(|(name, _)| name));
            all.map(|name| &**name).collect()
        }

        /// All claims that count, each pair of database and host once.
        fn claims(&self) -> Vec<Claim<'_>> {
            let mut all = Vec::new();
            for (source, config) in [(Origin::Config, &self.config), (Origin::Third, &self.third)] {
                for (database, declared) in config {
                    if self.declarations(database)[0].0 != source {
                        continue;
                    }
                    all.extend(declared.hosts.iter().map(|host| Claim {
                        source,
                        database,
                        host,
                        lease: Lease::default(),
                    }));
                }
            }
            for (database, hosts) in &self.runtime.exposed {
                if !self.declarations(database).is_empty() {
                    all.extend(hosts.iter().map(|(host, lease)| Claim {
                        source: Origin::Runtime,
                        database,
                        host,
                        lease: *lease,
                    }));
                }
            }
            all.sort_by_key(|claim| claim.source);
            let mut pairs = BTreeSet::new();
            all.retain(|claim| pairs.insert((claim.database, claim.host)));
            all
        }

        fn is_hidden(&self, claim: &Claim<'_>) -> bool {
            let hidden = self.runtime.hidden.get(claim.database);
            hidden.is_some_and(|h| h.contains(claim.host))
        }
    }

    pub(super) fn merge(sources: &Sources) -> World {
        let mut notes = BTreeSet::new();
        let (mut databases, claims) = (BTreeMap::new(), sources.claims());
        let mut owners: BTreeMap<&Host, (Origin, Origin, &str)> = BTreeMap::new();
        for claim in claims.iter().filter(|claim| !sources.is_hidden(claim)) {
            let declared = sources.declarations(claim.database)[0].0;
            let place = (claim.source, declared, claim.database);
            let owner = owners.entry(claim.host).or_insert(place);
            *owner = place.min(*owner);
        }
        for name in sources.names() {
            let declarations = sources.declarations(name);
            let Some((&(origin, spec), losers)) = declarations.split_first() else {
                notes.insert(format!(
                    "database {name} is no longer declared: what ctl did about it waits until it is, or until `dbgate ctl delete {name}`"
                ));
                continue;
            };
            for (loser, _) in losers {
                notes.insert(format!(
                    "database {name} is {}: the one {} under that name is not used",
                    origin.declared(),
                    loser.declared()
                ));
            }
            let mut exposures = Vec::new();
            for claim in claims.iter().filter(|claim| claim.database == name) {
                let owner = owners.get(claim.host).map(|(_, _, owner)| *owner);
                let state = if sources.is_hidden(claim) {
                    ExposureState::Hidden
                } else if owner == Some(name) {
                    ExposureState::Active
                } else {
                    notes.insert(format!(
                        "host {} leads to {}: what {} exposed of {name} under it is not used",
                        claim.host,
                        owner.unwrap(),
                        claim.source.name()
                    ));
                    ExposureState::Shadowed
                };
                exposures.push(Exposure {
                    host: claim.host.clone(),
                    origin: claim.source,
                    state,
                    lease: (!claim.lease.lasts()).then(|| Box::new(claim.lease)),
                });
            }
            let merged = Merged {
                spec: spec.clone(),
                origin,
                exposures: exposures.into(),
                admin: sources.runtime.admin.get(name).cloned(),
            };
            if merged.spec == broken() {
                notes.insert(format!(
                    "database {name}, {}, is left out",
                    origin.declared()
                ));
            } else {
                databases.insert(name.to_owned(), merged);
            }
        }
        (databases, notes)
    }

    /// The hosts that are refused as themselves: of all that `ctl` and the third source know, those
    /// that lead nowhere.
    pub(super) fn refused(sources: &Sources, routes: &BTreeMap<Host, String>) -> BTreeSet<Host> {
        let Sources { runtime, third, .. } = sources;
        let exposed = runtime.exposed.values().flat_map(BTreeMap::keys);
        let hidden = runtime.hidden.values().flatten();
        let ended = runtime.ended.values().flatten();
        let third = third.values().flat_map(|declared| declared.hosts.iter());
        let all = exposed.chain(hidden).chain(ended).chain(third);
        all.filter(|host| !routes.contains_key(host))
            .cloned()
            .collect()
    }

    /// The database of a name: the very name comes before the wildcard.
    pub(super) fn lookup(
        name: &ServerName,
        routes: &BTreeMap<Host, String>,
        refused: &BTreeSet<Host>,
    ) -> String {
        let wildcard = name.parent().map(|parent| host(&format!("*.{parent}")));
        for host in [Host::Exact(name.clone())].into_iter().chain(wildcard) {
            if let Some(database) = routes.get(&host) {
                return database.clone();
            }
            if refused.contains(&host) {
                return "refused".to_owned();
            }
        }
        "nothing".to_owned()
    }

    /// The hosts that lead somewhere, and where.
    pub(super) fn routes(world: &World) -> BTreeMap<Host, String> {
        let databases = world.0.iter();
        let hosts = databases.flat_map(|(name, database)| {
            let active = |e: &&Exposure| e.state == ExposureState::Active;
            let hosts = database.exposures.iter().filter(active);
            hosts.map(|e| (e.host.clone(), name.clone()))
        });
        hosts.collect()
    }
}

fn world(snapshot: &Snapshot) -> model::World {
    let databases = snapshot.databases.iter().map(|database| {
        let merged = Merged {
            spec: database.spec.clone(),
            origin: database.origin,
            exposures: database.exposures.clone(),
            admin: database.admin.clone(),
        };
        (database.name.to_string(), merged)
    });
    let notes = snapshot.all_notes().map(|note| {
        // What is wrong with a file is told by the system.
        let left_out = note.split_once("is left out");
        left_out.map_or(note.to_owned(), |(start, _)| {
            start.to_owned() + "is left out"
        })
    });
    (databases.collect(), notes.collect())
}

/// The result of a lookup, in words.
fn words(found: Lookup<'_>) -> String {
    match found {
        Lookup::Route(route) => route.database.name.to_string(),
        Lookup::Withdrawn(_) => "refused".to_owned(),
        Lookup::Nothing => "nothing".to_owned(),
    }
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const HOSTS: [&str; 6] = ["1.x", "2.x", "3.x", "4.y", "*.x", "*.y"];

/// Seconds since 1970.
fn time(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn some_name<N: for<'a> From<&'a str> + std::fmt::Debug>() -> impl Strategy<Value = N> {
    select(&NAMES[..]).prop_map(N::from)
}

fn some_hosts() -> impl Strategy<Value = Vec<Host>> {
    subsequence(&HOSTS[..], 0..3).prop_map(|hosts| hosts.into_iter().map(host).collect())
}

fn some_lease() -> impl Strategy<Value = Lease> {
    let expires = prop_oneof![3 => Just(None), 1 => (1..4_u64).prop_map(|at| Some(time(at)))];
    (expires, any::<bool>()).prop_map(|(expires, ephemeral)| Lease {
        expires,
        ephemeral,
        ended: false,
    })
}

/// No host twice.
fn some_config() -> impl Strategy<Value = Config> {
    let owners = vec(select(vec!["a", "b", "c", ""]), HOSTS.len());
    let databases = btree_map(select(vec!["a", "b", "c"]), 1..3_u16, 0..4);
    (owners, databases).prop_map(|(owners, databases)| {
        let database = |(name, port): (&str, u16)| {
            let owned = HOSTS
                .iter()
                .zip(&owners)
                .filter(|(_, owner)| **owner == name);
            let hosts = owned.map(|(h, _)| host(h)).collect();
            let spec = spec(port);
            (name.into(), Declared { spec, hosts })
        };
        databases.into_iter().map(database).collect()
    })
}

/// Also such that no `ctl` would have made.
fn some_runtime() -> impl Strategy<Value = RuntimeRecord> {
    let spec = prop_oneof![3 => (1..3_u16).prop_map(spec), 1 => Just(broken())];
    let hosts = select(&HOSTS[..]).prop_map(host);
    (
        btree_map(some_name(), spec, 0..3),
        btree_map(
            some_name(),
            btree_map(hosts.clone(), some_lease(), 1..3),
            0..4,
        ),
        btree_map(some_name(), btree_set(hosts, 1..3), 0..3),
    )
        .prop_map(|(databases, exposed, hidden)| RuntimeRecord {
            databases,
            exposed,
            hidden,
            ended: BTreeMap::new(),
            admin: BTreeMap::new(),
        })
}

/// Declarations of the third source, also such that lay claim to names and hosts of others.
fn some_declarations() -> impl Strategy<Value = BTreeMap<Arc<str>, Option<Declared>>> {
    let spec = prop_oneof![4 => (1..3_u16).prop_map(spec), 1 => Just(broken())];
    let declared = (spec, some_hosts()).prop_map(|(spec, hosts)| Declared {
        spec,
        hosts: hosts.into_iter().collect(),
    });
    let declared = prop_oneof![3 => declared.prop_map(Some), 1 => Just(None)];
    btree_map(some_name(), declared, 1..3)
}

#[derive(Clone, Debug)]
enum Operation {
    Expose(ExposeRequest, bool),
    Hide(HideRequest, bool),
    Delete(String, bool),
    Drain(DrainRequest, bool),
    Expire(u64),
    Reload(Config),
    Declare(BTreeMap<Arc<str>, Option<Declared>>),
}

/// The drain of a database or of a backend that it may have, or the end of one.
fn some_drain() -> impl Strategy<Value = (Option<BackendAddr>, Option<Drain>)> {
    let drain = (0..2_u64, any::<bool>()).prop_map(|(since_ms, ends)| Drain {
        since_ms,
        ends_ms: ends.then_some(9),
        by: Author::default(),
    });
    let backend = (1..3_u16).prop_map(|port| format!("10.0.0.1:{port}").parse().unwrap());
    (
        prop_oneof![1 => Just(None), 1 => backend.prop_map(Some)],
        prop_oneof![3 => drain.prop_map(Some), 1 => Just(None)],
    )
}

fn some_operation() -> impl Strategy<Value = Operation> {
    let specs = prop_oneof![
        4 => Just(None),
        4 => (1..3_u16).prop_map(|port| Some(spec(port))),
        1 => Just(Some(broken())),
    ];
    let dry_run = || select(vec![false, false, false, true]);
    let expose = (
        some_name(),
        some_hosts(),
        specs,
        some_lease(),
        any::<bool>(),
        dry_run(),
    );
    let hide = (some_name(), some_hosts(), any::<bool>(), dry_run());
    prop_oneof![
        6 => expose.prop_map(|(name, hosts, spec, lease, replace, dry_run)| {
            let settings = spec.as_ref().map(Settings::from).unwrap_or_default();
            let request = ExposeRequest { name, hosts, settings, lease, replace, reason: None };
            Operation::Expose(request, dry_run)
        }),
        4 => hide.prop_map(|(name, hosts, if_exists, dry_run)| {
            Operation::Hide(HideRequest { name, hosts, if_exists, reason: None }, dry_run)
        }),
        1 => (some_name(), dry_run()).prop_map(|(name, dry_run)| Operation::Delete(name, dry_run)),
        2 => (some_name(), some_drain(), dry_run()).prop_map(|(name, (backend, drain), dry_run)| {
            Operation::Drain(DrainRequest { name, backend, drain }, dry_run)
        }),
        1 => (0..5_u64).prop_map(Operation::Expire),
        1 => some_config().prop_map(Operation::Reload),
        3 => some_declarations().prop_map(Operation::Declare),
    ]
}

fn deletion(name: &str) -> DeleteRequest {
    DeleteRequest {
        name: name.into(),
        if_exists: false,
    }
}

proptest! {
    #[test]
    fn every_change_leads_to_what_the_whole_would(
        first in some_config(),
        runtime in some_runtime(),
        operations in vec(some_operation(), 1..20),
    ) {
        let ground = Ground::new(first.clone(), runtime);
        let store = &ground.store;
        let mut sources = model::Sources { config: first, ..model::Sources::default() };
        let mut withdrawn = BTreeSet::new();
        for operation in operations {
            sources.runtime = store.runtime();
            let before = model::merge(&sources);
            let revision = store.snapshot().revision;
            let keep = &|_: &BTreeMap<&str, RuntimeEntry>, _: &RuntimeChanges| Ok(());
            let (done, dry_run): (Result<RouteChange, ChangeError>, bool) = match &operation {
                Operation::Expose(request, dry_run) => (store.expose(std::slice::from_ref(request), *dry_run, keep), *dry_run),
                Operation::Hide(request, dry_run) => (store.hide(std::slice::from_ref(request), *dry_run, keep), *dry_run),
                Operation::Delete(name, dry_run) => (store.delete(&[deletion(name)], *dry_run, keep), *dry_run),
                Operation::Drain(request, dry_run) => {
                    let done = store.drain(std::slice::from_ref(request), *dry_run, keep);
                    if done.is_ok() && !dry_run {
                        let of = request.backend.as_ref().map(ToString::to_string);
                        let snapshot = store.snapshot();
                        let now = snapshot.databases.get(request.name.as_str());
                        let now = now.and_then(|d| d.admin.as_ref()?.drain(of.as_deref()).cloned());
                        prop_assert_eq!(now.is_some(), request.drain.is_some(), "{:?}", request);
                    }
                    (done, *dry_run)
                }
                Operation::Expire(at) => (store.expire(time(*at)), false),
                Operation::Reload(next) => {
                    let done = ground.reload(next.clone());
                    // Where files are missing it is refused, and nothing has changed.
                    if done.is_ok() {
                        sources.config = next.clone();
                    }
                    (done, false)
                }
                Operation::Declare(databases) => {
                    let done = store.declare(Origin::Third, databases.clone());
                    if done.is_ok() {
                        for (name, declared) in databases {
                            match declared {
                                Some(declared) => sources.third.insert(name.clone(), declared.clone()),
                                None => sources.third.remove(name),
                            };
                        }
                    }
                    (done, false)
                }
            };
            sources.runtime = store.runtime();
            let after = model::merge(&sources);
            let snapshot = store.snapshot();
            prop_assert_eq!(world(&snapshot), after.clone(), "after {:?}", operation);
            let routes = model::routes(&after);
            prop_assert_eq!(snapshot.table.len(), routes.len());
            for text in HOSTS {
                let host = host(text);
                let leads = snapshot.table.route(&host).map(|r| r.database.name.to_string());
                prop_assert_eq!(leads.as_ref(), routes.get(&host), "{} after {:?}", text, operation);
                let route = snapshot.table.route(&host);
                prop_assert_eq!(route.and_then(|r| r.host()), route.map(|_| &host));
            }
            let refused = model::refused(&sources, &routes);
            for text in ["1.x", "4.y", "5.x", "5.y", "y"] {
                let name = ServerName::parse(text).unwrap();
                let found = words(snapshot.table.lookup(&name));
                let expected = model::lookup(&name, &routes, &refused);
                prop_assert_eq!(&found, &expected, "{} after {:?}", text, operation);
                let mut last = None;
                snapshot.table.walk(&name, |_, found| last = Some(words(found)));
                prop_assert_eq!(last, Some(expected), "{} after {:?}", text, operation);
            }
            let (was, is) = (model::routes(&before), routes);
            // What once led somewhere is refused until it leads somewhere again, or is deleted.
            if let (Operation::Hide(..) | Operation::Expire(_), true, false) = (&operation, done.is_ok(), dry_run) {
                withdrawn.extend(was.keys().cloned());
            }
            withdrawn.retain(|host| !is.contains_key(host));
            if let (Operation::Delete(name, false), true) = (&operation, done.is_ok()) {
                withdrawn.retain(|host| refused.contains(host));
                let runtime = store.runtime();
                let names = runtime.hidden.keys().chain(runtime.ended.keys());
                let mut names = names.chain(runtime.exposed.keys());
                prop_assert!(names.all(|known| **known != **name), "{:?}", runtime);
            }
            prop_assert!(withdrawn.is_subset(&refused), "{:?} of {:?} after {:?}", withdrawn, refused, operation);
            if let (Ok(change), false) = (done, dry_run) {
                let changed = snapshot.revision > revision;
                prop_assert_eq!((change.changed, change.revision), (changed, snapshot.revision));
                let missing = |from: &BTreeMap<Host, String>, of: &BTreeMap<Host, String>| {
                    let gone = from.iter().filter(|(host, name)| of.get(*host) != Some(*name));
                    let pairs: BTreeSet<_> = gone.map(|(h, n)| (n.clone(), h.clone())).collect();
                    pairs
                };
                let pairs = |pairs: &[(Arc<str>, Host)]| {
                    let pairs = pairs.iter().map(|(n, h)| (n.to_string(), h.clone()));
                    pairs.collect::<BTreeSet<_>>()
                };
                prop_assert_eq!(pairs(&change.withdrawn), missing(&was, &is), "after {:?}", operation);
                prop_assert_eq!(pairs(&change.exposed), missing(&is, &was), "after {:?}", operation);
                let removed = before.0.keys().filter(|name| !after.0.contains_key(*name));
                prop_assert_eq!(
                    change.removed.iter().map(ToString::to_string).collect::<Vec<_>>(),
                    removed.cloned().collect::<Vec<_>>()
                );
            } else {
                prop_assert_eq!(was, is, "after {:?}", operation);
            }
        }
    }
}

#[test]
fn the_state_of_a_backend_outlives_changes() {
    let declared = |ports: &[u16]| {
        let backends: Vec<_> = ports
            .iter()
            .map(|port| format!("10.0.0.1:{port}"))
            .collect();
        let spec = serde_json::json!({"protocol": "postgres", "backends": backends});
        let spec = serde_json::from_value(spec).unwrap();
        let hosts = OneOrMany::default();
        Declared { spec, hosts }
    };
    let config = |one: &[u16], other: &[u16]| {
        Config::from([
            ("one".into(), declared(one)),
            ("other".into(), declared(other)),
        ])
    };
    let ground = Ground::new(config(&[1, 2], &[2]), RuntimeRecord::default());
    let failing = |name: &str| -> Vec<bool> {
        let snapshot = ground.store.snapshot();
        let backends = snapshot.databases.get(name).unwrap().backends();
        backends.map(|backend| backend.fault.is_some()).collect()
    };
    let third = ExposeRequest {
        name: "third".into(),
        hosts: vec![host("c.example")],
        settings: Settings::from(&declared(&[2]).spec),
        lease: Lease::default(),
        replace: false,
        reason: None,
    };
    let last_candidate = |name: &str| {
        let snapshot = ground.store.snapshot();
        let candidates = snapshot
            .databases
            .get(name)
            .unwrap()
            .candidates([127, 0, 0, 1].into(), || 0);
        candidates.last().unwrap().1
    };
    assert!(last_candidate("one").unreachable(3, 1000));
    assert_eq!(failing("one"), [false, true]);
    assert_eq!(failing("other"), [true], "the same address");

    ground.reload(config(&[2, 3, 1], &[2])).unwrap();
    assert_eq!(failing("one"), [true, false, false]);
    ground
        .store
        .expose(std::slice::from_ref(&third), false, &|_, _| Ok(()))
        .unwrap();
    assert_eq!(failing("third"), [true]);
    drop(last_candidate("third"));
    ground.reload(config(&[1], &[3])).unwrap();
    assert_eq!([failing("one"), failing("other")], [[false], [false]]);
    assert_eq!(failing("third"), [true], "used by it alone");

    ground
        .store
        .delete(&[deletion("third")], false, &|_, _| Ok(()))
        .unwrap();
    ground
        .store
        .expose(std::slice::from_ref(&third), false, &|_, _| Ok(()))
        .unwrap();
    assert_eq!(failing("third"), [false], "nothing used it in between");
}
