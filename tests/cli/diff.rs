//! `ctl diff` and what `ctl reload` says it changed: every section, certificates, sessions that end,
//! exit codes.

use std::fs;

use serde_json::{Value, json};

use crate::gate::{EMPTY, Gate, Ran, dbgate, echo};

const DATABASE: &str = "[database.pg1]
protocol = \"postgres\"
backends = [\"10.0.0.1:5432\"]
hosts = [\"a.example\"]
";

/// The document of a `diff` with this exit code.
fn document(gate: &Gate, code: i32) -> Value {
    let ran = gate.ctl(&["diff", "-o", "json"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(code), ""), "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

#[test]
fn every_section_is_shown_and_a_reload_says_the_same() {
    let gate = Gate::new(&format!("{EMPTY}{DATABASE}"));
    assert_eq!(document(&gate, 0)["differences"], json!([]));
    let database = DATABASE.replace("10.0.0.1", "10.0.0.2");
    gate.configure(&format!(
        "{EMPTY}default = \"pg1\"\n{database}max_sessions = 7\n\
         [control]\nmode = \"0600\"\n\
         [listener.x]\nbind = [\"127.0.0.1:0\"]\n\
         [tls]\nmin_version = \"1.3\"\n\
         [timeouts]\nconnect = \"90s\"\n\
         [limits]\nmax_sessions = 10\n\
         [log]\naccess = false\n\
         [metrics]\nbind = \"127.0.0.1:0\"\n"
    ));
    let restart = "[control] changed in the file, not loaded yet
  mode: 0660 → 0600 (needs a restart)
";
    let said = "[listener.main] changed in the file, not loaded yet
  default: - → pg1 (new sessions)
[tls] changed in the file, not loaded yet
  min_version: 1.2 → 1.3 (new sessions)
[timeouts] changed in the file, not loaded yet
  connect: 5s → 1m30s (new sessions)
[limits] changed in the file, not loaded yet
  max_sessions: 20000 → 10 (new sessions)
[log] changed in the file, not loaded yet
  access: true → false (new sessions)
[metrics] changed in the file, not loaded yet
  bind: - → 127.0.0.1:0 (at once)
[listener.x] new in the file, not loaded yet
  bind: - → 127.0.0.1:0 (at once)
  protocol: - → auto (new sessions)
[database.pg1] changed in the file, not loaded yet
  backends: 10.0.0.1:5432 → 10.0.0.2:5432 (new sessions)
  max_sessions: - → 7 (new sessions)
";
    assert_eq!(gate.ctl(&["diff"]).differs(), format!("{restart}{said}"));
    let rows = document(&gate, 1)["differences"].clone();
    assert_eq!(
        rows.as_array().unwrap().last().unwrap(),
        &json!({"kind": "file", "database": "pg1", "what": "changed in the file, not loaded yet",
            "section": "database.pg1", "key": "max_sessions", "running": null, "file": 7,
            "effect": "new sessions"})
    );

    let reloaded = gate.ctl(&["reload"]);
    let past = said.replace(" in the file, not loaded yet", "");
    let file = gate.config();
    let back = format!(
        "to take it back: put the earlier text into {}, then dbgate ctl reload\n",
        file.display()
    );
    assert_eq!(
        reloaded.out,
        format!("reloaded (revision 2)\n{restart}{past}{back}")
    );
    // What only a restart changes is other still.
    assert_eq!(gate.ctl(&["diff"]).differs(), restart);
    let again = gate.ctl(&["reload"]).out;
    assert_eq!(again, format!("unchanged (revision 2)\n{restart}"));

    gate.configure(&format!("{EMPTY}{DATABASE}"));
    let back = gate.json(&["reload"]);
    assert_eq!(back["changed"], true, "{back}");
    let metrics = back["changes"].as_array().unwrap().iter();
    let metrics: Vec<_> = metrics.filter(|c| c["section"] == "metrics").collect();
    assert_eq!(
        (
            &metrics[0]["running"],
            &metrics[0]["file"],
            &metrics[0]["what"]
        ),
        (&json!("127.0.0.1:0"), &Value::Null, &json!("changed"))
    );
    assert_eq!(gate.ctl(&["reload"]).done(), "unchanged (revision 3)\n");
    let same = gate.json(&["reload"]);
    assert_eq!(
        (&same["changed"], &same["changes"]),
        (&json!(false), &json!([]))
    );
}

#[test]
fn sessions_that_a_reload_ends_are_counted() {
    let backend = echo();
    let with = |hosts: &str| {
        format!(
            "{EMPTY}[database.e]\nprotocol = \"tls\"\nbackends = [\"{backend}\"]\nhosts = [{hosts}]\n"
        )
    };
    let gate = Gate::new(&with("\"a.example\", \"b.example\""));
    let _sessions = [gate.session("a.example"), gate.session("b.example")];
    gate.configure(&with("\"a.example\""));
    assert_eq!(
        gate.ctl(&["diff"]).differs(),
        "[database.e] changed in the file, not loaded yet
  hosts: a.example, b.example → a.example (ends 1 session)
a reload ends 1 session
"
    );
    gate.configure(EMPTY);
    let document = document(&gate, 1);
    assert_eq!(document["sessions"], json!(2));
    for row in document["differences"].as_array().unwrap() {
        assert_eq!(
            (&row["what"], &row["effect"], &row["file"]),
            (
                &json!("gone from the file, still loaded"),
                &json!("ends 2 sessions"),
                &Value::Null
            )
        );
    }
    // Nothing has changed for having been looked at.
    assert_eq!(gate.revision(), 1);
    assert_eq!(
        gate.json(&["sessions"])["sessions"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let reloaded = gate.ctl(&["reload"]).done();
    assert!(reloaded.contains("[database.e] gone\n"), "{reloaded}");
    assert!(reloaded.contains("(ends 2 sessions)\n"), "{reloaded}");
}

#[test]
fn a_renewed_certificate_is_shown_with_its_fingerprints() {
    let gate = Gate::stopped("");
    let renew = |name: &str| {
        let words = ["cert", "new", name, "--self-signed", "--force"];
        Ran::of(dbgate().args(words).current_dir(gate.dir())).out
    };
    for name in ["own.example", "a.example", "other.example"] {
        renew(name);
    }
    let pair = |name: &str| format!("cert = \"{name}.crt\"\nkey = \"{name}.key\"\n");
    let config = format!(
        "{EMPTY}[tls]\n{}{DATABASE}tls = \"terminate\"\n{}",
        pair("own.example"),
        pair("a.example")
    );
    gate.configure(&config);
    let mut gate = gate;
    gate.start();
    document(&gate, 0);
    for name in ["own.example", "a.example"] {
        for end in ["crt", "key"] {
            let from = gate.dir().join(format!("other.example.{end}"));
            fs::copy(from, gate.dir().join(format!("{name}.{end}"))).unwrap();
        }
    }
    let told = gate.ctl(&["diff"]).differs();
    let lines: Vec<&str> = told.lines().collect();
    let [tls, cert, key, database, own_cert, own_key] = lines.as_slice() else {
        panic!("{told}");
    };
    assert_eq!(*tls, "[tls] renewed on disk, not loaded yet");
    assert_eq!(*database, "[database.pg1] renewed on disk, not loaded yet");
    for (line, name) in [(cert, "own.example"), (own_cert, "a.example")] {
        let (was, now) = line.split_once(" → ").unwrap();
        assert!(was.contains(&format!("({name}), until 2")), "{line}");
        assert!(now.contains("(other.example), until 2"), "{line}");
        assert!(now.ends_with(" (new sessions)"), "{line}");
        assert_eq!(line.matches(", sha256:").count(), 2, "{line}");
    }
    for line in [key, own_key] {
        assert_eq!(
            *line,
            "  key: the key in force → another key (new sessions)"
        );
    }
    let reloaded = gate.ctl(&["reload"]).out;
    let past = told.replace(" on disk, not loaded yet", "");
    assert_eq!(reloaded, format!("reloaded (revision 2)\n{past}"));
    document(&gate, 0);
}

#[test]
fn what_cannot_be_compared_is_no_difference() {
    let mut gate = Gate::new(&format!("{EMPTY}{DATABASE}"));
    // A file of certificates that a reload would refuse.
    gate.configure(&format!(
        "{EMPTY}{DATABASE}tls = \"terminate\"\ncert = \"none.crt\"\nkey = \"none.key\"\n"
    ));
    let told = gate.ctl(&["diff"]).failed(2);
    assert!(told.contains("none.crt"), "{told}");
    gate.configure("[listener.main");
    let told = gate.ctl(&["diff"]).failed(2);
    assert!(told.contains("nothing can be compared\n"), "{told}");
    fs::remove_file(gate.config()).unwrap();
    gate.ctl(&["diff"]).failed(2);
    gate.kill();
    gate.ctl(&["diff"]).failed(3);
}

#[test]
fn what_ctl_did_is_a_difference() {
    let gate = Gate::new(&format!("{EMPTY}{DATABASE}"));
    gate.ctl(&["hide", "pg1"]).done();
    let rows = document(&gate, 1)["differences"].clone();
    assert_eq!(
        rows,
        json!([{"kind": "runtime", "database": "pg1", "what": "host a.example hidden by ctl",
            "section": "database.pg1", "key": "hosts", "running": null, "file": null,
            "effect": "kept"}])
    );
}

#[test]
fn of_very_many_databases_the_first_are_named_and_the_others_counted() {
    let gate = Gate::new(EMPTY);
    let database =
        |n| format!("[database.d{n}]\nprotocol = \"tls\"\nbackends = [\"10.0.0.1:5432\"]\n");
    let many: String = (0..10_003).map(database).collect();
    gate.configure(&format!("{EMPTY}{many}"));
    let told = gate.ctl(&["diff"]).differs();
    assert_eq!(told.lines().last(), Some("and 3 more databases"));
    assert_eq!(told.matches("] new in the file").count(), 10_000);
    let reloaded = gate.ctl(&["reload"]).done();
    assert!(
        reloaded.contains("\nand 3 more databases\n"),
        "{:?}",
        reloaded.lines().last()
    );
}
