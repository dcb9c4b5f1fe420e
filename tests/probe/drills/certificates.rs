//! Certificates that are wrong in one way each, shown by servers of every kind.

use std::path::Path;

use rcgen::ExtendedKeyUsagePurpose;

use super::scene::{NAME, Scene, good};
use crate::{
    certs::{Ca, Leaf, Validity},
    servers::{MariaDb, Nginx, OpensslServer, Postgres, Redis},
};

const SOON: Validity = Validity::Days(90);

fn on_postgres(ca: Ca, leaf: &Leaf) -> Scene {
    Scene::of(Postgres::debian("pg", leaf)).ca(ca)
}

fn on_redis(ca: Ca, leaf: &Leaf) -> Scene {
    Scene::of(Redis::named("redis").tls(leaf).password("secret").run()).ca(ca)
}

fn on_mariadb(ca: Ca, leaf: &Leaf) -> Scene {
    Scene::of(MariaDb::start("maria", leaf)).ca(ca)
}

/// A web server: it is the handshake that counts.
fn on_nginx(ca: Ca, leaf: &Leaf) -> Scene {
    let http = "server { listen 127.0.0.1:PORT ssl; ssl_certificate server.crt; \
                ssl_certificate_key server.key; return 404; }";
    Scene::of(Nginx::start(leaf, "", http)).ca(ca)
}

/// The one that takes every certificate, however weak.
fn on_openssl(ca: Ca, leaf: &Leaf) -> Scene {
    let arguments = ["-rev", "-cipher", "DEFAULT:@SECLEVEL=0"];
    Scene::of(OpensslServer::start(leaf, &arguments)).ca(ca)
}

pub(super) fn expired() -> Scene {
    let ca = Ca::new("Root");
    let leaf = ca.expired(&[NAME]);
    on_postgres(ca, &leaf)
}

pub(super) fn not_yet_valid() -> Scene {
    let ca = Ca::new("Root");
    let leaf = ca.prepare(&[NAME]).validity(Validity::NotYet).sign();
    on_postgres(ca, &leaf)
}

pub(super) fn for_another_name() -> Scene {
    let ca = Ca::new("Root");
    let leaf = good(&ca, &["db.example.org", "db.example.net"]);
    on_postgres(ca, &leaf)
}

pub(super) fn for_wildcard() -> Scene {
    let ca = Ca::new("Root");
    let leaf = good(&ca, &["*.example.test"]);
    on_postgres(ca, &leaf)
}

pub(super) fn common_name_only() -> Scene {
    let ca = Ca::new("Root");
    let leaf = ca.prepare(&[NAME]).validity(SOON).without_names().sign();
    on_redis(ca, &leaf)
}

/// Good, for a name.
pub(super) fn for_a_name() -> Scene {
    let ca = Ca::new("Root");
    let leaf = good(&ca, &[NAME]);
    on_postgres(ca, &leaf)
}

pub(super) fn for_an_address() -> Scene {
    let ca = Ca::new("Root");
    let leaf = good(&ca, &["127.0.0.1"]);
    on_redis(ca, &leaf)
}

/// As `openssl req -x509` makes it; nobody trusts it.
pub(super) fn of_openssl_req() -> Scene {
    on_openssl(Ca::new("Root"), &Leaf::openssl_req(NAME))
}

/// The same, and it is trusted.
pub(super) fn of_openssl_req_trusted() -> Scene {
    let leaf = Leaf::openssl_req(NAME);
    trusting(&leaf, OpensslServer::start(&leaf, &["-rev"]))
}

pub(super) fn authority_as_leaf() -> Scene {
    let ca = Ca::new("Root");
    let leaf = ca.prepare(&[NAME]).validity(SOON).ca_true().sign();
    on_nginx(ca, &leaf)
}

pub(super) fn signed_by_itself() -> Scene {
    let ca = Ca::new("Root");
    let leaf = ca.prepare(&[NAME]).validity(SOON).self_signed();
    on_postgres(ca, &leaf)
}

/// The same, and it is trusted.
pub(super) fn signed_by_itself_and_trusted() -> Scene {
    let leaf = Ca::new("Root")
        .prepare(&[NAME])
        .validity(SOON)
        .self_signed();
    trusting(&leaf, Postgres::debian("pg", &leaf))
}

