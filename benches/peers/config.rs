//! The configuration of each program: the same work, settings as alike as they can be, and no log
//! of connections anywhere.
//!
//! Sources: nginx documentation, modules `ngx_stream_ssl_preread_module`, `ngx_stream_ssl_module`
//! and `ngx_stream_map_module`; `HAProxy` configuration manual, "bind", "`use_backend`" and "map";
//! Traefik documentation, "TCP routers" and "TLS".

use std::fmt::{self, Write as _};
use std::net::SocketAddr;

use serde_json::{Map, Value, json};

use crate::load::host;

/// Sessions that each program has room for.
pub(crate) const SESSIONS: usize = 4096;

/// The place where the client's TLS ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// At the backend.
    Passthrough,
    /// At the gateway; the backend gets plaintext.
    Terminate,
    /// At the gateway, which opens TLS to the backend and verifies it.
    Reencrypt,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passthrough => "passthrough",
            Self::Terminate => "terminate",
            Self::Reencrypt => "reencrypt",
        })
    }
}

/// The work of a program.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) mode: Mode,
    /// The databases are Postgres; only dbgate can tell.
    pub(crate) postgres: bool,
    pub(crate) databases: usize,
    /// Made by `ctl` before the start, and not by the configuration; only dbgate has both.
    pub(crate) by_ctl: bool,
    pub(crate) workers: usize,
    pub(crate) backend: SocketAddr,
}

/// `dbgate.toml`
pub(crate) fn dbgate(setup: &Setup, listen: SocketAddr) -> String {
    let Setup { mode, backend, .. } = setup;
    let protocol = if setup.postgres { "postgres" } else { "tls" };
    let mut text = format!(
        "[listener.main]\nbind = [\"{listen}\"]\n\
         [tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\nmin_version = \"1.3\"\n\
         [limits]\nmax_sessions = {SESSIONS}\n[log]\naccess = false\n"
    );
    let trust = match mode {
        Mode::Reencrypt => "backend_ca = \"ca.pem\"\n",
        Mode::Passthrough | Mode::Terminate => "",
    };
    let declared = if setup.by_ctl { 0 } else { setup.databases };
    for number in 0..declared {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "[database.db{number}]\nprotocol = \"{protocol}\"\ntls = \"{mode}\"\n\
             backends = [\"{backend}\"]\nhosts = [\"{}\"]\n{trust}",
            host(number)
        );
    }
    text
}

/// The state directory of a gateway with databases that `ctl` has made.
pub(crate) fn dbgate_exposures(setup: &Setup) -> Value {
    let Setup { mode, backend, .. } = setup;
    let spec =
        json!({"protocol": "tls", "tls": mode.to_string(), "backends": [backend.to_string()]});
    let made = (0..setup.databases).map(|number| (format!("db{number}"), spec.clone()));
    let exposed =
        (0..setup.databases).map(|number| (format!("db{number}"), json!({host(number): {}})));
    json!({
        "version": 2,
        "generation": 1,
        "databases": made.collect::<Map<_, _>>(),
        "exposed": exposed.collect::<Map<_, _>>(),
    })
}

/// `nginx.conf`; `folder` is how nginx sees it.
pub(crate) fn nginx(setup: &Setup, listen: SocketAddr, folder: &str) -> String {
    let (tls, name) = match setup.mode {
        Mode::Passthrough => ("ssl_preread on;".to_owned(), "$ssl_preread_server_name"),
        Mode::Terminate | Mode::Reencrypt => (
            format!(
                "ssl_certificate {folder}/cert.pem;\nssl_certificate_key {folder}/key.pem;\n\
                 ssl_protocols TLSv1.3;\nssl_session_tickets off;\nssl_session_cache off;"
            ),
            "$ssl_server_name",
        ),
    };
    let listen_options = match setup.mode {
        Mode::Passthrough => "",
        Mode::Terminate | Mode::Reencrypt => " ssl",
    };
    let onward = match setup.mode {
        Mode::Passthrough | Mode::Terminate => String::new(),
        Mode::Reencrypt => format!(
            "proxy_ssl on;\nproxy_ssl_server_name on;\nproxy_ssl_name $ssl_server_name;\n\
             proxy_ssl_verify on;\nproxy_ssl_trusted_certificate {folder}/ca.pem;\n\
             proxy_ssl_protocols TLSv1.3;\n"
        ),
    };
    // As large as nginx asks for in its log when there are many names.
    let size = (setup.databases * 2).max(2048);
    format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n\
         daemon off;\nuser root;\nworker_processes {};\nworker_rlimit_nofile {};\n\
         pid {folder}/nginx.pid;\nerror_log stderr crit;\n\
         events {{ worker_connections {}; }}\n\
         stream {{\n\
         map_hash_max_size {size};\nmap_hash_bucket_size 128;\n\
         map {name} $to {{\ninclude {folder}/map;\n}}\n\
         server {{\nlisten {listen}{listen_options};\n{tls}\n{onward}proxy_pass $to;\n}}\n\
         }}\n",
        setup.workers,
        4 * SESSIONS,
        // A session is two.
        2 * SESSIONS,
    )
}

