//! The keys about the backends of a database: how a session is given one.

use serde::{Deserialize, Serialize};

use super::health::Health;
use super::spec::is_default;
use crate::one_or_many::OneOrMany;
use crate::protocol::Protocol;
use crate::sparse::static_default;
use crate::upstream::{BackendAddr, Balance, Balancing, WeightedAddr};

/// The use of the backends of a database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Upstream {
    /// The choice among them.
    #[serde(skip_serializing_if = "is_default")]
    pub balance: Balance,
    /// The checks of each.
    #[serde(skip_serializing_if = "is_default")]
    pub health: Option<Health>,
    /// A weight for each, in the order declared; none where all have the same. Written beside each
    /// address.
    #[serde(skip)]
    pub weights: Box<[u32]>,
}

impl Upstream {
    /// The choice among them, with their weights.
    #[must_use]
    pub fn balancing(&self) -> Balancing<'_> {
        Balancing {
            balance: self.balance,
            weights: &self.weights,
        }
    }
}

static_default!(Upstream);

/// Keys that do not fit together, each with a sentence.
pub(super) fn problems(
    upstream: &Upstream,
    backends: &[WeightedAddr],
    protocol: Protocol,
) -> Vec<(&'static str, &'static str)> {
    let mut found = Vec::new();
    let weighted = backends.iter().any(|backend| backend.weight != 1);
    if weighted && upstream.balance == Balance::First {
        found.push((
            "backends",
            "a weight has no meaning with balance = \"first\", which takes the first that is ready: add balance, one of round-robin, least-sessions, source-ip",
        ));
    }
    let problem = upstream.health.as_ref();
    let problem = problem.and_then(|health| health.problem(protocol));
    found.extend(problem.map(|what| ("health", what)));
    found
}

/// The addresses, and their weights if they differ from 1.
pub(super) fn split(backends: OneOrMany<WeightedAddr>) -> (OneOrMany<BackendAddr>, Box<[u32]>) {
    let weighted = backends.iter().any(|backend| backend.weight != 1);
    let weights = backends.iter().filter(|_| weighted);
    let weights = weights.map(|backend| backend.weight).collect();
    (backends.map(|backend| backend.addr), weights)
}

/// The opposite of [`split`].
pub(super) fn join(
    backends: OneOrMany<BackendAddr>,
    balancing: Balancing<'_>,
) -> OneOrMany<WeightedAddr> {
    let mut places = 0..;
    backends.map(|addr| WeightedAddr {
        addr,
        weight: places.next().map_or(1, |place| balancing.weight(place)),
    })
}
