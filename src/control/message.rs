//! The words of the control protocol.
//!
//! A request is `{"v":1,"id":7,"cmd":"expose",…}`, its answer `{"id":7,"ok":true,…}` or
//! `{"id":7,"ok":false,"error":{"kind":"conflict","message":"…"}}`. Events of a subscription are
//! `{"id":7,"event":{…}}` with the id of the request that subscribed, so that everything can
//! share one connection. Durations are in milliseconds.

use std::path::PathBuf;

use ipnet::IpNet;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::backend::BackendAddr;
use crate::route::{ChangeError, DatabaseSpec, Host, Protocol};
use crate::tls::{ServerName, TlsMode};

/// The version of the protocol.
pub const VERSION: u64 = 1;

/// The longest request line accepted, in bytes.
pub const MAX_LINE: usize = 1024 * 1024;

/// Why a command was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The gateway will not or cannot do it.
    Refused,
    /// The request makes no sense.
    Usage,
    /// It contradicts what is there.
    Conflict,
    /// What it names is not there.
    NotFound,
}

/// A command that was not carried out; nothing has changed.
#[derive(Clone, Debug, Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct CommandError {
    /// The kind, which decides the exit code of `ctl`.
    pub kind: ErrorKind,
    /// What is wrong and what to do, in words.
    pub message: String,
}

impl CommandError {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

impl From<ChangeError> for CommandError {
    fn from(error: ChangeError) -> Self {
        let kind = match &error {
            ChangeError::Conflict(_) => ErrorKind::Conflict,
            ChangeError::NotFound(_) => ErrorKind::NotFound,
            ChangeError::Invalid(_) => ErrorKind::Usage,
            ChangeError::Files { .. } | ChangeError::GatewayFiles(_) | ChangeError::State(_) => {
                ErrorKind::Refused
            }
        };
        Self::new(kind, error.to_string())
    }
}

/// Makes a database reachable.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expose {
    /// The database.
    pub name: String,
    /// The hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
    /// Backends; given, they declare a database that the configuration does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<BackendAddr>,
    /// With `to`: what it speaks; told by the backend's port if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// With `to`: the TLS mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsMode>,
    /// With `to`: certificate shown to clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// With `to`: its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// With `to`: authorities of client certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// With `to`: authorities of the backends' certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_ca: Option<PathBuf>,
    /// With `to`: the name in the backends' certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_name: Option<ServerName>,
    /// With `to`: networks that may connect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<IpNet>,
    /// With `to`: networks that may not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<IpNet>,
    /// With `to`: most sessions at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_sessions: Option<u32>,
    /// Ends by itself after this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// Not kept over a restart.
    #[serde(default)]
    pub ephemeral: bool,
    /// Replaces what `ctl` declared before.
    #[serde(default)]
    pub replace: bool,
    /// Only tells what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

impl Expose {
    /// The declaration that `to` and the settings beside it make; `None` without them.
    ///
    /// # Errors
    /// Settings without `to`, or no way to tell the protocol.
    pub fn spec(&self) -> Result<Option<DatabaseSpec>, CommandError> {
        let usage = |text: String| CommandError::new(ErrorKind::Usage, text);
        let Some(first) = self.to.first() else {
            let settings = self.protocol.is_some()
                || self.tls.is_some()
                || self.cert.is_some()
                || self.key.is_some()
                || self.client_ca.is_some()
                || self.backend_ca.is_some()
                || self.backend_name.is_some()
                || self.max_sessions.is_some()
                || !self.allow.is_empty()
                || !self.deny.is_empty();
            return if settings {
                Err(usage(format!(
                    "settings of a database go with --to ADDR; what {} has now is shown by `dbgate ctl show {}`",
                    self.name, self.name
                )))
            } else {
                Ok(None)
            };
        };
        let Some(protocol) = self.protocol.or_else(|| Protocol::of_port(first.port())) else {
            return Err(usage(format!(
                "port {} does not tell what the database speaks: add --protocol",
                first.port()
            )));
        };
        Ok(Some(DatabaseSpec {
            protocol,
            backends: self.to.clone(),
            tls: self.tls.unwrap_or_default(),
            allow: self.allow.clone(),
            deny: self.deny.clone(),
            max_sessions: self.max_sessions,
            cert: self.cert.clone(),
            key: self.key.clone(),
            min_version: None,
            client_ca: self.client_ca.clone(),
            backend_ca: self.backend_ca.clone(),
            backend_name: self.backend_name.clone(),
            backend_cert: None,
            backend_key: None,
        }))
    }
}

/// What becomes of the sessions of an exposure that ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Running {
    /// They get some time, then they are closed.
    #[default]
    Drain,
    /// They run on.
    Keep,
    /// They are closed at once.
    Kill,
}

