//! The answer to `ctl explain`: the steps of the decision that a session would make, in words.
//!
//! Not here: the decision ([`crate::route::decide`]).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::gateway::ListenerSettings;
use crate::protocol::ListenerProtocol;
use crate::rate::Counted;
use crate::route::decide::{Decision, Refusal, Shown, Step, decide};
use crate::route::table::Tried;
use crate::route::{Database, Lookup, Snapshot};
use crate::stats::CloseReason;
use crate::tls::{ServerName, Sni};

/// An explained decision.
#[derive(Debug)]
pub(super) struct Explanation {
    /// Every step, a sentence each.
    pub(super) walk: Vec<String>,
    /// The database, also where it keeps the client out.
    pub(super) database: Option<Arc<Database>>,
    /// The reason for which the client is refused.
    pub(super) refused: Option<CloseReason>,
}

/// Explains where a client that asks for `host` is led by a listener of this name.
///
/// The client is taken to speak whatever the database speaks, and without a `client` to be let in
/// by `allow` and `deny`.
pub(super) fn explain(
    snapshot: &Snapshot,
    (name, settings): (&str, &ListenerSettings),
    host: &str,
    client: Option<IpAddr>,
) -> Explanation {
    // As a client sends it; what is not a name at all is looked at as it is.
    let typed = ServerName::typed(host);
    let sent = typed.as_ref().map_or(host, ServerName::as_str);
    let sni = Sni::from_host_name(sent.as_bytes());
    let shown = match settings.protocol {
        ListenerProtocol::Tcp => Shown::Port,
        _ => Shown::Hello {
            sni: &sni,
            speaks: None,
        },
    };
    let mut walk = Vec::new();
    if let (Shown::Hello { .. }, Some(looked_up)) = (shown, sni.name())
        && looked_up.as_ref() != host
    {
        walk.push(format!("{host} is looked up as {looked_up}"));
    }
    let default = settings.default.as_deref();
    let client = client.map(|client| client.to_canonical());
    let decided = decide(snapshot, default, shown, client, &mut |step| {
        walk.push(sentence(&step, name, host));
    });
    let (database, refused) = match decided {
        Ok(Decision { database, .. }) => (Some(database), None),
        Err(refusal) => (refusal.database(), Some(CloseReason::from(&refusal))),
    };
    Explanation {
        database: database.cloned(),
        refused,
        walk,
    }
}

/// Adds to an explanation what the rates of the database say to a new session of `client` at
/// `now`, a time since the start of the gateway. Nothing is counted.
pub(super) fn explain_rates(explained: &mut Explanation, client: IpAddr, now: Duration) {
    let (Some(database), None) = (&explained.database, explained.refused) else {
        return;
    };
    let (name, client) = (&database.name, client.to_canonical());
    let Some(limits) = &database.spec.access.rate else {
        return;
    };
    let of_network = limits.network.map(|rate| {
        let network = limits.network_of(client);
        format!("{rate} from {network}")
    });
    let in_all = limits.database.map(|rate| format!("{rate} in all"));
    let rates: Vec<_> = of_network.into_iter().chain(in_all).collect();
    let rates = format!("rate of {name}, {}", rates.join(" and "));
    let reached = database.counted().and_then(|live| {
        let counted = live
            .new_sessions()
            .count(limits, client, now, Counted::Nothing);
        counted.err()
    });
    explained.refused = reached.map(CloseReason::from);
    explained.walk.push(match reached {
        Some(reached) => {
            let reached = limits.reached(reached, client, name);
            format!("{rates}: {reached}: rejected")
        }
        None => format!("{rates}: not reached"),
    });
}

/// A step in words.
fn sentence(step: &Step<'_>, listener: &str, host: &str) -> String {
    match step {
        Step::Port => format!("listener {listener} relays by port: names play no part"),
        Step::NoName(sni) => {
            let hint = host.strip_prefix("*.").map_or_else(String::new, |suffix| {
                format!(": ask for what a client would send, such as name.{suffix}")
            });
            format!("no name to look up (server name {}){hint}", sni.status())
        }
        Step::Lookup(tried, found) => {
            let tried = match tried {
                Tried::Exact(name) => format!("exact {name}"),
                Tried::Wildcard(suffix) => format!("wildcard *.{suffix}"),
            };
            match found {
                Lookup::Route(route) => format!("{tried}: database {}", route.database.name),
                Lookup::Withdrawn(withdrawn) => format!("{tried}: {withdrawn}; rejected"),
                Lookup::Nothing => format!("{tried}: no"),
            }
        }
        Step::Network(network, database) => {
            format!(
                "networks of database {}: {network} has the client",
                database.name
            )
        }
        Step::Default(name, Some(_)) => {
            format!("default of listener {listener}: database {name}")
        }
        Step::Default(name, None) => {
            format!(
                "default of listener {listener}: database {name}, which does not exist: rejected"
            )
        }
        Step::NoDefault => format!("listener {listener} has no default: rejected"),
        Step::Refused(Refusal::NotAllowed(database, client)) => {
            let rule = database.spec.access.rule(*client);
            format!(
                "allow and deny of {}: {client} is kept out: {rule}",
                database.name
            )
        }
        Step::Refused(refusal) => format!("{refusal}: rejected"),
        Step::Allowed(database, client) => {
            let rule = database.spec.access.rule(*client);
            format!(
                "allow and deny of {}: {client} is let in: {rule}",
                database.name
            )
        }
    }
}

#[cfg(test)]
mod tests;
