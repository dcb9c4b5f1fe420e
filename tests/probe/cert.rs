//! The certificates of `dbgate cert` before real verifiers: accepted where they should be, refused
//! where not, and `dbgate probe` names the cause.
//!
//! Not here: what the commands print (`tests/cli/cert.rs`).

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dbgate::cert::{self, HostName, LeafRequest, RootRequest, Signer, Subject};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use tempfile::TempDir;

use crate::certs::Leaf;
use crate::clients::{Client, Target};
use crate::servers::{MariaDb, Mongo, OpensslServer, Postgres, Redis, Server};
use crate::testbed;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An authority of `dbgate cert`, in a folder of its own.
struct Authority {
    folder: Arc<TempDir>,
}

impl Authority {
    /// Made by the command itself.
    fn new(arguments: &[&str]) -> Self {
        let authority = Self::empty();
        authority.cert(&[&["ca", "--name", "Test"], arguments].concat());
        authority
    }

    fn empty() -> Self {
        let folder = Arc::new(testbed::scratch());
        // Servers of other users read certificates in it; keys have a mode of their own.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("its mode");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ca(&self) -> PathBuf {
        self.path("ca.crt")
    }

    fn cert(&self, arguments: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dbgate"));
        command.arg("cert").args(arguments);
        let output = command
            .current_dir(self.folder.path())
            .output()
            .expect("dbgate");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    /// A certificate for these names, by the command.
    fn leaf(&self, names: &[&str]) -> Leaf {
        self.cert(&[&["new"], names].concat());
        self.found(&names[0].replace('*', "_wildcard"))
    }

    fn found(&self, stem: &str) -> Leaf {
        let (cert, key) = (format!("{stem}.crt"), format!("{stem}.key"));
        let der = CertificateDer::from_pem_file(self.path(&cert)).expect("a certificate");
        let view = cert::view(&der, SystemTime::now()).expect("a certificate");
        Leaf::found(&self.folder, &cert, &key, &view.serial)
    }

    /// An authority that is still good, and a certificate below it that ended yesterday: the
    /// library as it was run 400 days ago.
    fn long_ago(name: &str) -> (Self, Leaf) {
        let authority = Self::empty();
        let then = SystemTime::now() - DAY * 400;
        let root = RootRequest {
            dir: authority.folder.path().to_owned(),
            name: Some("Test".to_owned()),
            lifetime: DAY * 3650,
            domains: Vec::new(),
        };
        cert::make_root(&root, then).expect("an authority");
        let leaf = LeafRequest {
            subject: Subject::Server(vec![name.parse::<HostName>().expect("a name")]),
            signer: Signer::Authority(authority.folder.path().to_owned()),
            lifetime: DAY * 399,
            out: authority.folder.path().to_owned(),
            if_due: None,
            force: false,
            new_key: false,
        };
        cert::make_leaf(&leaf, then).expect("a certificate");
        let leaf = authority.found(name);
        (authority, leaf)
    }

    fn target(&self, host: &str, server: &Server) -> Target {
        Target {
            ca: Some(self.ca()),
            verify: true,
            timeout: 3,
            ..Target::unverified(host, server.port())
        }
    }
}

/// The verdict of `openssl verify` on a server's certificate, asked for by a name.
fn openssl(authority: &Authority, leaf: &Leaf, name: &str) -> String {
    let mut command = Command::new("openssl");
    command.args(["verify", "-x509_strict", "-purpose", "sslserver"]);
    command.args(["-no-CApath", "-no-CAstore"]);
    let ip = name.parse::<std::net::IpAddr>().is_ok();
    command.args([if ip { "-verify_ip" } else { "-verify_hostname" }, name]);
    command
        .arg("-CAfile")
        .arg(authority.ca())
        .arg(&leaf.cert_path);
    let output = command.output().expect("openssl");
    let [out, err] =
        [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    out + &err
}

#[test]
fn openssl_verifies_what_is_made_and_nothing_else() {
    let plain = Authority::new(&[]);
    let limited = Authority::new(&["--constrain", "example.test"]);
    let foreign = Authority::new(&[]);
    let (old, over) = Authority::long_ago("over.example.test");
    let several = plain.leaf(&[
        "*.example.test",
        "pg1.other.test",
        "10.0.0.5",
        "2001:db8::1",
    ]);
    let inside = limited.leaf(&["pg1.example.test"]);
    let cases = [
        (&plain, &several, "any.example.test", ": OK"),
        (&plain, &several, "pg1.other.test", ": OK"),
        (&plain, &several, "10.0.0.5", ": OK"),
        (&plain, &several, "2001:db8::1", ": OK"),
        (&limited, &inside, "pg1.example.test", ": OK"),
        (&plain, &several, "a.b.example.test", "hostname mismatch"),
        (&plain, &several, "example.test", "hostname mismatch"),
        (&plain, &several, "10.0.0.6", "IP address mismatch"),
        (&limited, &inside, "pg2.example.test", "hostname mismatch"),
        (
            &foreign,
            &inside,
            "pg1.example.test",
            "unable to get local issuer",
        ),
        (&old, &over, "over.example.test", "certificate has expired"),
    ];
    for (authority, leaf, name, wanted) in cases {
        let said = openssl(authority, leaf, name);
        assert!(said.contains(wanted), "{name}: not {wanted:?}: {said}");
    }
}

/// A kind of server, with a name that leads to it and clients that verify it.
struct Kind {
    scheme: &'static str,
    host: &'static str,
    start: fn(&Leaf) -> Server,
    clients: &'static [Client],
    /// They verify the name, too.
    verify_names: bool,
}

const KINDS: [Kind; 4] = [
    Kind {
        scheme: "postgres",
        host: "pg1.example.test",
        start: |leaf| Postgres::debian("cert-pg", leaf),
        clients: &[Client::Psql, Client::Psycopg, Client::NodePostgres],
        verify_names: true,
    },
    Kind {
        scheme: "rediss",
        host: "redis1.example.test",
        start: |leaf| Redis::start("cert-redis", leaf),
        clients: &[Client::RedisCli],
        verify_names: false,
    },
    Kind {
        scheme: "mongodb",
        host: "mongo1.example.test",
        start: |leaf| Mongo::start("cert-mongo", leaf),
        clients: &[Client::Pymongo],
        verify_names: true,
    },
    Kind {
        scheme: "mysql",
        host: "mysql1.example.test",
        start: |leaf| MariaDb::start("cert-maria", leaf),
        clients: &[Client::MariaDb, Client::PyMysql],
        verify_names: true,
    },
];

impl Kind {
    /// The words of its clients.
    fn ask(&self, authority: &Authority, server: &Server) -> Vec<(Client, bool, String)> {
        let target = authority.target(self.host, server).app();
        let target = match self.scheme {
            "postgres" | "mysql" => target,
            _ => Target {
                user: None,
                password: None,
                dbname: None,
                ..target
            },
        };
        self.clients
            .iter()
            .map(|client| {
                let answer = client.whoami(&target);
                (*client, answer.ok, format!("{answer:#?}"))
            })
            .collect()
    }

    fn url(&self, server: &Server) -> String {
        format!("{}://{}:{}", self.scheme, self.host, server.port())
    }
}

/// `dbgate` with JSON as its answer.
fn dbgate(arguments: &[&str], authority: &Authority) -> (Option<i32>, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dbgate"));
    command.args(arguments).arg("--ca").arg(authority.ca());
    let output = command.args(["-o", "json"]).output().expect("dbgate");
    let json = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"));
    (output.status.code(), json)
}

#[test]
fn clients_accept_what_is_made_below_both_kinds_of_authority() {
    for arguments in [&[][..], &["--constrain", "example.test"]] {
        let authority = Authority::new(arguments);
        for kind in KINDS {
            let server = (kind.start)(&authority.leaf(&[kind.host]));
            for (client, ok, told) in kind.ask(&authority, &server) {
                assert!(ok, "{client:?} {arguments:?}: {told}");
            }
            let (code, report) = dbgate(&["probe", &kind.url(&server)], &authority);
            assert_eq!(report["trusted"], true, "{code:?} {report:#}");
            let (code, shown) = dbgate(&["cert", "show", &kind.url(&server)], &authority);
            assert_eq!(
                (code, &shown["trusted"]),
                (Some(0), &true.into()),
                "{shown:#}"
            );
            assert_eq!(
                shown["certificates"][0]["names"],
                serde_json::json!([kind.host])
            );
        }
    }
}

#[test]
fn clients_refuse_what_is_wrong_and_probe_says_why() {
    let (trusted, foreign) = (Authority::new(&[]), Authority::new(&[]));
    let stranger = Authority::empty();
    stranger.cert(&["ca", "--name", "Stranger"]);
    for kind in KINDS {
        let (old, over) = Authority::long_ago(kind.host);
        let elsewhere = trusted.leaf(&[&format!("elsewhere.{}", kind.host)]);
        let cases = [
            (
                &trusted,
                &elsewhere,
                "cert-name-mismatch",
                kind.verify_names,
            ),
            (&old, &over, "cert-expired", true),
            (
                &trusted,
                &foreign.leaf(&[kind.host]),
                "cert-ca-regenerated",
                true,
            ),
            (
                &trusted,
                &stranger.leaf(&[kind.host]),
                "cert-unknown-root",
                true,
            ),
        ];
        for (authority, leaf, wanted, clients_mind) in cases {
            let server = (kind.start)(leaf);
            for (client, ok, told) in kind.ask(authority, &server) {
                assert_ne!(ok, clients_mind, "{client:?} {wanted}: {told}");
            }
            let (code, report) = dbgate(&["probe", &kind.url(&server)], authority);
            assert_eq!(
                (code, &report["code"]),
                (Some(1), &wanted.into()),
                "{report:#}"
            );
            assert_eq!(report["trusted"], false, "{report:#}");
            let (code, shown) = dbgate(&["cert", "show", &kind.url(&server)], authority);
            assert_eq!(
                (code, &shown["trusted"]),
                (Some(1), &false.into()),
                "{shown:#}"
            );
            assert_eq!(shown["faults"][0]["code"], wanted, "{shown:#}");
        }
    }
}

#[test]
fn rustls_accepts_it_on_a_real_connection() {
    let authority = Authority::new(&["--constrain", "example.test"]);
    let server = Redis::start("cert-rustls", &authority.leaf(&["*.example.test"]));
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(authority.ca()).expect("a certificate"))
        .expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = Arc::new(
        ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth(),
    );
    let ping = |name: &'static str| {
        let name = ServerName::try_from(name).expect("a name");
        let session = ClientConnection::new(config.clone(), name).expect("a session");
        let tcp = TcpStream::connect(server.addr()).expect("a connection");
        let mut tls = StreamOwned::new(session, tcp);
        tls.write_all(b"PING\r\n")?;
        let mut answer = [0; 7];
        tls.read_exact(&mut answer).map(|()| answer)
    };
    assert_eq!(
        &ping("redis1.example.test").expect("an answer"),
        b"+PONG\r\n"
    );
    let refused = ping("redis1.other.test").expect_err("another name");
    assert!(
        refused.to_string().contains("not valid for name"),
        "{refused}"
    );
}

