//! Commands that change routes: what they say, what they refuse, and their exit codes.

use std::fs;

use serde_json::json;

use crate::gate::{EMPTY, Gate};

const TWO: &str = "[listener.main]
bind = [\"127.0.0.1:0\"]
[database.pg1]
protocol = \"postgres\"
backends = [\"10.0.0.1:5432\"]
hosts = [\"a.example\", \"b.example\"]
[database.bare]
protocol = \"postgres\"
backends = [\"10.0.0.2:5432\"]
";

#[test]
fn expose_says_what_changed_and_the_second_time_that_nothing_did() {
    let gate = Gate::new(EMPTY);
    let words = [
        "expose",
        "pg1",
        "--host",
        "my-postgres.example",
        "--to",
        "10.0.0.5:5432",
    ];
    let port = gate.addr().port();
    assert_eq!(
        gate.ctl(&words).done(),
        format!(
            "pg1 is reachable under my-postgres.example (revision 2)\n\
             to take it back: dbgate ctl delete pg1\n\
             try it: psql \"host=my-postgres.example hostaddr=127.0.0.1 port={port} sslmode=require\"\n"
        )
    );
    assert_eq!(
        gate.ctl(&words).done(),
        "unchanged: pg1 is reachable under my-postgres.example (revision 2)\n"
    );
    assert_eq!(
        gate.json(&words),
        json!({"database": "pg1", "changed": false, "dry_run": false, "revision": 2,
            "hosts": ["my-postgres.example"], "sessions": 0, "notes": [], "warnings": []})
    );
    // Only Postgres has a line to try.
    let redis = [
        "expose",
        "r1",
        "--host",
        "r.example",
        "--to",
        "10.0.0.5:6379",
        "--ttl",
        "2h",
    ];
    assert_eq!(
        gate.ctl(&redis).done(),
        "r1 is reachable under r.example for 2h (revision 3)\n\
         to take it back: dbgate ctl delete r1\n"
    );
}

#[test]
fn hosts_and_backends_may_be_given_in_every_order() {
    let gate = Gate::new(TWO);
    for (words, hosts) in [
        (
            &[
                "pg2",
                "--host",
                "c.example",
                "d.example",
                "--to",
                "1.2.3.4:5432",
            ][..],
            2,
        ),
        (&["--host", "e.example", "--", "bare"], 1),
        (&["bare", "--host", "f.example", "--host", "g.example"], 3),
        (
            &[
                "--to",
                "1.2.3.4:5432",
                "--host",
                "h.example",
                "--ephemeral",
                "pg3",
            ],
            1,
        ),
        (&["--host=i.example", "pg1"], 3),
    ] {
        let answer = gate.json(&[&["expose"], words].concat());
        assert_eq!(answer["changed"], true, "{words:?}");
        assert_eq!(answer["hosts"].as_array().unwrap().len(), hosts, "{answer}");
    }
    // Here the name is taken for one more host; the usage line says where it goes.
    let swallowed = gate
        .ctl(&["expose", "--host", "x.example", "pg1"])
        .failed(2);
    assert!(
        swallowed.contains("expose <NAME>... [--host <HOST>...]"),
        "{swallowed}"
    );
}

#[test]
fn a_dry_run_changes_nothing() {
    let gate = Gate::new(TWO);
    for (words, said) in [
        (
            &["expose", "n", "--host", "n.example", "--to", "1.2.3.4:5432"][..],
            "dry run: n would be reachable under n.example\n",
        ),
        (
            &["expose", "pg1", "--host", "a.example"],
            "dry run: nothing would change\n",
        ),
        (
            &["hide", "pg1", "--host", "a.example"],
            "dry run: pg1 would no longer be reachable under a.example\n\
             clients that ask for a.example would be refused, also where a wildcard or a default would take them\nno session runs there\n",
        ),
    ] {
        assert_eq!(gate.ctl(&[words, &["--dry-run"]].concat()).done(), said);
    }
    assert_eq!(gate.revision(), 1);
    let conflict = [
        "expose",
        "n",
        "--host",
        "a.example",
        "--to",
        "1.2.3.4:5432",
        "--dry-run",
    ];
    gate.ctl(&conflict).failed(4);
}

#[test]
fn conflicts_name_the_way_out() {
    let gate = Gate::new(TWO);
    gate.ctl(&["expose", "n", "--host", "n.example", "--to", "1.2.3.4:5432"])
        .done();
    for (words, said) in [
        (
            &["expose", "m", "--host", "n.example", "--to", "1.2.3.4:5432"][..],
            "dbgate: host n.example leads to database n; use --replace to move it\n",
        ),
        (
            &["expose", "m", "--host", "a.example", "--to", "1.2.3.4:5432"],
            "dbgate: host a.example leads to database pg1, declared in the configuration; `dbgate ctl hide pg1 --host a.example` first\n",
        ),
        (
            &[
                "expose",
                "pg1",
                "--host",
                "z.example",
                "--to",
                "1.2.3.4:5432",
            ],
            "dbgate: database pg1 is declared in the configuration with other settings; change them there and reload, or expose it with --host alone\n",
        ),
    ] {
        assert_eq!(gate.ctl(words).failed(4), said);
    }
    let replaced = [
        "expose",
        "m",
        "--host",
        "n.example",
        "--to",
        "1.2.3.4:5432",
        "--replace",
    ];
    gate.ctl(&replaced).done();
    // What has lost its last host keeps its settings.
    let shown = gate.json(&["show", "n"]);
    assert_eq!(
        shown["database"]["settings"]["backends"],
        json!(["1.2.3.4:5432"])
    );
    assert_eq!(shown["database"]["exposures"], json!([]));
    let other = [
        "expose",
        "m",
        "--host",
        "n.example",
        "--to",
        "1.2.3.5:5432",
        "--replace",
    ];
    gate.ctl(&other).done();
    assert_eq!(
        gate.json(&["show", "m"])["database"]["settings"]["backends"],
        json!(["1.2.3.5:5432"])
    );
}

#[test]
fn a_weight_is_kept_shown_and_exported_as_it_was_given() {
    let gate = Gate::new(EMPTY);
    let expose = |more: &[&str]| gate.ctl(&[&["expose", "pg1"], more].concat());
    let two = ["--to", "10.0.0.5:5432,weight=3", "10.0.0.6:5432"];
    let first = expose(&[&["--host", "a.example"][..], &two].concat());
    assert!(
        first.err.contains("a weight has no meaning with balance"),
        "{first:?}"
    );
    expose(
        &[
            &["--host", "a.example", "--balance", "round-robin"][..],
            &two,
        ]
        .concat(),
    )
    .done();
    let settings = gate.json(&["show", "pg1"])["database"]["settings"].clone();
    let backends = serde_json::json!([{"address": "10.0.0.5:5432", "weight": 3}, "10.0.0.6:5432"]);
    assert_eq!(settings["backends"], backends);
    assert_eq!(settings["balance"], "round-robin");
    let export = gate.ctl(&["export"]).done();
    let read: toml::Table = toml::from_str(&export).expect("TOML");
    let read = serde_json::to_value(&read["database"]["pg1"]).expect("JSON");
    assert_eq!(
        (&read["backends"], &read["balance"]),
        (&backends, &settings["balance"])
    );
    let changed = expose(&["--balance", "source-ip"]).done();
    let undo = "--to 10.0.0.5:5432,weight=3 10.0.0.6:5432 --balance round-robin";
    assert!(changed.contains(undo), "{changed}");
}

#[test]
fn what_is_not_given_stays_as_it_is_and_replace_states_all() {
    let gate = Gate::new(EMPTY);
    let settings = |name: &str| gate.json(&["show", name])["database"]["settings"].clone();
    let expose = |more: &[&str]| gate.ctl(&[&["expose", "pg1"], more].concat());
    expose(&[
        "--host",
        "a.example",
        "--to",
        "1.2.3.4:5432",
        "--allow",
        "10.0.0.0/8",
    ])
    .done();
    let changed = expose(&["--max-sessions", "5"]).done();
    assert_eq!(
        changed,
        "pg1 is reachable under a.example (revision 3)\n  max_sessions: unset → 5 (new sessions)\n\
         to take it back: dbgate ctl expose pg1 --replace --to 1.2.3.4:5432 --protocol postgres --tls passthrough --allow 10.0.0.0/8\n"
    );
    assert!(
        expose(&["--max-sessions", "5"])
            .done()
            .starts_with("unchanged: ")
    );
    // One more host, another backend of another port; the protocol stays.
    expose(&["--host", "b.example", "--to", "1.2.3.5:9999"]).done();
    let all = json!({"protocol": "postgres", "backends": ["1.2.3.5:9999"], "tls": "passthrough",
        "allow": ["10.0.0.0/8"], "max_sessions": 5});
    assert_eq!(settings("pg1"), all);
    let row = gate.json(&["list"])["databases"][0].clone();
    assert_eq!(row["hosts"], json!(["a.example", "b.example"]));
    // A setting without meaning in the new mode is not dropped in silence.
    expose(&["--tls", "terminate"]).done();
    gate.ctl(&["expose", "pg1", "--client-ca", "/nonexistent/ca.crt"])
        .failed(1);
    let contradicts = expose(&["--backend-name", "db.example"]).failed(2);
    assert!(
        contradicts.contains("--replace states all") && contradicts.contains("reencrypt"),
        "{contradicts}"
    );
    let refused = expose(&["--replace", "--max-sessions", "7"]).failed(2);
    assert!(
        refused.contains("with --to") && refused.contains("--replace"),
        "{refused}"
    );
    // What is printed to take a change back does.
    let undo = gate.json(&["expose", "pg1", "--replace", "--to", "1.2.3.4:5432"])["undo"].clone();
    assert_eq!(
        settings("pg1"),
        json!({"protocol": "postgres", "backends": ["1.2.3.4:5432"], "tls": "passthrough"})
    );
    let undo = undo.as_str().unwrap().strip_prefix("dbgate ctl ").unwrap();
    gate.ctl(&undo.split(' ').collect::<Vec<_>>()).done();
    let mut before = all;
    before["tls"] = "terminate".into();
    assert_eq!(settings("pg1"), before);
}

#[test]
fn a_hidden_database_stays_and_only_delete_removes_it() {
    let gate = Gate::new(TWO);
    let expose = [
        "expose",
        "n",
        "--host",
        "n.example",
        "m.example",
        "--to",
        "1.2.3.4:5432",
        "--max-sessions",
        "7",
    ];
    gate.ctl(&expose).done();
    let row = || {
        let list = gate.json(&["list"]);
        let rows = list["databases"].as_array().unwrap().clone();
        rows.into_iter().find(|row| row["name"] == "n").unwrap()
    };
    // A single host, and then the other.
    let one = gate.json(&["hide", "n", "--host", "n.example"]);
    assert_eq!(one["undo"], "dbgate ctl expose n --host n.example");
    assert_eq!(
        (&row()["hosts"], &row()["hidden"]),
        (&json!(["m.example"]), &json!(["n.example"]))
    );
    assert_eq!(
        gate.ctl(&["hide", "n"]).done(),
        "n is no longer reachable under m.example (revision 4)\n\
         clients that ask for m.example are refused, also where a wildcard or a default would take them\n\
         no session runs there\nto take it back: dbgate ctl expose n\n"
    );
    assert_eq!(row()["hidden"], json!(["m.example", "n.example"]));
    assert_eq!(row()["max_sessions"], 7);
    assert_eq!(
        gate.ctl(&["hide", "n"]).done(),
        "unchanged: nothing of n to hide (revision 4)\n"
    );
    let back = gate.ctl(&["expose", "n"]).done();
    assert!(
        back.starts_with("n is reachable under m.example, n.example (revision 5)\n"),
        "{back}"
    );
    assert_eq!(
        gate.ctl(&["expose", "n"]).done(),
        "unchanged: n is reachable under m.example, n.example (revision 5)\n"
    );
    assert_eq!(
        gate.ctl(&["delete", "n"]).done(),
        "n is deleted, with m.example, n.example (revision 6)\nno session runs there\n\
         to make it again: dbgate ctl expose n --host m.example n.example --to 1.2.3.4:5432 --protocol postgres --tls passthrough --max-sessions 7\n"
    );
    gate.ctl(&["show", "n"]).failed(5);
    let refused = gate.ctl(&["delete", "pg1"]).failed(1);
    assert!(
        refused.contains("declared in the configuration; delete it there"),
        "{refused}"
    );
}

#[test]
fn several_are_changed_all_or_none() {
    let gate = Gate::new(TWO);
    for name in ["x", "y"] {
        let host = format!("{name}.example");
        gate.ctl(&["expose", name, "--host", &host, "--to", "1.2.3.4:5432"])
            .done();
    }
    for (words, code, said) in [
        (
            &["hide", "x", "yy"][..],
            5,
            "dbgate: no database yy (nothing changed); did you mean y?\n",
        ),
        (
            &["delete", "x", "pg1"],
            1,
            "dbgate: database pg1 is declared",
        ),
        (&["expose", "x", "z"], 5, "dbgate: no database z"),
        (
            &["hide", "x", "y", "--host", "x.example"],
            2,
            "dbgate: a host leads to one database",
        ),
    ] {
        let told = gate.ctl(words).failed(code);
        assert!(told.starts_with(said), "{words:?}: {told}");
        assert_eq!(gate.revision(), 3, "{words:?}");
    }
    let hidden = gate.json(&["hide", "pg1", "x", "y"]);
    let each = hidden["databases"].as_array().unwrap();
    let names: Vec<_> = each
        .iter()
        .map(|a| (a["database"].as_str().unwrap(), &a["hosts"]))
        .collect();
    assert_eq!(
        names,
        [
            ("pg1", &json!(["a.example", "b.example"])),
            ("x", &json!(["x.example"])),
            ("y", &json!(["y.example"]))
        ]
    );
    assert_eq!(gate.revision(), 4, "one change");
    let told = gate.ctl(&["expose", "x", "pg1"]).done();
    assert!(
        told.starts_with("x is reachable under x.example (revision 5)\nto take it back: dbgate ctl hide x --host x.example\npg1 is reachable under a.example, b.example (revision 5)\n"),
        "{told}"
    );
    let gone = gate.json(&["delete", "x", "nobody", "y", "--if-exists"]);
    let changed: Vec<_> = gone["databases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| &a["changed"])
        .collect();
    assert_eq!(changed, [true, false, true]);
    assert_eq!(
        gate.json(&["list"])["databases"].as_array().unwrap().len(),
        2
    );
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest() {
    let gate = Gate::new(TWO);
    for words in [
        &["show"][..],
        &["hide"],
        &["drain"],
        &["kill", "--database"],
        &["sessions", "--database"],
    ] {
        assert_eq!(
            gate.ctl(&[words, &["pgg1"]].concat()).failed(5),
            "dbgate: no database pgg1; did you mean pg1?\n"
        );
    }
    let far = gate.ctl(&["show", "zzz"]).failed(5);
    assert!(far.contains("`dbgate ctl list`"), "{far}");
    let host = gate.ctl(&["hide", "pg1", "--host", "x.example"]).failed(5);
    assert_eq!(
        host,
        "dbgate: database pg1 is not exposed under x.example\n"
    );
    let new = gate
        .ctl(&["expose", "pgg1", "--host", "x.example"])
        .failed(5);
    assert!(new.contains("--to"), "{new}");
    assert_eq!(
        gate.ctl(&["hide", "pgg1", "--if-exists"]).done(),
        "unchanged: nothing of pgg1 to hide (revision 1)\n"
    );
}

#[test]
fn usage_is_told_by_command_line_and_gateway_alike() {
    let gate = Gate::new(TWO);
    for (words, said) in [
        (&["expose"][..], "<NAME>"),
        (&["expose", "n", "--host", "10.0.0.1"], "10.0.0.1"),
        (
            &["expose", "n", "--host", "n.example", "--to", "1.2.3.4"],
            "write HOST:PORT",
        ),
        (
            &["expose", "n", "--host", "n.example", "--to", "1.2.3.4:9"],
            "add --protocol",
        ),
        (
            &[
                "expose",
                "n",
                "--host",
                "n.example",
                "--to",
                "h:9",
                "--protocol",
                "pg",
            ],
            "possible values: postgres",
        ),
        (
            &["expose", "n", "--host", "n.example", "--ttl", "5"],
            "\"5s\"",
        ),
        (&["expose", "n", "--to", "1.2.3.4:5432"], "--host"),
        (
            &[
                "expose",
                "two words",
                "--host",
                "n.example",
                "--to",
                "1.2.3.4:5432",
            ],
            "invalid name \"two words\"",
        ),
        (
            &["expose", "n", "--host", "n.example", "--to", "1.2.3.4:3306"],
            "protocol = \"tcp\"",
        ),
        (
            &["expose", "n", "--host", "n.example", "--max-sessions", "5"],
            "with --to",
        ),
        (&["hide", "pg1", "--keep", "--kill"], "cannot be used with"),
        (&["kill"], "<ID>"),
        (&["lst"], "list"),
    ] {
        let told = gate.ctl(words).failed(2);
        assert!(told.contains(said), "{words:?}: {told}");
    }
    assert_eq!(gate.revision(), 1);
}

#[test]
fn files_are_those_of_the_caller() {
    let gate = Gate::new(EMPTY);
    // The pair that the gateway has minted for itself will do.
    for file in ["gateway.crt", "gateway.key"] {
        fs::copy(gate.state().join(file), gate.dir().join(file)).unwrap();
    }
    let expose = |cert| {
        gate.ctl(&[
            "expose",
            "t",
            "--host",
            "t.example",
            "--to",
            "1.2.3.4:5432",
            "--tls",
            "terminate",
            "--cert",
            cert,
            "--key",
            "gateway.key",
        ])
    };
    let missing = expose("none.crt").failed(1);
    let path = gate.dir().join("none.crt");
    assert!(missing.contains(path.to_str().unwrap()), "{missing}");
    expose("gateway.crt").done();
    let shown = gate.json(&["show", "t"]);
    let cert = gate.dir().join("gateway.crt");
    assert_eq!(shown["database"]["settings"]["cert"], json!(cert));
    assert!(
        shown["database"]["certificate"]["not_after"].is_string(),
        "{shown}"
    );
}

#[test]
fn a_reload_is_all_or_nothing() {
    let gate = Gate::new(TWO);
    gate.configure(
        &TWO.replace("hosts =", "hsts =")
            .replace("10.0.0.2:5432", "10.0.0.2"),
    );
    let told = gate.ctl(&["reload"]).failed(1);
    let file = gate.config();
    let file = file.display();
    assert!(told.starts_with("dbgate: nothing changed\n"), "{told}");
    assert!(
        told.contains(&format!("{file}:6:1: error: unknown key `hsts`")),
        "{told}"
    );
    assert!(told.contains("did you mean `hosts`?"), "{told}");
    assert!(told.contains(&format!("{file}:9:13: error: ")), "{told}");
    gate.ctl(&["diff"]).failed(2);
    assert_eq!(gate.revision(), 1);

    gate.configure(&TWO.replace("a.example", "c.example"));
    let diff = gate.ctl(&["diff"]).differs();
    assert!(
        diff.contains("changed in the file, not loaded yet"),
        "{diff}"
    );
    let told = gate.ctl(&["reload"]).done();
    let shown = "reloaded (revision 2)\n\
         [database.pg1] changed\n  hosts: a.example, b.example → c.example, b.example (new sessions)\n\
         pg1 is reachable under c.example\n\
         pg1 is no longer reachable under a.example\n";
    let back =
        format!("to take it back: put the earlier text into {file}, then dbgate ctl reload\n");
    assert_eq!(told, format!("{shown}{back}"));
    assert_eq!(gate.revision(), 2);
}

#[test]
fn callers_at_the_same_time_take_turns() {
    const CALLERS: usize = 8;
    let gate = Gate::new(EMPTY);
    let expose = &|at: usize, host: String| {
        let name = format!("db{at}");
        gate.ctl(&["expose", &name, "--host", &host, "--to", "1.2.3.4:5432"])
    };
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|at| scope.spawn(move || expose(at, format!("h{at}.example"))))
            .collect();
        for caller in callers {
            caller.join().unwrap().done();
        }
    });
    assert_eq!(gate.revision(), 1 + CALLERS as u64);
    assert_eq!(
        gate.json(&["list"])["databases"].as_array().unwrap().len(),
        CALLERS
    );

    let codes: Vec<_> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|at| scope.spawn(move || expose(at, "one.example".into()).code))
            .collect();
        callers.into_iter().map(|c| c.join().unwrap()).collect()
    });
    assert_eq!(
        codes.iter().filter(|c| **c == Some(0)).count(),
        1,
        "{codes:?}"
    );
    assert_eq!(
        codes.iter().filter(|c| **c == Some(4)).count(),
        CALLERS - 1,
        "{codes:?}"
    );
}

