use std::thread;

use super::*;
use crate::config;
use crate::one_or_many::OneOrMany;
use crate::route::Host;
use crate::route::Origin;
use crate::route::database::{GatewayTls, Shared};
use crate::tls::Sni;
use crate::tls::config::{Loader, MinVersion};
use crate::tls::files::Files;
use crate::upstream::Backends;

fn database(backends: &str) -> Arc<Database> {
    let text = format!("[database.a]\nprotocol = \"redis\"\nbackends = [{backends}]\n");
    let mut config = config::parse(&text, std::path::Path::new("gate.toml"))
        .config
        .unwrap();
    let declared = config.databases.remove("a").unwrap();
    let gateway = GatewayTls {
        cert: std::path::PathBuf::from("none").into(),
        key: std::path::PathBuf::from("none").into(),
        min_version: MinVersion::default(),
    };
    let shared = Shared {
        gateway: &gateway,
        loader: &mut Loader::new(Arc::new(Files)),
        backends: &Arc::<Backends>::default(),
        keep: false,
    };
    let hosts = OneOrMany::default();
    let database = Database::build(
        &"a".into(),
        declared.spec,
        (Origin::Config, hosts, None),
        shared,
        None,
    );
    database.unwrap()
}

#[test]
fn a_name_is_kept_only_where_it_is_not_the_host() {
    let host = |text: &str| Some(text.parse::<Host>().unwrap());
    for (led_by, sent, other) in [
        (host("a.example"), Sni::from_host_name(b"A.example."), None),
        (
            host("*.example"),
            Sni::from_host_name(b"A.example."),
            Some("a.example"),
        ),
        (None, Sni::from_host_name(b"b.example"), Some("b.example")),
        (None, Sni::from_host_name(b"a\n"), Some(r"a\x0a")),
        (None, Sni::None, None),
    ] {
        let asked = RequestedHost::new(led_by.as_ref().map(|host| (0, host)), &sent);
        assert_eq!(asked.other(), other, "{asked:?}");
    }
}

#[test]
fn what_went_to_a_backend_stays_counted_there() {
    let registry = Arc::new(Sessions::default());
    let database = database("\"10.0.0.5:6379\", \"10.0.0.6:6379\"");
    let client = SocketAddr::from(([192, 0, 2, 1], 4711));
    let (asked, now) = (RequestedHost::default(), Instant::now());
    let session = registry.enter(1, client, "main".into(), now, database.clone(), asked);
    let uses = || {
        let uses = registry.by_backend(&[&database]).remove(0);
        uses.iter()
            .map(|used| (used.sessions, used.moved))
            .collect::<Vec<_>>()
    };
    let members = database.pool().members();
    let counts = || [members[0].sessions(), members[1].sessions()];
    assert_eq!(uses(), [(0, (0, 0)), (0, (0, 0))]);
    session.opened(client, 0, members[0].count());
    session.count_in(7);
    assert_eq!(uses(), [(1, (7, 0)), (0, (0, 0))]);
    session.opened(client, 1, members[1].count());
    session.count_in(3);
    assert_eq!(uses(), [(0, (7, 0)), (1, (10, 0))]);
    assert_eq!(counts(), [0, 1]);
    let entry = session.entry();
    drop(session);
    assert_eq!((counts(), entry.backend()), ([0, 0], Some(client)));
    assert_eq!(uses(), [(0, (7, 0)), (0, (10, 0))]);
}

#[test]
fn a_total_never_falls_and_counts_everybody_once() {
    const THREADS: u64 = 4;
    const SESSIONS: u64 = 2_000;
    let (registry, database) = (Arc::new(Sessions::default()), database("\"10.0.0.5:6379\""));
    let client = SocketAddr::from(([192, 0, 2, 1], 4711));
    let session = |id| {
        let (listener, now) = ("main".into(), Instant::now());
        let entry = registry.enter(
            id,
            client,
            listener,
            now,
            database.clone(),
            RequestedHost::default(),
        );
        entry.count_in(1);
        entry.count_in(2);
        entry.bytes_out.store(5, Ordering::Relaxed);
        entry.opened(client, 0, database.pool().members()[0].count());
    };
    let at_backend = || {
        let uses = registry.by_backend(&[&database]).remove(0);
        uses.first().map_or((0, 0), |used| used.moved)
    };
    let total = || registry.moved(&[&database])[0];
    thread::scope(|scope| {
        let session = &session;
        let work = |thread| move || (0..SESSIONS).for_each(|n| session(THREADS * n + thread));
        let workers: Vec<_> = (0..THREADS).map(|t| scope.spawn(work(t))).collect();
        let mut before = (0, 0);
        let mut backend_before = (0, 0);
        while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
            let now = total();
            assert!(
                now.0 >= before.0 && now.1 >= before.1,
                "{now:?} after {before:?}"
            );
            before = now;
            let now = at_backend();
            assert!(
                now.0 >= backend_before.0 && now.1 >= backend_before.1,
                "{now:?} after {backend_before:?}"
            );
            backend_before = now;
        }
    });
    assert_eq!(at_backend(), total());
    assert_eq!(total(), (3 * THREADS * SESSIONS, 5 * THREADS * SESSIONS));
    assert!(registry.is_empty());
}
