//! Live sessions.

use super::no_database;
use crate::control::answer::{SessionSummary, SessionsAnswer};
use crate::control::error::CommandError;
use crate::control::params::SessionsParams;
use crate::gateway::Gateway;
use crate::sessions::SessionView;

/// The live sessions that are asked for.
pub(in crate::control) fn sessions(
    gateway: &Gateway,
    filter: &SessionsParams,
) -> Result<SessionsAnswer, CommandError> {
    let wanted = filter.database.as_deref();
    let from = filter.client;
    let sessions: Vec<_> = gateway
        .sessions
        .select(|e| {
            wanted.is_none_or(|name| &*e.database.name == name)
                && from.is_none_or(|network| network.contains(e.client.ip()))
        })
        .iter()
        .map(|e| session(e.view()))
        .collect();
    if let Some(name) = wanted
        && sessions.is_empty()
        && !gateway.store.snapshot().databases.contains_key(name)
    {
        return Err(no_database(gateway, name));
    }
    Ok(SessionsAnswer { sessions })
}

fn session(view: SessionView) -> SessionSummary {
    SessionSummary {
        id: view.id,
        database: view.database,
        host: view.host,
        sni: view.sni,
        client: view.client.to_string(),
        user_cert: view.user_cert,
        listener: view.listener,
        protocol: view.protocol.to_owned(),
        tls: view.tls.as_str().to_owned(),
        backend: view.backend.map(|backend| backend.to_string()),
        bytes_in: view.bytes_in,
        bytes_out: view.bytes_out,
        age_ms: view.age_ms,
        state: view.state.to_owned(),
    }
}
