//! Redis, the system's own.
//!
//! Sources: Redis documentation, "TLS", "Security" and the comments of its `redis.conf`.

use std::path::Path;

use rustix::process::Signal;

use super::{Recipe, Server, install, install_leaf, named};
use crate::{
    certs::{Ca, Leaf},
    clients::{Client, Target},
    testbed::{self, part},
};

/// A Redis server to start. Its name is the value of the key `whoami`.
pub(crate) struct Redis<'a> {
    name: &'a str,
    leaf: Option<&'a Leaf>,
    clients: Option<(&'a Ca, &'a Leaf)>,
    password: Option<&'a str>,
    arguments: &'a [&'a str],
}

impl<'a> Redis<'a> {
    /// With TLS only; no password, no client certificates.
    ///
    /// # Panics
    /// When it does not come up, with its log.
    pub(crate) fn start(name: &str, leaf: &Leaf) -> Server {
        Redis::named(name).tls(leaf).run()
    }

    /// Without TLS, for gateways that end it.
    ///
    /// # Panics
    /// When it does not come up, with its log.
    pub(crate) fn plain(name: &str) -> Server {
        Redis::named(name).run()
    }

    /// Without TLS, unless told.
    pub(crate) fn named(name: &'a str) -> Self {
        Self {
            name,
            leaf: None,
            clients: None,
            password: None,
            arguments: &[],
        }
    }

    /// With TLS only, and this certificate.
    pub(crate) fn tls(self, leaf: &'a Leaf) -> Self {
        Self {
            leaf: Some(leaf),
            ..self
        }
    }

    /// Insists on client certificates of this authority; `one` is such a certificate.
    pub(crate) fn clients(self, ca: &'a Ca, one: &'a Leaf) -> Self {
        Self {
            clients: Some((ca, one)),
            ..self
        }
    }

    /// `requirepass`: the default user has a password.
    pub(crate) fn password(self, password: &'a str) -> Self {
        Self {
            password: Some(password),
            ..self
        }
    }

    /// More arguments, such as `["--bind", "0.0.0.0"]`; they come last, and the last one of a name
    /// counts.
    ///
    /// The test ground must still be let in, to see that it is up.
    pub(crate) fn arguments(self, arguments: &'a [&'a str]) -> Self {
        Self { arguments, ..self }
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Panics
    /// When it does not come up, with its log.
    pub(crate) fn run(self) -> Server {
        let folder = testbed::scratch();
        let (tls, verifies) = (self.leaf.is_some(), self.clients.is_some());
        if let Some(leaf) = self.leaf {
            install_leaf(folder.path(), leaf, &|_| ());
        }
        if let Some((ca, _)) = self.clients {
            install(folder.path(), "clients.crt", ca.pem(), &|_| ());
        }
        let owned = |text: &&str| (*text).to_owned();
        let password = self.password.map(str::to_owned);
        let mut last: Vec<String> = self.arguments.iter().map(owned).collect();
        if let Some(password) = self.password {
            last.extend(["--requirepass", password].iter().map(owned));
        }

        let command = move |folder: &Path, port: u16| {
            let port = port.to_string();
            let mut command = testbed::mortal("KILL", part("redis/redis-server"));
            command
                .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
                .arg("--dir")
                .arg(folder);
            if tls {
                command.args(["--port", "0", "--tls-port", &port]);
                command.args(["--tls-auth-clients", if verifies { "yes" } else { "no" }]);
                command
                    .arg("--tls-cert-file")
                    .arg(folder.join("server.crt"));
                command.arg("--tls-key-file").arg(folder.join("server.key"));
            } else {
                command.args(["--port", &port]);
            }
            if verifies {
                command
                    .arg("--tls-ca-cert-file")
                    .arg(folder.join("clients.crt"));
            }
            command.args(&last);
            command
        };

        let given = self.name.to_owned();
        let certificate = self
            .clients
            .map(|(_, one)| (one.cert_path.clone(), one.key_path.clone()));
        let question = move |port| {
            let mut target = Target::unverified("127.0.0.1", port);
            target.password.clone_from(&password);
            if let Some((cert, key)) = &certificate {
                target.client_cert = Some(cert.clone());
                target.client_key = Some(key.clone());
            }
            if !tls {
                target = target.sslmode("disable");
            }
            Client::RedisPy.introduce(&target, &given)
        };
        let recipe = Recipe {
            command: Box::new(command),
            ready: named(self.name, question),
            stop: Signal::KILL,
        };
        Server::start(self.name, folder, recipe)
    }
}
