//! The subscription that `top` lives on, spoken by hand.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use serde_json::Value;

use crate::gate::{EMPTY, Gate, LIMIT, echo};

struct Line(BufReader<UnixStream>);

impl Line {
    fn to(gate: &Gate, request: &str) -> Self {
        let mut stream = UnixStream::connect(gate.socket()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        writeln!(stream, "{request}").unwrap();
        Self(BufReader::new(stream))
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }

    /// The first update for which `found` gives something.
    fn until<T>(&mut self, what: &str, found: impl Fn(&Value) -> Option<T>) -> T {
        let mut seen = Vec::new();
        for _ in 0..600 {
            let line = self.read();
            assert_eq!(line["id"], 5, "{line}");
            assert_eq!(line["event"]["event"], "update", "{line}");
            if let Some(found) = found(&line["event"]) {
                return found;
            }
            seen.push(line.to_string());
        }
        panic!("no {what} in\n{}", seen.join("\n"));
    }
}

#[test]
fn a_watcher_is_told_of_sessions_rejects_and_changes() {
    let gate = Gate::new(EMPTY);
    let to = echo().to_string();
    let mut watch = Line::to(&gate, r#"{"v":1,"id":5,"cmd":"watch","interval_ms":100}"#);
    let answer = watch.read();
    assert_eq!(
        (&answer["ok"], &answer["interval_ms"]),
        (&true.into(), &100.into())
    );
    let first = watch.read();
    assert_eq!(first["event"]["first"], true, "{first}");
    assert_eq!(first["event"]["totals"]["sessions"], 0, "{first}");

    gate.ctl(&[
        "expose",
        "db",
        "--host",
        "a.example",
        "--to",
        &to,
        "--protocol",
        "tls",
    ])
    .done();
    watch.until("database", |u| {
        (u["databases"][0]["name"] == "db").then_some(())
    });
    let client = gate.session("a.example");
    let id = watch.until("open session", |u| {
        let row = u["sessions"]
            .as_array()?
            .iter()
            .find(|s| s["state"] == "open")?;
        assert_eq!(row["declared"], to.as_str(), "{row}");
        row["id"].as_u64()
    });
    gate.client("nowhere.example");
    watch.until("reject", |u| {
        let reject = u["rejects"].get(0)?;
        assert_eq!(reject["reason"], "unknown_host", "{reject}");
        Some(())
    });
    drop(client);
    watch.until("end", |u| {
        u["closed"].as_array()?.contains(&id.into()).then_some(())
    });
}

#[test]
fn bounds_are_told() {
    let gate = Gate::new(EMPTY);
    for (request, said) in [
        (
            r#"{"v":1,"id":1,"cmd":"watch","interval_ms":1}"#,
            "100 to 60000",
        ),
        (r#"{"v":1,"id":1,"cmd":"watch","every":1}"#, "unknown field"),
    ] {
        let answer = Line::to(&gate, request).read();
        assert_eq!(answer["ok"], false, "{answer}");
        let error = &answer["error"];
        let told = format!("{}; {}", error["message"], error["hint"]);
        assert!(told.contains(said), "{answer}");
    }
    let watch = r#"{"v":1,"id":1,"cmd":"watch","interval_ms":60000}"#;
    let mut many = Line::to(&gate, &[watch; 9].join("\n"));
    let refused = loop {
        let line = many.read();
        if line["ok"] == false {
            break line;
        }
    };
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("at most 8 subscriptions"), "{refused}");
}
