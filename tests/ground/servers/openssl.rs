//! `openssl s_server`: a TLS server of any awkwardness.
//!
//! Source: the manual page openssl-s_server(1).

use std::path::Path;

use rustix::process::Signal;

use super::{Recipe, Server, install, install_leaf, reacts};
use crate::{certs::Leaf, testbed};

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";

/// An `openssl s_server` to start.
pub(crate) struct OpensslServer;

impl OpensslServer {
    /// With this certificate, chain included, and these arguments, such as `["-rev", "-tls1_2"]`: what
    /// it does with a session (`-rev`, `-www`, `-quiet`) is for the test to say.
    ///
    /// It takes one session at a time. Its log holds what it tells of them.
    ///
    /// # Panics
    /// When it does not come up, with its log.
    pub(crate) fn start(leaf: &Leaf, arguments: &[&str]) -> Server {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let command = move |folder: &Path, port: u16| {
            let mut command = testbed::mortal("KILL", "openssl");
            command.args(["s_server", "-accept", &format!("127.0.0.1:{port}")]);
            command.arg("-cert").arg(folder.join("server.crt"));
            if folder.join("chain.crt").exists() {
                command.arg("-cert_chain").arg(folder.join("chain.crt"));
            }
            command.arg("-key").arg(folder.join("server.key"));
            command.args(&arguments);
            command
        };
        let folder = testbed::scratch();
        install_leaf(folder.path(), leaf, &|_| ());
        // It takes the first certificate of the one file, and sends all of the other.
        let mut chain = leaf.cert_pem.match_indices(BEGIN);
        if let Some((second, _)) = chain.nth(1) {
            install(
                folder.path(),
                "chain.crt",
                &leaf.cert_pem[second..],
                &|_| (),
            );
        }
        let recipe = Recipe {
            command: Box::new(command),
            ready: Box::new(reacts),
            stop: Signal::KILL,
        };
        Server::start("openssl s_server", folder, recipe)
    }
}
