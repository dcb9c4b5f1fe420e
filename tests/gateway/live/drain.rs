//! `drain` and `resume`: no new sessions to a database or to one of its backends, and what becomes
//! of those that run.

use serde_json::{Value, json};

use super::Ground;
use crate::streams::Echo;
use crate::testbed;

/// Longer than any test: what would end then ends for another reason.
const LONG_MS: u64 = 3_600_000;

/// One database with two hosts, and one that is none of its business.
fn ground() -> Ground {
    Ground::with("", &[("mine", &["mine", "mine2"]), ("other", &["other"])])
}

impl Ground {
    fn do_to(&self, command: &str, more: &Value) -> Value {
        let mut params = json!({"name": "mine"});
        let object = params.as_object_mut().expect("an object");
        object.extend(more.as_object().cloned().unwrap_or_default());
        self.gateway.call(command, &params)
    }

    /// The state of `mine` in `list` and in `show`.
    #[track_caller]
    fn state(&self) -> String {
        let list = self.gateway.call("list", &json!({}));
        let rows = list["databases"].as_array().expect("rows");
        let row = rows.iter().find(|row| row["name"] == "mine").expect("mine");
        let shown = self.gateway.call("show", &json!({"name": "mine"}));
        assert_eq!(shown["database"]["state"], row["state"], "{shown}");
        row["state"].as_str().expect("a state").to_owned()
    }

    /// A client of `mine` is refused as by a drain, and so say the rejects and `explain`.
    #[track_caller]
    fn expect_drained(&self, words: &str) {
        let error = self.try_open("mine").err().expect("refused");
        assert!(!error.to_string().contains("UnrecognisedName"), "{error}");
        let mut rejects = Value::Null;
        let noted = testbed::until(|| {
            rejects = self.gateway.call("rejects", &json!({}));
            let all = rejects["rejects"].as_array().expect("rejects");
            all.iter().any(|r| {
                let detail = r["detail"].as_str().expect("a detail");
                r["reason"] == "draining" && detail.contains(words)
            })
        });
        assert!(noted, "{words}: {rejects}");
        let question = json!({"host": "mine.example.test"});
        let explained = self.gateway.call("explain", &question);
        assert_eq!(explained["reason"], "draining", "{explained}");
        assert_eq!(explained["admitted"], false, "{explained}");
    }
}

#[test]
fn a_drain_lets_nobody_in_and_those_inside_go_on() {
    let ground = ground();
    assert_eq!(ground.state(), "open");
    let (mut line, id) = ground.open("mine");
    let drained = ground.do_to("drain", &json!({"reason": "update to 17"}));
    for (field, value) in [
        ("changed", json!(true)),
        ("sessions", json!(1)),
        ("running", json!("keep")),
        ("drain_ms", Value::Null),
        ("state", json!("draining")),
        ("drained", json!(true)),
        ("undo", json!("dbgate ctl resume mine")),
    ] {
        assert_eq!(drained[field], value, "{field}: {drained}");
    }
    assert_eq!(ground.do_to("drain", &json!({}))["changed"], false);
    ground.expect_drained("`dbgate ctl resume mine` takes it back");
    line.echo().expect("a session of a drained database");
    assert_eq!(
        (ground.state().as_str(), ground.states(&[id])),
        ("draining", vec!["open".to_owned()])
    );
    ground.open("other");
    let shown = ground.gateway.call("show", &json!({"name": "mine"}));
    let drain = &shown["database"]["drains"][0];
    assert_eq!(drain["by"]["reason"], "update to 17", "{shown}");
    assert!(
        drain["since"].is_string() && drain["by"]["uid"].is_u64(),
        "{shown}"
    );
    ground.finish(line, id);
    assert!(testbed::until(|| ground.state() == "drained"));

    let resumed = ground.do_to("resume", &json!({}));
    assert_eq!(
        (&resumed["changed"], &resumed["state"]),
        (&json!(true), &json!("open")),
        "{resumed}"
    );
    assert_eq!(ground.do_to("resume", &json!({}))["changed"], false);
    ground.open("mine");
}

#[test]
fn those_that_still_run_end_at_its_time_and_no_others() {
    let ground = ground();
    let sessions = [ground.open("mine"), ground.open("mine2")];
    let (mut other, _) = ground.open("other");
    let ids = sessions.each_ref().map(|(_, id)| *id);
    let drained = ground.do_to("drain", &json!({"within_ms": 1_000}));
    assert_eq!(
        (&drained["sessions"], &drained["drain_ms"]),
        (&json!(2), &json!(1000)),
        "{drained}"
    );
    assert!(drained["ends"].is_string(), "{drained}");
    assert_eq!(ground.states(&ids), ["draining", "draining"]);
    ground.expect_ended(&ids, "drained");
    for (line, _) in sessions {
        line.expect_closed();
    }
    assert!(testbed::until(|| ground.state() == "drained"));
    other.echo().expect("the session of another database");
}

#[test]
fn resumed_in_the_middle_those_inside_go_on() {
    let ground = ground();
    let (mut line, id) = ground.open("mine");
    let (_marker, marker_id) = ground.open("other");
    ground.do_to("drain", &json!({"within_ms": 1_500}));
    // One that is as long and was begun later: when it is over, so is the first.
    let marker = json!({"name": "other", "within_ms": 1_500});
    ground.gateway.call("drain", &marker);
    let resumed = ground.do_to("resume", &json!({}));
    assert_eq!(resumed["sessions"], 1, "{resumed}");
    assert_eq!(ground.states(&[id]), ["open"]);
    ground.expect_ended(&[marker_id], "drained");
    line.echo().expect("a session whose drain was taken back");
    // What says no time puts the end off for good, too.
    ground.do_to("drain", &json!({"within_ms": LONG_MS}));
    assert_eq!(ground.states(&[id]), ["draining"]);
    ground.do_to("drain", &json!({}));
    assert_eq!(ground.states(&[id]), ["open"]);
    ground.finish(line, id);
}

