//! The declaration of a database: its keys, and which of them fit together.
//!
//! A new key is a field of [`Keys`] and [`DatabaseSpec`], or of the group that it belongs to
//! ([`Access`], [`Upstream`], [`ClientTls`], [`BackendTls`]); which keys fit together is checked here, too. How
//! they are read from a file is in [`crate::config`]. Not here: what a session needs of a database
//! ([`super::database`]).

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::access::Access;
use super::hold::Hold;
use super::upstream::{self, Upstream};
use crate::one_or_many::OneOrMany;
use crate::protocol::Protocol;
use crate::proxy_protocol::Version;
use crate::sparse::{Sparse, static_default};
use crate::tls::config::{MaterialKind, MinVersion};
use crate::tls::material::MaterialOrigin;
use crate::tls::{ClientName, ClientUser, ServerName, TlsMode};
use crate::upstream::{BackendAddr, WeightedAddr};

/// The longest name of a database or listener, in bytes.
pub const MAX_NAME: usize = 63;

/// Checks the name of a database or a listener: it ends up in tables, logs and labels, so it is
/// short and plain.
///
/// # Errors
/// The name is invalid; the error says what a name may be.
pub fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=MAX_NAME).contains(&name.len()) && name.chars().all(plain) {
        return Ok(());
    }
    Err(format!(
        "invalid name \"{}\": use 1 to {MAX_NAME} letters, digits, '.', '_' and '-'",
        name.escape_default()
    ))
}

/// A database as declared: the keys of a `[database.NAME]` section, without its hosts, that fit
/// together.
///
/// There may be very many, so what few declare is [`Sparse`], and what many declare is small.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Keys", into = "Keys")]
pub struct DatabaseSpec {
    /// The protocol that it speaks.
    pub protocol: Protocol,
    /// Its backends.
    pub backends: OneOrMany<BackendAddr>,
    /// The choice among them.
    pub upstream: Sparse<Upstream>,
    /// The TLS mode, with its settings.
    pub tls: Tls,
    /// Most sessions at a time.
    pub max_sessions: Option<NonZeroU32>,
    /// Rules for clients.
    pub access: Sparse<Access>,
    /// The PROXY protocol header that backends get before anything else.
    pub send_proxy: Option<Version>,
    /// Waiting for a backend.
    pub hold: Sparse<Hold>,
}

/// The TLS mode of a database, with the settings that belong to it.
#[derive(Clone, Debug, PartialEq)]
pub enum Tls {
    /// The client's TLS ends at the database.
    Passthrough,
    /// It ends at the gateway; the backend gets plaintext.
    Terminate(Sparse<ClientTls>),
    /// It ends at the gateway, which opens TLS of its own to the backend.
    Reencrypt(Sparse<Reencrypt>),
}

/// The settings of [`Tls::Reencrypt`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reencrypt {
    /// Towards clients.
    pub client: ClientTls,
    /// Towards backends.
    pub backend: BackendTls,
}

impl Tls {
    /// The mode.
    #[must_use]
    pub fn mode(&self) -> TlsMode {
        match self {
            Self::Passthrough => TlsMode::Passthrough,
            Self::Terminate(_) => TlsMode::Terminate,
            Self::Reencrypt(_) => TlsMode::Reencrypt,
        }
    }

