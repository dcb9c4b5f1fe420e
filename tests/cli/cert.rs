//! `dbgate cert`: what it prints, what it writes, and its exit codes.
//!
//! Not here: whether servers and clients take the certificates (`tests/probe/certs.rs`).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::Value;
use tempfile::TempDir;

use crate::gate::{Ran, dbgate};

/// A directory in which commands are run.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// One with an authority.
    fn with_ca() -> Self {
        let desk = Self::new();
        desk.cert("ca --name Test").done();
        desk
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn cert(&self, words: &str) -> Ran {
        let words = words.split_whitespace();
        Ran::of(dbgate().arg("cert").args(words).current_dir(self.0.path()))
    }

    fn json(&self, words: &str, code: i32) -> Value {
        let ran = self.cert(&format!("{words} -o json"));
        assert_eq!((ran.code, ran.err.as_str()), (Some(code), ""), "{ran:?}");
        serde_json::from_str(&ran.out).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_name_may_be_typed_as_it_is_read() {
    let desk = Desk::with_ca();
    let made = desk.cert("new b\u{fc}cher.example *.b\u{fc}cher.example");
    assert_eq!(made.code, Some(0), "{made:?}");
    let shown = desk.cert("show xn--bcher-kva.example.crt -o json").out;
    for name in ["\"xn--bcher-kva.example\"", "\"*.xn--bcher-kva.example\""] {
        assert!(shown.contains(name), "no {name} in {shown}");
    }
}

#[test]
fn from_nothing_to_the_lines_that_clients_need() {
    let desk = Desk::new();
    let told = desk.cert("new pg1.db.example").failed(1);
    assert!(told.contains("`dbgate cert ca` makes one"), "{told}");
    let told = desk.cert("ca --name Test --constrain db.example").done();
    assert!(told.starts_with("made ./ca.crt and ./ca.key\n"), "{told}");
    assert!(told.contains("dbgate cert new NAME"), "{told}");
    let told = desk.cert("new pg1.db.example pg2.db.example").done();
    let ca = desk.path("ca.crt").canonicalize().unwrap();
    let ca = ca.to_str().unwrap();
    for line in [
        &format!(
            "psql \"host=pg1.db.example dbname=postgres sslmode=verify-full sslrootcert={ca}\""
        ),
        &format!("redis-cli -h pg1.db.example --tls --cacert {ca} --sni pg1.db.example"),
        &format!("mongosh \"mongodb://pg1.db.example/\" --tls --tlsCAFile {ca}"),
        &format!("mysql -h pg1.db.example --ssl-mode=VERIFY_IDENTITY --ssl-ca={ca}"),
        &format!("mariadb -h pg1.db.example --ssl-verify-server-cert --ssl-ca={ca}"),
        "hosts = [\"pg1.db.example\", \"pg2.db.example\"]",
        "tls = \"terminate\"",
    ] {
        assert!(told.contains(line), "no {line} in\n{told}");
    }
    assert!(!told.contains("PRIVATE"), "{told}");
    let files = [
        "ca.crt",
        "ca.key",
        "pg1.db.example.crt",
        "pg1.db.example.key",
    ];
    assert_eq!(desk.files(), files);
    for key in ["ca.key", "pg1.db.example.key"] {
        assert_eq!(mode(&desk.path(key)), 0o600, "{key}");
    }
    let told = desk.cert("new pg1.other.example").failed(1);
    assert!(
        told.contains("may not issue for \"pg1.other.example\""),
        "{told}"
    );
}

#[test]
fn the_stanza_is_one_that_serve_accepts() {
    let desk = Desk::with_ca();
    let told = desk.cert("new pg1.db.example").done();
    let (_, stanza) = told.split_once("(dbgate.toml):\n").unwrap();
    let stanza = stanza.replace("NAME]", "pg1]\nbackends = [\"127.0.0.1:5432\"]");
    let text = format!("[listener.main]\nbind = [\"127.0.0.1:0\"]\n{stanza}");
    fs::write(desk.path("dbgate.toml"), &text).unwrap();
    let file = desk.path("dbgate.toml");
    let told = Ran::of(dbgate().args(["serve", "--check", "-c"]).arg(file));
    assert_eq!(told.code, Some(0), "{told:?}\n{text}");
}

#[test]
fn a_second_run_says_that_nothing_changed() {
    let desk = Desk::with_ca();
    let first = desk.cert("new pg1.db.example --days 90").done();
    assert!(first.starts_with("made "), "{first}");
    let before = (
        desk.read("pg1.db.example.crt"),
        desk.read("pg1.db.example.key"),
    );
    let second = desk.cert("new pg1.db.example --if-due 30d").done();
    assert!(
        second.starts_with("unchanged: ") && second.contains(" days left\n"),
        "{second}"
    );
    assert_eq!(
        (
            desk.read("pg1.db.example.crt"),
            desk.read("pg1.db.example.key")
        ),
        before
    );
    let ca = desk.cert("ca --name Test").done();
    assert!(ca.starts_with("unchanged: "), "{ca}");

    let renewed = desk.cert("new pg1.db.example --if-due 398d").done();
    assert!(renewed.starts_with("renewed "), "{renewed}");
    assert_ne!(desk.read("pg1.db.example.crt"), before.0);
    assert_eq!(desk.read("pg1.db.example.key"), before.1);
    let replaced = desk.cert("new pg1.db.example --force").done();
    assert!(replaced.starts_with("replaced "), "{replaced}");
    assert_ne!(desk.read("pg1.db.example.key"), before.1);
}

#[test]
fn a_further_name_keeps_the_key_unless_a_new_one_is_wanted() {
    let desk = Desk::with_ca();
    desk.cert("new pg1.db.example").done();
    let key = desk.read("pg1.db.example.key");
    let told = desk.cert("new pg1.db.example pg2.db.example").done();
    assert!(
        told.starts_with("added names to ") && told.contains("with the same key\n"),
        "{told}"
    );
    assert!(
        told.contains("names      pg1.db.example, pg2.db.example"),
        "{told}"
    );
    assert_eq!(desk.read("pg1.db.example.key"), key);
    desk.cert("check pg1.db.example.crt").done();
    let again = desk
        .cert("new pg1.db.example pg2.db.example --new-key")
        .done();
    assert!(again.starts_with("unchanged: "), "{again}");
    let told = desk
        .cert("new pg1.db.example pg2.db.example 10.0.0.5 --new-key")
        .done();
    assert!(told.contains("with a new key\n"), "{told}");
    assert_ne!(desk.read("pg1.db.example.key"), key);
    let told = desk.cert("new pg1.db.example").failed(4);
    assert!(told.contains("--force"), "{told}");
}

#[test]
fn a_script_tells_renewed_from_unchanged() {
    let desk = Desk::with_ca();
    for (words, code, first) in [
        (
            "new a.example --days 90 --if-due 30d --exit-code",
            10,
            "renewed: made ",
        ),
        ("new a.example --if-due 30d --exit-code", 0, "unchanged: "),
        ("new a.example --if-due 398d --exit-code", 10, "renewed "),
        (
            "new a.example b.example --days 90 --if-due 30d --exit-code",
            10,
            "renewed: added ",
        ),
        ("new a.example b.example --if-due 398d", 0, "renewed "),
        (
            "new a.example b.example c.example --if-due 30d --exit-code --secret s",
            10,
            "apiVersion",
        ),
    ] {
        let ran = desk.cert(words);
        assert_eq!(ran.code, Some(code), "{words}: {ran:?}");
        assert!(ran.out.starts_with(first), "{words}: {ran:?}");
    }
    desk.cert("new a.example --exit-code").failed(2);
}

#[test]
fn what_to_do_next_is_said_for_each_server() {
    let desk = Desk::with_ca();
    let told = desk.cert("new pg1.db.example").done();
    let crt = desk.path("pg1.db.example.crt").canonicalize().unwrap();
    for part in [
        "chown postgres /",
        &format!("\"ALTER SYSTEM SET ssl_cert_file = '{}'\"", crt.display()),
        "pg_reload_conf()",
        "ALTER INSTANCE RELOAD TLS",
        "FLUSH SSL",
        &format!("CONFIG SET tls-cert-file {}", crt.display()),
        "rotateCertificates: 1",
        "dbgate      nothing",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // Nothing is to be done where nothing has changed.
    let told = desk.cert("new pg1.db.example").done();
    assert!(!told.contains("Next"), "{told}");
}

#[test]
fn what_differs_is_a_conflict() {
    let desk = Desk::with_ca();
    desk.cert("new pg1.db.example pg2.db.example").done();
    let before = desk.read("pg1.db.example.key");
    for (words, said) in [
        ("new pg1.db.example", "--force"),
        (
            "new pg1.db.example pg2.db.example --self-signed",
            "not by itself",
        ),
        ("new pg1.db.example --client", "is for a server"),
        ("ca --name Other", "never overwritten"),
        ("ca --constrain db.example", "never overwritten"),
    ] {
        let told = desk.cert(words).failed(4);
        assert!(told.contains(said), "{words}: {told}");
    }
    assert_eq!(desk.read("pg1.db.example.key"), before);
    fs::write(desk.path("pg1.db.example.key"), "damaged").unwrap();
    let told = desk.cert("new pg1.db.example pg2.db.example").failed(3);
    assert!(
        told.contains("pg1.db.example.key") && told.contains("--force"),
        "{told}"
    );
}

#[test]
fn wrong_words() {
    let desk = Desk::with_ca();
    for words in [
        "new",
        "new -- -x..y",
        "new a..b",
        "new a.test --days 0",
        "new a.test --ca . --self-signed",
        "new a b --client",
        "new a.test -n ns",
        "new a.test --secret Upper",
        "new a.test --if-due 30",
        "ca --constrain *.db.example",
        "check",
        "show",
        "show tls://",
    ] {
        desk.cert(words).failed(2);
    }
    for name in ["", ".hidden", "../up", "a\nb"] {
        let mut client = dbgate();
        client.args(["cert", "new", name, "--client"]);
        let told = Ran::of(client.current_dir(desk.0.path())).failed(2);
        assert!(told.contains("name"), "{name:?}: {told}");
    }
    assert_eq!(desk.files(), ["ca.crt", "ca.key"]);
}

#[test]
fn standard_input_is_read_for_a_dash() {
    let desk = Desk::with_ca();
    desk.cert("new pg1.db.example").done();
    // What is beside it is not what was given.
    fs::write(desk.path("-.key"), desk.read("ca.key")).unwrap();
    let piped = |words: &str, file: &str| {
        let mut command = dbgate();
        command.arg("cert").args(words.split(' '));
        let file = fs::File::open(desk.path(file)).unwrap();
        Ran::of(command.current_dir(desk.0.path()).stdin(file))
    };
    let told = piped("show -", "pg1.db.example.crt").done();
    assert!(told.contains("pg1.db.example"), "{told}");
    assert!(!told.contains("private key"), "{told}");
    let told = piped("show - -o json", "pg1.db.example.crt").done();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["source"], "-", "{told:#}");
    let told = piped("check -", "pg1.db.example.crt").done();
    assert!(told.starts_with("-: fine: "), "{told}");
    let told = piped("show -", "pg1.db.example.key").failed(3);
    assert!(told.contains("no certificate"), "{told}");
    fs::write(desk.path("empty"), "").unwrap();
    let told = piped("show -", "empty").failed(3);
    assert!(
        told.contains("standard input: holds no certificate"),
        "{told}"
    );
}

#[test]
fn a_server_that_is_not_reached_is_told_as_json() {
    // Bound, so that nobody else can have the port, and not listening.
    let held = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    held.bind(&any.into()).unwrap();
    let addr = held.local_addr().unwrap().as_socket().unwrap();
    let desk = Desk::new();
    let told = desk.json(&format!("show tls://{addr}"), 3);
    assert_eq!(told["schema"], "dbgate.cert/1", "{told:#}");
    assert_eq!(told["certificates"], serde_json::json!([]), "{told:#}");
    let fault = &told["faults"][0];
    assert_eq!(
        (&fault["code"], &fault["severity"]),
        (&"tcp-refused".into(), &"fail".into()),
        "{told:#}"
    );
    assert!(
        fault["do"]
            .as_str()
            .is_some_and(|advice| !advice.is_empty()),
        "{told:#}"
    );
    let told = desk.cert(&format!("show tls://{addr}")).failed(3);
    assert!(told.contains("refused"), "{told}");
}

#[test]
fn clients_wildcards_addresses_and_self_signed_ones() {
    let desk = Desk::with_ca();
    let told = desk.cert("new app --client").done();
    for part in ["user=app", "/app.crt", "/app.key", "client_ca = "] {
        assert!(told.contains(part), "{told}");
    }
    let shown = desk.json("show app.crt --ca ca.crt", 0);
    assert_eq!(
        shown["certificates"][0]["usages"],
        serde_json::json!(["clientAuth"])
    );
    assert_eq!(shown["certificates"][0]["common_name"], "app");

    let ran = desk.cert("new *.db.example 10.0.0.5 --out made");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("covers exactly one label"), "{ran:?}");
    assert!(ran.out.contains("host=db1.db.example"), "{ran:?}");
    assert!(desk.path("made/_wildcard.db.example.key").exists());
    assert_eq!(mode(&desk.path("made")), 0o700);

    let told = desk.cert("new 10.0.0.5").done();
    assert!(
        told.contains("redis-cli -h 10.0.0.5 --tls") && !told.contains("--sni"),
        "{told}"
    );

    let told = desk.cert("new alone.example --self-signed").done();
    assert!(told.contains("trust this very certificate"), "{told}");
    let crt = desk.path("alone.example.crt").canonicalize().unwrap();
    assert!(
        told.contains(&format!("sslrootcert={}", crt.display())),
        "{told}"
    );
    let shown = desk.json("show alone.example.crt", 0);
    assert_eq!(shown["certificates"][0]["is_ca"], false);
}

#[test]
fn the_secret_holds_what_the_files_hold() {
    let desk = Desk::with_ca();
    for (words, namespace) in [
        ("--secret pg1-tls -n databases", true),
        ("--secret pg1-tls", false),
    ] {
        let ran = desk.cert(&format!("new pg1.db.example {words}"));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.err.contains("pg1.db.example.crt"), "{ran:?}");
        let mut lines: Vec<&str> = ran.out.lines().collect();
        let expected = [
            "apiVersion: v1",
            "kind: Secret",
            "metadata:",
            "  name: \"pg1-tls\"",
        ];
        assert_eq!(lines[..4], expected);
        lines.drain(..4);
        if namespace {
            assert_eq!(lines.remove(0), "  namespace: \"databases\"");
        }
        assert_eq!(lines[..2], ["type: kubernetes.io/tls", "data:"]);
        let data: Vec<(&str, Vec<u8>)> = lines[2..]
            .iter()
            .map(|line| {
                let (key, value) = line.trim().split_once(": ").unwrap();
                (key, STANDARD.decode(value).unwrap())
            })
            .collect();
        let expected = [
            ("tls.crt", desk.read("pg1.db.example.crt")),
            ("tls.key", desk.read("pg1.db.example.key")),
            ("ca.crt", desk.read("ca.crt")),
        ];
        assert_eq!(data, expected);
    }
}

