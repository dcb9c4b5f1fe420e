//! The client of the demo: a real driver, that checks names and certificates.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::DbError;
use tokio_postgres::{Client, Config, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A session with a database.
pub(crate) struct Session(Client);

/// Connects to `addr` and asks for `host`; only a server that shows `trusted` will do.
///
/// # Errors
/// There is no session; a refusal in the server's own words is one by [`refusal`].
pub(crate) async fn connect(
    addr: SocketAddr,
    host: &str,
    trusted: &CertificateDer<'static>,
) -> Result<Session> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (client, connection) = Config::new()
        .host(host)
        .hostaddr(addr.ip())
        .port(addr.port())
        .user("demo")
        .dbname("demo")
        .ssl_mode(SslMode::Require)
        .connect(MakeRustlsConnect::new(tls))
        .await?;
    // Its end, good or bad, is told to the session's queries.
    tokio::spawn(connection);
    Ok(Session(client))
}

/// The server's own words in what [`connect`] failed with.
///
/// # Errors
/// It failed otherwise.
pub(crate) fn refusal(error: &anyhow::Error) -> Result<&DbError> {
    match error.downcast_ref::<Error>().and_then(Error::as_db_error) {
        Some(words) => Ok(words),
        None => bail!("expected a refusal that can be read, got: {error:#}"),
    }
}

impl Session {
    /// Asks the database for its name.
    ///
    /// # Errors
    /// The session is over, or there is no such answer.
    pub(crate) async fn who(&self) -> Result<String> {
        let row = self.0.query_one("show cluster_name", &[]).await;
        let row = row.context("show cluster_name")?;
        Ok(row.try_get(0)?)
    }
}
