//! `MariaDB`, the system's own, from a data directory that `tests/setup` prepared.
//!
//! Sources: `MariaDB` documentation, "mariadbd Options" and "Securing Connections for Client and
//! Server".

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::Path,
    process::Command,
};

use rustix::process::Signal;

use super::{Recipe, Server, install, install_leaf, named};
use crate::{
    certs::{Ca, Leaf},
    clients::{Client, Target},
    testbed::{self, part},
};

/// A `MariaDB` server to start. Its name is `@@report_host`; user `app` with password `secret` may do
/// everything in the database `app`, `tls` with the same password needs TLS, `certuser` a client
/// certificate instead of a password.
pub(crate) struct MariaDb<'a> {
    name: &'a str,
    leaf: Option<&'a Leaf>,
    client_ca: Option<&'a Ca>,
    arguments: &'a [&'a str],
}

impl<'a> MariaDb<'a> {
    /// With TLS offered and this certificate, and without TLS too, as is its way.
    ///
    /// # Panics
    /// When it does not come up, with its log.
    pub(crate) fn start(name: &str, leaf: &Leaf) -> Server {
        MariaDb::named(name).tls(leaf).run()
    }

    /// Without TLS.
    ///
    /// # Panics
    /// When it does not come up, with its log.
    pub(crate) fn plain(name: &str) -> Server {
        MariaDb::named(name).run()
    }

    /// Without TLS, unless told.
    pub(crate) fn named(name: &'a str) -> Self {
        Self {
            name,
            leaf: None,
            client_ca: None,
            arguments: &[],
        }
    }

    /// Offers TLS, and shows this certificate.
    pub(crate) fn tls(self, leaf: &'a Leaf) -> Self {
        Self {
            leaf: Some(leaf),
            ..self
        }
    }

    /// Verifies client certificates by this authority; only `certuser` needs one.
    pub(crate) fn client_ca(self, ca: &'a Ca) -> Self {
        Self {
            client_ca: Some(ca),
            ..self
        }
    }

    /// More arguments, such as `--require-secure-transport=ON` or `--tls-version=TLSv1.2`; the last one
    /// of a name counts.
    pub(crate) fn arguments(self, arguments: &'a [&'a str]) -> Self {
        Self { arguments, ..self }
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Panics
    /// When it does not come up, with its log.
    pub(crate) fn run(self) -> Server {
        let template = part("mariadb/data");
        let owner = fs::metadata(&template).expect("the template's owner");
        let own = |path: &Path| {
            chown(path, Some(owner.uid()), Some(owner.gid())).expect("a file for the server");
        };
        let folder = testbed::scratch();
        let data = folder.path().join("data");
        let copied = Command::new("cp")
            .arg("-a")
            .args([&template, &data])
            .status()
            .expect("cp");
        assert!(copied.success(), "cannot copy {}", template.display());

        let mut settings = vec![
            format!("--report-host={}", self.name),
            "--bind-address=127.0.0.1".to_owned(),
            "--socket=mysqld.sock".to_owned(),
            "--pid-file=mysqld.pid".to_owned(),
            "--skip-name-resolve".to_owned(),
            "--feedback=OFF".to_owned(),
            "--innodb-buffer-pool-size=8M".to_owned(),
            "--innodb-log-file-size=4M".to_owned(),
            "--innodb-flush-log-at-trx-commit=0".to_owned(),
        ];
        if let Some(leaf) = self.leaf {
            install_leaf(&data, leaf, &own);
            settings.push("--ssl-cert=server.crt".to_owned());
            settings.push("--ssl-key=server.key".to_owned());
        } else {
            settings.push("--skip-ssl".to_owned());
        }
        if let Some(ca) = self.client_ca {
            install(&data, "clients.crt", ca.pem(), &own);
            settings.push("--ssl-ca=clients.crt".to_owned());
        }
        settings.extend(self.arguments.iter().map(ToString::to_string));

        let command = move |folder: &Path, port: u16| {
            let mut command = testbed::mortal_as("KILL", &owner, "/usr/sbin/mariadbd");
            let mut option = std::ffi::OsString::from("--datadir=");
            option.push(folder.join("data"));
            command
                .arg("--no-defaults")
                .arg(option)
                .arg(format!("--port={port}"))
                .args(&settings);
            command
        };
        let question = move |port| {
            let target = Target::unverified("127.0.0.1", port).app();
            let plain = Client::PyMysql.whoami(&target.clone().sslmode("disable"));
            if plain.ok {
                plain
            } else {
                Client::PyMysql.whoami(&target) // it may insist on TLS
            }
        };
        let recipe = Recipe {
            command: Box::new(command),
            ready: named(self.name, question),
            stop: Signal::KILL,
        };
        Server::start(self.name, folder, recipe)
    }
}