/// The file that `nginx.conf` includes.
pub(crate) fn nginx_map(setup: &Setup) -> String {
    lines(setup, |text, host| {
        writeln!(text, "{host} {};", setup.backend)
    })
}

/// `haproxy.cfg`; `folder` is how `HAProxy` sees it.
///
/// `HAProxy` splices where `splice-auto` lets it; tuned, it always does, and has pipes as large as
/// dbgate's.
pub(crate) fn haproxy(setup: &Setup, tuned: bool, listen: SocketAddr, folder: &str) -> String {
    let (pipes, splice) = if tuned {
        (
            "tune.pipesize 262144\n",
            "option splice-request\noption splice-response\n",
        )
    } else {
        ("", "option splice-auto\n")
    };
    let frontend = match setup.mode {
        Mode::Passthrough => format!(
            "bind {listen}\n\
             tcp-request inspect-delay 10s\n\
             tcp-request content accept if {{ req.ssl_hello_type 1 }}\n\
             use_backend %[req.ssl_sni,lower,map({folder}/map)]"
        ),
        Mode::Terminate | Mode::Reencrypt => format!(
            "bind {listen} ssl crt {folder}/both.pem ssl-min-ver TLSv1.3 no-tls-tickets\n\
             use_backend %[ssl_fc_sni,lower,map({folder}/map)]"
        ),
    };
    let onward = match setup.mode {
        Mode::Passthrough | Mode::Terminate => String::new(),
        Mode::Reencrypt => format!(
            " ssl verify required ca-file {folder}/ca.pem sni ssl_fc_sni ssl-min-ver TLSv1.3"
        ),
    };
    let Setup {
        workers, backend, ..
    } = setup;
    format!(
        "global\nnbthread {workers}\nmaxconn {SESSIONS}\ntune.ssl.cachesize 0\n{pipes}\
         defaults\nmode tcp\n{splice}timeout connect 5s\ntimeout client 1h\ntimeout server 1h\n\
         frontend clients\n{frontend}\n\
         backend databases\nserver one {backend}{onward}\n"
    )
}

/// The map from which `haproxy.cfg` reads names.
pub(crate) fn haproxy_map(setup: &Setup) -> String {
    lines(setup, |text, host| writeln!(text, "{host} databases"))
}

/// `traefik.yml`
pub(crate) fn traefik(listen: SocketAddr) -> String {
    format!(
        "global:\n  checkNewVersion: false\n  sendAnonymousUsage: false\n\
         log:\n  level: ERROR\n\
         entryPoints:\n  clients:\n    address: \"{listen}\"\n\
         providers:\n  file:\n    filename: routes.yml\n    watch: false\n"
    )
}

/// `routes.yml`, which `traefik.yml` names.
pub(crate) fn traefik_routes(setup: &Setup) -> String {
    let tls = match setup.mode {
        Mode::Passthrough => "{passthrough: true}",
        Mode::Terminate | Mode::Reencrypt => "{}",
    };
    let routers = lines(setup, |text, host| {
        writeln!(
            text,
            "    {}: {{entryPoints: [clients], rule: \"HostSNI(`{host}`)\", service: one, tls: {tls}}}",
            host.replace('.', "-")
        )
    });
    format!(
        "tcp:\n  services:\n    one: {{loadBalancer: {{servers: [{{address: \"{}\"}}]}}}}\n\
         \x20 routers:\n{routers}\
         tls:\n  certificates:\n    - {{certFile: cert.pem, keyFile: key.pem}}\n\
         \x20 options:\n    default: {{minVersion: VersionTLS13, disableSessionTickets: true}}\n",
        setup.backend
    )
}

fn lines(setup: &Setup, line: impl Fn(&mut String, String) -> fmt::Result) -> String {
    let mut text = String::new();
    let declared = if setup.by_ctl { 0 } else { setup.databases };
    for number in 0..declared {
        // Writing to a String cannot fail.
        let _ = line(&mut text, host(number));
    }
    text
}
