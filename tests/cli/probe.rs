//! `dbgate probe` where no server is needed: what it refuses, what it says of an address where
//! nobody listens, and its explanations.

use std::net::{Ipv4Addr, TcpListener};

use serde_json::Value;

use crate::gate::{Ran, dbgate};

fn probe(words: &[&str]) -> Ran {
    Ran::of(dbgate().arg("probe").args(words))
}

/// A port of this machine where nobody listens any more.
fn closed_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn lines(out: &str) -> Vec<Value> {
    out.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}

#[test]
fn what_cannot_be_done_is_a_usage_error() {
    for (words, said) in [
        (&[][..], "<URL>"),
        (&["pg.example:5432"], "the protocol is missing"),
        (&["http://pg.example"], "unknown protocol"),
        (&["mongodb+srv://pg.example"], "mongodb://HOST:27017"),
        (&["postgres://"], "the host is missing"),
        (&["postgres://pg.example:0"], "port"),
        (&["postgres://fd00::1"], "brackets"),
        (&["tls://a", "--sni", "a b"], "only letters"),
        (&["tls://a", "--sni", "10.0.0.5"], "IP address"),
        (
            &["tls://a", "--sni", "b", "--no-sni"],
            "cannot be used with",
        ),
        (
            &["tls://a", "--no-sni", "--compare-no-sni"],
            "cannot be used with",
        ),
        (
            &["tls://a", "--ca", "f", "--insecure"],
            "cannot be used with",
        ),
        (
            &["tls://a", "--ca", "/nowhere/ca.crt"],
            "cannot read /nowhere/ca.crt",
        ),
        (&["tls://a", "--client-cert", "f"], "--client-key"),
        (&["tls://a", "--connect", "::1"], "brackets"),
        (&["tls://a", "--tls", "1.1"], "[possible values: 1.2, 1.3]"),
        (&["tls://a", "--split", "bytes:0"], "bytes:N or records:N"),
        (&["tls://a", "--starttls", "never"], "sslrequest"),
        (
            &["redis://a", "--starttls", "sslrequest"],
            "--starttls is for postgres:// only",
        ),
        (
            &["mysql://a", "--check-plaintext"],
            "--check-plaintext is for postgres:// only",
        ),
        (&["tls://a", "--timeout", "0s"], "use 1s or more"),
        (&["tls://a", "--timeout", "10"], "has no unit"),
        (&["tls://a", "--count", "0"], "1..="),
        (
            &["tls://a", "--count", "2", "--wait", "1s"],
            "cannot be used with",
        ),
        (
            &["tls://a", "--count", "2", "--each-address"],
            "cannot be used with",
        ),
        (
            &["tls://a", "explain", "tcp-refused"],
            "cannot be used with",
        ),
        (&["pcap", "f", "--port", "5432"], "PORT=PROTOCOL"),
        (&["listen", "--bind", "5432"], "as in 127.0.0.1:5432"),
        (&["listen", "--bind", ":5432"], "as in 127.0.0.1:5432"),
        (&["listen", "--bind", "localhost"], "write IP:PORT"),
        (
            &["listen", "--bind", "[fe80::1%nowhere0]:1"],
            "no network interface nowhere0",
        ),
        (&["tls://[fe80::1%]"], "fe80::1%eth0"),
        (&["lisen"], "did you mean `dbgate probe listen`?"),
        (&["pcp"], "did you mean `dbgate probe pcap`?"),
        (&["expain"], "did you mean `dbgate probe explain`?"),
    ] {
        let err = probe(words).failed(2);
        assert!(err.contains(said), "{words:?} should say {said:?}:\n{err}");
    }
}

#[test]
fn a_password_is_never_printed() {
    let port = closed_port();
    let whole = format!("postgres://ann:hush@127.0.0.1:{port}/shop?sslpassword=hush");
    // The second one is no URL: the slash is not escaped.
    for url in [
        whole.as_str(),
        "postgres://ann:hu/sh:hush@h",
        "hush",
        "x://hush@h",
    ] {
        for format in ["text", "json"] {
            let ran = probe(&[url, "-o", format]);
            assert!(!ran.out.contains("hush"), "{ran:?}");
            assert!(!ran.err.contains("hush"), "{ran:?}");
        }
    }
    let ran = probe(&[&whole]);
    assert!(
        ran.err.contains("ignored in the URL: user and password"),
        "{ran:?}"
    );
}