/// DNS, TLS and certificates have such a name in its `xn--` form, and so it is shown.
#[test]
fn a_host_may_be_typed_as_it_is_read() {
    let gate = Gate::new(EMPTY);
    let words = [
        "expose",
        "shop",
        "--host",
        "b\u{fc}cher.example",
        "*.B\u{dc}CHER.example",
        "--to",
        "db.b\u{fc}cher.example:5432",
    ];
    gate.ctl(&words).done();
    let shown = gate.json(&["list"]).to_string();
    for form in [
        "\"xn--bcher-kva.example\"",
        "\"*.xn--bcher-kva.example\"",
        "db.xn--bcher-kva.example:5432",
    ] {
        assert!(shown.contains(form), "no {form} in {shown}");
    }
    for host in ["b\u{fc}cher.example", "xn--bcher-kva.example"] {
        let told = gate.json(&["explain", host]);
        assert_eq!(told["database"], "shop", "{told:#}");
    }
    let refused = gate
        .ctl(&["expose", "shop", "--host", "\u{308}a.example"])
        .failed(2);
    assert!(refused.contains("UTS #46"), "{refused}");
}

/// An interface may come later: it is looked up when the address is dialled.
#[test]
fn a_backend_may_be_on_the_link_of_an_interface() {
    let gate = Gate::new(EMPTY);
    let addr = "[fe80::1%nowhere0]:5432";
    gate.ctl(&["expose", "pg1", "--host", "a.example", "--to", addr])
        .done();
    let shown = gate.json(&["list"]).to_string();
    assert!(shown.contains(addr), "{shown}");
    let refused = gate
        .ctl(&[
            "expose",
            "pg2",
            "--host",
            "b.example",
            "--to",
            "[fe80::1%]:1",
        ])
        .failed(2);
    assert!(refused.contains("names no interface"), "{refused}");
}
