//! A server of the `MongoDB` protocol: the program in `tests/servers/ferretdb`.
//!
//! It is no replica set: a driver that follows a replica set is not tested by it.

use std::{fs, path::Path};

use rustix::process::Signal;

use super::{Recipe, Server, install_leaf, named};
use crate::{
    certs::Leaf,
    clients::{Client, Target},
    testbed::{self, part},
};

/// A server of the `MongoDB` protocol to start: `FerretDB` 1 on `SQLite`. Its name is in the one
/// document of `app.whoami`.
pub(crate) struct Mongo;

impl Mongo {
    /// With TLS only; no users.
    ///
    /// # Panics
    /// When it does not come up, with its log.
    pub(crate) fn start(name: &str, leaf: &Leaf) -> Server {
        Self::run(name, Some(leaf))
    }

    /// Without TLS, for gateways that end it; no users.
    ///
    /// # Panics
    /// When it does not come up, with its log.
    pub(crate) fn plain(name: &str) -> Server {
        Self::run(name, None)
    }

    fn run(name: &str, leaf: Option<&Leaf>) -> Server {
        let folder = testbed::scratch();
        let tls = leaf.is_some();
        if let Some(leaf) = leaf {
            install_leaf(folder.path(), leaf, &|_| ());
        }
        fs::create_dir(folder.path().join("data")).expect("a folder for the database");
        let command = move |folder: &Path, port: u16| {
            let mut command = testbed::mortal("KILL", part("ferretdb/ferretdb"));
            command
                .arg("-listen")
                .arg(format!("127.0.0.1:{port}"))
                .arg("-dir")
                .arg(folder.join("data"));
            if tls {
                command
                    .arg("-cert")
                    .arg(folder.join("server.crt"))
                    .arg("-key")
                    .arg(folder.join("server.key"));
            }
            command
        };
        let given = name.to_owned();
        let question = move |port| {
            let target = Target::unverified("127.0.0.1", port);
            let target = if tls {
                target
            } else {
                target.sslmode("disable")
            };
            Client::Pymongo.introduce(&target, &given)
        };
        let recipe = Recipe {
            command: Box::new(command),
            ready: named(name, question),
            stop: Signal::KILL,
        };
        Server::start(name, folder, recipe)
    }
}
