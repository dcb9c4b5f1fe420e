//! A gateway made up for tests: three databases, forty sessions, rejects, events, a hostile name.

use std::time::{Duration, SystemTime};

use dbgate::control::answer::{
    self, BackendRow, ClosedSession, DatabaseRow, KnownEvent, RejectCount, RejectRow, SessionRow,
    Totals, Update,
};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::{App, KeyOutcome};

/// The time of all of it: 2026-01-02 03:04:05 UTC.
pub(crate) fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045)
}

fn totals(sessions: u64, accepted: u64, (bytes_in, bytes_out): (u64, u64)) -> Totals {
    Totals {
        version: "0.1.0".into(),
        pid: 4711,
        ts: humantime::format_rfc3339_millis(noon()).to_string(),
        revision: 7,
        sessions,
        sessions_total: 1234,
        accepted,
        handshakes: 2,
        rejects: 15,
        bytes_in,
        bytes_out,
    }
}

fn session(id: u64) -> SessionRow {
    let database = ["orders", "billing", "cache"][usize::try_from(id % 3).unwrap()];
    let addr = format!(
        "10.0.0.{}:{}",
        5 + id % 3,
        [5432, 5433, 6379][usize::try_from(id % 3).unwrap()]
    );
    SessionRow {
        id,
        database: database.into(),
        host: (!id.is_multiple_of(5)).then(|| format!("{database}.db.example")),
        // Those without a host came to the listener's default, some without a name.
        sni: id.is_multiple_of(10).then(|| "old.db.example".into()),
        client: format!("192.0.2.{}:{}", id % 7, 40_000 + id),
        user_cert: None,
        listener: "main".into(),
        protocol: if database == "cache" {
            "redis"
        } else {
            "postgres"
        }
        .into(),
        tls: "passthrough".into(),
        backend: (id != 11).then(|| addr.clone()),
        declared: (id != 11).then(|| addr.replace("10.0.0.5", "db1.internal")),
        bytes_in: 1000 * id,
        bytes_out: 50_000 * id,
        age_ms: 24_000 * id,
        state: match id {
            11 => "connecting",
            12 => "draining",
            _ => "open",
        }
        .into(),
    }
}

fn database(name: &str, addr: &str, bytes: (u64, u64)) -> DatabaseRow {
    DatabaseRow {
        name: name.into(),
        state: if name == "cache" { "down" } else { "open" }.into(),
        protocol: if name == "cache" { "redis" } else { "postgres" }.into(),
        tls: "passthrough".into(),
        hosts: vec![format!("{name}.db.example"), format!("*.{name}.db.example")],
        hidden: Vec::new(),
        shadowed: Vec::new(),
        backends: vec![BackendRow {
            address: addr.into(),
            state: if name == "cache" { "down" } else { "up" }.into(),
            since: Some("2026-11-27T08:59:12Z".into()),
            reason: (name == "cache")
                .then(|| "backend_unreachable: Connection refused (os error 111)".into()),
            last_check: Some("2026-11-27T09:00:07.250Z".into()),
            check_ms: Some(0.418),
            sessions: 13,
            bytes_in: bytes.0,
            bytes_out: bytes.1,
        }],
        sessions: 13,
        max_sessions: (name == "billing").then_some(50),
        origin: "config".into(),
        bytes_in: bytes.0,
        bytes_out: bytes.1,
    }
}

fn databases(bytes: (u64, u64)) -> Vec<DatabaseRow> {
    vec![
        database("billing", "10.0.0.6:5433", bytes),
        database("cache", "10.0.0.7:6379", (0, 0)),
        database("orders", "db1.internal:5432", (bytes.0 * 3, bytes.1 * 3)),
    ]
}

