//! pgAdmin 4 as its desktop runtime starts it: a web server for one user, with data of its own, and no
//! display.
//!
//! What its page does is `clients/python/client_pgadmin.py`. Source: pgAdmin 4's `config.py`, which
//! tells what its settings mean.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::Path,
};

use rustix::process::Signal;

use super::{Recipe, Server, install};
use crate::{
    clients::{Answer, Client, Target},
    testbed::{self, part},
};

/// The key that lets a page in; it listens on 127.0.0.1 only, and knows no secrets.
const KEY: &str = "testbed";

/// No login, no password to encrypt other passwords with, no look for a newer version.
const CONFIG: &str = "MASTER_PASSWORD_REQUIRED = False\n\
                      USE_OS_SECRET_STORAGE = False\nUPGRADE_CHECK_ENABLED = False\n";

/// A running pgAdmin, until it is dropped.
pub(crate) struct PgAdmin {
    web: Server,
}

impl PgAdmin {
    /// Starts it, and waits until its page can be had.
    ///
    /// # Panics
    /// When it does not come up, with its log.
    pub(crate) fn start() -> Self {
        let folder = testbed::scratch();
        install(folder.path(), "config_distro.py", CONFIG, &|_| ());
        let command = |folder: &Path, port: u16| {
            let mut command = testbed::mortal("KILL", part("pgadmin/bin/python"));
            testbed::undisturbed(&mut command);
            command
                .arg("-B")
                .arg(part("pgadmin/pgadmin4/pgAdmin4.py"))
                .env("HOME", folder)
                // Before its configuration is read: it decides where its data go.
                .env("PGADMIN_SERVER_MODE", "OFF")
                .env("CONFIG_DISTRO_FILE_PATH", folder.join("config_distro.py"))
                .env("PGADMIN_INT_PORT", port.to_string())
                .env("PGADMIN_INT_KEY", KEY);
            command
        };
        let recipe = Recipe {
            command: Box::new(command),
            ready: Box::new(pings),
            stop: Signal::KILL,
        };
        Self {
            web: Server::start("pgAdmin", folder, recipe),
        }
    }

    /// Adds a server to its list and connects to it; the answer holds what it would show to its user.
    ///
    /// Its own log tells each connection that failed: [`Self::log`].
    pub(crate) fn connect(&self, target: &Target) -> Answer {
        Client::PgAdmin.through(target, &address(self.web.port()), KEY)
    }

    /// Everything it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.web.log()
    }
}

fn address(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn pings(port: u16) -> Result<(), String> {
    let ask = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(testbed::TIMEOUT))?;
        write!(stream, "GET /misc/ping?key={KEY} HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    match ask() {
        Ok(answer) if answer.ends_with("PING") => Ok(()),
        Ok(answer) => Err(answer),
        Err(error) => Err(error.to_string()),
    }
}