#[test]
fn show_tells_what_a_file_holds() {
    let desk = Desk::with_ca();
    desk.cert("new pg1.db.example").done();
    let told = desk.cert("show pg1.db.example.crt").done();
    for part in ["pg1.db.example", "ECDSA P-256", "CN=Test", "key fits"] {
        assert!(told.contains(part), "{told}");
    }
    let shown = desk.json("show pg1.db.example.crt --ca ca.crt", 0);
    assert_eq!(shown["schema"], "dbgate.cert/1");
    assert_eq!(
        (&shown["trusted"], &shown["root"]),
        (&true.into(), &"CN=Test".into())
    );
    assert_eq!(
        (&shown["key"], &shown["faults"]),
        (&"fits".into(), &serde_json::json!([]))
    );
    // Several certificates and a key in one file; the same in DER.
    let all = [
        desk.read("pg1.db.example.crt"),
        desk.read("ca.crt"),
        desk.read("pg1.db.example.key"),
    ];
    fs::write(desk.path("all.pem"), all.concat()).unwrap();
    let shown = desk.json("show all.pem", 0);
    assert_eq!(shown["certificates"].as_array().unwrap().len(), 2);
    assert_eq!(shown["key"], "fits");
    assert_eq!(shown.get("trusted"), None, "nobody was asked");
    let pem = String::from_utf8(desk.read("pg1.db.example.crt")).unwrap();
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    fs::write(desk.path("one.der"), STANDARD.decode(body).unwrap()).unwrap();
    let der = desk.json("show one.der", 0);
    assert_eq!(der["certificates"][0], shown["certificates"][0]);
    assert_eq!(der.get("key"), None);
    let told = desk.cert("show ca.crt").done();
    assert!(told.contains("an authority"), "{told}");

    // No key is ever printed.
    for file in ["all.pem", "ca.crt"] {
        let ran = desk.cert(&format!("show {file}"));
        assert!(!format!("{ran:?}").contains("PRIVATE KEY"), "{ran:?}");
    }
}