/// The first refresh, 1,000 seconds after the gateway's start.
pub(crate) fn first() -> Update {
    let reject = |id: u64, ago: u64, reason: &str, sni: Option<&str>| RejectRow {
        id,
        ts: humantime::format_rfc3339_millis(noon() - Duration::from_secs(ago)).to_string(),
        count: 1,
        first: humantime::format_rfc3339_millis(noon() - Duration::from_secs(ago)).to_string(),
        client: format!("203.0.113.{id}:55555"),
        listener: "main".into(),
        protocol: sni.map(|_| "postgres".into()),
        reason: reason.into(),
        sni: sni.map(Into::into),
        sni_status: sni.map(|_| "ok".into()),
        detail: sni
            .map(|sni| format!("no database under {sni}"))
            .unwrap_or_default(),
        remedy: None,
    };
    Update {
        uptime_ms: 1_000_000,
        first: true,
        totals: Some(totals(40, 500, (1_000_000, 9_000_000))),
        sessions: (1..=40).map(session).collect(),
        databases: databases((300_000, 2_000_000)),
        rejects: vec![
            reject(90, 300, "no_sni", None),
            reject(91, 45, "unknown_host", Some("nobody.db.example")),
            reject(
                92,
                30,
                "unknown_host",
                Some("x\u{1b}]0;owned\u{7}\u{202e}.example"),
            ),
        ],
        reject_counts: vec![
            RejectCount {
                listener: "main".into(),
                reason: "no_sni".into(),
                count: 3,
            },
            RejectCount {
                listener: "main".into(),
                reason: "unknown_host".into(),
                count: 12,
            },
        ],
        events: vec![answer::Event::Known(KnownEvent::Exposed {
            ts: "2026-01-02T03:00:00.000Z".into(),
            revision: 7,
            database: "orders".into(),
            host: "orders.db.example".into(),
            by: dbgate::author::Author::default(),
        })],
        ..Update::default()
    }
}

/// The refresh five seconds later.
pub(crate) fn second() -> Update {
    Update {
        uptime_ms: 1_005_000,
        totals: Some(totals(40, 520, (1_100_000, 14_000_000))),
        sessions: vec![SessionRow {
            age_ms: 2_000,
            bytes_in: 700,
            bytes_out: 900,
            ..session(41)
        }],
        moved: (1..=20)
            .map(|id| (id, 1000 * id + 5000, 50_000 * id + 10_000 * id))
            .collect(),
        closed: vec![40],
        databases: databases((320_000, 2_500_000)),
        events: vec![
            answer::Event::Known(KnownEvent::SessionClosed(Box::new(ClosedSession {
                ts: "2026-01-02T03:04:04.000Z".into(),
                id: 40,
                database: Some("billing".into()),
                client: "192.0.2.5:40040".into(),
                reason: "client_closed".into(),
                bytes_in: 40_000,
                bytes_out: 2_000_000,
                ..ClosedSession::default()
            }))),
            answer::Event::Known(KnownEvent::SessionOpened {
                ts: "2026-01-02T03:04:05.000Z".into(),
                id: 41,
                database: "cache".into(),
                client: "192.0.2.6:40041".into(),
                backend: "10.0.0.7:6379".into(),
            }),
        ],
        ..Update::default()
    }
}

/// A state that has seen both.
pub(crate) fn app() -> App {
    let mut app = App::new(false, noon());
    assert!(app.apply(first()));
    assert!(app.apply(second()));
    app
}

/// Types: letters as themselves, `^` before a letter for Ctrl, words in `<>` for other keys.
/// Returns the result of the last key.
pub(crate) fn type_in(app: &mut App, keys: &str) -> KeyOutcome {
    let mut outcome = KeyOutcome::Nothing;
    let mut rest = keys.chars();
    while let Some(c) = rest.next() {
        let (code, modifiers) = match c {
            '^' => (KeyCode::Char(rest.next().unwrap()), KeyModifiers::CONTROL),
            '<' => {
                let word: String = rest.by_ref().take_while(|c| *c != '>').collect();
                let code = match word.as_str() {
                    "enter" => KeyCode::Enter,
                    "esc" => KeyCode::Esc,
                    "back" => KeyCode::Backspace,
                    "down" => KeyCode::Down,
                    "left" => KeyCode::Left,
                    "right" => KeyCode::Right,
                    "tab" => KeyCode::Tab,
                    "end" => KeyCode::End,
                    "lt" => KeyCode::Char('<'),
                    other => panic!("no key {other}"),
                };
                (code, KeyModifiers::NONE)
            }
            c => (KeyCode::Char(c), KeyModifiers::NONE),
        };
        outcome = app.key(KeyEvent::new(code, modifiers));
    }
    outcome
}