    /// The word of the mode.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        self.mode().as_str()
    }

    /// True if the gateway itself completes the client's handshake.
    #[must_use]
    pub fn ends_client_tls(&self) -> bool {
        self.client().is_some()
    }

    /// The settings towards clients; `None` where their TLS ends at the database.
    #[must_use]
    pub fn client(&self) -> Option<&ClientTls> {
        match self {
            Self::Passthrough => None,
            Self::Terminate(client) => Some(client),
            Self::Reencrypt(both) => Some(&both.client),
        }
    }

    /// The settings towards backends; `None` where the gateway opens no TLS to them.
    #[must_use]
    pub fn backend(&self) -> Option<&BackendTls> {
        match self {
            Self::Passthrough | Self::Terminate(_) => None,
            Self::Reencrypt(both) => Some(&both.backend),
        }
    }

    /// The keys that name certificates and keys, but for revocation lists, which are read again by
    /// themselves.
    #[must_use]
    pub fn material(&self) -> Vec<(&'static str, MaterialKind, &MaterialOrigin)> {
        use MaterialKind::{Authorities, Chain, Key};
        let client = self.client().into_iter().flat_map(|client| {
            [
                ("cert", Chain, &client.cert),
                ("key", Key, &client.key),
                ("client_ca", Authorities, &client.client_ca),
            ]
        });
        let backend = self.backend().into_iter().flat_map(|backend| {
            [
                ("backend_ca", Authorities, &backend.backend_ca),
                ("backend_cert", Chain, &backend.backend_cert),
                ("backend_key", Key, &backend.backend_key),
            ]
        });
        let all = client.chain(backend);
        all.filter_map(|(key, kind, origin)| Some((key, kind, origin.as_ref()?)))
            .collect()
    }
}

impl PartialEq<TlsMode> for Tls {
    fn eq(&self, mode: &TlsMode) -> bool {
        self.mode() == *mode
    }
}

impl fmt::Display for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The TLS settings of a database towards clients.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientTls {
    /// Certificate shown to clients, instead of the gateway's.
    #[serde(skip_serializing_if = "is_default")]
    pub cert: Option<MaterialOrigin>,
    /// The key of `cert`.
    #[serde(skip_serializing_if = "is_default")]
    pub key: Option<MaterialOrigin>,
    /// Oldest TLS version accepted from clients, instead of the gateway's.
    #[serde(skip_serializing_if = "is_default")]
    pub min_version: Option<MinVersion>,
    /// Authorities of the certificates that clients must show.
    #[serde(skip_serializing_if = "is_default")]
    pub client_ca: Option<MaterialOrigin>,
    /// Revocation lists of these authorities; a certificate on one of them is refused.
    #[serde(skip_serializing_if = "is_default")]
    pub client_crl: Option<MaterialOrigin>,
    /// Names that client certificates may have; empty means all.
    #[serde(skip_serializing_if = "is_default")]
    pub client_names: Vec<ClientName>,
    /// The user as whom a Postgres client may log in; any if absent.
    #[serde(skip_serializing_if = "is_default")]
    pub client_user: Option<ClientUser>,
}

/// The TLS settings of a database towards its backends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendTls {
    /// Authorities of the backends' certificates; the system's if absent.
    #[serde(skip_serializing_if = "is_default")]
    pub backend_ca: Option<MaterialOrigin>,
    /// The name that backends' certificates must carry; the name asked for if absent.
    #[serde(skip_serializing_if = "is_default")]
    pub backend_name: Option<ServerName>,
    /// Certificate shown to backends.
    #[serde(skip_serializing_if = "is_default")]
    pub backend_cert: Option<MaterialOrigin>,
    /// The key of `backend_cert`.
    #[serde(skip_serializing_if = "is_default")]
    pub backend_key: Option<MaterialOrigin>,
}

static_default!(ClientTls, Reencrypt);

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The keys of a database as they are written, whether they fit together or not; in JSON all at
/// one level.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// The protocol that the database speaks.
    pub protocol: Protocol,
    /// Its backends.
    pub backends: OneOrMany<WeightedAddr>,
    /// The choice among them.
    #[serde(flatten)]
    pub upstream: Upstream,
    /// The TLS mode.
    #[serde(default)]
    pub tls: TlsMode,
    /// Rules for clients.
    #[serde(flatten)]
    pub access: Access,
    /// Most sessions at a time.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_sessions: Option<u32>,
    /// The PROXY protocol header that backends get before anything else.
    #[serde(default, skip_serializing_if = "is_default")]
    pub send_proxy: Option<Version>,
    /// Waiting for a backend.
    #[serde(flatten)]
    pub hold: Hold,
    /// TLS settings towards clients.
    #[serde(flatten)]
    pub client: ClientTls,
    /// TLS settings towards backends.
    #[serde(flatten)]
    pub backend: BackendTls,
}