#[test]
fn show_tells_what_is_wrong_with_it() {
    let desk = Desk::with_ca();
    desk.cert("new pg1.db.example").done();
    desk.cert("new pg2.db.example").done();
    let (crt, ca) = (desk.read("pg1.db.example.crt"), desk.read("ca.crt"));
    let write = |name: &str, parts: &[&[u8]]| fs::write(desk.path(name), parts.concat()).unwrap();
    write("other.pem", &[&crt, &desk.read("pg2.db.example.key")]);
    let shown = desk.json("show other.pem", 1);
    assert_eq!(shown["key"], "other");
    let told = desk.cert("show other.pem");
    assert!(told.out.contains("ANOTHER"), "{told:?}");

    write("order.pem", &[&ca, &crt]);
    let shown = desk.json("show order.pem", 1);
    assert_eq!(shown["faults"][0]["code"], "cert-leaf-not-first");
    assert_eq!(shown["faults"][0]["severity"], "fail");

    write("foreign.crt", &[&Desk::with_ca().read("ca.crt")]);
    let shown = desk.json("show pg1.db.example.crt --ca foreign.crt", 1);
    assert_eq!(shown["trusted"], false);
    assert_eq!(shown["faults"][0]["code"], "cert-ca-regenerated");
    let told = desk.cert("show pg1.db.example.crt --ca foreign.crt");
    assert!(
        told.out
            .contains("not trusted\nFAIL  cert-ca-regenerated: "),
        "{told:?}"
    );

    for (name, bytes, said) in [
        ("key.pem", desk.read("ca.key"), "no certificate"),
        ("text", b"hello".to_vec(), "no certificate"),
        ("empty", Vec::new(), "no certificate"),
        ("cut.pem", crt[..200].to_vec(), "PEM"),
        (
            "broken.pem",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec(),
            "cannot be read",
        ),
        ("huge", vec![b'x'; (1 << 20) + 1], "larger than 1 MiB"),
    ] {
        write(name, &[&bytes]);
        let told = desk.cert(&format!("show {name}")).failed(3);
        assert!(told.contains(name) && told.contains(said), "{told}");
        desk.cert(&format!("check {name}")).failed(3);
    }
    let told = desk.cert("show nowhere.crt").failed(3);
    assert!(told.contains("cannot read nowhere.crt"), "{told}");
}

