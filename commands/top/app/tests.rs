use dbgate::control::answer::{SessionRow, Update};
use dbgate::control::params::{DrainParams, KillParams};
use serde_json::{Value as Json, json};

use super::*;
use crate::top::dialog::Request;
use crate::top::example::{app, first, noon, second, type_in};
use crate::top::value::Value;

fn ids(app: &App) -> Vec<u64> {
    let ids = app.tab_state().order.iter();
    ids.map(|id| match id {
        Id::Number(id) => *id,
        Id::Name(name) => panic!("{name}"),
    })
    .collect()
}

fn names(app: &App) -> Vec<String> {
    let rows = app.tab_state().order.iter();
    rows.map(|id| app.mirror().row(app.tab, id).unwrap().value(0).show())
        .collect()
}

fn message(app: &App) -> &str {
    app.message.as_ref().map_or("", |(text, _)| text)
}

/// The answer in a line of the gateway.
fn read(line: &str) -> Answer {
    serde_json::from_str(line).unwrap()
}

#[test]
fn a_refresh_is_taken_in_as_a_whole() {
    let mut app = App::new(false, noon());
    let mut update = first();
    update.more = true;
    assert!(!app.apply(update), "nothing to draw before its last line");
    assert!(app.apply(Update {
        uptime_ms: 1_000_000,
        ..Update::default()
    }));
    assert_eq!(ids(&app).len(), 40);
    assert!(app.apply(second()));
    let shown = ids(&app);
    assert!(shown.contains(&41) && !shown.contains(&40), "{shown:?}");
}

#[test]
fn rates_are_over_the_window() {
    let app = app();
    let mirror = app.mirror();
    assert_eq!(mirror.window(), 5_000);
    assert_eq!(mirror.rates(), (20_000.0, 1_000_000.0));
    assert!((mirror.handshakes() - 4.0).abs() < 1e-9);
    // 10 kB for each number within 5 s; the one that came 2 s ago counts from then.
    assert_eq!(mirror.session(20).unwrap().rates, (1_000.0, 40_000.0));
    assert_eq!(mirror.session(41).unwrap().rates, (350.0, 450.0));
    assert_eq!(mirror.session(30).unwrap().rates, (0.0, 0.0));
    // Those of the last minute, whenever `top` was started.
    assert_eq!(
        mirror.reasons(),
        [("unknown_host", 2, 12), ("no_sni", 0, 3)]
    );
}

#[test]
fn a_backend_moves_what_its_ended_sessions_moved() {
    let mut app = app();
    let mut last = first().databases.remove(0);
    (last.bytes_in, last.bytes_out) = (400_000, 3_500_000);
    let backend = last.backends.first_mut().unwrap();
    (backend.bytes_in, backend.bytes_out, backend.sessions) = (400_000, 3_500_000, 0);
    app.apply(Update {
        uptime_ms: 1_008_000,
        closed: (1..=41).collect(),
        databases: vec![last],
        ..Update::default()
    });
    app.open_tab(Tab::Databases);
    let of = |tab: Tab, id: &str| {
        let row = app.mirror().row(tab, &Id::Name(id.into())).unwrap();
        let shown = row.fields().into_iter();
        let wanted = |name: &str| ["in", "out", "bytes_in", "bytes_out"].contains(&name);
        shown
            .filter(|(head, _)| wanted(head.name))
            .map(|(head, value)| format!("{} {}", head.name, value.show()))
            .collect::<Vec<_>>()
    };
    let backend = of(Tab::Backends, "billing 10.0.0.6:5433");
    assert_eq!(backend, of(Tab::Databases, "billing"));
    let moved = [
        "in 12.5 kB",
        "out 187.5 kB",
        "bytes_in 400.0 kB",
        "bytes_out 3.5 MB",
    ];
    assert_eq!(backend, moved);
}