/// The names of the keys of a group that are not at their default.
fn given<T: Default + PartialEq + Serialize>(group: &T) -> Vec<String> {
    if is_default(group) {
        return Vec::new();
    }
    match serde_json::to_value(group) {
        Ok(serde_json::Value::Object(keys)) => keys.into_iter().map(|(key, _)| key).collect(),
        _ => Vec::new(),
    }
}

impl Keys {
    /// Keys that do not fit together, each with a sentence; empty when all do.
    #[must_use]
    pub fn problems(&self) -> Vec<(String, &'static str)> {
        let mut found = Vec::new();
        let mut add = |key: &str, what| found.push((key.to_owned(), what));
        let (client, backend) = (&self.client, &self.backend);
        if self.backends.is_empty() {
            add(
                "backends",
                "a database needs at least one backend, as in backends = [\"10.0.0.5:5432\"]",
            );
        }
        for (key, what) in upstream::problems(&self.upstream, &self.backends, self.protocol) {
            add(key, what);
        }
        if self.protocol.server_first() && self.tls.ends_client_tls() {
            add(
                "tls",
                "mysql and mariadb can only be relayed as they come: use tls = \"passthrough\" and a listener with protocol = \"tcp\"",
            );
        }
        if self.protocol.server_first() && !self.access.networks.is_empty() {
            add(
                "networks",
                "the server speaks first, and a listener with protocol = \"tcp\" leads all its clients to its default: leave networks out",
            );
        }
        if client.cert.is_some() != client.key.is_some() {
            add("cert", "cert and key belong together: give both or neither");
        }
        if backend.backend_cert.is_some() != backend.backend_key.is_some() {
            add(
                "backend_cert",
                "backend_cert and backend_key belong together: give both or neither",
            );
        }
        for (key, limit) in [
            ("max_sessions", self.max_sessions),
            ("max_sessions_per_ip", self.access.max_sessions_per_ip),
        ] {
            if limit == Some(0) {
                add(key, "0 would let nobody in; use hide to end an exposure");
            }
        }
        if let Some(what) = self.access.rate.and_then(|rate| rate.problem()) {
            add("rate", what);
        }
        for (key, what) in self.hold.problems() {
            add(key, what);
        }
        // A key without its certificate is reported above, one beside it goes with it.
        for key in given(client).iter().filter(|key| *key != "key") {
            if !self.tls.ends_client_tls() {
                add(
                    key,
                    "has no meaning with tls = \"passthrough\": the client's TLS ends at the database",
                );
            } else if client.client_ca.is_none() && key.starts_with("client_") {
                add(
                    key,
                    "has no meaning without client_ca: clients are not asked for a certificate",
                );
            }
        }
        if client.client_user.is_some() && self.protocol != Protocol::Postgres {
            add(
                "client_user",
                "has a meaning only with protocol = \"postgres\": of other protocols the gateway does not read who logs in",
            );
        }
        if self.tls != TlsMode::Reencrypt {
            for key in given(backend).iter().filter(|key| *key != "backend_key") {
                add(key, "has a meaning only with tls = \"reencrypt\"");
            }
        }
        found
    }

