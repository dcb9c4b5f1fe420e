//! nginx, `HAProxy` and stunnel, the system's own: what stands before a database where it is not dbgate.
//!
//! Their own options are the test's; here is only what makes them run in the foreground, in a folder of
//! their own. Sources: nginx documentation, "Core functionality"; `HAProxy` configuration manual,
//! "Global parameters"; stunnel(8), "GLOBAL OPTIONS" and `protocol`.

use std::{net::SocketAddr, path::Path};

use rustix::process::Signal;

use super::{Recipe, Server, install, install_leaf, reacts};
use crate::{certs::Leaf, testbed};

/// An nginx to start.
pub(crate) struct Nginx;

/// An `HAProxy` to start.
pub(crate) struct HaProxy;

/// A stunnel to start.
pub(crate) struct Stunnel;

impl Nginx {
    /// With these parts of the configuration's blocks `stream` and `http`, in which `PORT` stands for
    /// its port and `server.crt` and `server.key` are the certificate's files.
    ///
    /// # Panics
    /// When it does not come up, with its log.
    pub(crate) fn start(leaf: &Leaf, stream: &str, http: &str) -> Server {
        // One process, which ends when it is killed: a master would leave its workers behind.
        let text = format!(
            "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n\
             daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr info;\nevents {{}}\n\
             stream {{\n{stream}\n}}\n\
             http {{\naccess_log off;\nclient_body_temp_path body;\nproxy_temp_path proxy;\n\
             fastcgi_temp_path fastcgi;\nuwsgi_temp_path uwsgi;\nscgi_temp_path scgi;\n{http}\n}}\n"
        );
        let command = move |folder: &Path, port: u16| {
            install(folder, "nginx.conf", &with_port(&text, port), &|_| ());
            let mut command = testbed::mortal("KILL", "/usr/sbin/nginx");
            command.arg("-p").arg(folder).args(["-e", "stderr", "-c"]);
            command.arg(folder.join("nginx.conf"));
            command
        };
        let folder = testbed::scratch();
        install_leaf(folder.path(), leaf, &|_| ());
        let recipe = Recipe {
            command: Box::new(command),
            ready: Box::new(reacts),
            stop: Signal::KILL,
        };
        Server::start("nginx", folder, recipe)
    }
}

impl HaProxy {
    /// With these sections of the configuration, in which `PORT` stands for its port and `server.pem`
    /// is the file of certificate and key. Timeouts are set, everything else is the section's own.
    ///
    /// # Panics
    /// When it does not come up, with its log.
    pub(crate) fn start(leaf: &Leaf, sections: &str) -> Server {
        let sections = sections.to_owned();
        let command = move |folder: &Path, port: u16| {
            let text = format!(
                "global\n  log stdout format raw local0\n  crt-base {}\n\
                 defaults\n  log global\n  timeout connect 10s\n  timeout client 1m\n  timeout server 1m\n\
                 {sections}\n",
                folder.display()
            );
            install(folder, "haproxy.cfg", &with_port(&text, port), &|_| ());
            let mut command = testbed::mortal("KILL", "/usr/sbin/haproxy");
            command.args(["-db", "-f"]).arg(folder.join("haproxy.cfg"));
            command
        };
        let folder = testbed::scratch();
        let pem = format!("{}{}", leaf.cert_pem, leaf.key_pem);
        install(folder.path(), "server.pem", &pem, &|_| ());
        let recipe = Recipe {
            command: Box::new(command),
            ready: Box::new(reacts),
            stop: Signal::KILL,
        };
        Server::start("haproxy", folder, recipe)
    }
}

impl Stunnel {
    /// Grants an `SSLRequest`, ends the TLS behind it, and passes on what is in it.
    ///
    /// # Panics
    /// When it does not come up, with its log.
    pub(crate) fn before_postgres(leaf: &Leaf, to: SocketAddr) -> Server {
        let command = move |folder: &Path, port: u16| {
            let text = format!(
                "foreground = yes\ndebug = 4\npid =\n[postgres]\nprotocol = pgsql\n\
                 accept = 127.0.0.1:{port}\nconnect = {to}\ncert = {0}/server.crt\nkey = {0}/server.key\n",
                folder.display()
            );
            install(folder, "stunnel.conf", &text, &|_| ());
            let mut command = testbed::mortal("KILL", "stunnel4");
            command.arg(folder.join("stunnel.conf"));
            command
        };
        let folder = testbed::scratch();
        install_leaf(folder.path(), leaf, &|_| ());
        let recipe = Recipe {
            command: Box::new(command),
            ready: Box::new(reacts),
            stop: Signal::KILL,
        };
        Server::start("stunnel", folder, recipe)
    }
}

fn with_port(text: &str, port: u16) -> String {
    text.replace("PORT", &port.to_string())
}
