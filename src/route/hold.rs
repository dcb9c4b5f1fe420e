//! Clients that wait while no backend of their database is ready (`hold`), and the call that starts
//! the database (`wake`).
//!
//! Not here: the clients that wait now ([`crate::held_clients`]).

use std::fmt;
use std::str::FromStr;

use hyper::{Method, Uri};
use serde::{Deserialize, Serialize};

use crate::duration::HumanDuration;
use crate::sparse::static_default;
use crate::text::serde_by_text;
use crate::upstream::BackendAddr;

/// Most clients that wait at a time, where `hold_max` says nothing.
const DEFAULT_MAX: u32 = 1000;

/// The keys `hold`, `hold_max` and `wake` of a database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hold {
    /// Most time that a client waits for a backend; none do if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<HumanDuration>,
    /// Most clients that wait at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_max: Option<u32>,
    /// The call that starts the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wake: Option<Wake>,
}

static_default!(Hold);

impl Hold {
    /// Most clients that wait at a time.
    #[must_use]
    pub fn max(&self) -> u32 {
        self.hold_max.unwrap_or(DEFAULT_MAX)
    }

    /// Keys that are wrong beside the others, each with a sentence.
    pub(super) fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let mut found = Vec::new();
        if self.hold.is_some_and(|hold| hold.0.is_zero()) {
            found.push(("hold", "nobody waits for 0s: leave hold out"));
        }
        if self.hold_max == Some(0) {
            found.push(("hold_max", "0 would let nobody wait: leave hold out"));
        }
        if self.hold.is_none() {
            let alone = "has no meaning without hold: no client waits for the database";
            if self.hold_max.is_some() {
                found.push(("hold_max", alone));
            }
            if self.wake.is_some() {
                found.push(("wake", alone));
            }
        }
        found
    }
}

/// A way to start a database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wake {
    /// By an HTTP call.
    pub http: HttpCall,
}

/// An HTTP request without a body: `POST http://starter:8080/pg1`.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpCall {
    /// `GET`, `POST` or `PUT`.
    pub method: Method,
    /// The service's address.
    pub addr: BackendAddr,
    /// Path and query.
    pub path: Box<str>,
}

impl fmt::Display for HttpCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} http://{}{}", self.method, self.addr, self.path)
    }
}

impl FromStr for HttpCall {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The text is not quoted: a query may hold a secret.
        const EXPECTED: &str = "write a method and a URL, as in \"POST http://starter:8080/pg1\"";
        let (method, url) = text
            .trim()
            .split_once(' ')
            .ok_or(format!("not an HTTP call: {EXPECTED}"))?;
        let method = match method {
            "GET" => Method::GET,
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            _ => return Err(format!("not a method of GET, POST and PUT: {EXPECTED}")),
        };
        let url: Uri = url
            .trim()
            .parse()
            .map_err(|_| format!("not a URL: {EXPECTED}"))?;
        if url.scheme_str() != Some("http") {
            return Err(format!("only http:// is spoken here: {EXPECTED}"));
        }
        let authority = url
            .authority()
            .filter(|authority| !authority.as_str().contains('@'))
            .ok_or(format!(
                "a URL of a host and no user is expected: {EXPECTED}"
            ))?;
        let port = authority.port_u16().unwrap_or(80);
        let addr = format!("{}:{port}", authority.host()).parse()?;
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            method,
            addr,
            path: path.into(),
        })
    }
}

serde_by_text!(HttpCall);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_as_they_are_written() {
        for (text, written) in [
            (
                "POST http://starter:8080/pg1",
                "POST http://starter:8080/pg1",
            ),
            ("GET http://10.0.0.1", "GET http://10.0.0.1:80/"),
            (
                "PUT http://[fd00::1]:81/a?b=c",
                "PUT http://[fd00::1]:81/a?b=c",
            ),
        ] {
            let call: HttpCall = text.parse().unwrap();
            assert_eq!(call.to_string(), written);
            assert_eq!(written.parse(), Ok(call));
        }
        for text in [
            "",
            "http://starter/",
            "POST starter/",
            "POST https://starter/secret",
            "DELETE http://starter/",
            "POST http://me:secret@starter/",
            "POST http:///secret",
        ] {
            let error = text.parse::<HttpCall>().unwrap_err();
            assert!(error.contains("POST http://starter:8080/pg1"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