#[test]
fn it_holds_over_reload_and_kill_and_several_are_drained_or_none() {
    let mut ground = ground();
    let error = ground
        .gateway
        .try_call("drain", &json!({"name": ["mine", "nobody"]}))
        .expect_err("nobody is there");
    assert!(error.to_string().contains("nobody"), "{error}");
    assert_eq!(ground.state(), "open");
    let both = json!({"name": ["mine", "other"], "reason": "move"});
    let answers = ground.gateway.call("drain", &both);
    assert_eq!(answers["databases"][1]["database"], "other", "{answers}");
    ground.configure("", &[("mine", &["mine"]), ("other", &["other"])]);
    ground.gateway.call("reload", &json!({}));
    for _ in 0..2 {
        assert_eq!(ground.state(), "drained");
        assert!(ground.try_open("other").is_err());
        ground.gateway.crash_and_restart();
    }
    let shown = ground.gateway.call("show", &json!({"name": "mine"}));
    assert_eq!(
        shown["database"]["drains"][0]["by"]["reason"], "move",
        "{shown}"
    );
    ground.do_to("resume", &json!({}));
    ground.gateway.crash_and_restart();
    ground.open("mine");
    assert!(ground.try_open("other").is_err());
}

#[test]
fn one_backend_is_taken_out_and_the_others_serve() {
    let ground = ground();
    let second = Echo::tls(&ground.ca.leaf(&["*.example.test"]));
    let [first, second] = [ground.echo.addr(), second.addr()].map(|addr| addr.to_string());
    let both = json!({"name": "two", "hosts": ["two.example.test"], "to": [first, second], "protocol": "tls", "balance": "round-robin"});
    ground.gateway.call("expose", &both);
    let open = || {
        let (line, id) = ground.open("two");
        let at = ground.gateway.session(line.addr())["backend"].clone();
        (line, id, at)
    };
    let mut sessions = [open(), open()];
    let at_first = sessions
        .iter()
        .position(|(_, _, at)| *at == json!(first))
        .expect("in turn");
    let drain = json!({"name": "two", "backend": first, "within_ms": LONG_MS});
    let drained = ground.gateway.call("drain", &drain);
    assert_eq!(
        (&drained["sessions"], &drained["state"]),
        (&json!(1), &json!("open")),
        "{drained}"
    );
    assert_eq!(
        drained["undo"],
        format!("dbgate ctl resume two --backend {first}")
    );
    for _ in 0..4 {
        let (line, id, at) = open();
        assert_eq!(at, json!(second));
        ground.finish(line, id);
    }
    let shown = ground.gateway.call("show", &json!({"name": "two"}));
    assert_eq!(
        shown["database"]["backends"][0]["state"], "draining",
        "{shown}"
    );
    // The other one as well: nobody can be served, and it is said why.
    let all = json!({"name": "two", "backend": second});
    assert_eq!(ground.gateway.call("drain", &all)["state"], "draining");
    assert!(ground.try_open("two").is_err());
    let explained = ground
        .gateway
        .call("explain", &json!({"host": "two.example.test"}));
    assert!(
        explained["walk"]
            .to_string()
            .contains("each backend of database two is drained"),
        "{explained}"
    );
    ground.gateway.call("resume", &all);
    // A time that is over ends those at that backend only.
    let now = json!({"name": "two", "backend": first, "within_ms": 0});
    ground.gateway.call("drain", &now);
    let ids = sessions.each_ref().map(|(_, id, _)| *id);
    ground.expect_ended(&[ids[at_first]], "drained");
    sessions[1 - at_first]
        .0
        .echo()
        .expect("the session at the other backend");
    ground
        .gateway
        .call("resume", &json!({"name": "two", "backend": first}));
    let reached: Vec<_> = [open(), open()].into_iter().map(|(_, _, at)| at).collect();
    assert!(reached.contains(&json!(first)), "{reached:?}");
    let unknown = json!({"name": "two", "backend": "127.0.0.1:9"});
    let error = ground
        .gateway
        .try_call("drain", &unknown)
        .expect_err("no such backend");
    assert!(
        error
            .to_string()
            .contains(&format!("it has {first}, {second}")),
        "{error}"
    );
}

#[test]
fn the_command_line_says_what_becomes_of_whom() {
    let ground = ground();
    let (_line, id) = ground.open("mine");
    let said = ground.gateway.ctl_ok(&["drain", "mine", "--within", "1h"]);
    assert!(
        said.starts_with("mine takes no new sessions (revision 2)\n1 session gets 1h, then it is closed\nto take it back: dbgate ctl resume mine\n"),
        "{said}"
    );
    let said = ground.gateway.ctl_ok(&["resume", "mine"]);
    assert!(
        said.starts_with("mine takes new sessions again (revision 3)\n1 session that would have been closed goes on\n"),
        "{said}"
    );
    ground
        .gateway
        .ctl_ok(&["drain", "mine", "other", "--reason", "two at once"]);
    let shown = ground.gateway.ctl_ok(&["show", "mine"]);
    assert!(shown.contains(": two at once"), "{shown}");
    assert_eq!(ground.states(&[id]), ["open"]);
    ground.gateway.ctl_ok(&["resume", "mine", "other"]);
    ground
        .gateway
        .ctl_ok(&["hide", "mine", "--keep", "--reason", "moved away"]);
    let shown = ground.gateway.ctl_ok(&["show", "mine"]);
    assert!(
        shown.contains(": moved away") && shown.contains("hidden"),
        "{shown}"
    );
}
