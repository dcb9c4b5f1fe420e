//! A look at the backends of a database before clients come: each is dialled and prepared as for a
//! session, up to the first byte of TLS.
//!
//! Not here: health checks. This is one look for one operator, and what it saw is not kept.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, RootCertStore};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connect::{ConnectParams, ConnectStage, connect_one, tls_name};
use super::end::SessionEnd;
use super::proxy_header::ProxyHeader;
use crate::net::Stream;
use crate::preface::of;
use crate::route::{Database, Host};
use crate::stats::{CloseReason, Detail};
use crate::tls::config::PROVIDER;
use crate::tls::{ServerName, TlsMode, error};
use crate::upstream::BackendAddr;

/// Timeout of a backend to be reached and to answer.
const LIMIT: Duration = Duration::from_secs(2);

/// [`LIMIT`], for people.
const LIMIT_WORDS: &str = "two seconds";

/// The first bytes of the TLS records that can answer a ClientHello: alert and handshake.
const TLS_ANSWERS: [u8; 2] = [0x15, 0x16];

/// A problem that a session would have with a backend now.
#[derive(Clone, Debug, Serialize)]
pub struct Warning {
    /// The backend, as declared.
    pub backend: String,
    /// As in `ctl rejects`.
    pub reason: CloseReason,
    /// A sentence for people.
    pub detail: Detail,
    /// A remedy, where one is known.
    pub remedy: Option<&'static str>,
}

/// Looks at all backends at the same time; those that would not do, in the order declared, within
/// `LIMIT`.
pub async fn warnings(database: &Arc<Database>) -> Vec<Warning> {
    let mut looks = JoinSet::new();
    for (place, addr) in database.spec.backends.iter().enumerate() {
        let (database, addr) = (database.clone(), addr.clone());
        looks.spawn(async move { (place, look(&database, &addr).await) });
    }
    let mut seen = looks.join_all().await;
    seen.sort_by_key(|(place, _)| *place);
    seen.into_iter()
        .filter_map(|(_, warning)| warning)
        .collect()
}

async fn look(database: &Database, addr: &BackendAddr) -> Option<Warning> {
    let mut stage = ConnectStage::default();
    let end = match timeout(LIMIT, serve(database, addr, &mut stage)).await {
        Ok(Ok(())) => return None,
        Ok(Err(end)) => end,
        Err(_) => stage.timed_out(addr, LIMIT_WORDS),
    };
    let unanswered = matches!(
        end.reason,
        CloseReason::BackendSilent | CloseReason::BackendClosedEarly
    );
    // Many servers that know no TLS say nothing to a ClientHello.
    let remedy = if unanswered && hello_first(database) {
        Some("no TLS there, or it does not serve: `--tls terminate` lets the gateway do TLS")
    } else {
        end.reason.remedy()
    };
    Some(Warning {
        backend: addr.to_string(),
        reason: end.reason,
        detail: end.detail,
        remedy,
    })
}

/// True if a client's hello is the first that a backend gets.
fn hello_first(database: &Database) -> bool {
    database.spec.tls == TlsMode::Passthrough && of(database.spec.protocol).tls_first()
}

/// Goes as far with a backend as a session gets without a client.
async fn serve(
    database: &Database,
    addr: &BackendAddr,
    stage: &mut ConnectStage,
) -> Result<(), SessionEnd> {
    let (protocol, mode) = (database.spec.protocol, database.spec.tls.mode());
    let params = ConnectParams {
        before_tls: of(protocol).initiator(mode, None),
        sni: database.active_hosts().find_map(client_name),
        proxy: database.spec.send_proxy.map(ProxyHeader::own),
        ..ConnectParams::default()
    };
    let tls = database.backend_tls.as_ref();
    let (stream, _) = connect_one(addr, &params, tls, stage).await?;
    if mode == TlsMode::Passthrough && !protocol.server_first() {
        greet(stream, params.sni.as_ref(), addr).await?;
    }
    Ok(())
}

/// A name by which a client may come.
fn client_name(host: &Host) -> Option<ServerName> {
    match host {
        Host::Exact(name) => Some(name.clone()),
        Host::Wildcard(suffix) => ServerName::parse(&format!("check.{suffix}")).ok(),
    }
}

/// Sends a ClientHello as a client would, and waits for the first byte of TLS.
async fn greet(
    mut stream: Stream,
    sni: Option<&ServerName>,
    addr: &BackendAddr,
) -> Result<(), SessionEnd> {
    let early = |detail: String| SessionEnd::new(CloseReason::BackendClosedEarly, detail);
    let hello = hello(sni, addr).ok_or_else(|| {
        let words = "the gateway could not make a ClientHello for it";
        SessionEnd::new(CloseReason::Resources, words)
    })?;
    let mut first = [0];
    let answer = async {
        stream.write_all(&hello).await?;
        stream.read(&mut first).await
    };
    match answer.await {
        Ok(1) if TLS_ANSWERS.contains(&first[0]) => Ok(()),
        Ok(1) => Err(SessionEnd::new(
            CloseReason::BackendNoTls,
            "the backend answered a ClientHello with something other than TLS",
        )),
        Ok(_) => Err(early(
            "the backend closed the connection at a ClientHello".to_owned(),
        )),
        Err(e) => Err(early(format!(
            "the connection broke at a ClientHello: {}",
            error::words(&e)
        ))),
    }
}

/// A ClientHello; nothing is made of what answers it, so nothing has to be trusted.
fn hello(sni: Option<&ServerName>, addr: &BackendAddr) -> Option<Vec<u8>> {
    static CONFIG: LazyLock<Option<Arc<ClientConfig>>> = LazyLock::new(|| {
        let config = ClientConfig::builder_with_provider(PROVIDER.clone())
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .ok()?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        Some(Arc::new(config))
    });
    let name = tls_name(sni, addr).ok()?;
    let mut client = ClientConnection::new(CONFIG.clone()?, name).ok()?;
    let mut hello = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut hello).ok()?;
    }
    Some(hello)
}