/// Ends an exposure.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hide {
    /// The database.
    pub name: String,
    /// The hosts; all if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
    /// What becomes of running sessions.
    #[serde(default)]
    pub running: Running,
    /// With drain: how long; `timeouts.drain` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_ms: Option<u64>,
    /// No error if there is nothing to hide.
    #[serde(default)]
    pub if_exists: bool,
    /// Only tells what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// Names one database.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// The database.
    pub name: String,
}

/// Asks where a name leads.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// The name, as a client would send it.
    pub host: String,
    /// The listener; the first one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
    /// The client's address; policies are not judged if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<std::net::IpAddr>,
}

/// Asks for live sessions.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sessions {
    /// Only those of this database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
}

/// Closes sessions at once.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kill {
    /// These sessions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<u64>,
    /// All sessions of this database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
}

/// Closes the sessions of a database that still run after some time.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// The database.
    pub name: String,
    /// How long; `timeouts.drain` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_ms: Option<u64>,
}

/// A command without parameters.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// A command, ready to be carried out.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is the command of `ctl` of that name")]
pub enum Command {
    Expose(Expose),
    Hide(Hide),
    List,
    Show(Named),
    Explain(Explain),
    Sessions(Sessions),
    Rejects,
    Kill(Kill),
    Drain(Drain),
    Status,
    Reload,
    Diff,
    Export,
    Events,
}

/// A request line, taken apart.
#[derive(Clone, Debug)]
pub struct Request {
    /// Chosen by the client, given back in the answer.
    pub id: Value,
    /// What to do.
    pub command: Command,
}

/// A request line that cannot be understood; the id is given back if there is one.
#[derive(Clone, Debug)]
pub struct BadRequest {
    /// The id as far as it was read.
    pub id: Value,
    /// What is wrong.
    pub error: CommandError,
}

/// Reads one request line.
///
/// # Errors
/// It is no JSON object, of another version, or no known command with its parameters.
pub fn parse(line: &[u8]) -> Result<Request, BadRequest> {
    let usage = |text: String| CommandError::new(ErrorKind::Usage, text);
    let bad = |id: &Value, error: CommandError| BadRequest {
        id: id.clone(),
        error,
    };
    let mut fields: Map<String, Value> = serde_json::from_slice(line)
        .map_err(|e| bad(&Value::Null, usage(format!("not one JSON object: {e}"))))?;
    let id = match fields.remove("id") {
        None => Value::Null,
        Some(id @ (Value::Null | Value::Number(_))) => id,
        Some(Value::String(text)) if text.len() <= 64 => Value::String(text),
        Some(_) => {
            return Err(bad(
                &Value::Null,
                usage("id must be a number or a short string".into()),
            ));
        }
    };
    match fields.remove("v") {
        Some(Value::Number(v)) if v.as_u64() == Some(VERSION) => {}
        v => {
            let sent = v.map_or("none".into(), |v| v.to_string());
            return Err(bad(
                &id,
                usage(format!(
                    "this gateway ({}) speaks version {VERSION} of the control protocol, the request says v: {sent}",
                    env!("CARGO_PKG_VERSION")
                )),
            ));
        }
    }
    let Some(Value::String(cmd)) = fields.remove("cmd") else {
        return Err(bad(&id, usage("the request has no cmd".into())));
    };
    let command = command(&cmd, fields).map_err(|e| bad(&id, e))?;
    Ok(Request { id, command })
}

