//! `dbgate probe listen`: what real clients send, and how they take the answer.
//!
//! The table of facts is [`what_each_client_sends`], one row a client. That a capture of the same
//! connection tells the same is `a_capture_and_the_listener_agree`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::capture::Capture;
use crate::certs::Ca;
use crate::clients::{Answer, Client, Target};
use crate::servers::{MariaDb, PgAdmin, Postgres, Redis};
use crate::testbed;

/// A `dbgate probe listen` that runs; dropped, it is killed.
struct Listen {
    child: Child,
    port: u16,
    stdout: BufReader<ChildStdout>,
    stderr: Option<JoinHandle<String>>,
}

/// What it said until it ended.
#[derive(Debug)]
struct Heard {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Listen {
    fn start(arguments: &[&str]) -> Self {
        let mut command = testbed::mortal("KILL", env!("CARGO_BIN_EXE_dbgate"));
        command.args(["probe", "listen"]).args(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = testbed::spawn(command);
        let stdout = BufReader::new(child.stdout.take().expect("its output"));
        let mut pipe = BufReader::new(child.stderr.take().expect("its remarks"));
        let mut first = String::new();
        pipe.read_line(&mut first).expect("its address");
        let address = first
            .strip_prefix("listening on ")
            .and_then(|rest| rest.split(';').next())
            .and_then(|address| address.parse::<SocketAddr>().ok());
        let port = address
            .unwrap_or_else(|| panic!("no address: {first}"))
            .port();
        let stderr = std::thread::spawn(move || {
            let mut rest = String::new();
            let _ = pipe.read_to_string(&mut rest);
            first + &rest
        });
        Self {
            child,
            port,
            stdout,
            stderr: Some(stderr),
        }
    }

    /// For one client, in JSON.
    fn once(arguments: &[&str]) -> Self {
        Self::start(&[&["--once", "-o", "json"], arguments].concat())
    }

    /// The next report.
    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("its output");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }

    fn end(mut self) -> Heard {
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).expect("its output");
        let code = self.child.wait().expect("its end").code();
        let stderr = self.stderr.take().expect("its remarks").join();
        Heard {
            code,
            stdout,
            stderr: stderr.expect("its remarks"),
        }
    }
}

impl Drop for Listen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Heard {
    /// The reports, of which there are so many.
    #[track_caller]
    fn reports<const N: usize>(&self) -> [Value; N] {
        let lines = self.stdout.lines();
        let reports: Result<Vec<Value>, _> = lines.map(serde_json::from_str).collect();
        let reports = reports.unwrap_or_else(|e| panic!("{e}: {self:#?}"));
        reports
            .try_into()
            .unwrap_or_else(|_| panic!("not {N} reports: {self:#?}"))
    }

    /// The first report, however often the client came back.
    #[track_caller]
    fn first(&self) -> Value {
        let line = self.stdout.lines().next();
        let line = line.unwrap_or_else(|| panic!("no report: {self:#?}"));
        serde_json::from_str(line).expect("JSON")
    }
}

/// Lets a client come to a listener that serves one.
fn hear(arguments: &[&str], client: Client, target: impl FnOnce(u16) -> Target) -> (Heard, Answer) {
    let listen = Listen::once(arguments);
    let target = Target {
        patience: 2,
        ..target(listen.port)
    };
    let answer = client.whoami(&target);
    (listen.end(), answer)
}

fn findings(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().expect("findings");
    findings
        .iter()
        .filter_map(|finding| finding["code"].as_str())
        .collect()
}

fn reaction(report: &Value) -> &str {
    report["reaction"]["what"].as_str().unwrap_or("none")
}

/// One row of the table of facts.
struct Row {
    client: Client,
    protocol: &'static str,
    target: fn(u16) -> Target,
    said: &'static [&'static str],
    sni: Option<&'static str>,
    alpn: &'static [&'static str],
    code: &'static str,
}

const PG: &str = "pg1.example.test";

fn pg(port: u16) -> Target {
    Target::unverified(PG, port).app()
}

fn redis(port: u16) -> Target {
    Target::unverified("redis1.example.test", port)
}

fn mongo(port: u16) -> Target {
    Target::unverified("mongo1.example.test", port)
}

fn mysql(port: u16) -> Target {
    Target::unverified("mysql1.example.test", port).app()
}

