//! The target of a client, and how it connects: the argument of every client program.

use std::path::PathBuf;

use serde::Serialize;

use crate::certs::{Ca, Leaf};

/// The target of a client, and how it connects; a `None` is not passed on to the driver.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Target {
    pub(crate) host: String,
    /// Only the clients of libpq: the address of `host`, which is then not resolved.
    pub(crate) hostaddr: Option<String>,
    pub(crate) port: u16,
    /// PEM file of the authorities to trust.
    pub(crate) ca: Option<PathBuf>,
    /// Verify chain and name of the server's certificate.
    pub(crate) verify: bool,
    /// Send the host as the server name; only psql, psycopg, pgx, pgAdmin, redis-cli
    /// and ioredis can leave it out, and the `MariaDB` client decides by itself.
    pub(crate) sni: bool,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) dbname: Option<String>,
    /// Default: `verify-full`, or `require` without `verify`. For Redis and `MongoDB`
    /// only `disable` has a meaning, for MySQL that and `require`, `verify-ca`, `verify-full`.
    pub(crate) sslmode: Option<String>,
    pub(crate) sslnegotiation: Option<String>,
    pub(crate) channel_binding: Option<String>,
    pub(crate) client_cert: Option<PathBuf>,
    pub(crate) client_key: Option<PathBuf>,
    /// `sleep_cancel` of psycopg: the old call of libpq, which cancels without TLS.
    pub(crate) legacy_cancel: bool,
    /// Amount of data that `pump` sends, and receives again, in MiB.
    pub(crate) mib: u32,
    /// Seconds to wait for a cancel to take effect, and for a server in a `MongoDB` driver.
    pub(crate) timeout: u32,
}

impl Target {
    /// TLS, verified against `ca`, without a user.
    pub(crate) fn new(host: &str, port: u16, ca: &Ca) -> Self {
        Self {
            ca: Some(ca.path().to_owned()),
            verify: true,
            ..Self::unverified(host, port)
        }
    }

    /// TLS without any verification, without a user.
    pub(crate) fn unverified(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            hostaddr: Some("127.0.0.1".to_owned()),
            port,
            ca: None,
            verify: false,
            sni: true,
            user: None,
            password: None,
            dbname: None,
            sslmode: None,
            sslnegotiation: None,
            channel_binding: None,
            client_cert: None,
            client_key: None,
            legacy_cancel: false,
            mib: 8,
            timeout: 10,
        }
    }

    /// TLS, verified against `ca`, as the user `app` that every Postgres of the tests has.
    pub(crate) fn postgres(host: &str, port: u16, ca: &Ca) -> Self {
        Self::new(host, port, ca).app()
    }

    /// As the user `app`, in the database `app`: there is one in every Postgres and `MariaDB` of the tests.
    pub(crate) fn app(self) -> Self {
        let some = |text: &str| Some(text.to_owned());
        Self {
            user: some("app"),
            password: some("secret"),
            dbname: some("app"),
            ..self
        }
    }

    /// Without a server name, for those clients that can.
    pub(crate) fn without_sni(self) -> Self {
        Self { sni: false, ..self }
    }

    /// `sslmode`, as libpq names it.
    pub(crate) fn sslmode(self, mode: &str) -> Self {
        Self {
            sslmode: Some(mode.to_owned()),
            ..self
        }
    }

    /// `sslnegotiation=direct`: TLS from the first byte. Only psycopg, asyncpg, node-postgres, pgx
    /// and pgjdbc can, and psql from version 17.
    pub(crate) fn direct(self) -> Self {
        Self {
            sslnegotiation: Some("direct".to_owned()),
            ..self
        }
    }

    /// `channel_binding`, as libpq names it; asyncpg has none.
    pub(crate) fn channel_binding(self, mode: &str) -> Self {
        Self {
            channel_binding: Some(mode.to_owned()),
            ..self
        }
    }

    /// Shows a client certificate, as the user it is for, without a password.
    pub(crate) fn certificate(self, user: &str, leaf: &Leaf) -> Self {
        Self {
            user: Some(user.to_owned()),
            password: None,
            client_cert: Some(leaf.cert_path.clone()),
            client_key: Some(leaf.key_path.clone()),
            ..self
        }
    }
}
