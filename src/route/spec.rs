//! A database as it is declared: what it speaks, where it is, and what goes with what.
//!
//! Not here: what a session needs of it ([`super::database`]).

use std::ops::Deref;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Network;
use crate::one_or_many::OneOrMany;
use crate::protocol::Protocol;
use crate::tls::config::MinVersion;
use crate::tls::{ClientName, ClientUser, ServerName, TlsMode};
use crate::upstream::BackendAddr;

/// The longest name of a database or listener, in bytes.
pub const MAX_NAME: usize = 63;

/// Checks the name of a database or a listener: it ends up in tables, logs and labels, so it is
/// short and plain.
///
/// # Errors
/// What a name may be.
pub fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=MAX_NAME).contains(&name.len()) && name.chars().all(plain) {
        return Ok(());
    }
    Err(format!(
        "\"{}\" is no name here: use 1 to {MAX_NAME} letters, digits, '.', '_' and '-'",
        name.escape_default()
    ))
}

/// A database as declared: the keys of a `[database.NAME]` section, without its hosts.
///
/// There may be very many, so what few declare is apart, and what many declare is small.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct DatabaseSpec {
    /// What it speaks.
    pub protocol: Protocol,
    /// Where the client's TLS ends.
    pub tls: TlsMode,
    /// Most sessions at a time.
    pub max_sessions: Option<u32>,
    /// Its servers, tried in turn.
    pub backends: OneOrMany<BackendAddr>,
    /// All else; read as if it were there, also where nothing of it is declared.
    pub rare: Rarely,
}

/// What few databases declare.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rare {
    /// Networks that may connect; empty means all.
    pub allow: Vec<Network>,
    /// Networks that may not, even where `allow` has them.
    pub deny: Vec<Network>,
    /// Most sessions at a time from one address.
    pub max_sessions_per_ip: Option<u32>,
    /// Certificate shown to clients, instead of the gateway's.
    pub cert: Option<PathBuf>,
    /// The key of `cert`.
    pub key: Option<PathBuf>,
    /// Oldest TLS version accepted from clients, instead of the gateway's.
    pub min_version: Option<MinVersion>,
    /// Authorities of the certificates that clients must show.
    pub client_ca: Option<PathBuf>,
    /// Revocation lists of these authorities; a certificate that one of them has is refused.
    pub client_crl: Option<PathBuf>,
    /// The names by which certificates may come; empty means all.
    pub client_names: Vec<ClientName>,
    /// The user as whom a Postgres client may log in; anybody if absent.
    pub client_user: Option<ClientUser>,
    /// Authorities of the backends' certificates; the system's if absent.
    pub backend_ca: Option<PathBuf>,
    /// The name that backends' certificates must carry; the name asked for if absent.
    pub backend_name: Option<ServerName>,
    /// Certificate shown to backends.
    pub backend_cert: Option<PathBuf>,
    /// The key of `backend_cert`.
    pub backend_key: Option<PathBuf>,
}

/// A [`Rare`] that takes no room where nothing of it is declared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rarely(Option<Box<Rare>>);

impl From<Rare> for Rarely {
    fn from(rare: Rare) -> Self {
        Self((rare != NOTHING).then(|| Box::new(rare)))
    }
}

impl Deref for Rarely {
    type Target = Rare;

