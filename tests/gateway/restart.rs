//! Routes after `kill -9`: everything that `ctl` promised to keep, and nothing else, be it few
//! or very many databases; and a state directory that is damaged or cannot be written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Mutex;
use std::thread;

use dbgate::control::client::Client as Control;
use serde_json::{Value, json};

use crate::certs::Ca;
use crate::clients::{Client, Target};
use crate::gateway::Gateway;
use crate::servers::{Postgres, Server};
use crate::testbed;

/// The file that runtime exposures are kept in, and its name while it is written.
const KEPT: &str = "state/exposures.json";
const UNFINISHED: &str = "state/exposures.json.new";

/// The changes since that file was written, where it is large.
const JOURNAL: &str = "state/exposures.journal";

/// Exposes that are interrupted.
const MANY: usize = 200;

/// Databases that make the file large.
const CROWD: usize = 2_000;

fn wish(name: &str, more: &Value) -> Value {
    let mut wish = json!({
        "name": name,
        "hosts": [format!("{name}.example")],
        "to": ["127.0.0.1:1"],
        "protocol": "tls",
    });
    let fields = wish.as_object_mut().expect("an object");
    fields.extend(more.as_object().cloned().unwrap_or_default());
    wish
}

/// A gateway in which `ctl` has made very many databases before, and their names.
fn crowded() -> (Gateway, BTreeSet<String>) {
    let mut gateway = Gateway::start("");
    gateway.crash();
    let names: BTreeSet<String> = (0..CROWD).map(|n| format!("old{n}")).collect();
    let databases: BTreeMap<&str, Value> = names
        .iter()
        .map(|name| {
            (
                name.as_str(),
                json!({"protocol": "tls", "backends": ["127.0.0.1:1"]}),
            )
        })
        .collect();
    let exposed: BTreeMap<&str, Value> = names
        .iter()
        .map(|name| (name.as_str(), json!({format!("{name}.example"): {}})))
        .collect();
    let kept = json!({"version": 3, "generation": 1, "databases": databases, "exposed": exposed});
    fs::write(gateway.path(KEPT), kept.to_string()).expect("the state file");
    gateway.start_again();
    assert_eq!(databases_of(&gateway), names);
    (gateway, names)
}

fn databases_of(gateway: &Gateway) -> BTreeSet<String> {
    let list = gateway.call("list", &json!({}));
    let rows = list["databases"].as_array().expect("rows");
    let names = rows.iter().filter_map(|row| row["name"].as_str());
    names.map(str::to_owned).collect()
}

/// Two hosts in the configuration, and one of each kind of change made by `ctl`.
fn changed(server: &Server) -> Gateway {
    let addr = server.addr();
    let gateway = Gateway::start(&format!(
        "[database.pg]\nprotocol = \"postgres\"\nbackends = [\"{addr}\"]\nhosts = [\"pg1.example.test\", \"pg2.example.test\"]\n"
    ));
    for (cmd, params) in [
        (
            "expose",
            json!({"name": "pg", "hosts": ["pg3.example.test"]}),
        ),
        (
            "expose",
            json!({"name": "made", "hosts": ["pg4.example.test"], "to": [addr], "protocol": "postgres"}),
        ),
        ("hide", json!({"name": "pg", "hosts": ["pg2.example.test"]})),
    ] {
        gateway.call(cmd, &params);
    }
    gateway
}

/// Those names of [`changed`] that reach the server.
fn reached(gateway: &Gateway, ca: &Ca) -> [bool; 5] {
    ["pg1", "pg2", "pg3", "pg4", "pg5"].map(|name| {
        let host = format!("{name}.example.test");
        let answer = Client::Psql.whoami(&Target::postgres(&host, gateway.port(), ca));
        assert!(
            answer.ok || answer.error.contains("unrecognized name"),
            "{answer:#?}"
        );
        answer.ok
    })
}

