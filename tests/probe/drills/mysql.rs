//! `MariaDB` before and after its greeting, and what stands in its place.

use std::{io::Read, net::TcpStream, process::Command};

use super::{
    mock_servers,
    scene::{NAME, Scene, good},
};
use crate::{
    certs::Ca,
    servers::{HaProxy, MariaDb, Server},
};

pub(super) fn tls() -> Scene {
    let ca = Ca::new("Root");
    Scene::of(MariaDb::start("maria", &good(&ca, &[NAME]))).ca(ca)
}

pub(super) fn without_tls() -> Scene {
    Scene::of(MariaDb::plain("maria"))
}

/// Its accounts are for another address than this one.
pub(super) fn accounts_elsewhere() -> Scene {
    let ca = Ca::new("Root");
    let server = MariaDb::start("maria", &good(&ca, &[NAME]));
    as_root(
        &server,
        "rename user app to app@'198.51.100.1', tls to tls@'198.51.100.1', \
         certuser to certuser@'198.51.100.1'; \
         delete from mysql.global_priv where host in ('127.0.0.1', '%'); flush privileges;",
    );
    Scene::of(server).ca(ca)
}

/// All its connections are held by others.
pub(super) fn no_connection_left() -> Scene {
    let ca = Ca::new("Root");
    let leaf = good(&ca, &[NAME]);
    let few = ["--max-connections=10", "--connect-timeout=600"];
    let server = MariaDb::named("maria").tls(&leaf).arguments(&few).run();
    // One more than the limit may be held: it is kept for the administrator.
    let held: Vec<TcpStream> = (0..11)
        .map(|_| {
            let mut stream = crate::gateway::connect(server.port());
            let _ = stream.read(&mut [0; 4]);
            stream
        })
        .collect();
    Scene::of(server).ca(ca).keep(held)
}

/// It has blocked the one address that all clients of a proxy share.
///
/// This machine's own address is never blocked, so the proxy calls from another.
pub(super) fn blocked() -> Scene {
    let ca = Ca::new("Root");
    let leaf = good(&ca, &[NAME]);
    let arguments = ["--skip-name-resolve=OFF", "--max-connect-errors=1"];
    let server = MariaDb::named("maria")
        .tls(&leaf)
        .arguments(&arguments)
        .run();
    let sections = format!(
        "listen maria\n  mode tcp\n  bind 127.0.0.1:PORT\n  server maria {} source 127.0.0.2\n",
        server.addr()
    );
    let proxy = HaProxy::start(&leaf, &sections);
    Scene::of(proxy).behind(server).ca(ca)
}

pub(super) fn silence() -> Scene {
    Scene::empty().port(mock_servers::silence())
}

/// A greeting of the protocol's tenth version, cut off.
pub(super) fn damaged() -> Scene {
    Scene::empty().port(mock_servers::greeting(b"\x05\0\0\0\x0a8.0."))
}

fn as_root(server: &Server, sql: &str) {
    let folder = server.log_path();
    let folder = folder.parent().expect("the folder of the server");
    let output = Command::new("mariadb")
        .arg("--no-defaults")
        .arg("--socket")
        .arg(folder.join("data/mysqld.sock"))
        .args(["-u", "root", "-e", sql])
        .output()
        .expect("the client of MariaDB");
    assert!(output.status.success(), "{output:?}\n{}", server.log());
}
