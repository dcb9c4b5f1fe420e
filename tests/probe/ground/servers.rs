//! Servers in every state that the diagnostics have a word for.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
};

use crate::{
    certs::Ca,
    clients::{Action, Client, Target},
    servers::{HaProxy, MariaDb, Nginx, OpensslServer, Postgres, Redis, Server},
    testbed::{TIMEOUT, own_address},
};

const NAME: &str = "mysql1.example.test";

/// The output of `openssl s_client`, whatever its exit code.
fn s_client(server: &Server, arguments: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &server.addr().to_string()]);
    command.args(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("openssl");
    // "Q" at the start of a line ends the session.
    let mut stdin = child.stdin.take().expect("its input");
    let _ = stdin.write_all(b"Q\n");
    drop(stdin);
    let output = child.wait_with_output().expect("openssl");
    let [out, err] =
        [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    out + &err
}

#[track_caller]
fn assert_says(said: &str, wanted: &str) {
    assert!(said.contains(wanted), "not {wanted:?}: {said}");
}

#[test]
fn every_mysql_client_reaches_mariadb() {
    let (ca, stranger) = (Ca::new("Testbed"), Ca::new("Stranger"));
    let leaf = ca.leaf(&[NAME]);
    let server = MariaDb::start("maria-a", &leaf);
    let target = Target::new(NAME, server.port(), &ca).app();
    for client in Client::MYSQL {
        let answer = client.whoami(&target);
        assert_eq!(answer.expect_who(), "maria-a", "{client:?}");
        println!("{client:?}: {}", answer.json);
        let version = [&answer.json["tls"], &answer.json["server_tls"]].map(|it| it.as_str());
        assert!(
            version.contains(&Some("TLSv1.3")),
            "{client:?}: {answer:#?}"
        );
        let idle = client
            .spawn(Action::Idle, &target)
            .ready()
            .expect("a connection");
        assert_eq!(idle.go_on().expect_who(), "maria-a", "{client:?}");

        let plain = client.whoami(&target.clone().sslmode("disable"));
        assert_eq!(plain.expect_who(), "maria-a", "{client:?}");
        let wrong = Target {
            ca: Some(stranger.path().to_owned()),
            ..target.clone()
        };
        let answer = client.whoami(&wrong);
        let error = &answer.error;
        assert!(
            !answer.ok && (error.contains("verif") || error.contains("issuer")),
            "{client:?}: {answer:#?}"
        );
    }
}

#[test]
fn mariadb_without_tls_and_with_more_of_it() {
    let ca = Ca::new("Testbed");
    let leaf = ca.leaf(&[NAME]);
    let plain = MariaDb::plain("maria-plain");
    let target = Target::new(NAME, plain.port(), &ca).app();
    for client in Client::MYSQL {
        let answer = client.whoami(&target.clone().sslmode("disable"));
        assert_eq!(answer.expect_who(), "maria-plain", "{client:?}");
        let answer = client.whoami(&target);
        assert!(!answer.ok, "{client:?}: {answer:#?}");
    }

    let arguments = ["--require-secure-transport=ON", "--tls-version=TLSv1.2"];
    let strict = MariaDb::named("maria-strict").tls(&leaf).client_ca(&ca);
    let strict = strict.arguments(&arguments).run();
    let target = Target::new(NAME, strict.port(), &ca);
    let answer = Client::PyMysql.whoami(&target.clone().app().sslmode("disable"));
    assert!(!answer.ok, "{answer:#?}");
    // Version 10.11 says no more than that it denies access.
    let said = ["Access denied", "insecure transport are prohibited"];
    assert!(
        said.iter().any(|it| answer.error.contains(it)),
        "{answer:#?}"
    );
    for client in Client::MYSQL {
        let answer = client.whoami(
            &target
                .clone()
                .certificate("certuser", &ca.client("certuser")),
        );
        assert_eq!(answer.expect_who(), "maria-strict", "{client:?}");
        let version = [&answer.json["tls"], &answer.json["server_tls"]].map(|it| it.as_str());
        assert!(
            version.contains(&Some("TLSv1.2")),
            "{client:?}: {answer:#?}"
        );
    }
}

#[test]
fn proxies_end_tls_and_pass_on() {
    let ca = Ca::new("Testbed");
    let leaf = ca.leaf(&["redis1.example.test"]);
    let redis = Redis::plain("redis-behind");
    let (addr, tls) = (
        redis.addr(),
        "ssl_certificate server.crt; ssl_certificate_key server.key;",
    );
    let nginx = Nginx::start(
        &leaf,
        &format!("server {{ listen 127.0.0.1:PORT ssl; {tls} proxy_pass {addr}; }}"),
        "",
    );
    let haproxy = HaProxy::start(
        &leaf,
        &format!(
            "listen redis\n  mode tcp\n  bind 127.0.0.1:PORT ssl crt server.pem\n  server redis {addr}\n"
        ),
    );
    for server in [&nginx, &haproxy] {
        let target = Target::new("redis1.example.test", server.port(), &ca);
        let answer = Client::RedisCli.whoami(&target);
        assert_eq!(answer.expect_who(), "redis-behind", "{}", server.log());
    }

    let web = Nginx::start(
        &leaf,
        "",
        &format!("server {{ listen 127.0.0.1:PORT ssl; {tls} return 404; }}"),
    );
    assert_says(
        &s_client(&web, &["-alpn", "http/1.1"]),
        "ALPN protocol: http/1.1",
    );
}

#[test]
fn openssl_serves_as_awkwardly_as_told() {
    let ca = Ca::new("Root");
    let between = Ca::named("Between").under(&ca);
    let leaf = between.leaf(&["pg1.example.test"]);
    let old = ["-rev", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"];
    let server = OpensslServer::start(&leaf, &old);
    assert_says(&s_client(&server, &[]), "Cipher is (NONE)");
    assert_says(
        &s_client(&server, &["-cipher", "ALL:@SECLEVEL=0"]),
        "TLSv1.1",
    );
    let alone = s_client(&server, &["-showcerts", "-cipher", "ALL:@SECLEVEL=0"]);
    assert_eq!(alone.matches("BEGIN CERTIFICATE").count(), 1, "{alone}");

    let rsa = ca.by_openssl("pg1.example.test", "rsa:2048", "sha256");
    let server = OpensslServer::start(&rsa, &["-rev", "-tls1_2", "-cipher", "AES128-GCM-SHA256"]);
    assert_says(&s_client(&server, &[]), "Cipher is AES128-GCM-SHA256");

    let ca_file = ca.path().to_str().expect("a path in ASCII");
    let demanding = [
        "-quiet",
        "-Verify",
        "1",
        "-verify_return_error",
        "-CAfile",
        ca_file,
    ];
    let server = OpensslServer::start(&leaf.chained(&[&between]), &demanding);
    let said = s_client(&server, &["-showcerts", "-tls1_2"]);
    assert_says(&said, "alert handshake failure");
    assert_eq!(said.matches("BEGIN CERTIFICATE").count(), 2, "{said}");

    let server = OpensslServer::start(&leaf, &["-www", "-tls1_3", "-groups", "P-521"]);
    assert_says(&s_client(&server, &["-groups", "P-521"]), "Temp Key: ECDH");
    assert_says(
        &s_client(&server, &["-groups", "X25519"]),
        "handshake failure",
    );
}

#[test]
fn redis_wants_a_password_a_certificate_a_user() {
    let ca = Ca::new("Testbed");
    let leaf = ca.leaf(&["redis1.example.test"]);
    let one = ca.client("one");

    let server = Redis::named("redis-password")
        .tls(&leaf)
        .password("secret")
        .run();
    let target = Target::new("redis1.example.test", server.port(), &ca);
    let answer = Client::RedisPy.whoami(&target);
    assert!(!answer.ok, "{answer:#?}");
    assert_says(&answer.error, "authenticate");

    let server = Redis::named("redis-certificate")
        .tls(&leaf)
        .clients(&ca, &one)
        .run();
    let target = Target::new("redis1.example.test", server.port(), &ca);
    assert!(!Client::RedisCli.whoami(&target).ok);
    let shown = Target {
        client_cert: Some(one.cert_path.clone()),
        client_key: Some(one.key_path.clone()),
        ..target
    };
    assert_eq!(
        Client::RedisCli.whoami(&shown).expect_who(),
        "redis-certificate"
    );

    let rules = "--user default on nopass ~whoami +get +set +ping +client";
    let rules: Vec<&str> = rules.split(' ').collect();
    let server = Redis::named("redis-acl").arguments(&rules).run();
    let target = Target::new("redis1.example.test", server.port(), &ca).sslmode("disable");
    assert_eq!(Client::RedisPy.whoami(&target).expect_who(), "redis-acl");
    let answer = Client::RedisPy.run(Action::Pump, &target);
    assert!(!answer.ok, "{answer:#?}");
    assert_says(&answer.error, "no permissions");
}

#[test]
fn redis_protects_itself_from_strangers() {
    let server = Redis::named("redis-protected")
        .arguments(&["--bind", "0.0.0.0"])
        .run();
    let mut stream = TcpStream::connect((own_address(), server.port())).expect("a connection");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("its refusal");
    assert_says(&said, "-DENIED Redis is running in protected mode");
}

#[test]
fn postgres_lets_in_as_told() {
    let ca = Ca::new("Testbed");
    let leaf = ca.leaf(&["pg1.example.test"]);
    let server = Postgres::named("pg-strict")
        .tls(&leaf)
        .hba("hostssl all other all trust")
        .settings(&[
            "ssl_min_protocol_version=TLSv1.3",
            "ssl_max_protocol_version=TLSv1.3",
        ])
        .start();
    let target = Target::postgres("pg1.example.test", server.port(), &ca);
    let answer = Client::Psql.whoami(&target);
    assert!(!answer.ok, "{answer:#?}");
    assert_says(&answer.error, "no pg_hba.conf entry");
    assert_says(&s_client(&server, &["-starttls", "postgres"]), "TLSv1.3");
    assert_says(
        &s_client(&server, &["-starttls", "postgres", "-tls1_2"]),
        "protocol version",
    );
}