#[test]
fn what_ctl_did_is_there_again_after_a_kill() {
    let ca = Ca::new("Restart");
    let server = Postgres::debian("pg", &ca.leaf(&["*.example.test"]));
    let mut gateway = changed(&server);
    let addr = server.addr();
    let for_now = json!({"name": "for-now", "hosts": ["pg5.example.test"], "to": [addr], "protocol": "postgres", "ephemeral": true});
    let lasting = gateway.routes().1;
    gateway.call("expose", &for_now);
    gateway.call("expose", &wish("leased", &json!({"ttl_ms": 3_600_000})));
    gateway.call(
        "expose",
        &json!({"name": "pg", "hosts": ["pg6.example.test"], "ephemeral": true}),
    );
    assert_eq!(reached(&gateway, &ca), [true, false, true, true, true]);

    gateway.crash_and_restart();
    assert_eq!(reached(&gateway, &ca), [true, false, true, true, false]);
    assert_eq!(gateway.routes().1, lasting);
    let list = gateway.call("list", &json!({}));
    let row = |name: &str| {
        let rows = list["databases"].as_array().expect("rows");
        let found = rows.iter().find(|row| row["name"] == name).cloned();
        found.unwrap_or_else(|| panic!("no {name}: {list}"))
    };
    assert_eq!(row("pg")["hidden"], json!(["pg2.example.test"]));
    assert_eq!(row("pg")["origin"], "config");
    assert_eq!(row("made")["origin"], "runtime");

    // What was taken back is no more after another kill.
    gateway.call("expose", &json!({"name": "pg"}));
    gateway.call("hide", &json!({"name": "made"}));
    gateway.crash_and_restart();
    assert_eq!(reached(&gateway, &ca), [true, true, true, false, false]);

    // What is hidden is there with all its settings.
    gateway.call(
        "hide",
        &json!({"name": "pg", "hosts": ["pg3.example.test"]}),
    );
    gateway.crash_and_restart();
    assert_eq!(reached(&gateway, &ca), [true, true, false, false, false]);
    gateway.call("expose", &json!({"name": ["made", "pg"]}));
    assert_eq!(reached(&gateway, &ca), [true, true, true, true, false]);
}

#[test]
fn a_lease_ends_by_itself() {
    let gateway = Gateway::start("");
    let before = gateway.routes().1;
    gateway.call("expose", &wish("leased", &json!({"ttl_ms": 300})));
    assert!(
        testbed::until(|| gateway.routes().1 == before),
        "still there: {:?}",
        gateway.routes()
    );
    gateway.wait_log("\"expire\"");
}

#[test]
fn a_damaged_state_file_is_named_and_left_alone() {
    let ca = Ca::new("Restart");
    let server = Postgres::debian("pg", &ca.leaf(&["*.example.test"]));
    let mut gateway = changed(&server);
    let (_, routes) = gateway.routes();
    gateway.crash();
    let file = gateway.path(KEPT);
    let whole = fs::read(&file).expect("the state file");
    let half = whole[..whole.len() / 2].to_vec();
    let newer = br#"{"version": 99}"#.to_vec();
    for damaged in [half, newer, Vec::new(), b"\0\0\0\0".to_vec()] {
        fs::write(&file, &damaged).expect("the state file");
        let said = gateway.refuses_to_start();
        let told = [
            file.display().to_string(),
            "damaged".into(),
            "move it away".into(),
        ];
        assert!(
            told.iter().all(|t| said.contains(t.as_str())),
            "not all of {told:?} in: {said}"
        );
        assert_eq!(fs::read(&file).expect("the state file"), damaged);
    }

    // Repaired, it is as if nothing had been; moved away, only what `ctl` made is missing.
    fs::write(&file, whole).expect("the state file");
    gateway.start_again();
    assert_eq!(gateway.routes().1, routes);
    gateway.crash();
    fs::rename(&file, gateway.path("aside")).expect("the state file");
    gateway.start_again();
    let (_, without) = gateway.routes();
    assert!(
        without.contains("pg2.example.test") && !without.contains("made"),
        "{without}"
    );
}

#[test]
fn a_state_directory_that_cannot_be_made_is_named() {
    let mut gateway = Gateway::start("");
    gateway.call("expose", &wish("kept", &json!({})));
    let (_, routes) = gateway.routes();
    gateway.crash();
    let (state, aside) = (gateway.path("state"), gateway.path("aside"));
    fs::rename(&state, &aside).expect("the state directory");
    fs::write(&state, "a file").expect("a file in its place");
    let said = gateway.refuses_to_start();
    assert!(said.contains(&state.display().to_string()), "{said}");
    fs::remove_file(&state).expect("a file in its place");
    fs::rename(&aside, &state).expect("the state directory");
    gateway.start_again();
    assert_eq!(gateway.routes().1, routes);
}

