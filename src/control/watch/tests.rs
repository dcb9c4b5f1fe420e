use std::net::SocketAddr;
use std::path::Path;
use std::time::{Instant, SystemTime};

use serde_json::json;

use super::*;
use crate::access_log::AccessLog;
use crate::config;
use crate::reload::{gateway_tls, settings};
use crate::route::Store;
use crate::route::request::{DeleteRequest, ExposeRequest, Settings};
use crate::sessions::{RequestedHost, SessionGuard};
use crate::stats::{CloseReason, Event, Reject};

const TWO: &str = "[database.a]\nprotocol = \"postgres\"\nbackends = [\"db.internal:5432\"]\n\
    hosts = [\"a.example\"]\n[database.b]\nbackends = [\"10.0.0.6:6379\"]\n";

fn gateway() -> Arc<Gateway> {
    let config = config::parse(TWO, Path::new("gate.toml")).config.unwrap();
    let settings = settings(&config);
    let state = tempfile::tempdir().unwrap();
    let tls = gateway_tls(&config, state.path()).unwrap();
    let store = Store::new(
        config.databases,
        tls,
        crate::route::RuntimeChanges::default(),
        std::sync::Arc::new(crate::tls::files::Files),
    )
    .unwrap();
    Arc::new(Gateway::new(store, settings, AccessLog::default()))
}

fn enter(gateway: &Gateway, database: &str) -> SessionGuard {
    let database = gateway
        .store
        .snapshot()
        .databases
        .get(database)
        .unwrap()
        .clone();
    gateway.sessions.enter(
        gateway.next_id(),
        "192.0.2.1:1000".parse().unwrap(),
        "main".into(),
        Instant::now(),
        database,
        RequestedHost::default(),
    )
}

