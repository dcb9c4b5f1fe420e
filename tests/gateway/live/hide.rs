//! Running sessions when their own exposure ends: keep, drain, kill, and the same by
//! `ctl kill` and the configuration file; always only those that it is about.

use serde_json::{Value, json};

use super::Ground;

/// Longer than any test: what is under such a drain ends for another reason.
const LONG_MS: u64 = 3_600_000;

/// Time enough for a few control commands before it is over.
const SHORT_MS: u64 = 4_000;

/// One database with two hosts, and one that is none of its business.
fn ground() -> Ground {
    Ground::with("", &[("mine", &["mine", "mine2"]), ("other", &["other"])])
}

/// Everything that is said about sessions of `mine`, with what it leaves of those that came by
/// its first host and by its second one.
struct Case {
    cmd: &'static str,
    params: Value,
    /// The number of sessions that it says it touches.
    says: u64,
    /// The reason why a session by the first host and one by the second end; `None` goes on.
    ends: [Option<&'static str>; 2],
    /// Returns whether new clients are served by the first host and by the second one.
    enters: [bool; 2],
}

fn cases() -> [Case; 8] {
    let hide = |more: Value| {
        let mut params = json!({"name": "mine"});
        let object = params.as_object_mut().expect("an object");
        object.extend(more.as_object().cloned().unwrap_or_default());
        params
    };
    let case = |cmd, params, says, ends, enters| Case {
        cmd,
        params,
        says,
        ends,
        enters,
    };
    let (killed, drained) = (Some("killed"), Some("drained"));
    let first = json!(["mine.example.test"]);
    [
        case(
            "hide",
            hide(json!({"running": "keep"})),
            2,
            [None, None],
            [false, false],
        ),
        case(
            "hide",
            hide(json!({"running": "kill"})),
            2,
            [killed, killed],
            [false, false],
        ),
        case(
            "hide",
            hide(json!({"drain_ms": 100})),
            2,
            [drained, drained],
            [false, false],
        ),
        case(
            "hide",
            hide(json!({"running": "keep", "hosts": first})),
            1,
            [None, None],
            [false, true],
        ),
        case(
            "hide",
            hide(json!({"running": "kill", "hosts": first})),
            1,
            [killed, None],
            [false, true],
        ),
        case(
            "hide",
            hide(json!({"drain_ms": 100, "hosts": first})),
            1,
            [drained, None],
            [false, true],
        ),
        case(
            "hide",
            hide(json!({"running": "kill", "dry_run": true})),
            2,
            [None, None],
            [true, true],
        ),
        case(
            "kill",
            json!({"database": "mine"}),
            2,
            [killed, killed],
            [true, true],
        ),
    ]
}

#[test]
fn what_is_said_is_done_to_whom_it_is_said_of() {
    for case in cases() {
        let ground = ground();
        let (mut other, other_id) = ground.open("other");
        let (first, second) = (ground.open("mine"), ground.open("mine2"));
        let answer = ground.gateway.call(case.cmd, &case.params);
        let what = format!("{} {}", case.cmd, case.params);
        let touched = answer.get("sessions").or(answer.get("killed"));
        assert_eq!(touched, Some(&json!(case.says)), "{what}: {answer}");

        for ((mut line, id), ends) in [first, second].into_iter().zip(case.ends) {
            if let Some(reason) = ends {
                ground.expect_ended(&[id], reason);
                line.expect_closed();
            } else {
                line.echo().unwrap_or_else(|e| panic!("{what}: {e}"));
                assert_eq!(ground.states(&[id]), ["open"], "{what}");
                ground.finish(line, id);
            }
        }
        for (name, enters) in ["mine", "mine2"].into_iter().zip(case.enters) {
            if enters {
                ground.open(name);
            } else {
                ground.expect_unknown(name);
            }
        }
        other.echo().unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(ground.states(&[other_id]), ["open"], "{what}");
    }
}

#[test]
fn a_drain_gives_its_sessions_the_time_that_it_says() {
    let ground = ground();
    let (mut line, id) = ground.open("mine");
    let (leaver, leaver_id) = ground.open("mine2");
    let begun = std::time::Instant::now();
    ground
        .gateway
        .call("hide", &json!({"name": "mine", "drain_ms": SHORT_MS}));
    assert_eq!(ground.states(&[id, leaver_id]), ["draining", "draining"]);
    line.echo().expect("a draining session works");
    ground.finish(leaver, leaver_id);

    let end = ground.gateway.ended(id);
    let took = begun.elapsed().as_millis();
    assert_eq!(end["reason"], "drained", "{end}");
    assert!(took >= SHORT_MS.into(), "cut after {took} ms");
    line.expect_closed();
}

#[test]
fn exposed_again_in_time_a_drain_is_recalled() {
    let ground = ground();
    let (mut line, id) = ground.open("mine");
    let (_other, other_id) = ground.open("other");
    for name in ["mine", "other"] {
        let hide = json!({"name": name, "drain_ms": SHORT_MS});
        ground.gateway.call("hide", &hide);
    }
    ground.gateway.call("expose", &json!({"name": "mine"}));
    assert_eq!(ground.states(&[id, other_id]), ["open", "draining"]);

    // The other one's drain began later and is as long: when it is over, so is the first.
    ground.expect_ended(&[other_id], "drained");
    line.echo().expect("a session whose drain was recalled");
    assert_eq!(ground.states(&[id]), ["open"]);
}

#[test]
fn one_host_exposed_again_recalls_only_its_own_sessions() {
    let ground = ground();
    let ids = [ground.open("mine"), ground.open("mine2")];
    let hide = json!({"name": "mine", "drain_ms": LONG_MS});
    ground.gateway.call("hide", &hide);
    let expose = json!({"name": "mine", "hosts": ["mine2.example.test"]});
    ground.gateway.call("expose", &expose);
    let ids = ids.each_ref().map(|(_, id)| *id);
    assert_eq!(ground.states(&ids), ["draining", "open"]);
}

#[test]
fn a_killed_drain_ends_at_once() {
    let ground = ground();
    let (line, id) = ground.open("mine");
    let hide = json!({"name": "mine", "drain_ms": LONG_MS});
    ground.gateway.call("hide", &hide);
    ground.gateway.call("kill", &json!({"ids": [id]}));
    ground.expect_ended(&[id], "killed");
    line.expect_closed();
}

#[test]
fn kill_by_id_is_about_that_session_only() {
    let ground = ground();
    let (line, id) = ground.open("mine");
    let (mut same, same_id) = ground.open("mine");
    let answer = ground.gateway.call("kill", &json!({"ids": [id, 999_999]}));
    assert_eq!(
        (&answer["killed"], &answer["missing"]),
        (&json!(1), &json!([999_999])),
        "{answer}"
    );
    ground.expect_ended(&[id], "killed");
    line.expect_closed();
    same.echo().expect("the other session of the database");
    assert_eq!(ground.states(&[same_id]), ["open"]);
}

#[test]
fn the_command_line_reaches_sessions_too() {
    let ground = ground();
    let (_line, id) = ground.open("mine");
    ground.gateway.ctl_ok(&["kill", &id.to_string()]);
    ground.expect_ended(&[id], "killed");
    let (_line, id) = ground.open("mine");
    ground.gateway.ctl_ok(&["kill", "--database", "mine"]);
    ground.expect_ended(&[id], "killed");
    let (_line, id) = ground.open("mine");
    ground
        .gateway
        .ctl_ok(&["drain", "mine", "--within", "100ms"]);
    ground.expect_ended(&[id], "drained");
    ground.gateway.ctl_ok(&["resume", "mine"]);
    let (line, id) = ground.open("mine");
    let said = ground.gateway.ctl_ok(&["hide", "mine", "--keep"]);
    assert!(said.contains('1'), "how many sessions go on? {said}");
    ground.finish(line, id);
    let missing = ground.gateway.ctl(&["kill", "999999"]);
    assert_eq!(missing.status.code(), Some(5), "{missing:?}");
}

#[test]
fn a_database_gone_from_the_file_drains_its_own_sessions() {
    let head = "[timeouts]\ndrain = \"2s\"\n";
    let ground = Ground::with(head, &[("mine", &["mine"]), ("other", &["other"])]);
    let (mut line, id) = ground.open("mine");
    let (mut other, other_id) = ground.open("other");
    ground.configure(head, &[("other", &["other"])]);
    let answer = ground.gateway.call("reload", &json!({}));
    assert_eq!(answer["sessions"], 1, "{answer}");
    assert_eq!(ground.states(&[id, other_id]), ["draining", "open"]);
    line.echo().expect("a draining session works");
    ground.expect_unknown("mine");
    ground.expect_ended(&[id], "drained");
    line.expect_closed();
    other.echo().expect("the session of the other database");
    assert_eq!(ground.states(&[other_id]), ["open"]);
}

#[test]
fn a_host_gone_from_the_file_drains_its_own_sessions() {
    let head = "[timeouts]\ndrain = \"1h\"\n";
    let ground = Ground::with(head, &[("mine", &["mine", "mine2"])]);
    let sessions = [ground.open("mine"), ground.open("mine2")];
    ground.configure(head, &[("mine", &["mine2"])]);
    ground.gateway.call("reload", &json!({}));
    let ids = sessions.each_ref().map(|(_, id)| *id);
    assert_eq!(ground.states(&ids), ["draining", "open"]);
    ground.configure(head, &[("mine", &["mine", "mine2"])]);
    ground.gateway.call("reload", &json!({}));
    assert_eq!(ground.states(&ids), ["open", "open"]);
}
