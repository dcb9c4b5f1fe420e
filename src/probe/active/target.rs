//! Target of a probe: the URL of a database, and an address to dial in its place.
//!
//! Of a URL only protocol, host and port count. Its other parts (user, password, database,
//! options) is never kept, so that nothing can print it.
//! Source: RFC 3986 section 3; for several hosts the connection strings of libpq and MongoDB.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use thiserror::Error;

use crate::protocol::Protocol;
use crate::tls::ServerName;
use crate::upstream::ZonedAddr;

/// Host: a name or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A DNS name.
    Name(ServerName),
    /// A literal address.
    Ip(IpAddr),
    /// A literal address on the link of an interface.
    Zoned(Box<ZonedAddr>),
}

impl Host {
    fn parse(text: &str) -> Result<Self, TargetError> {
        if let Some(v6) = text.strip_prefix('[') {
            if v6.contains('%') {
                let zoned = v6.strip_suffix(']').and_then(|v6| v6.parse().ok());
                return zoned
                    .map(|zoned| Self::Zoned(Box::new(zoned)))
                    .ok_or(TargetError::Zone);
            }
            let v6 = v6.strip_suffix(']').and_then(|v6| v6.parse().ok());
            return v6
                .map(|v6| Self::Ip(IpAddr::V6(v6)))
                .ok_or(TargetError::Ipv6);
        }
        match text.parse() {
            Ok(v4) => Ok(Self::Ip(IpAddr::V4(v4))),
            Err(_) => Ok(Self::Name(ServerName::typed(text)?)),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Zoned(addr) => write!(f, "[{addr}]"),
        }
    }
}

/// A host, and the port where one was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The name or address.
    pub host: Host,
    /// The TCP port.
    pub port: Option<u16>,
}

impl Endpoint {
    /// Reads `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`.
    ///
    /// # Errors
    /// [`TargetError`] says what is wrong, without quoting the text.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(TargetError::Brackets);
        }
        let (host, port) = match text.rsplit_once(':') {
            // The last colon of an address in brackets belongs to it.
            Some((_, port)) if port.ends_with(']') => (text, None),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let port = port.map(|port| match port.parse() {
            Ok(0) | Err(_) => Err(TargetError::Port),
            Ok(port) => Ok(port),
        });
        Ok(Self {
            port: port.transpose()?,
            host: Host::parse(host)?,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => self.host.fmt(f),
        }
    }
}

/// Target of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The protocol, with the ways into TLS and the questions that belong to it.
    pub protocol: Option<Protocol>,
    /// The word for it.
    pub name: &'static str,
    /// The hosts, at least one, each with the port to dial.
    pub hosts: Vec<(Host, u16)>,
    /// Parts of the URL that were left aside, in words.
    pub ignored: Vec<&'static str>,
}

/// Error in the text of a target; no variant carries the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TargetError {
    /// No `://`.
    #[error(
        "the protocol is missing: use postgres://HOST, mysql://HOST, mongodb://HOST, redis://HOST or tls://HOST"
    )]
    NoScheme,
    /// A protocol that is not known.
    #[error("unknown protocol: use postgres, mysql, mariadb, mongodb, redis, rediss or tls")]
    Scheme,
    /// `mongodb+srv`.
    #[error("mongodb+srv:// is not supported: name one of its hosts, as in mongodb://HOST:27017")]
    Srv,
    /// `://` and nothing behind it.
    #[error("the host is missing")]
    NoHost,
    /// A port that is not a number from 1 to 65535.
    #[error(
        "invalid port: use a number from 1 to 65535 (in a password write '/', '?' and '#' as %2F, %3F and %23)"
    )]
    Port,
    /// Brackets without an IPv6 address.
    #[error("invalid IPv6 address between the brackets")]
    Ipv6,
    /// An address with a % that names no interface.
    #[error("invalid interface: write a link-local address as in [fe80::1%eth0]:5432")]
    Zone,
    /// An IPv6 address without brackets.
    #[error("missing brackets: write an IPv6 address as in [fd00::5]:5432")]
    Brackets,
    /// Neither a name nor an address.
    #[error("invalid host: {0}")]
    Name(#[from] crate::tls::name::NameError),
}

/// Each protocol of a URL, what is meant by it, its name, and its port.
const SCHEMES: &[(&str, Option<Protocol>, &str, u16)] = &[
    ("postgres", Some(Protocol::Postgres), "postgres", 5432),
    ("postgresql", Some(Protocol::Postgres), "postgres", 5432),
    ("mysql", Some(Protocol::Mysql), "mysql", 3306),
    ("mariadb", Some(Protocol::Mariadb), "mariadb", 3306),
    ("mongodb", Some(Protocol::Mongodb), "mongodb", 27017),
    ("redis", Some(Protocol::Redis), "redis", 6379),
    ("rediss", Some(Protocol::Redis), "redis", 6379),
    ("valkey", Some(Protocol::Redis), "redis", 6379),
    ("valkeys", Some(Protocol::Redis), "redis", 6379),
    ("tls", Some(Protocol::Tls), "tls", 443),
];