/// Nothing changes while a directory is in the way of a file that a change has to write, not even
/// a database that is there.
fn refused_changes(mut gateway: Gateway, of: &str, file: &str) {
    let before = gateway.routes();
    // Permissions would not stop root; a directory in the file's way stops everybody.
    fs::create_dir(gateway.path(file)).expect("a directory in the way");
    for (cmd, params) in [
        ("expose", wish("lost", &json!({}))),
        ("hide", json!({"name": of})),
    ] {
        let error = gateway.try_call(cmd, &params).unwrap_err().to_string();
        assert!(error.contains("state directory"), "{cmd}: {error}");
        assert_eq!(before, gateway.routes(), "{cmd}");
    }
    // What need not be kept can be made all the same.
    gateway.call("expose", &wish("for-now", &json!({"ephemeral": true})));
    gateway.call("hide", &json!({"name": "for-now"}));

    gateway.crash();
    fs::remove_dir(gateway.path(file)).expect("the directory in the way");
    gateway.start_again();
    assert_eq!(before.1, gateway.routes().1);
    gateway.call("expose", &wish("lost", &json!({})));
}

#[test]
fn a_change_that_cannot_be_kept_is_not_made() {
    let gateway = Gateway::start("");
    gateway.call("expose", &wish("kept", &json!({})));
    refused_changes(gateway, "kept", UNFINISHED);
}

#[test]
fn a_change_that_cannot_be_kept_beside_very_many_is_not_made() {
    let (gateway, _) = crowded();
    refused_changes(gateway, "old7", JOURNAL);
}

/// Kills a gateway in the middle of many exposes, once a few have been acknowledged.
fn killed_in_the_middle(mut gateway: Gateway, enough: usize, before: &BTreeSet<String>) {
    let socket = gateway.socket();
    let done = Mutex::new(Vec::new());
    let acknowledged = || done.lock().expect("the names").len();
    thread::scope(|scope| {
        let caller = scope.spawn(|| {
            let mut control = Control::connect(&socket).expect("the control socket");
            for n in 0..MANY {
                let name = format!("quick{n}");
                // The answer to the one in the middle does not come any more.
                if control.send("expose", &wish(&name, &json!({}))).is_err() {
                    return;
                }
                done.lock().expect("the names").push(name);
            }
        });
        testbed::until(|| caller.is_finished() || acknowledged() >= enough);
        gateway.crash();
    });
    let mut acknowledged: BTreeSet<String> =
        done.into_inner().expect("the names").into_iter().collect();
    assert!(
        (enough..MANY).contains(&acknowledged.len()),
        "the kill came too late: {} were through",
        acknowledged.len()
    );

    gateway.start_again();
    let there = databases_of(&gateway);
    let next = BTreeSet::from([format!("quick{}", acknowledged.len())]);
    acknowledged.extend(before.iter().cloned());
    let extra: BTreeSet<String> = there.difference(&acknowledged).cloned().collect();
    assert!(
        acknowledged.is_subset(&there),
        "lost: {:?}",
        acknowledged.difference(&there)
    );
    assert!(extra.is_empty() || extra == next, "made up: {extra:?}");
}

#[test]
fn a_kill_in_the_middle_loses_nothing_acknowledged() {
    for enough in [3, MANY / 4, MANY / 2] {
        killed_in_the_middle(Gateway::start(""), enough, &BTreeSet::new());
    }
}

#[test]
fn a_kill_in_the_middle_loses_nothing_of_very_many() {
    for enough in [1, MANY / 4] {
        let (gateway, before) = crowded();
        killed_in_the_middle(gateway, enough, &before);
    }
}

#[test]
fn a_change_that_a_crash_cut_short_is_told() {
    let (mut gateway, mut before) = crowded();
    gateway.call("expose", &wish("whole", &json!({})));
    gateway.call("expose", &wish("cut", &json!({})));
    gateway.crash();
    let journal = fs::read(gateway.path(JOURNAL)).expect("the journal");
    fs::write(gateway.path(JOURNAL), &journal[..journal.len() - 9]).expect("the journal");
    gateway.start_again();
    before.insert("whole".into());
    assert_eq!(databases_of(&gateway), before);
    gateway.wait_log("exposures.journal\",\"bytes\"");
    gateway.wait_log("the last line was cut short and is left out");
}