#[test]
fn another_gateway_begins_anew() {
    let mut app = app();
    let mut again = first();
    again.sessions.truncate(1);
    app.lost("gone".to_owned());
    app.now = noon() + Duration::from_secs(61);
    app.back();
    assert_eq!(message(&app), "the gateway is back after 1m1s");
    assert!(app.apply(again));
    assert_eq!(ids(&app), [1]);
}

#[test]
fn sorted_by_any_column_and_turned_round() {
    let mut app = app();
    assert_eq!(ids(&app)[..3], [20, 19, 18], "by what moves out");
    app.sort_by("age").unwrap();
    assert_eq!(ids(&app)[0], 39);
    app.sort_by("age:asc").unwrap();
    assert_eq!(ids(&app)[..2], [41, 1]);
    type_in(&mut app, "r");
    assert_eq!(ids(&app)[0], 39);
    app.sort_by("database").unwrap();
    assert_eq!(ids(&app)[..2], [1, 4], "names begin with the first");
    assert!(app.sort_by("sped").unwrap_err().contains("no column sped"));
    assert!(app.sort_by("age:up").unwrap_err().contains("asc or desc"));
    // Every column that is shown comes by, and the first again.
    let before = app.tab_state().sort;
    let mut seen = vec![before];
    loop {
        type_in(&mut app, "s");
        if app.tab_state().sort == before {
            break;
        }
        seen.push(app.tab_state().sort);
    }
    assert_eq!(seen.len(), 14, "{seen:?}");
    type_in(&mut app, "sS");
    assert_eq!(app.tab_state().sort, before);
}

#[test]
fn the_selection_stays_on_its_session() {
    let mut app = app();
    type_in(&mut app, "jj");
    assert_eq!(app.tab_state().selected, Some(Id::Number(19)));
    assert_eq!(app.tab_state().at, 1);
    app.apply(Update {
        uptime_ms: 1_006_000,
        moved: vec![(3, 900_000, 9_000_000), (4, 900_000, 9_500_000)],
        ..Update::default()
    });
    assert_eq!(ids(&app)[..2], [4, 3]);
    assert_eq!(app.tab_state().selected, Some(Id::Number(19)));
    assert_eq!(app.tab_state().at, 3);
    // It ends: nothing else is selected in its place.
    app.apply(Update {
        uptime_ms: 1_007_000,
        closed: vec![19],
        ..Update::default()
    });
    assert_eq!(app.tab_state().selected, None);
    assert_eq!(type_in(&mut app, "K"), KeyOutcome::Nothing);
    assert_eq!(app.mode, InputMode::Normal);
    assert!(message(&app).contains("select a row"), "{}", message(&app));
    type_in(&mut app, "j");
    assert_eq!(app.tab_state().at, 3, "it goes on from where it was");
}

#[test]
fn a_filter_holds_while_it_is_typed() {
    let mut app = app();
    type_in(&mut app, "/database:orders");
    assert_eq!(ids(&app).len(), 13);
    type_in(&mut app, " age>1d");
    assert!(ids(&app).is_empty());
    type_in(&mut app, "^w");
    assert_eq!(ids(&app).len(), 13);
    // Invalid: an error, and the last valid filter stays in force.
    type_in(&mut app, "o:red");
    assert!(app.filter_error.as_ref().unwrap().contains("no column o "));
    assert_eq!(ids(&app).len(), 13);
    type_in(&mut app, "<esc>");
    assert_eq!((ids(&app).len(), app.filter_error.clone()), (40, None));
    type_in(&mut app, "/state:connecting<enter>");
    assert_eq!(ids(&app), [11]);
    // Each tab has its own; Esc takes it away.
    type_in(&mut app, "2");
    assert_eq!(names(&app).len(), 3);
    type_in(&mut app, "1");
    assert_eq!(ids(&app), [11]);
    type_in(&mut app, "<esc>");
    assert_eq!(ids(&app).len(), 40);
    // While typing, letters are letters.
    assert_eq!(type_in(&mut app, "/q"), KeyOutcome::Nothing);
    assert_eq!(type_in(&mut app, "^c"), KeyOutcome::Quit);
}