    fn deref(&self) -> &Rare {
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

static NOTHING: Rare = Rare {
    allow: Vec::new(),
    deny: Vec::new(),
    max_sessions_per_ip: None,
    cert: None,
    key: None,
    min_version: None,
    client_ca: None,
    client_crl: None,
    client_names: Vec::new(),
    client_user: None,
    backend_ca: None,
    backend_name: None,
    backend_cert: None,
    backend_key: None,
};

/// A [`DatabaseSpec`] in JSON and TOML: every key at one level, in the order of the reference.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    protocol: Protocol,
    backends: OneOrMany<BackendAddr>,
    #[serde(default)]
    tls: TlsMode,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    allow: Vec<Network>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    deny: Vec<Network>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_sessions: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_sessions_per_ip: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cert: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min_version: Option<MinVersion>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_ca: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_crl: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    client_names: Vec<ClientName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_user: Option<ClientUser>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backend_ca: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backend_name: Option<ServerName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backend_cert: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backend_key: Option<PathBuf>,
}

impl From<Written> for DatabaseSpec {
    fn from(written: Written) -> Self {
        Self {
            protocol: written.protocol,
            tls: written.tls,
            max_sessions: written.max_sessions,
            backends: written.backends,
            rare: Rare {
                allow: written.allow,
                deny: written.deny,
                max_sessions_per_ip: written.max_sessions_per_ip,
                cert: written.cert,
                key: written.key,
                min_version: written.min_version,
                client_ca: written.client_ca,
                client_crl: written.client_crl,
                client_names: written.client_names,
                client_user: written.client_user,
                backend_ca: written.backend_ca,
                backend_name: written.backend_name,
                backend_cert: written.backend_cert,
                backend_key: written.backend_key,
            }
            .into(),
        }
    }
}

impl From<DatabaseSpec> for Written {
    fn from(spec: DatabaseSpec) -> Self {
        let rare = spec.rare.0.map_or(NOTHING.clone(), |rare| *rare);
        Self {
            protocol: spec.protocol,
            backends: spec.backends,
            tls: spec.tls,
            allow: rare.allow,
            deny: rare.deny,
            max_sessions: spec.max_sessions,
            max_sessions_per_ip: rare.max_sessions_per_ip,
            cert: rare.cert,
            key: rare.key,
            min_version: rare.min_version,
            client_ca: rare.client_ca,
            client_crl: rare.client_crl,
            client_names: rare.client_names,
            client_user: rare.client_user,
            backend_ca: rare.backend_ca,
            backend_name: rare.backend_name,
            backend_cert: rare.backend_cert,
            backend_key: rare.backend_key,
        }
    }
}

impl DatabaseSpec {
    /// What does not fit together, as (key, sentence) pairs; empty when all is well.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut say = |key, what: &str| found.push((key, what.to_owned()));
        if self.backends.is_empty() {
            say(
                "backends",
                "a database needs at least one backend, as in backends = [\"10.0.0.5:5432\"]",
            );
        }
        if self.protocol.server_first() && self.tls.ends_client_tls() {
            say(
                "tls",
                "mysql and mariadb can only be relayed as they come: use tls = \"passthrough\" and a listener with protocol = \"tcp\"",
            );
        }
        if self.rare.cert.is_some() != self.rare.key.is_some() {
            say("cert", "cert and key belong together: give both or neither");
        }
        if self.rare.backend_cert.is_some() != self.rare.backend_key.is_some() {
            say(
                "backend_cert",
                "backend_cert and backend_key belong together: give both or neither",
            );
        }
        for (key, limit) in [
            ("max_sessions", self.max_sessions),
            ("max_sessions_per_ip", self.rare.max_sessions_per_ip),
        ] {
            if limit == Some(0) {
                say(key, "0 would let nobody in; use hide to end an exposure");
            }
        }
        if !self.tls.ends_client_tls() {
            for (key, given) in [
                ("cert", self.rare.cert.is_some()),
                ("min_version", self.rare.min_version.is_some()),
                ("client_ca", self.rare.client_ca.is_some()),
                ("client_crl", self.rare.client_crl.is_some()),
                ("client_names", !self.rare.client_names.is_empty()),
                ("client_user", self.rare.client_user.is_some()),
            ] {
                if given {
                    say(
                        key,
                        "has no meaning with tls = \"passthrough\": the client's TLS ends at the database",
                    );
                }
            }
        } else if self.rare.client_ca.is_none() {
            for (key, given) in [
                ("client_crl", self.rare.client_crl.is_some()),
                ("client_names", !self.rare.client_names.is_empty()),
                ("client_user", self.rare.client_user.is_some()),
            ] {
                if given {
                    say(
                        key,
                        "has no meaning without client_ca: clients are not asked for a certificate",
                    );
                }
            }
        }
        if self.rare.client_user.is_some() && self.protocol != Protocol::Postgres {
            say(
                "client_user",
                "has a meaning only with protocol = \"postgres\": of other protocols the gateway does not read who logs in",
            );
        }
        if self.tls != TlsMode::Reencrypt {
            for (key, given) in [
                ("backend_ca", self.rare.backend_ca.is_some()),
                ("backend_name", self.rare.backend_name.is_some()),
                ("backend_cert", self.rare.backend_cert.is_some()),
            ] {
                if given {
                    say(key, "has a meaning only with tls = \"reencrypt\"");
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_that_contradicts_itself_says_where() {
        let spec: DatabaseSpec = serde_json::from_value(serde_json::json!({
            "protocol": "postgres", "backends": [], "cert": "a.crt", "backend_ca": "b.crt",
        }))
        .unwrap();
        let keys: Vec<_> = spec.problems().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["backends", "cert", "cert", "backend_ca"]);
    }

    #[test]
    fn rules_for_client_certificates_need_clients_that_show_one() {
        let rules = serde_json::json!({
            "client_crl": "a.crl", "client_names": ["app"], "client_user": "certificate",
        });
        let all = ["client_crl", "client_names", "client_user"];
        for (tls, protocol, client_ca, wrong) in [
            ("passthrough", "postgres", false, &all[..]),
            ("terminate", "postgres", false, &all),
            ("reencrypt", "postgres", true, &[]),
            ("terminate", "redis", true, &["client_user"]),
        ] {
            let mut written = rules.clone();
            written["backends"] = serde_json::json!(["a:1"]);
            written["protocol"] = protocol.into();
            written["tls"] = tls.into();
            if client_ca {
                written["client_ca"] = "a.crt".into();
            }
            let spec: DatabaseSpec = serde_json::from_value(written.clone()).unwrap();
            let keys: Vec<_> = spec.problems().into_iter().map(|(key, _)| key).collect();
            assert_eq!(keys, wrong, "{tls}, {protocol}");
            assert_eq!(serde_json::to_value(&spec).unwrap(), written);
        }
    }
}