/// A refresh in one line.
fn refresh(watcher: &mut Watcher, gateway: &Gateway) -> Update {
    let mut lines: Vec<Update> = watcher.refresh(gateway).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

#[test]
fn first_everything_then_what_has_changed() {
    let gateway = gateway();
    let mut watcher = Watcher::new(&gateway);
    let one = enter(&gateway, "a");

    let first = refresh(&mut watcher, &gateway);
    assert!(first.first && !first.more, "{first:?}");
    let names: Vec<_> = first.databases.iter().map(|d| d.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(first.databases[0].hosts, ["a.example"]);
    let [session] = &first.sessions[..] else {
        panic!("{first:?}");
    };
    assert_eq!((session.id, session.state.as_str()), (one.id, "connecting"));
    let totals = first.totals.unwrap();
    assert_eq!((totals.sessions, totals.accepted), (1, 1));

    let quiet = refresh(&mut watcher, &gateway);
    let expected = Update {
        uptime_ms: quiet.uptime_ms,
        totals: quiet.totals.clone(),
        ..Update::default()
    };
    assert_eq!(json!(quiet), json!(expected), "nothing has changed");

    // Another state: the row again. Then counters: only these.
    let at: SocketAddr = "10.9.9.9:5432".parse().unwrap();
    one.opened(at, 0, one.database.pool().members()[0].count());
    let opened = refresh(&mut watcher, &gateway);
    assert_eq!(opened.sessions[0].state, "open");
    assert_eq!(opened.sessions[0].backend.as_deref(), Some("10.9.9.9:5432"));
    let declared = opened.sessions[0].declared.as_deref();
    assert_eq!(declared, Some("db.internal:5432"));
    one.count_in(300);
    let moved = refresh(&mut watcher, &gateway);
    assert!(moved.sessions.is_empty(), "{moved:?}");
    assert_eq!(moved.moved, [(one.id, 300, 0)]);
    assert_eq!(moved.databases.len(), 1, "{moved:?}");
    assert_eq!(moved.databases[0].bytes_in, 300);

    // One that comes and goes between two refreshes still counts.
    let short = enter(&gateway, "a");
    short.count_in(11);
    drop(short);
    let id = one.id;
    drop(one);
    let closed = refresh(&mut watcher, &gateway);
    assert_eq!(closed.closed, [id]);
    assert_eq!(closed.databases[0].bytes_in, 311);
    assert_eq!(closed.totals.unwrap().bytes_in, 311);
}

#[test]
fn what_is_much_comes_in_several_lines() {
    let gateway = gateway();
    let mut watcher = Watcher::new(&gateway);
    let sessions: Vec<SessionGuard> = (0..600).map(|_| enter(&gateway, "a")).collect();
    let lines: Vec<Update> = watcher.refresh(&gateway).collect();
    let shape: Vec<_> = lines
        .iter()
        .map(|u| (u.first, u.more, u.totals.is_some(), u.sessions.len()))
        .collect();
    assert_eq!(
        shape,
        [
            (true, true, true, 256),
            (false, true, false, 256),
            (false, false, false, 88)
        ]
    );
    drop(sessions);
    assert_eq!(refresh(&mut watcher, &gateway).closed.len(), 600);
}

#[test]
fn rejects_and_changes_come_once() {
    let gateway = gateway();
    let change = |revision| Event::Hidden {
        ts: SystemTime::UNIX_EPOCH,
        revision,
        database: "a".into(),
        host: "a.example".into(),
        by: Arc::default(),
    };
    gateway.events.emit_change(change(1));
    let mut watcher = Watcher::new(&gateway);
    gateway.events.emit_change(change(2));
    let reject = |id| {
        let reject = Reject {
            id,
            ts: SystemTime::UNIX_EPOCH,
            client: "192.0.2.1:1000".parse().unwrap(),
            listener: "main".into(),
            protocol: None,
            reason: CloseReason::UnknownHost,
            sni: Some(format!("{id}.example").into()),
            sni_status: Some("ok"),
            detail: crate::stats::Detail::default(),
            remedy: None,
        };
        let reject = Arc::new(reject);
        gateway.rejects.add(&reject);
        gateway.events.emit(|| Event::Rejected(reject));
    };
    reject(7);
    let first = refresh(&mut watcher, &gateway);
    let revisions: Vec<_> = first
        .events
        .iter()
        .map(|e| json!(e)["revision"].clone())
        .collect();
    assert_eq!(revisions, [json!(1), json!(2)]);
    assert_eq!(first.rejects.len(), 1);
    reject(3);
    reject(9);
    let more = refresh(&mut watcher, &gateway);
    assert!(more.events.is_empty(), "{more:?}");
    let ids: Vec<_> = more.rejects.iter().map(|r| r.id).collect();
    assert_eq!(ids, [3, 9]);
    assert_eq!(more.reject_counts[0].count, 3);
    assert_eq!(more.reject_counts[0].reason, "unknown_host");
}

#[test]
fn a_database_that_goes_keeps_its_bytes_in_the_sum() {
    let gateway = gateway();
    let expose = ExposeRequest {
        name: "c".into(),
        hosts: vec!["c.example".parse().unwrap()],
        settings: Settings::from(&gateway.store.snapshot().databases.get("b").unwrap().spec),
        lease: crate::route::runtime::Lease::default(),
        replace: false,
        reason: None,
    };
    gateway
        .store
        .expose(&[expose], false, &|_, _| Ok(()))
        .unwrap();
    let mut watcher = Watcher::new(&gateway);
    let session = enter(&gateway, "c");
    session.count_in(5);
    drop(session);
    assert_eq!(refresh(&mut watcher, &gateway).databases.len(), 3);
    let delete = DeleteRequest {
        name: "c".into(),
        if_exists: false,
    };
    gateway
        .store
        .delete(&[delete], false, &|_, _| Ok(()))
        .unwrap();
    let update = refresh(&mut watcher, &gateway);
    assert_eq!(update.gone, ["c"]);
    assert_eq!(update.totals.unwrap().bytes_in, 5);
}

#[tokio::test]
async fn a_slow_reader_gets_fewer_refreshes() {
    let gateway = gateway();
    let every = Duration::from_millis(1);
    let (slow, mut unread) = mpsc::channel(64);
    let (quick, mut read) = mpsc::channel(64);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(serve(json!(1), gateway.clone(), every, slow));
    tasks.spawn(serve(json!("b"), gateway.clone(), every, quick));
    // The quick one is the clock.
    for _ in 0..100 {
        read.recv().await.unwrap();
    }
    assert_eq!(unread.len(), 1, "one line waits, whatever the time");
    let line: Value = serde_json::from_str(&unread.recv().await.unwrap()).unwrap();
    assert_eq!(line["id"], 1);
    assert_eq!(line["event"]["event"], "update");
    assert_eq!(line["event"]["first"], true);
    // It goes on as soon as the caller reads, and ends with its reader.
    let next: Value = serde_json::from_str(&unread.recv().await.unwrap()).unwrap();
    assert!(next["event"].get("first").is_none(), "{next}");
    drop((unread, read));
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}
