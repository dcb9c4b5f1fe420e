//! The key `rate` of a database: how it is written, and what it means.
//!
//! Not here: counting them ([`super::new_sessions`]).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::text::serde_by_text;

/// The most sessions of a rate, in its unit of time.
const MAX_SESSIONS: u32 = 1_000_000;

/// The units of time of a rate, in seconds.
const UNITS: [(&str, u64); 3] = [("s", 1), ("m", 60), ("h", 3600)];

/// A number of new sessions in a unit of time. So many may come at once, and then each as its part
/// of the time has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    sessions: u32,
    /// The place of the unit among [`UNITS`], and its seconds.
    unit: (&'static str, u64),
}

impl Rate {
    /// The time in which as many come as may come at once.
    #[must_use]
    pub fn per(self) -> Duration {
        Duration::from_secs(self.unit.1)
    }

    /// The time after which the next may come.
    #[must_use]
    pub fn interval(self) -> Duration {
        self.per() / self.sessions
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.sessions, self.unit.0)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(sessions, unit)| {
            let unit = UNITS.into_iter().find(|(name, _)| *name == unit)?;
            Some((sessions.parse::<u32>().ok()?, unit))
        });
        match parts {
            Some((0, _)) => Err("0 would let nobody in; use hide to end an exposure".to_owned()),
            Some((sessions, unit)) if sessions <= MAX_SESSIONS => Ok(Self { sessions, unit }),
            Some(_) => Err(format!("a rate has no more than {MAX_SESSIONS} sessions")),
            None => Err(format!(
                "\"{}\" is not a rate: write sessions and a unit of time (s, m, h), as in \"10/s\"",
                text.escape_default()
            )),
        }
    }
}

serde_by_text!(Rate);

/// The lengths of the prefixes by which client networks are told apart, of IPv4 and of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    v4: u8,
    v6: u8,
}

impl Prefix {
    /// The network that an address counts with.
    #[must_use]
    pub fn of(self, ip: IpAddr) -> IpNet {
        let ip = ip.to_canonical();
        let length = match ip {
            IpAddr::V4(_) => self.v4,
            IpAddr::V6(_) => self.v6,
        };
        IpNet::new(ip, length).map_or(ip.into(), |net| net.trunc())
    }
}

impl Default for Prefix {
    /// An IPv4 address alone; an IPv6 /64 as one, since any host has all the addresses in one.
    fn default() -> Self {
        Self { v4: 32, v6: 64 }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.v4, self.v6)
    }
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lengths = text.split_once('/').and_then(|(v4, v6)| {
            let (v4, v6) = (v4.parse().ok()?, v6.parse().ok()?);
            ((1..=32).contains(&v4) && (1..=128).contains(&v6)).then_some(Self { v4, v6 })
        });
        lengths.ok_or_else(|| {
            format!(
                "\"{}\" is not a pair of prefix lengths: write that of IPv4 and that of IPv6, as in \"32/64\"",
                text.escape_default()
            )
        })
    }
}

serde_by_text!(Prefix);

/// The rate that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateReached {
    /// That of the client's network.
    Network,
    /// That of the database.
    Database,
}

/// The key `rate` of a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimits {
    /// Of the clients of one network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Rate>,
    /// The networks; [`Prefix::default`] if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<Prefix>,
    /// Of all clients together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<Rate>,
}

impl RateLimits {
    /// The network that a client counts with.
    #[must_use]
    pub fn network_of(&self, client: IpAddr) -> IpNet {
        self.prefix.unwrap_or_default().of(client)
    }

    /// A sentence for the operator about a rate of this database that a client found reached.
    #[must_use]
    pub fn reached(&self, reached: RateReached, client: IpAddr, database: &str) -> String {
        let rate = |rate: Option<Rate>| rate.map_or_else(String::new, |rate| rate.to_string());
        match reached {
            RateReached::Network => format!(
                "more than {} new sessions of {database} from {} (rate.network)",
                rate(self.network),
                self.network_of(client)
            ),
            RateReached::Database => format!(
                "more than {} new sessions of {database} (rate.database)",
                rate(self.database)
            ),
        }
    }

    /// The sentence for what does not fit together.
    #[must_use]
    pub fn problem(&self) -> Option<&'static str> {
        match (self.network, self.database, self.prefix) {
            (None, None, _) => Some(
                "a rate is that of one network, of the whole database, or both, as in rate = { network = \"10/s\", database = \"200/s\" }",
            ),
            (None, Some(_), Some(_)) => {
                Some("prefix has no meaning without network: it says what counts as one network")
            }
            _ => None,
        }
    }
}

/// As on a command line: `network=10/s,prefix=32/64,database=200/s`.
impl fmt::Display for RateLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("network", self.network.map(|rate| rate.to_string())),
            ("prefix", self.prefix.map(|prefix| prefix.to_string())),
            ("database", self.database.map(|rate| rate.to_string())),
        ];
        let mut comma = "";
        for (key, value) in parts {
            if let Some(value) = value {
                write!(f, "{comma}{key}={value}")?;
                comma = ",";
            }
        }
        Ok(())
    }
}

impl FromStr for RateLimits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut limits = Self::default();
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("network", rate)) => limits.network = Some(rate.parse()?),
                Some(("prefix", prefix)) => limits.prefix = Some(prefix.parse()?),
                Some(("database", rate)) => limits.database = Some(rate.parse()?),
                _ => {
                    return Err(format!(
                        "\"{}\" is not a rate of new sessions: write network=10/s, database=200/s, or both with a comma",
                        part.escape_default()
                    ));
                }
            }
        }
        match limits.problem() {
            Some(problem) => Err(problem.to_owned()),
            None => Ok(limits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_they_are_written() {
        for (text, interval_ms) in [("10/s", 100), ("600/m", 100), ("1/h", 3_600_000)] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate.to_string(), text);
            assert_eq!(rate.interval(), Duration::from_millis(interval_ms));
        }
        for text in [
            "", "10", "10/", "/s", "10/d", "-1/s", "1.5/s", "10 / s", "1/s/s",
        ] {
            let error = text.parse::<Rate>().unwrap_err();
            assert!(error.contains("\"10/s\""), "{text}: {error}");
        }
        assert!("0/s".parse::<Rate>().unwrap_err().contains("nobody"));
        assert!("1000000/s".parse::<Rate>().is_ok());
        assert!("1000001/s".parse::<Rate>().unwrap_err().contains("1000000"));
        for text in [
            "network=10/s,prefix=24/56,database=200/m",
            "network=1/h",
            "database=9/s",
        ] {
            let limits: RateLimits = text.parse().unwrap();
            assert_eq!(limits.to_string(), text);
        }
        for text in [
            "",
            "10/s",
            "prefix=32/64",
            "database=9/s,prefix=32/64",
            "network=1/s,",
        ] {
            assert!(text.parse::<RateLimits>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_client_counts_with_its_network() {
        for (prefix, client, network) in [
            ("32/64", "192.0.2.7", "192.0.2.7/32"),
            ("24/64", "::ffff:192.0.2.7", "192.0.2.0/24"),
            ("24/56", "2001:db8:1:2fe::7", "2001:db8:1:200::/56"),
        ] {
            let prefix: Prefix = prefix.parse().unwrap();
            assert_eq!(prefix.of(client.parse().unwrap()).to_string(), network);
        }
        for text in [
            "", "32", "0/64", "33/64", "32/0", "32/129", "32/64/1", "-1/64",
        ] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
        assert_eq!(Prefix::default().to_string(), "32/64");
    }
}