#[test]
fn nobody_listens() {
    let port = closed_port();
    let url = format!("mysql://127.0.0.1:{port}");
    let ran = probe(&[&url]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(3), ""), "{ran:?}");
    let first = ran.out.lines().next().unwrap_or_default();
    let expected = format!("FAIL  mysql  127.0.0.1:{port}  the connection was refused");
    assert_eq!(first, expected);
    assert!(
        ran.out.contains("dbgate probe explain tcp-refused"),
        "{ran:?}"
    );
    assert!(!ran.out.contains('\u{1b}'), "no colours in a pipe: {ran:?}");

    let ran = probe(&[&url, "-o", "json"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(3), ""), "{ran:?}");
    let all = lines(&ran.out);
    let [report] = &all[..] else {
        panic!("one object: {ran:?}");
    };
    for (field, value) in [
        ("schema", Value::from("dbgate.probe/1")),
        ("verdict", "fail".into()),
        ("code", "tcp-refused".into()),
        ("stage", "tcp".into()),
        ("protocol", "mysql".into()),
        ("starttls", false.into()),
        ("sni", Value::Null),
        ("sni_status", "none".into()),
        ("alpn", Value::Array(Vec::new())),
        ("tls_version", Value::Null),
        ("cipher", Value::Null),
        ("alert", Value::Null),
        ("established", false.into()),
        ("client", Value::Null),
        ("server", format!("127.0.0.1:{port}").into()),
        ("hello", Value::Null),
    ] {
        assert_eq!(report.get(field), Some(&value), "{field} of {report:#}");
    }
    assert_eq!(report["findings"][0]["code"], "tcp-refused", "{report:#}");
    assert!(report["phases_ms"]["total"].is_f64(), "{report:#}");
}

#[test]
fn a_name_that_nobody_has() {
    // Without a name server it fails in another way, at the same stage.
    let ran = probe(&["tls://nobody.invalid", "-o", "json"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert_eq!(lines(&ran.out)[0]["stage"], "dns", "{ran:?}");
    // The name is kept, and not looked up, when an address is dialled in its place.
    let at = format!("127.0.0.1:{}", closed_port());
    let ran = probe(&["tls://nobody.invalid", "--connect", &at, "-o", "json"]);
    let report = &lines(&ran.out)[0];
    assert_eq!(report["code"], "tcp-refused", "{ran:?}");
    assert_eq!(report["target"], "nobody.invalid:443", "{ran:?}");
    assert_eq!(report["server"], at, "{ran:?}");
}

#[test]
fn several_probes_end_in_a_summary() {
    let port = closed_port();
    let url = format!("redis://127.0.0.1:{port}");
    let ran = probe(&[&url, "--count", "3", "--interval", "1ms", "-o", "json"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(3), ""), "{ran:?}");
    let all = lines(&ran.out);
    assert_eq!(all.len(), 4, "{ran:?}");
    let summary = &all[3];
    assert_eq!(summary["schema"], "dbgate.probe.summary/1", "{summary:#}");
    assert_eq!(summary["codes"]["tcp-refused"], 3, "{summary:#}");
    assert_eq!(summary["findings"], Value::Array(Vec::new()), "{summary:#}");

    let ran = probe(&[&url, "--count", "2", "--interval", "1ms"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let probes = ran
        .out
        .lines()
        .filter(|line| line.starts_with("FAIL  redis"));
    assert_eq!(probes.count(), 2, "{ran:?}");
    assert!(ran.out.contains("FAIL  2 probes: 2 tcp-refused"), "{ran:?}");

    // Two hosts in one URL, with the same trouble: no difference to tell.
    let url = format!("postgres://127.0.0.1:{port},127.0.0.2:{port}");
    let ran = probe(&[&url, "--each-address", "-o", "json"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(3), ""), "{ran:?}");
    let all = lines(&ran.out);
    assert_eq!(all.len(), 3, "{ran:?}");
    assert_eq!(all[1]["target"], format!("127.0.0.2:{port}"), "{ran:?}");
    assert_eq!(all[2]["code"], "tcp-refused", "{ran:?}");
}

#[test]
fn waiting_ends_and_tells_what_for() {
    let port = closed_port();
    let url = format!("tls://127.0.0.1:{port}");
    let ran = probe(&[&url, "--wait", "0s", "-o", "json"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(3), ""), "{ran:?}");
    assert_eq!(lines(&ran.out).len(), 1, "{ran:?}");
    let ran = probe(&[&url, "--wait", "50ms", "--interval", "1ms"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let told = "dbgate: waiting: tcp-refused: the connection was refused\n";
    assert_eq!(ran.err, told, "once for each change: {ran:?}");
}

#[test]
fn codes_are_explained() {
    let one = probe(&["explain", "pg-tls-refused"]).done();
    for part in [
        "pg-tls-refused\n",
        "said by     server",
        "ssl = on",
        "sslmode=prefer",
    ] {
        assert!(one.contains(part), "{part} is not in\n{one}");
    }
    let all = probe(&["explain"]).done();
    for code in [
        "dns-no-such-name",
        "redis-plain-port",
        "cert-expired",
        "capture-gap",
    ] {
        assert!(
            all.contains(&format!("  {code} ")),
            "{code} is not in\n{all}"
        );
    }
    for (code, said) in [
        ("pg-tls-refusd", "did you mean pg-tls-refused?"),
        ("\u{1b}[2J", "lists all codes"),
    ] {
        let err = probe(&["explain", code]).failed(2);
        assert!(err.contains(said) && !err.contains('\u{1b}'), "{err}");
    }
}