#[test]
fn postgres_takes_a_client_certificate_for_the_user() {
    let authority = Authority::new(&[]);
    let foreign = Authority::new(&[]);
    let leaf = authority.leaf(&["pg1.example.test"]);
    for from in [&authority, &foreign] {
        from.cert(&["new", "certuser", "--client"]);
        from.cert(&["new", "stranger", "--client"]);
    }
    let ca = format!("ssl_ca_file={}", authority.ca().display());
    let settings = [ca.as_str()];
    let server = Postgres::named("cert-clients")
        .tls(&leaf)
        .hba("hostssl all certuser all cert")
        .settings(&settings)
        .start();
    let log_in = |from: &Authority, name: &str| {
        let leaf = from.found(name);
        let target = authority.target("pg1.example.test", &server);
        let target = Target {
            dbname: Some("app".to_owned()),
            ..target.certificate("certuser", &leaf)
        };
        [Client::Psql, Client::Psycopg].map(|client| (client, client.whoami(&target)))
    };
    for (client, answer) in log_in(&authority, "certuser") {
        assert_eq!(answer.expect_who(), "cert-clients", "{client:?}");
    }
    for (from, name) in [(&authority, "stranger"), (&foreign, "certuser")] {
        for (client, answer) in log_in(from, name) {
            assert!(!answer.ok, "{client:?} as {name}: {answer:#?}");
        }
    }
}

#[test]
fn show_tells_servers_apart_that_are_not_there_and_those_without_tls() {
    let authority = Authority::new(&[]);
    let server = OpensslServer::start(&authority.leaf(&["pg1.example.test"]), &["-quiet"]);
    let ran = |what: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dbgate"));
        command
            .args(["cert", "show", what, "--ca"])
            .arg(authority.ca());
        let output = command.output().expect("dbgate");
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), out, err)
    };
    let address = format!("pg1.example.test:{}", server.port());
    let (code, out, err) = ran(&address);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("trusted by CN=Test"), "{out}");
    let (code, out, err) = ran(&format!("127.0.0.1:{}", server.port()));
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("FAIL  cert-ip-not-covered: "), "{out}");
    let plain = Redis::plain("cert-plain");
    let (code, out, err) = ran(&format!("redis1.example.test:{}", plain.port()));
    assert_eq!((code, out.as_str()), (Some(4), ""), "{err}");
    let nobody = testbed::free_port();
    let (code, out, err) = ran(&format!("pg1.example.test:{nobody}"));
    assert_eq!((code, out.as_str()), (Some(3), ""), "{err}");
}
