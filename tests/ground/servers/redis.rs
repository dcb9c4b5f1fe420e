//! Redis, the system's own.
//!
//! Source: Redis documentation, "TLS".

use std::path::Path;

use rustix::process::Signal;

use super::{Recipe, Server, install};
use crate::{
    certs::Leaf,
    clients::{Client, Target},
    testbed::{self, part},
};

/// A Redis server to start. Its name is the value of the key `whoami`.
pub(crate) struct Redis;

impl Redis {
    /// With TLS only; no password, no client certificates.
    ///
    /// # Panics
    /// When it does not come up, with its log.
    pub(crate) fn start(name: &str, leaf: &Leaf) -> Server {
        Self::run(name, Some(leaf))
    }

    /// Without TLS, for gateways that end it.
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
            install(folder.path(), "server.crt", &leaf.cert_pem, &|_| ());
            install(folder.path(), "server.key", &leaf.key_pem, &|_| ());
        }
        let command = move |folder: &Path, port: u16| {
            let port = port.to_string();
            let mut command = testbed::mortal("KILL", part("redis/redis-server"));
            command
                .args([
                    "--bind",
                    "127.0.0.1",
                    "--save",
                    "",
                    "--appendonly",
                    "no",
                    "--dir",
                ])
                .arg(folder);
            if tls {
                command.args([
                    "--port",
                    "0",
                    "--tls-port",
                    &port,
                    "--tls-auth-clients",
                    "no",
                    "--tls-cert-file",
                ]);
                command
                    .arg(folder.join("server.crt"))
                    .arg("--tls-key-file")
                    .arg(folder.join("server.key"));
            } else {
                command.args(["--port", &port]);
            }
            command
        };
        let given = name.to_owned();
        let question = move |port| {
            let target = Target::unverified("127.0.0.1", port);
            Client::RedisPy.introduce(
                &if tls {
                    target
                } else {
                    target.sslmode("disable")
                },
                &given,
            )
        };
        let recipe = Recipe {
            command: Box::new(command),
            question: Box::new(question),
            stop: Signal::KILL,
        };
        Server::start(name, folder, recipe)
    }
}