    /// The declaration. Keys that do not belong to the TLS mode, which [`Keys::problems`] finds, are
    /// left out.
    #[must_use]
    pub fn into_spec(self) -> DatabaseSpec {
        let (backends, weights) = upstream::split(self.backends);
        let mut upstream = self.upstream;
        upstream.weights = weights;
        DatabaseSpec {
            protocol: self.protocol,
            backends,
            upstream: upstream.into(),
            tls: match self.tls {
                TlsMode::Passthrough => Tls::Passthrough,
                TlsMode::Terminate => Tls::Terminate(self.client.into()),
                TlsMode::Reencrypt => Tls::Reencrypt(
                    Reencrypt {
                        client: self.client,
                        backend: self.backend,
                    }
                    .into(),
                ),
            },
            max_sessions: self.max_sessions.and_then(NonZeroU32::new),
            access: self.access.into(),
            send_proxy: self.send_proxy,
            hold: self.hold.into(),
        }
    }
}

impl TryFrom<Keys> for DatabaseSpec {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        match keys.problems().into_iter().next() {
            Some((key, what)) => Err(format!("{key}: {what}")),
            None => Ok(keys.into_spec()),
        }
    }
}

impl From<DatabaseSpec> for Keys {
    fn from(spec: DatabaseSpec) -> Self {
        let tls = spec.tls.mode();
        let Reencrypt { client, backend } = match spec.tls {
            Tls::Passthrough => Reencrypt::default(),
            Tls::Terminate(client) => Reencrypt {
                client: client.into_inner(),
                backend: BackendTls::default(),
            },
            Tls::Reencrypt(both) => both.into_inner(),
        };
        let upstream = spec.upstream.into_inner();
        let backends = upstream::join(spec.backends, upstream.balancing());
        Self {
            protocol: spec.protocol,
            backends,
            upstream,
            tls,
            access: spec.access.into_inner(),
            max_sessions: spec.max_sessions.map(NonZeroU32::get),
            send_proxy: spec.send_proxy,
            hold: spec.hold.into_inner(),
            client,
            backend,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_that_contradicts_itself_says_where() {
        let keys: Keys = serde_json::from_value(serde_json::json!({
            "protocol": "postgres", "backends": [], "cert": "a.crt", "backend_ca": "b.crt",
        }))
        .unwrap();
        let keys: Vec<_> = keys.problems().into_iter().map(|(key, _)| key).collect();
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
            let keys: Keys = serde_json::from_value(written.clone()).unwrap();
            assert_eq!(serde_json::to_value(&keys).unwrap(), written);
            let names: Vec<_> = keys.problems().into_iter().map(|(key, _)| key).collect();
            assert_eq!(names, wrong, "{tls}, {protocol}");
            let spec = DatabaseSpec::try_from(keys);
            assert_eq!(spec.is_ok(), wrong.is_empty(), "{tls}, {protocol}");
        }
    }

    #[test]
    fn every_key_is_read_as_it_was_written_and_no_other() {
        let mut written = serde_json::json!({
            "protocol": "postgres", "tls": "reencrypt", "max_sessions": 9,
            "backends": ["a:1", {"address": "b:1", "weight": 3}], "balance": "round-robin",
            "health": {"interval": "1s", "http": "8008/primary"},
            "allow": ["10.0.0.0/8"], "deny": ["10.1.0.0/16"], "max_sessions_per_ip": 2,
            "networks": ["10.2.0.0/16"], "enforce": "now", "rate": {"network": "10/s", "prefix": "32/64", "database": "200/m"},
            "cert": "a.crt", "key": "a.key", "min_version": "1.3",
            "backend_ca": "b.ca", "backend_name": "b.example",
            "backend_cert": "b.crt", "backend_key": "b.key",
            "hold": "30s", "hold_max": 10, "wake": {"http": "POST http://starter:8080/pg1"},
        });
        let spec: DatabaseSpec = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(&spec).unwrap(), written);
        written["max_session"] = 9.into();
        let error = serde_json::from_value::<DatabaseSpec>(written).unwrap_err();
        assert!(error.to_string().contains("max_session"), "{error}");
    }

    #[test]
    fn a_plain_declaration_is_small() {
        // 100,000 of them are held.
        assert!(
            size_of::<DatabaseSpec>() <= 72,
            "{}",
            size_of::<DatabaseSpec>()
        );
    }
}