#[test]
fn check_has_an_exit_code_for_each_case() {
    let desk = Desk::with_ca();
    desk.cert("new pg1.db.example --days 20").done();
    let told = desk.cert("check pg1.db.example.crt --within 19d").done();
    assert!(told.starts_with("pg1.db.example.crt: fine: "), "{told}");
    for (words, said) in [
        ("check pg1.db.example.crt", "pg1.db.example.crt: due: "),
        ("check all.pem", " days left, until "),
        ("check over.crt", "over since 2021-01-01T00:00:00Z"),
        (
            "check early.crt --within 1s",
            "not valid before 2090-01-01T00:00:00Z",
        ),
    ] {
        let all = [desk.read("ca.crt"), desk.read("pg1.db.example.crt")].concat();
        fs::write(desk.path("all.pem"), all).unwrap();
        made(&desk.path("over.crt"), 2020, 2021);
        made(&desk.path("early.crt"), 2090, 2091);
        let ran = desk.cert(words);
        assert_eq!(
            (ran.code, ran.err.as_str()),
            (Some(1), ""),
            "{words}: {ran:?}"
        );
        assert!(ran.out.contains(said), "{words}: {ran:?}");
    }
    desk.cert("check nowhere.crt").failed(3);
}

/// A certificate from the first of January to another one.
fn made(path: &Path, from: i32, to: i32) {
    let mut params = CertificateParams::new(["db1.example".to_owned()]).unwrap();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    let pem = params
        .self_signed(&KeyPair::generate().unwrap())
        .unwrap()
        .pem();
    fs::write(path, pem).unwrap();
}