impl Target {
    /// The protocols that a URL may begin with.
    pub fn schemes() -> impl Iterator<Item = &'static str> {
        SCHEMES.iter().map(|(scheme, ..)| *scheme)
    }

    /// Reads a URL.
    ///
    /// # Errors
    /// [`TargetError`] says what is wrong, without quoting the text.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let (scheme, rest) = url.split_once("://").ok_or(TargetError::NoScheme)?;
        let scheme = scheme.to_ascii_lowercase();
        if scheme == "mongodb+srv" {
            return Err(TargetError::Srv);
        }
        let (_, protocol, name, default_port) = SCHEMES
            .iter()
            .find(|(known, ..)| *known == scheme)
            .ok_or(TargetError::Scheme)?;
        let mut ignored = Vec::new();
        let authority = match rest.find(['/', '?', '#']) {
            Some(end) => {
                let (authority, path) = rest.split_at(end);
                if path != "/" {
                    ignored.push("database and options");
                }
                authority
            }
            None => rest,
        };
        let hosts = match authority.rsplit_once('@') {
            Some((_, hosts)) => {
                ignored.insert(0, "user and password");
                hosts
            }
            None => authority,
        };
        if hosts.is_empty() {
            return Err(TargetError::NoHost);
        }
        let hosts = hosts
            .split(',')
            .map(|text| {
                // A URL escapes the % before an interface (RFC 6874 section 2).
                let endpoint = Endpoint::parse(&text.replace("%25", "%"))?;
                Ok((endpoint.host, endpoint.port.unwrap_or(*default_port)))
            })
            .collect::<Result<_, TargetError>>()?;
        Ok(Self {
            protocol: *protocol,
            name,
            hosts,
            ignored,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(url: &str) -> String {
        match Target::parse(url) {
            Ok(target) => {
                let hosts: Vec<String> = target
                    .hosts
                    .iter()
                    .map(|(host, port)| format!("{host}:{port}"))
                    .collect();
                let ignored = target.ignored.join(" and ");
                format!("{} {} {ignored}", target.name, hosts.join(" "))
                    .trim_end()
                    .to_owned()
            }
            Err(e) => format!("{e:?}"),
        }
    }

    #[test]
    fn urls_give_protocol_host_and_port() {
        for (url, expected) in [
            ("postgres://pg.example.com", "postgres pg.example.com:5432"),
            (
                "postgresql://PG.example.com.:6432/",
                "postgres pg.example.com:6432",
            ),
            ("mysql://10.0.0.5", "mysql 10.0.0.5:3306"),
            ("mariadb://[fd00::5]", "mariadb [fd00::5]:3306"),
            ("rediss://[fd00::5]:6380", "redis [fd00::5]:6380"),
            ("TLS://web.example", "tls web.example:443"),
            (
                "mongodb://a.example,b.example:27018",
                "mongodb a.example:27017 b.example:27018",
            ),
            (
                "postgres://u:p%2Fw@h.example/db?sslmode=require",
                "postgres h.example:5432 user and password and database and options",
            ),
            (
                "redis://:p@ss@h.example",
                "redis h.example:6379 user and password",
            ),
            ("h.example:5432", "NoScheme"),
            ("http://h.example", "Scheme"),
            ("mongodb+srv://h.example", "Srv"),
            ("tls://", "NoHost"),
            ("postgres:///db", "NoHost"),
            ("tls://h.example:0", "Port"),
            ("tls://h.example:65536", "Port"),
            ("tls://fd00::5:443", "Brackets"),
            ("tls://[fd00", "Ipv6"),
            ("tls://[nonsense]", "Ipv6"),
            ("tls://[fe80::1%eth0]", "tls [fe80::1%eth0]:443"),
            ("tls://[fe80::1%25eth0]:1", "tls [fe80::1%eth0]:1"),
            ("tls://[fe80::1%]", "Zone"),
            ("tls://b\u{fc}cher.example", "tls xn--bcher-kva.example:443"),
            ("tls://a..b", "Name(EmptyLabel)"),
        ] {
            assert_eq!(said(url), expected, "{url}");
        }
    }

    #[test]
    fn no_error_quotes_a_password() {
        // An unescaped slash makes the password look like a port.
        for url in [
            "postgres://u:secret/x@h",
            "secret",
            "x://u:secret@h",
            "tls://u:secret,@h h",
        ] {
            let error = Target::parse(url).unwrap_err();
            let texts = format!("{error} {error:?}");
            assert!(!texts.contains("secret"), "{texts}");
        }
    }

    #[test]
    fn endpoints_may_leave_the_port_out() {
        for (text, expected) in [
            ("127.0.0.1", Some("127.0.0.1")),
            ("127.0.0.1:1", Some("127.0.0.1:1")),
            ("::1", None),
            ("::1:5432", None),
            ("[::1]", Some("[::1]")),
            ("[::1]:15432", Some("[::1]:15432")),
            ("[fe80::1%eth0]:15432", Some("[fe80::1%eth0]:15432")),
            ("[fe80::1%eth0]", Some("[fe80::1%eth0]")),
            ("[fe80::1%]:1", None),
            ("gate.example:7432", Some("gate.example:7432")),
            ("gate.example:", None),
            ("", None),
        ] {
            let endpoint = Endpoint::parse(text).ok().map(|e| e.to_string());
            assert_eq!(endpoint.as_deref(), expected, "{text}");
        }
    }
}