#[test]
fn from_a_database_to_its_sessions() {
    let mut app = app();
    type_in(&mut app, "2");
    assert_eq!(names(&app), ["orders", "billing", "cache"]);
    type_in(&mut app, "jjf");
    assert_eq!((app.tab, ids(&app).len()), (Tab::Sessions, 13));
    assert_eq!(app.tab_state().filter, "database:billing");
}

#[test]
fn a_pause_freezes_what_is_seen_and_nothing_else() {
    let mut app = app();
    type_in(&mut app, " ");
    app.apply(Update {
        uptime_ms: 1_006_000,
        closed: (1..=38).collect(),
        ..Update::default()
    });
    app.now = noon() + Duration::from_secs(3);
    assert_eq!(app.paused(), Some(Duration::from_secs(3)));
    assert_eq!(ids(&app).len(), 40);
    assert!(app.live().session(20).is_none());
    type_in(&mut app, " ");
    assert_eq!(ids(&app), [41, 39]);
}

#[test]
fn a_kill_asks_first_and_cancel_is_its_first_answer() {
    let mut app = app();
    type_in(&mut app, "jK");
    let InputMode::Dialog(dialog) = app.mode.clone() else {
        panic!("{:?}", app.mode);
    };
    assert_eq!(dialog.operation, Operation::KillSession(20));
    assert_eq!(
        dialog.operation.question(app.live()),
        [
            "Kill session 20?",
            "database cache, client 192.0.2.6:40020",
            "1 session is closed at once"
        ]
    );
    assert_eq!(type_in(&mut app, "<enter>"), KeyOutcome::Nothing);
    assert_eq!(message(&app), "nothing done");
    for no in ["<esc>", "n", "q"] {
        assert_eq!(
            type_in(&mut app, &format!("K{no}")),
            KeyOutcome::Nothing,
            "{no}"
        );
        assert_eq!(app.mode, InputMode::Normal, "{no}");
    }
    // Keys that mean something else do not answer.
    type_in(&mut app, "Kjdx ");
    assert!(matches!(app.mode, InputMode::Dialog(_)), "{:?}", app.mode);
    let kill = KeyOutcome::Ask(Request::Kill(KillParams {
        ids: vec![20],
        database: None,
    }));
    assert_eq!(type_in(&mut app, "<right><enter>"), kill);
    assert_eq!(type_in(&mut app, "K<tab><tab><enter>"), KeyOutcome::Nothing);
    assert_eq!(type_in(&mut app, "Ky"), kill);
    app.answered(Ok(read(r#"{"id":2,"ok":true,"killed":1,"missing":[]}"#)));
    assert_eq!(message(&app), "killed 1 session");
}

#[test]
fn a_database_is_killed_or_drained_as_a_whole() {
    let mut app = app();
    type_in(&mut app, "2jd");
    let InputMode::Dialog(dialog) = app.mode.clone() else {
        panic!("{:?}", app.mode);
    };
    assert_eq!(
        dialog.operation.question(app.live()),
        [
            "Drain orders?",
            "no new sessions come in",
            "13 sessions go on"
        ]
    );
    let drain = KeyOutcome::Ask(Request::Drain(DrainParams {
        name: "orders".into(),
        ..DrainParams::default()
    }));
    assert_eq!(type_in(&mut app, "y"), drain);
    let line = r#"{"ok":true,"database":"orders","sessions":13,"drained":true}"#;
    app.answered(Ok(read(line)));
    assert_eq!(
        message(&app),
        "orders takes no new sessions; 13 sessions go on"
    );
    let kill = KeyOutcome::Ask(Request::Kill(KillParams {
        ids: Vec::new(),
        database: Some("orders".to_owned()),
    }));
    assert_eq!(type_in(&mut app, "Ky"), kill);
    app.answered(Err(CommandError::not_found("no database orders")));
    assert_eq!(app.message, Some(("no database orders".to_owned(), true)));
    // One backend of several: its sessions by their ids.
    app.tab = Tab::Backends;
    app.filter_by("10.0.0.6").unwrap();
    type_in(&mut app, "j");
    let KeyOutcome::Ask(Request::Drain(asked)) = type_in(&mut app, "dy") else {
        panic!("{:?}", app.message);
    };
    let backend = asked.backend.map(|addr| addr.to_string());
    assert_eq!(
        (asked.name, backend.as_deref()),
        ("billing".into(), Some("10.0.0.6:5433"))
    );
    let line = r#"{"ok":true,"database":"billing","backend":"10.0.0.6:5433","drained":false}"#;
    app.answered(Ok(read(line)));
    assert_eq!(
        message(&app),
        "backend 10.0.0.6:5433 of billing takes new sessions again"
    );
    let KeyOutcome::Ask(Request::Kill(mut asked)) = type_in(&mut app, "Ky") else {
        panic!("{:?}", app.message);
    };
    let billing: Vec<u64> = (1..=39).filter(|id| id % 3 == 1).collect();
    asked.ids.sort_unstable();
    assert_eq!((asked.ids, asked.database), (billing, None));
}

#[test]
fn nothing_is_asked_where_nothing_can_be_hit() {
    let mut app = app();
    for keys in ["4jK", "5jd"] {
        type_in(&mut app, keys);
        assert_eq!(app.mode, InputMode::Normal, "{keys}");
        assert!(
            message(&app).contains("nothing to kill or drain"),
            "{}",
            message(&app)
        );
    }
    // The session ends while the question is open.
    type_in(&mut app, "1jK");
    app.apply(Update {
        uptime_ms: 1_006_000,
        closed: vec![20],
        ..Update::default()
    });
    assert_eq!(
        Operation::KillSession(20).question(app.live())[1],
        "it has ended"
    );
    assert_eq!(type_in(&mut app, "y"), KeyOutcome::Nothing);
}

#[test]
fn read_only_changes_nothing() {
    let mut app = App::new(true, noon());
    app.apply(first());
    for keys in ["jK", "d", "2jK", "d"] {
        assert_eq!(type_in(&mut app, keys), KeyOutcome::Nothing, "{keys}");
        assert_eq!(app.mode, InputMode::Normal, "{keys}");
        assert!(message(&app).starts_with("read-only"), "{}", message(&app));
    }
}

#[test]
fn keys_that_ask_the_outside() {
    let mut app = app();
    for (keys, outcome) in [
        ("q", KeyOutcome::Quit),
        ("^c", KeyOutcome::Quit),
        ("^z", KeyOutcome::Suspend),
        ("^l", KeyOutcome::Redraw),
        ("x", KeyOutcome::Nothing),
    ] {
        assert_eq!(type_in(&mut app, keys), outcome, "{keys}");
    }
    // Any key closes the help, and does nothing else.
    assert_eq!(type_in(&mut app, "?q"), KeyOutcome::Nothing);
    assert_eq!(app.mode, InputMode::Normal);
}

#[test]
fn details_go_with_the_selection() {
    let mut app = app();
    type_in(&mut app, "<enter>");
    assert!(app.details);
    let fields = app.selected().unwrap().fields();
    let field = |name: &str| {
        let (_, value) = fields.iter().find(|(head, _)| head.name == name).unwrap();
        value.show()
    };
    // Every field of a session is shown.
    let Json::Object(row) = json!(SessionRow::default()) else {
        panic!();
    };
    for key in row.keys() {
        let name = match key.as_str() {
            "backend" => "address",
            "declared" => "backend",
            "age_ms" => "age",
            other => other,
        };
        field(name);
    }
    assert_eq!(
        (field("id"), field("age")),
        ("20".to_owned(), "8m5s".to_owned())
    );
    assert!(matches!(
        app.selected().unwrap().value(0),
        Value::Number(20)
    ));
    type_in(&mut app, "<esc>");
    assert!(!app.details);
    assert!(app.tab_state().selected.is_some());
}