#[test]
fn what_each_client_sends() {
    let request: &[&str] = &["SSLRequest", "ClientHello"];
    let hello: &[&str] = &["ClientHello"];
    let libpq: &[&str] = &["postgresql"];
    let row = |client, protocol, target, said, sni, alpn, code| Row {
        client,
        protocol,
        target,
        said,
        sni,
        alpn,
        code,
    };
    use Client::*;
    let table = [
        row(Psql, "postgres", pg, request, Some(PG), &[], "ok"),
        row(
            Psql,
            "postgres",
            |p| pg(p).without_sni(),
            request,
            None,
            &[],
            "sni-none",
        ),
        row(Psycopg, "postgres", pg, request, Some(PG), libpq, "ok"),
        row(
            Psycopg,
            "postgres",
            |p| pg(p).direct(),
            hello,
            Some(PG),
            libpq,
            "ok",
        ),
        row(Asyncpg, "postgres", pg, request, Some(PG), libpq, "ok"),
        row(
            Asyncpg,
            "postgres",
            |p| pg(p).direct(),
            hello,
            Some(PG),
            libpq,
            "ok",
        ),
        row(NodePostgres, "postgres", pg, request, Some(PG), &[], "ok"),
        row(
            NodePostgres,
            "postgres",
            |p| pg(p).direct(),
            hello,
            Some(PG),
            libpq,
            "ok",
        ),
        row(
            RedisCli,
            "redis",
            redis,
            hello,
            Some("redis1.example.test"),
            &[],
            "ok",
        ),
        row(
            RedisCli,
            "redis",
            |p| redis(p).without_sni(),
            hello,
            None,
            &[],
            "sni-none",
        ),
        row(
            Ioredis,
            "redis",
            redis,
            hello,
            Some("redis1.example.test"),
            &[],
            "ok",
        ),
        row(
            Pymongo,
            "mongodb",
            mongo,
            hello,
            Some("mongo1.example.test"),
            &[],
            "ok",
        ),
        row(MariaDb, "mariadb", mysql, request, None, &[], "sni-none"),
        row(
            PyMysql,
            "mysql",
            mysql,
            request,
            Some("mysql1.example.test"),
            &[],
            "ok",
        ),
        row(
            NodeMysql2,
            "mysql",
            mysql,
            request,
            Some("mysql1.example.test"),
            &[],
            "ok",
        ),
    ];
    let mut wrong = Vec::new();
    for row in &table {
        let (heard, _) = hear(&["--protocol", row.protocol], row.client, row.target);
        let first = heard.first();
        let client = row.client;
        let expected = json!({
            "protocol": row.protocol, "said": row.said, "sni": row.sni, "alpn": row.alpn,
            "starttls": row.said.len() > 1, "code": row.code, "alert": "unrecognized_name",
            "alert_by": "server", "sni_normalised": row.sni,
        });
        for (field, value) in expected.as_object().expect("fields") {
            if first[field] != *value {
                wrong.push(format!("{client:?} {field}: {}, not {value}", first[field]));
            }
        }
        let reacted = reaction(&first);
        if !matches!(reacted, "closed" | "reset" | "alert") {
            wrong.push(format!("{client:?}: {reacted} in {first}"));
        }
        println!(
            "{client:?} {} {} {}",
            first["hello"],
            first["reaction"],
            heard.stdout.lines().count()
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_name_is_shown_as_sent_and_as_a_gateway_reads_it() {
    let target = |port| Target::unverified("PG1.Example.TEST.", port).app();
    let (heard, _) = hear(&[], Client::Psql, target);
    let [report] = heard.reports();
    assert_eq!(report["sni"], "PG1.Example.TEST.", "{report}");
    assert_eq!(report["sni_normalised"], PG, "{report}");
    assert_eq!(report["sni_status"], "ok", "{report}");
    assert_eq!(
        report["first_bytes"].as_str().map(|hex| &hex[..23]),
        Some("00 00 00 08 04 d2 16 2f")
    );
    assert_eq!(heard.code, Some(0), "{heard:#?}");
    assert!(
        heard.stderr.contains("psql 'host=NAME hostaddr=127.0.0.1"),
        "{heard:#?}"
    );
}

#[test]
fn each_sslmode_shows_in_the_order_of_the_connections() {
    // (sslmode, code of each connection, exit code)
    let cases: [(&str, &[&str], i32); 4] = [
        ("disable", &["client-plaintext"], 1),
        ("allow", &["client-plaintext", "client-plaintext-first"], 1),
        ("prefer", &["ok", "client-fell-back-to-plaintext"], 1),
        ("require", &["ok"], 0),
    ];
    for client in [Client::Psql, Client::Psycopg] {
        for (mode, codes, exit) in cases {
            let (heard, answer) = hear(&[], client, |port| pg(port).sslmode(mode));
            let found: Vec<Value> = heard
                .stdout
                .lines()
                .map(|line| serde_json::from_str(line).expect("JSON"))
                .collect();
            let told: Vec<&str> = found.iter().filter_map(|r| r["code"].as_str()).collect();
            assert_eq!(told, codes, "{client:?} {mode}: {heard:#?}");
            assert_eq!(heard.code, Some(exit), "{client:?} {mode}: {heard:#?}");
            if mode != "require" {
                let says = "dbgate probe listen: your client came without TLS";
                assert!(
                    answer.error.contains(says),
                    "{client:?} {mode}: {answer:#?}"
                );
                assert!(
                    found.iter().any(|r| r["readable"]
                        == json!(["user", "database", "application_name"])
                        || r["readable"] == json!(["user", "database"])),
                    "{client:?} {mode}: {heard:#?}"
                );
            }
            // The names of what could be read, never the values.
            assert!(!heard.stdout.contains("secret"), "{heard:#?}");
        }
    }
}

#[test]
fn pgadmin_is_heard_like_any_other() {
    let pgadmin = PgAdmin::start();
    let listen = Listen::once(&[]);
    let answer = pgadmin.connect(&pg(listen.port));
    assert!(!answer.ok, "{answer:#?}");
    let first = listen.end().first();
    assert_eq!(
        first["said"],
        json!(["SSLRequest", "ClientHello"]),
        "{first}"
    );
    assert_eq!(first["sni"], PG, "{first}");
    assert_eq!(first["code"], "ok", "{first}");
}

#[test]
fn a_throwaway_certificate_tells_who_verifies() {
    let ca = Ca::new("Testbed");
    // (client, protocol, target, the first message of those that do not verify)
    let cases: [(Client, &str, fn(u16) -> Target, &str); 8] = [
        (Client::Psql, "postgres", pg, "StartupMessage"),
        (
            Client::Psycopg,
            "postgres",
            |port| pg(port).direct(),
            "StartupMessage",
        ),
        (Client::Asyncpg, "postgres", pg, "StartupMessage"),
        (Client::NodePostgres, "postgres", pg, "StartupMessage"),
        (Client::RedisCli, "redis", redis, "Redis command"),
        (Client::Ioredis, "redis", redis, "Redis command HELLO"),
        (Client::Pymongo, "mongodb", mongo, "MongoDB command"),
        (Client::NodeMysql2, "mysql", mysql, "HandshakeResponse"),
    ];
    let mut wrong = Vec::new();
    for (client, protocol, target, inside) in cases {
        let arguments = ["--protocol", protocol, "--then-cert"];
        let (heard, answer) = hear(&arguments, client, target);
        let first = heard.first();
        let message = first["inside"].as_str().unwrap_or("nothing");
        if first["certificate"] != "accepted"
            || !message.starts_with(inside)
            || !findings(&first).contains(&"client-accepts-any-certificate")
            || first["established"] != true
            || heard.code != Some(1)
        {
            wrong.push(format!("{client:?}, {inside}: {heard:#?} {answer:#?}"));
        }
        let verifying = |port| Target {
            verify: true,
            ca: Some(ca.path().to_owned()),
            ..target(port)
        };
        let (heard, _) = hear(&arguments, client, verifying);
        let first = heard.first();
        let trust = first["certificate"].as_str().unwrap_or("none");
        if !trust.starts_with("refused")
            || !findings(&first).contains(&"client-verifies")
            || first["code"] != "ok"
            || heard.code != Some(0)
        {
            wrong.push(format!("{client:?}, verifying: {heard:#?}"));
        }
        println!(
            "{client:?} {inside} {} {}",
            first["certificate"], first["alert"]
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Fields that a capture of a connection and the listener itself both know.
const SHARED: &[&str] = &[
    "protocol",
    "starttls",
    "sni",
    "sni_status",
    "alpn",
    "alert",
    "alert_by",
    "established",
    "tls_version",
    "cipher",
];

const SHARED_OF_HELLO: &[&str] = &[
    "bytes",
    "records",
    "ja4",
    "versions",
    "groups",
    "post_quantum",
];

/// What `probe pcap` says of the one conversation of a capture.
#[track_caller]
fn captured(file: &Path, port: u16, protocol: &str) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_dbgate"))
        .args([
            "probe",
            "pcap",
            "-o",
            "json",
            "--port",
            &format!("{port}={protocol}"),
        ])
        .arg(file)
        .output()
        .expect("dbgate");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let rows: Vec<&str> = stdout.lines().collect();
    let [row] = rows.as_slice() else {
        panic!("not one conversation: {output:#?}");
    };
    serde_json::from_str(row).expect("JSON")
}

#[track_caller]
fn assert_agreement(client: Client, listened: &Value, captured: &Value, further: &[&str]) {
    let both = format!("{client:?}\nlisten {listened}\npcap {captured}");
    for field in SHARED.iter().chain(further) {
        assert_eq!(listened[field], captured[field], "{field} of {both}");
    }
    for field in SHARED_OF_HELLO {
        let (listened, captured) = (&listened["hello"][field], &captured["hello"][field]);
        assert_eq!(listened, captured, "hello.{field} of {both}");
    }
}

#[test]
fn a_capture_and_the_listener_agree() {
    let cases: [(Client, &str, fn(u16) -> Target); 8] = [
        (Client::Psql, "postgres", pg),
        (Client::Psql, "postgres", |port| pg(port).without_sni()),
        (Client::Psycopg, "postgres", |port| pg(port).direct()),
        (Client::Asyncpg, "postgres", pg),
        (Client::NodePostgres, "postgres", pg),
        (Client::Psql, "postgres", |port| pg(port).sslmode("disable")),
        (Client::PyMysql, "mysql", mysql),
        (Client::MariaDb, "mariadb", mysql),
    ];
    for (client, protocol, target) in cases {
        let listen = Listen::once(&["--protocol", protocol]);
        let port = listen.port;
        let mut capture = Capture::start(port);
        let answer = client.whoami(&target(port));
        assert!(!answer.ok, "{answer:#?}");
        let [report] = listen.end().reports();
        let row = captured(&capture.stop(), port, protocol);
        assert_agreement(client, &report, &row, &[]);
    }
}

#[test]
fn what_is_passed_on_reaches_the_server_and_a_capture_agrees() {
    let ca = Ca::new("Testbed");
    let leaf = ca.leaf(&[PG, "redis1.example.test", "mysql1.example.test"]);
    let postgres = Postgres::debian("pg-behind", &leaf);
    let redis = Redis::start("redis-behind", &leaf);
    let mariadb = MariaDb::start("mariadb-behind", &leaf);
    let cases = [
        (
            Client::Psql,
            "postgres",
            &postgres,
            Target::postgres(PG, 0, &ca),
        ),
        (
            Client::Psycopg,
            "postgres",
            &postgres,
            Target::postgres(PG, 0, &ca),
        ),
        (
            Client::RedisCli,
            "redis",
            &redis,
            Target::new("redis1.example.test", 0, &ca),
        ),
        (
            Client::PyMysql,
            "mysql",
            &mariadb,
            Target::new("mysql1.example.test", 0, &ca).app(),
        ),
    ];
    for (client, protocol, server, target) in cases {
        let to = server.addr().to_string();
        let mut listen = Listen::once(&["--protocol", protocol, "--forward", &to]);
        let port = listen.port;
        let mut capture = Capture::start(port);
        let answer = client.whoami(&Target { port, ..target });
        assert_eq!(answer.expect_who(), server.name());
        let open = listen.next();
        assert_eq!(open["open"], true, "{open}");
        assert_eq!(open["forwarded_to"], to, "{open}");
        let [ended] = listen.end().reports();
        assert_eq!(ended["open"], false, "{ended}");
        assert_eq!(open["id"], ended["id"]);
        assert_eq!(open["sni"], ended["sni"]);
        for side in ["bytes_in", "bytes_out"] {
            assert!(
                ended[side].as_u64() > open[side].as_u64(),
                "{side}: {open} {ended}"
            );
        }
        let row = captured(&capture.stop(), port, protocol);
        assert_agreement(client, &ended, &row, &["code"]);
    }
}

#[test]
fn a_server_that_refuses_what_is_passed_on_is_told_as_a_capture_tells_it() {
    let (ca, other) = (Ca::new("Testbed"), Ca::new("Stranger"));
    let server = Postgres::debian("pg-behind", &ca.leaf(&[PG]));
    let to = server.addr().to_string();
    // (target, code)
    let cases = [
        (
            Target::postgres(PG, 0, &ca).sslmode("disable"),
            "server-refused-plaintext",
        ),
        (Target::postgres(PG, 0, &other), "client-unknown-ca"),
    ];
    for (target, code) in cases {
        let listen = Listen::once(&["--forward", &to]);
        let port = listen.port;
        let mut capture = Capture::start(port);
        let answer = Client::Psql.whoami(&Target { port, ..target });
        assert!(!answer.ok, "{answer:#?}");
        let heard = listen.end();
        let ended = heard.stdout.lines().last();
        let ended = ended.unwrap_or_else(|| panic!("{heard:#?}"));
        let ended: Value = serde_json::from_str(ended).expect("JSON");
        assert_eq!(ended["code"], code, "{ended}");
        let row = captured(&capture.stop(), port, "postgres");
        assert_agreement(Client::Psql, &ended, &row, &["code", "verdict"]);
        assert_eq!(heard.code, Some(4), "{heard:#?}");
    }
}

#[test]
fn a_server_that_is_not_there_is_told() {
    let closed = format!("127.0.0.1:{}", testbed::free_port());
    let (heard, _) = hear(&["--forward", &closed], Client::Psql, pg);
    let first = heard.first();
    assert_eq!(first["code"], "tcp-refused", "{first}");
    assert_eq!(heard.code, Some(3), "{heard:#?}");
}

/// A client that says these bytes, and reads what comes back until the end.
fn say(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
    stream.write_all(bytes).expect("its words");
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    // It may be a reset.
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn whatever_comes_is_named_and_no_password_is_shown() {
    // (bytes, said, code)
    let cases: [(&[u8], &str, &str); 6] = [
        (
            b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n",
            "Redis command AUTH",
            "client-plaintext",
        ),
        (b"AUTH secret\r\n", "Redis command AUTH", "client-plaintext"),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "HTTP",
            "client-other-protocol",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH", "client-other-protocol"),
        (
            b"\x00\x00\x00\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02",
            "CancelRequest",
            "client-cancel-plaintext",
        ),
        (
            b"\xff\xff\xff\xff\xff\xff",
            "something unknown",
            "client-other-protocol",
        ),
    ];
    for (bytes, said, code) in cases {
        for output in ["json", "text"] {
            let listen = Listen::start(&["--once", "-o", output]);
            say(listen.port, bytes);
            let heard = listen.end();
            assert!(!heard.stdout.contains("secret"), "{heard:#?}");
            assert!(heard.stdout.contains(said), "{said}: {heard:#?}");
            assert!(heard.stdout.contains(code), "{code}: {heard:#?}");
            let hexadecimal: Vec<String> = b"secret".map(|b| format!("{b:02x}")).to_vec();
            assert!(
                !heard.stdout.contains(&hexadecimal[..3].join(" ")),
                "{heard:#?}"
            );
        }
    }
}

#[test]
fn it_serves_many_until_it_is_interrupted() {
    let mut listen = Listen::start(&["-o", "json"]);
    let mut ids = Vec::new();
    for _ in 0..20 {
        say(listen.port, b"*1\r\n$4\r\nPING\r\n");
        ids.push(listen.next()["id"].as_u64());
    }
    assert_eq!(ids, (1..=20).map(Some).collect::<Vec<_>>());
    testbed::signal(&listen.child, rustix::process::Signal::INT);
    let heard = listen.end();
    assert_eq!(heard.code, Some(0), "{heard:#?}");
}

#[test]
fn silent_clients_neither_stay_nor_keep_others_out() {
    let mut listen = Listen::start(&["-o", "json", "--timeout", "1s"]);
    let port = listen.port;
    // More than are served at a time.
    let silent: Vec<TcpStream> = (0..70)
        .map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection"))
        .collect();
    let last = std::thread::spawn(move || say(port, b"*1\r\n$4\r\nPING\r\n"));
    let mut codes = Vec::new();
    for _ in 0..=silent.len() {
        codes.push(listen.next()["code"].as_str().map(str::to_owned));
    }
    let answer = last.join().expect("the last client");
    assert!(
        answer.starts_with(b"-ERR dbgate probe listen"),
        "{}",
        answer.escape_ascii()
    );
    assert!(
        codes.contains(&Some("client-plaintext".to_owned())),
        "{codes:?}"
    );
}

#[test]
fn an_address_that_is_taken_is_told() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = taken.local_addr().expect("its own address").to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_dbgate"))
        .args(["probe", "listen", "--bind", &address])
        .output()
        .expect("dbgate");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains(&address), "{stderr}");
}