fn command(cmd: &str, fields: Map<String, Value>) -> Result<Command, CommandError> {
    fn params<T: DeserializeOwned>(
        cmd: &str,
        fields: Map<String, Value>,
    ) -> Result<T, CommandError> {
        serde_json::from_value(Value::Object(fields))
            .map_err(|e| CommandError::new(ErrorKind::Usage, format!("{cmd}: {e}")))
    }
    let plain = |fields, command| params::<Nothing>(cmd, fields).map(|_| command);
    match cmd {
        "expose" => params(cmd, fields).map(Command::Expose),
        "hide" => params(cmd, fields).map(Command::Hide),
        "list" => plain(fields, Command::List),
        "show" => params(cmd, fields).map(Command::Show),
        "explain" => params(cmd, fields).map(Command::Explain),
        "sessions" => params(cmd, fields).map(Command::Sessions),
        "rejects" => plain(fields, Command::Rejects),
        "kill" => params(cmd, fields).map(Command::Kill),
        "drain" => params(cmd, fields).map(Command::Drain),
        "status" => plain(fields, Command::Status),
        "reload" => plain(fields, Command::Reload),
        "diff" => plain(fields, Command::Diff),
        "export" => plain(fields, Command::Export),
        "events" => plain(fields, Command::Events),
        _ => {
            let cmd: String = cmd
                .chars()
                .take(40)
                .flat_map(char::escape_default)
                .collect();
            Err(CommandError::new(
                ErrorKind::Usage,
                format!(
                    "this gateway ({}) does not know the command {cmd}",
                    env!("CARGO_PKG_VERSION")
                ),
            ))
        }
    }
}

/// A request line, without the newline.
#[must_use]
pub fn request(id: u64, cmd: &str, params: &impl Serialize) -> String {
    let mut line = json!({"v": VERSION, "id": id, "cmd": cmd});
    if let (Some(line), Ok(Value::Object(params))) =
        (line.as_object_mut(), serde_json::to_value(params))
    {
        line.extend(params);
    }
    line.to_string()
}

/// An answer line, without the newline.
#[must_use]
pub fn answer(id: &Value, result: Result<Value, CommandError>) -> String {
    let mut line = Map::new();
    line.insert("id".into(), id.clone());
    line.insert("ok".into(), result.is_ok().into());
    match result {
        Ok(Value::Object(fields)) => line.extend(fields),
        Ok(_) => {}
        Err(error) => {
            line.insert("error".into(), json!(error));
        }
    }
    Value::Object(line).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let expose = Expose {
            name: "pg1".into(),
            hosts: vec!["a.example".parse().unwrap()],
            to: vec!["10.0.0.5:5432".parse().unwrap()],
            ..Expose::default()
        };
        let line = request(7, "expose", &expose);
        let Request { id, command } = parse(line.as_bytes()).unwrap();
        assert_eq!(id, json!(7));
        let Command::Expose(read) = command else {
            panic!("{line}");
        };
        let spec = read.spec().unwrap().unwrap();
        assert_eq!(
            (spec.protocol, spec.backends),
            (Protocol::Postgres, expose.to)
        );
    }

    #[test]
    fn what_is_no_request_is_told_why() {
        for (line, said) in [
            ("", "JSON"),
            ("[1]", "JSON"),
            (r#"{"id":1,"cmd":"list"}"#, "v: none"),
            (r#"{"v":2,"cmd":"list"}"#, "v: 2"),
            (r#"{"v":1,"id":[],"cmd":"list"}"#, "id must be"),
            (r#"{"v":1}"#, "no cmd"),
            (r#"{"v":1,"cmd":"lst"}"#, "lst"),
            (r#"{"v":1,"cmd":"list","x":1}"#, "unknown field"),
            (r#"{"v":1,"cmd":"expose"}"#, "name"),
            (
                r#"{"v":1,"cmd":"expose","name":"a","hosts":["1.2.3.4"]}"#,
                "1.2.3.4",
            ),
        ] {
            let error = parse(line.as_bytes()).unwrap_err().error;
            assert!(error.message.contains(said), "{line}: {error}");
        }
    }

    #[test]
    fn settings_need_a_backend() {
        let expose = Expose {
            name: "pg1".into(),
            tls: Some(TlsMode::Terminate),
            ..Expose::default()
        };
        assert_eq!(expose.spec().unwrap_err().kind, ErrorKind::Usage);
    }
}
