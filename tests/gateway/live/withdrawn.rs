//! A name that led to a database and does not any more is refused as itself: its clients want that
//! database, and no wildcard or default may take them to another, where they would send passwords.

use std::fs;

use serde_json::{Value, json};

use super::Ground;
use crate::testbed;

/// The listener's default, a wildcard of another database, and the database `mine`.
fn ground() -> Ground {
    Ground::with(
        "[listener.main]\nbind = [\"127.0.0.1:0\"]\ndefault = \"rest\"\n",
        &[("mine", &["mine"]), ("wild", &["*"]), ("rest", &[])],
    )
}

impl Ground {
    /// The database that a client by this name reaches.
    #[track_caller]
    fn reaches(&self, name: &str) -> String {
        let (line, _) = self.open(name);
        let session = self.gateway.session(line.addr());
        drop(line);
        session["database"].as_str().expect("a database").to_owned()
    }

    /// A client by this name is refused for this reason, in these words, and `explain` says so, too.
    #[track_caller]
    fn expect_withdrawn(&self, name: &str, words: &str) {
        self.expect_unknown(name);
        let host = format!("{name}.example.test");
        // A client knows before its end is noted down.
        let mut rejects = Value::Null;
        let noted = testbed::until(|| {
            rejects = self.gateway.call("rejects", &json!({}));
            let all = rejects["rejects"].as_array().expect("rejects");
            all.iter().any(|r| {
                let detail = r["detail"].as_str().expect("a detail");
                r["sni"] == host && r["reason"] == "withdrawn" && detail.contains(words)
            })
        });
        assert!(noted, "{host}, {words}: {rejects}");
        let explained = self.gateway.call("explain", &json!({ "host": host }));
        assert_eq!(explained["database"], Value::Null, "{explained}");
        assert!(explained["walk"].to_string().contains(words), "{explained}");
    }

    fn expose(&self, name: &str, host: &str, more: &Value) {
        let mut wish = json!({"name": name, "hosts": [format!("{host}.example.test")],
            "to": [self.echo.addr().to_string()], "protocol": "tls"});
        let fields = wish.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        self.gateway.call("expose", &wish);
    }

    fn call(&self, command: &str, name: &str) -> Value {
        self.gateway.call(command, &json!({ "name": name }))
    }
}

#[test]
fn a_hidden_name_leads_neither_to_a_wildcard_nor_to_a_default() {
    let mut ground = ground();
    ground.expose("made", "made", &json!({}));
    for (name, reached) in [("mine", "mine"), ("made", "made"), ("any", "wild")] {
        assert_eq!(ground.reaches(name), reached);
    }
    let of_default = |ground: &Ground| {
        let question = json!({"host": "elsewhere.test"});
        ground.gateway.call("explain", &question)["database"].clone()
    };
    assert_eq!(of_default(&ground), "rest");
    let hidden = ground.call("hide", "mine");
    assert_eq!(hidden["refused"], json!(["mine.example.test"]), "{hidden}");
    ground.call("hide", "made");
    let again = ground.call("hide", "made");
    assert_eq!(again["changed"], false, "{again}");
    for restarted in [false, true] {
        if restarted {
            ground.gateway.crash_and_restart();
        }
        ground.expect_withdrawn("mine", "of database mine is hidden by ctl");
        ground.expect_withdrawn("made", "of database made is hidden by ctl");
        assert_eq!(ground.reaches("any"), "wild");
    }
    ground.call("expose", "mine");
    assert_eq!(ground.reaches("mine"), "mine");
    // A wildcard withdraws every name that only it had.
    ground.call("hide", "wild");
    ground.expect_withdrawn("any", "*.example.test of database wild is hidden by ctl");
    assert_eq!(ground.reaches("mine"), "mine");
    assert_eq!(of_default(&ground), "rest");
}

#[test]
fn a_name_that_is_given_away_or_deleted_is_free() {
    let ground = ground();
    ground.expose("made", "made", &json!({}));
    ground.call("hide", "made");
    ground.expose("other", "made", &json!({}));
    assert_eq!(ground.reaches("made"), "other");
    ground.call("delete", "other");
    // What was given away is no longer anybody's.
    assert_eq!(ground.reaches("made"), "wild");
    ground.expose("made", "made", &json!({}));
    ground.call("hide", "made");
    ground.expect_withdrawn("made", "hidden by ctl");
    let deleted = ground.call("delete", "made");
    assert_eq!(deleted["hosts"], json!(["made.example.test"]), "{deleted}");
    assert_eq!(ground.reaches("made"), "wild");
    for (words, code) in [
        (&["delete", "mine"][..], 1),
        (&["delete", "made"], 5),
        (&["delete", "made", "--if-exists"], 0),
    ] {
        let answer = ground.gateway.ctl(words);
        assert_eq!(answer.status.code(), Some(code), "{words:?}: {answer:?}");
    }
}

#[test]
fn a_name_whose_time_is_over_is_refused_until_it_is_deleted() {
    let ground = ground();
    ground.expose("leased", "leased", &json!({"ttl_ms": 200}));
    ground.gateway.wait_log("\"expire\"");
    ground.expect_withdrawn("leased", "or its time was over");
    ground.expose("later", "later", &json!({"ttl_ms": 200}));
    assert!(testbed::until(|| ground.try_open("later").is_err()));
    ground.expect_withdrawn("leased", "or its time was over");
    ground.call("delete", "leased");
    assert_eq!(ground.reaches("leased"), "wild");
    ground.expect_withdrawn("later", "or its time was over");
    ground.expose("later", "later", &json!({}));
    assert_eq!(ground.reaches("later"), "later");
}

#[test]
fn a_name_whose_database_is_left_out_at_the_start_is_refused() {
    let mut ground = ground();
    let leaf = ground.ca.leaf(&["*.example.test"]);
    let [cert, key] = ["own.crt", "own.key"].map(|file| ground.gateway.path(file));
    fs::write(&cert, &leaf.cert_pem).expect("a certificate");
    fs::write(&key, &leaf.key_pem).expect("a key");
    let files = json!({"tls": "terminate", "cert": cert, "key": key});
    ground.expose("made", "made", &files);
    ground.gateway.crash();
    fs::remove_file(&key).expect("the key");
    ground.gateway.start_again();
    ground.expect_withdrawn("made", "left out");
    assert_eq!(ground.reaches("any"), "wild");
    ground.call("delete", "made");
    assert_eq!(ground.reaches("made"), "wild");
}