fn trusting(leaf: &Leaf, server: crate::servers::Server) -> Scene {
    let scene = Scene::of(server);
    let copy = scene.file("trusted.crt", &leaf.cert_pem);
    let copy: &Path = &copy;
    scene.word("ca", copy.to_str().expect("a path in ASCII"))
}

pub(super) fn of_a_stranger() -> Scene {
    let leaf = good(&Ca::new("Stranger"), &[NAME]);
    on_mariadb(Ca::new("Root"), &leaf)
}

/// A stranger's, who sends its root along.
pub(super) fn of_a_stranger_with_root() -> Scene {
    let stranger = Ca::new("Stranger");
    let leaf = good(&stranger, &[NAME]).chained(&[&stranger]);
    on_postgres(Ca::new("Root"), &leaf)
}

pub(super) fn without_intermediate() -> Scene {
    let ca = Ca::named("Root").organisation("Example").root();
    let between = Ca::named("Issuing").organisation("Example").under(&ca);
    let leaf = good(&between, &[NAME]);
    on_mariadb(ca, &leaf)
}

pub(super) fn with_intermediate() -> Scene {
    let ca = Ca::new("Root");
    let between = Ca::named("Issuing").under(&ca);
    let leaf = good(&between, &[NAME]).chained(&[&between]);
    on_postgres(ca, &leaf)
}

/// The authority was made anew under its name; the client has the old one.
pub(super) fn authority_made_anew() -> Scene {
    let leaf = good(&Ca::new("Root"), &[NAME]);
    on_postgres(Ca::new("Root"), &leaf)
}

pub(super) fn intermediate_ran_out() -> Scene {
    let ca = Ca::new("Root");
    let between = Ca::named("Issuing").validity(Validity::Expired).under(&ca);
    let leaf = good(&between, &[NAME]).chained(&[&between]);
    on_nginx(ca, &leaf)
}

pub(super) fn signed_by_a_server() -> Scene {
    let ca = Ca::new("Root");
    let between = Ca::named("A server").not_a_ca().under(&ca);
    let leaf = good(&between, &[NAME]).chained(&[&between]);
    on_redis(ca, &leaf)
}

pub(super) fn outside_of_constraints() -> Scene {
    let ca = Ca::new("Root");
    let between = Ca::named("Narrow").permitted(&["example.org"]).under(&ca);
    let leaf = good(&between, &[NAME]).chained(&[&between]);
    on_redis(ca, &leaf)
}

pub(super) fn for_clients() -> Scene {
    let ca = Ca::new("Root");
    let leaf = ca.prepare(&[NAME]).validity(SOON);
    let leaf = leaf.usage(ExtendedKeyUsagePurpose::ClientAuth).sign();
    on_mariadb(ca, &leaf)
}

pub(super) fn rsa_1024() -> Scene {
    let ca = Ca::new("Root");
    let leaf = ca.by_openssl(NAME, "rsa:1024", "sha256");
    on_openssl(ca, &leaf)
}

pub(super) fn sha1() -> Scene {
    let ca = Ca::new("Root");
    let leaf = ca.by_openssl(NAME, "rsa:2048", "sha1");
    on_openssl(ca, &leaf)
}

pub(super) fn version_1() -> Scene {
    let ca = Ca::new("Root");
    let leaf = ca.version_1(NAME);
    on_openssl(ca, &leaf)
}

pub(super) fn five_days_left() -> Scene {
    let ca = Ca::new("Root");
    let leaf = ca.prepare(&[NAME]).validity(Validity::Late(5)).sign();
    on_postgres(ca, &leaf)
}

pub(super) fn for_decades() -> Scene {
    let ca = Ca::new("Root");
    let leaf = ca.leaf(&[NAME]);
    on_mariadb(ca, &leaf)
}

/// Somebody else's authority is sent along.
pub(super) fn needless_certificate() -> Scene {
    let ca = Ca::new("Root");
    let leaf = good(&ca, &[NAME]).chained(&[&Ca::new("Needless")]);
    on_postgres(ca, &leaf)
}

/// Two intermediate ones, the upper one first.
pub(super) fn wrong_order() -> Scene {
    let ca = Ca::new("Root");
    let upper = Ca::named("Upper").under(&ca);
    let lower = Ca::named("Lower").under(&upper);
    let leaf = good(&lower, &[NAME]).chained(&[&upper, &lower]);
    on_nginx(ca, &leaf)
}
