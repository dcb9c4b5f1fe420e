//! The rules of a database about client addresses: who may come in, by which of them, and whether
//! they hold for sessions that run.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Network;
use super::spec::is_default;
use crate::rate::RateLimits;
use crate::sparse::static_default;

/// Rules for the clients of a database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Access {
    /// Networks that may connect; empty means all.
    #[serde(skip_serializing_if = "is_default")]
    pub allow: Vec<Network>,
    /// Networks that may not, even where `allow` has them.
    #[serde(skip_serializing_if = "is_default")]
    pub deny: Vec<Network>,
    /// Networks whose clients come here when they have no known name.
    #[serde(skip_serializing_if = "is_default")]
    pub networks: Vec<Network>,
    /// The sessions for which a change of these rules holds.
    #[serde(skip_serializing_if = "is_default")]
    pub enforce: Option<Enforce>,
    /// Most sessions at a time from one address.
    #[serde(skip_serializing_if = "is_default")]
    pub max_sessions_per_ip: Option<u32>,
    /// Rates of new sessions.
    #[serde(skip_serializing_if = "is_default")]
    pub rate: Option<RateLimits>,
}

static_default!(Access);

impl Access {
    /// The rule that lets an address in or keeps it out.
    #[must_use]
    pub fn rule(&self, client: IpAddr) -> Rule<'_> {
        let first = |networks: &[Network]| networks.iter().position(|net| net.contains(client));
        if let Some(network) = first(&self.deny).and_then(|at| self.deny.get(at)) {
            return Rule::Denied(network);
        }
        match first(&self.allow).and_then(|at| self.allow.get(at)) {
            Some(network) => Rule::Allowed(network),
            None if self.allow.is_empty() => Rule::NotDenied(!self.deny.is_empty()),
            None => Rule::NotAllowed(self.allow.len()),
        }
    }

    /// True if sessions end that the rules no longer let in.
    #[must_use]
    pub fn ends_sessions(&self) -> bool {
        self.enforce == Some(Enforce::Now)
    }
}

/// The rule that lets an address in or keeps it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule<'a> {
    /// A network of `deny`.
    Denied(&'a Network),
    /// A network of `allow`.
    Allowed(&'a Network),
    /// None of `allow`, which has so many.
    NotAllowed(usize),
    /// None of `deny`, which has some if true, and there is no `allow`.
    NotDenied(bool),
}

impl Rule<'_> {
    /// True if it lets the address in.
    #[must_use]
    pub fn admits(self) -> bool {
        matches!(self, Self::Allowed(_) | Self::NotDenied(_))
    }
}

impl fmt::Display for Rule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(network) => write!(f, "deny has {network}"),
            Self::Allowed(network) => write!(f, "allow has {network}"),
            Self::NotAllowed(1) => f.write_str("it is not in the network of allow"),
            Self::NotAllowed(many) => write!(f, "it is in none of the {many} networks of allow"),
            Self::NotDenied(true) => f.write_str("it is in no network of deny"),
            Self::NotDenied(false) => f.write_str("there are no rules"),
        }
    }
}

/// The sessions for which a change of the rules holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enforce {
    /// Those that run, too: whom the rules no longer let in is closed.
    Now,
    /// New ones; the default.
    New,
}

impl Enforce {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::New, Self::Now];

    /// The word of the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::New => "new",
        }
    }
}

impl std::str::FromStr for Enforce {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|word| word.as_str() == text);
        found.ok_or_else(|| {
            format!(
                "\"{}\" is neither \"now\" nor \"new\"",
                text.escape_default()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_that_decides_is_named() {
        let access = |allow: &[&str], deny: &[&str]| {
            let networks = |all: &[&str]| all.iter().map(|text| text.parse().unwrap()).collect();
            Access {
                allow: networks(allow),
                deny: networks(deny),
                ..Access::default()
            }
        };
        let (all, one) = ("10.0.0.0/8", "10.1.2.3/32");
        for (allow, deny, client, admits, words) in [
            (&[][..], &[][..], "10.1.2.3", true, "there are no rules"),
            (&[], &[one], "10.1.2.4", true, "it is in no network of deny"),
            (
                &[all],
                &[one],
                "::ffff:10.1.2.3",
                false,
                "deny has 10.1.2.3/32",
            ),
            (&[one, all], &[], "10.1.2.3", true, "allow has 10.1.2.3/32"),
            (&[one, all], &[], "10.9.9.9", true, "allow has 10.0.0.0/8"),
            (
                &[one, all],
                &[],
                "::1",
                false,
                "it is in none of the 2 networks of allow",
            ),
            (
                &[all],
                &[],
                "11.0.0.1",
                false,
                "it is not in the network of allow",
            ),
        ] {
            let access = access(allow, deny);
            let rule = access.rule(client.parse().unwrap());
            assert_eq!((rule.admits(), rule.to_string().as_str()), (admits, words));
        }
    }
}
