//! Handshakes that come to nothing.

use rcgen::ExtendedKeyUsagePurpose;

use super::{
    mock_servers,
    scene::{NAME, Scene, good},
};
use crate::{
    certs::{Ca, Leaf, Validity},
    servers::{HaProxy, Nginx, OpensslServer, Postgres, Redis},
};

/// TLS 1.1 and nothing newer.
pub(super) fn only_tls11() -> Scene {
    let ca = Ca::new("Root");
    let arguments = ["-rev", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"];
    Scene::of(OpensslServer::start(&good(&ca, &[NAME]), &arguments)).ca(ca)
}

pub(super) fn only_tls13() -> Scene {
    let ca = Ca::new("Root");
    let leaf = good(&ca, &[NAME]);
    let settings = ["ssl_min_protocol_version=TLSv1.3"];
    let server = Postgres::named("pg").tls(&leaf).settings(&settings);
    Scene::of(server.start()).ca(ca)
}

/// Only suites in which the client encrypts a secret by the server's RSA key.
pub(super) fn only_rsa_key_exchange() -> Scene {
    let ca = Ca::new("Root");
    let leaf = ca.by_openssl(NAME, "rsa:2048", "sha256");
    let arguments = ["-rev", "-tls1_2", "-cipher", "AES128-SHA"];
    Scene::of(OpensslServer::start(&leaf, &arguments)).ca(ca)
}

pub(super) fn only_group_p521() -> Scene {
    let ca = Ca::new("Root");
    let arguments = ["-rev", "-tls1_3", "-groups", "P-521"];
    Scene::of(OpensslServer::start(&good(&ca, &[NAME]), &arguments)).ca(ca)
}

/// In TLS 1.2 the group is told later than in 1.3.
pub(super) fn tls12_only_group_p521() -> Scene {
    let ca = Ca::new("Root");
    let leaf = ca.by_openssl(NAME, "rsa:2048", "sha256");
    let arguments = ["-rev", "-tls1_2", "-groups", "P-521"];
    Scene::of(OpensslServer::start(&leaf, &arguments)).ca(ca)
}

/// The one certificate has a key of a kind that few clients know.
pub(super) fn only_ed448() -> Scene {
    let ca = Ca::new("Root");
    let leaf = ca.by_openssl(NAME, "ed448", "sha256");
    Scene::of(OpensslServer::start(&leaf, &["-rev"])).ca(ca)
}

/// An RSA key, and suites for ECDSA keys only: none of them will do.
pub(super) fn suites_for_another_key() -> Scene {
    let ca = Ca::new("Root");
    let leaf = ca.by_openssl(NAME, "rsa:2048", "sha256");
    let arguments = [
        "-rev",
        "-tls1_2",
        "-cipher",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
    ];
    Scene::of(OpensslServer::start(&leaf, &arguments)).ca(ca)
}

/// The same, at a server that takes TLS 1.3, too.
pub(super) fn suites_for_another_key_but_13() -> Scene {
    let ca = Ca::new("Root");
    let leaf = ca.by_openssl(NAME, "rsa:2048", "sha256");
    let arguments = ["-rev", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"];
    Scene::of(OpensslServer::start(&leaf, &arguments)).ca(ca)
}

/// The certificate of one key, and signatures by another of the same kind.
pub(super) fn signs_by_another_key() -> Scene {
    let ca = Ca::new("Root");
    let leaf = good(&ca, &[NAME]).with_key_of(&good(&ca, &[NAME]));
    Scene::empty().port(mock_servers::tls(&leaf)).ca(ca)
}

/// The same, with keys of two kinds.
pub(super) fn signs_by_a_key_of_another_kind() -> Scene {
    let ca = Ca::new("Root");
    let rsa = ca.by_openssl(NAME, "rsa:2048", "sha256");
    let leaf = rsa.with_key_of(&good(&ca, &[NAME]));
    Scene::empty().port(mock_servers::tls(&leaf)).ca(ca)
}

/// The same, and the authority is not known either.
pub(super) fn signs_by_another_key_unknown() -> Scene {
    let stranger = Ca::new("Stranger");
    let leaf = good(&stranger, &[NAME]).with_key_of(&good(&stranger, &[NAME]));
    Scene::empty()
        .port(mock_servers::tls(&leaf))
        .ca(Ca::new("Root"))
}

/// A middlebox before a server that asks for a client certificate lets 600 bytes of its answer
/// through, not the whole of its certificate, and hangs up.
fn cut_in_a_record(version: &'static str) -> Scene {
    let ca = Ca::new("Root");
    let file = ca.path().to_str().expect("a path in ASCII").to_owned();
    let leaf = ca.by_openssl(NAME, "rsa:4096", "sha256");
    let arguments = ["-rev", version, "-Verify", "1", "-CAfile", &file];
    let server = OpensslServer::start(&leaf, &arguments);
    let port = mock_servers::cut_after(server.port(), 600);
    Scene::empty().port(port).behind(server).ca(ca)
}

/// The same in TLS 1.2.
pub(super) fn cut_in_a_record_12() -> Scene {
    cut_in_a_record("-tls1_2")
}

/// The same in TLS 1.3, where the request for a certificate has come by then.
pub(super) fn cut_in_a_record_13() -> Scene {
    cut_in_a_record("-tls1_3")
}

/// A proxy that knows other names only.
pub(super) fn strict_sni() -> Scene {
    let ca = Ca::new("Root");
    let sections = "listen other\n  mode tcp\n  bind 127.0.0.1:PORT ssl crt server.pem strict-sni\n  \
                    server nobody 127.0.0.1:1\n";
    Scene::of(HaProxy::start(
        &good(&ca, &["other.example.test"]),
        sections,
    ))
    .ca(ca)
}

fn redis_behind_haproxy(options: &str, issuer: &Ca) -> (Ca, Scene) {
    let ca = Ca::new("Root");
    let redis = Redis::named("redis").password("secret").run();
    let sections = format!(
        "listen redis\n  mode tcp\n  bind 127.0.0.1:PORT ssl crt server.pem {options} ca-file {}\n  \
         server redis {}\n",
        issuer.path().display(),
        redis.addr()
    );
    let proxy = HaProxy::start(&good(&ca, &[NAME]), &sections);
    (ca, Scene::of(proxy).behind(redis))
}

/// `HAProxy` asks for a client certificate.
pub(super) fn haproxy_wants_a_certificate() -> Scene {
    let clients = Ca::new("Clients");
    let (ca, scene) = redis_behind_haproxy("verify required", &clients);
    scene.ca(ca).keep(clients)
}

/// nginx asks for a client certificate, and hangs up without an alert when there is none.
pub(super) fn nginx_wants_a_certificate() -> Scene {
    redis_behind_nginx()
}

/// The same, and one of another authority is shown.
pub(super) fn nginx_is_shown_a_strangers_certificate() -> Scene {
    redis_behind_nginx().identity(Ca::new("Stranger").client("one"))
}

fn redis_behind_nginx() -> Scene {
    let (ca, clients) = (Ca::new("Root"), Ca::new("Clients"));
    let redis = Redis::named("redis").password("secret").run();
    let stream = format!(
        "server {{ listen 127.0.0.1:PORT ssl; ssl_certificate server.crt; \
         ssl_certificate_key server.key; ssl_verify_client on; ssl_client_certificate {}; \
         proxy_pass {}; }}",
        clients.path().display(),
        redis.addr()
    );
    let proxy = Nginx::start(&good(&ca, &[NAME]), &stream, "");
    Scene::of(proxy).behind(redis).ca(ca).keep(clients)
}

/// `openssl s_server` asks for a client certificate in TLS 1.2, where only `handshake_failure` can
/// tell that it misses one.
pub(super) fn tls12_wants_a_certificate() -> Scene {
    let ca = Ca::new("Root");
    let file = ca.path().to_str().expect("a path in ASCII").to_owned();
    let arguments = [
        "-rev",
        "-tls1_2",
        "-Verify",
        "1",
        "-verify_return_error",
        "-CAfile",
        &file,
    ];
    Scene::of(OpensslServer::start(&good(&ca, &[NAME]), &arguments)).ca(ca)
}

/// The client certificate that is shown is of another authority than the server knows.
pub(super) fn certificate_of_a_stranger() -> Scene {
    let (clients, stranger) = (Ca::new("Clients"), Ca::new("Stranger"));
    let one = stranger.client("one");
    let (ca, scene) = redis_behind_haproxy("verify required", &clients);
    scene.ca(ca).keep(clients).identity(one)
}

/// The client certificate that is shown has run out.
pub(super) fn certificate_that_ran_out() -> Scene {
    let clients = Ca::new("Clients");
    let one = clients.prepare(&["one"]).validity(Validity::Expired);
    let one = one.usage(ExtendedKeyUsagePurpose::ClientAuth).sign();
    let (ca, scene) = redis_behind_haproxy("verify required", &clients);
    scene.ca(ca).keep(clients).identity(one)
}

/// A filter in front of a TLS server; in it `PORT` is its port.
fn filtered(globals: &str, rules: &str, leaf: &Leaf) -> Scene {
    let server = OpensslServer::start(leaf, &["-rev"]);
    let sections = format!(
        "global\n{globals}\nlisten filter\n  mode tcp\n  bind 127.0.0.1:PORT\n{rules}\n  server tls {}\n",
        server.addr()
    );
    Scene::of(HaProxy::start(leaf, &sections)).behind(server)
}

/// A filter whose buffer has no room for the hello of a client with post-quantum keys.
pub(super) fn small_buffer() -> Scene {
    let ca = Ca::new("Root");
    let rules = "  tcp-request inspect-delay 30s\n  tcp-request content accept if { req.ssl_hello_type 1 }\n  \
                 tcp-request content reject";
    filtered(
        "  tune.bufsize 1024\n  tune.maxrewrite 16",
        rules,
        &good(&ca, &[NAME]),
    )
    .ca(ca)
}

/// A filter that judges by the first packet alone.
pub(super) fn first_packet_only() -> Scene {
    let ca = Ca::new("Root");
    let rules = "  tcp-request inspect-delay 30s\n  tcp-request content accept if { req.ssl_sni -m found }\n  \
                 tcp-request content reject if { req.len gt 0 }";
    filtered("", rules, &good(&ca, &[NAME])).ca(ca)
}

/// A filter that lets nobody through, and says nothing about it.
pub(super) fn closes_on_a_hello() -> Scene {
    let ca = Ca::new("Root");
    let sections = "listen closes\n  mode tcp\n  bind 127.0.0.1:PORT\n  tcp-request inspect-delay 30s\n  \
                    tcp-request content reject if { req.len gt 0 }\n  server nobody 127.0.0.1:1\n";
    Scene::of(HaProxy::start(&good(&ca, &[NAME]), sections)).ca(ca)
}

/// A listener that takes what comes and says nothing.
pub(super) fn silence() -> Scene {
    Scene::empty().port(mock_servers::silence())
}
