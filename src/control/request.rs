//! Requests as lines: reading and writing them.
//!
//! Not here: what the commands carry ([`super::params`]).

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::CommandError;
use super::params::{
    DeleteParams, DrainParams, EventsParams, ExplainParams, ExposeParams, HideParams, KillParams,
    ListParams, NoParams, RejectsParams, ResumeParams, SessionsParams, ShowParams, WatchParams,
};
use crate::json;

/// The version of the protocol.
pub const VERSION: u64 = 1;

/// The longest request line accepted, in bytes.
pub const MAX_LINE: usize = 1024 * 1024;

/// The longest text that may be an id, in bytes.
const MAX_ID: usize = 64;

/// A command, ready to be carried out.
#[derive(Clone, Debug)]
#[expect(
    missing_docs,
    reason = "each is the command of `ctl` of that name; watch is `top`"
)]
pub enum Command {
    Expose(Box<ExposeParams>),
    Hide(HideParams),
    Delete(DeleteParams),
    List(ListParams),
    Show(ShowParams),
    Explain(ExplainParams),
    Sessions(SessionsParams),
    Rejects(RejectsParams),
    Kill(KillParams),
    Drain(DrainParams),
    Resume(ResumeParams),
    Status,
    Reload,
    Diff,
    Export,
    Events(EventsParams),
    Watch(WatchParams),
}

impl Command {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Expose(_) => "expose",
            Self::Hide(_) => "hide",
            Self::Delete(_) => "delete",
            Self::List(_) => "list",
            Self::Show(_) => "show",
            Self::Explain(_) => "explain",
            Self::Sessions(_) => "sessions",
            Self::Rejects(_) => "rejects",
            Self::Kill(_) => "kill",
            Self::Drain(_) => "drain",
            Self::Resume(_) => "resume",
            Self::Status => "status",
            Self::Reload => "reload",
            Self::Diff => "diff",
            Self::Export => "export",
            Self::Events(_) => "events",
            Self::Watch(_) => "watch",
        }
    }

    /// True if it changes something, and so has an author.
    #[must_use]
    pub fn is_change(&self) -> bool {
        match self {
            Self::Expose(_)
            | Self::Hide(_)
            | Self::Delete(_)
            | Self::Kill(_)
            | Self::Drain(_)
            | Self::Resume(_)
            | Self::Reload => true,
            Self::List(_)
            | Self::Show(_)
            | Self::Explain(_)
            | Self::Sessions(_)
            | Self::Rejects(_)
            | Self::Status
            | Self::Diff
            | Self::Export
            | Self::Events(_)
            | Self::Watch(_) => false,
        }
    }
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Chosen by the client, given back in the answer.
    pub id: Value,
    /// The reason for the change that it asks for (`--reason`).
    pub reason: Option<String>,
    /// The command.
    pub command: Command,
}

/// An invalid request line.
#[derive(Clone, Debug)]
pub struct BadRequest {
    /// The id, if it could be read.
    pub id: Value,
    /// The error.
    pub error: CommandError,
}

/// Reads one request line.
///
/// # Errors
/// The line is not a JSON object, is of another version, or has no known command with its
/// parameters.
#[expect(clippy::result_large_err, reason = "once a request, and moved once")]
pub fn parse(line: &[u8]) -> Result<Request, BadRequest> {
    let bad = |id: &Value, message: String| BadRequest {
        id: id.clone(),
        error: CommandError::usage(message),
    };
    let fields = match json::from_slice(line) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(format!("found {}", json::kind(&other))),
        Err(error) => Err(error.to_string()),
    };
    let mut fields = fields.map_err(|what| {
        let text = format!("a request is a JSON object on a line: {what}");
        bad(&Value::Null, text)
    })?;
    let id = match fields.remove("id") {
        None => Value::Null,
        Some(id @ (Value::Null | Value::Number(_))) => id,
        Some(Value::String(text)) if text.len() <= MAX_ID => Value::String(text),
        Some(other) => {
            let text = format!(
                "id: expected a number or a text of up to {MAX_ID} bytes, found {}",
                json::kind(&other)
            );
            return Err(bad(&Value::Null, text));
        }
    };
    match fields.remove("v") {
        Some(Value::Number(v)) if v.as_u64() == Some(VERSION) => {}
        v => {
            let sent = v.map_or("none".to_owned(), |v| json::kind(&v));
            let text = format!(
                "this gateway ({}) speaks version {VERSION} of the control protocol, the request says v: {sent}",
                env!("CARGO_PKG_VERSION")
            );
            return Err(bad(&id, text));
        }
    }
    let cmd = match fields.remove("cmd") {
        Some(Value::String(cmd)) => cmd,
        None => return Err(bad(&id, "the field cmd is missing".to_owned())),
        Some(other) => {
            let text = format!("cmd: expected a text, found {}", json::kind(&other));
            return Err(bad(&id, text));
        }
    };
    let reason = match fields.remove("reason") {
        None | Some(Value::Null) => None,
        Some(Value::String(reason)) => Some(reason),
        Some(other) => {
            let text = format!(
                "{cmd}: reason: expected a text, found {}",
                json::kind(&other)
            );
            return Err(bad(&id, text));
        }
    };
    match command(&cmd, &Value::Object(fields)) {
        Ok(command) if reason.is_some() && !command.is_change() => Err(bad(
            &id,
            format!("{cmd}: a reason goes with a change, and this is none"),
        )),
        Ok(command) => Ok(Request {
            id,
            reason,
            command,
        }),
        Err(what) => Err(bad(&id, what)),
    }
}

fn command(cmd: &str, fields: &Value) -> Result<Command, String> {
    fn params<T: DeserializeOwned>(cmd: &str, fields: &Value) -> Result<T, String> {
        json::from_value(fields).map_err(|error| format!("{cmd}: {error}"))
    }
    let plain = |command| params::<NoParams>(cmd, fields).map(|_| command);
    match cmd {
        "expose" => params(cmd, fields).map(Command::Expose),
        "hide" => params(cmd, fields).map(Command::Hide),
        "delete" => params(cmd, fields).map(Command::Delete),
        "list" => params(cmd, fields).map(Command::List),
        "show" => params(cmd, fields).map(Command::Show),
        "explain" => params(cmd, fields).map(Command::Explain),
        "sessions" => params(cmd, fields).map(Command::Sessions),
        "rejects" => params(cmd, fields).map(Command::Rejects),
        "kill" => params(cmd, fields).map(Command::Kill),
        "drain" => params(cmd, fields).map(Command::Drain),
        "resume" => params(cmd, fields).map(Command::Resume),
        "status" => plain(Command::Status),
        "reload" => plain(Command::Reload),
        "diff" => plain(Command::Diff),
        "export" => plain(Command::Export),
        "events" => params(cmd, fields).map(Command::Events),
        "watch" => params(cmd, fields).map(Command::Watch),
        _ => {
            let shown: String = cmd
                .chars()
                .take(40)
                .flat_map(char::escape_default)
                .collect();
            Err(format!(
                "this gateway ({}) does not know the command {shown}",
                env!("CARGO_PKG_VERSION")
            ))
        }
    }
}

#[derive(Serialize)]
struct Line<'a, P> {
    v: u64,
    id: u64,
    cmd: &'a str,
    #[serde(flatten)]
    params: &'a P,
}

/// A request line, without the newline.
#[must_use]
pub fn request(id: u64, cmd: &str, params: &impl Serialize) -> String {
    let line = Line {
        v: VERSION,
        id,
        cmd,
        params,
    };
    // Only a path that is not UTF-8 could fail; `ctl` has refused it before.
    serde_json::to_string(&line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let expose = ExposeParams {
            name: "pg1".into(),
            hosts: vec!["a.example".parse().unwrap()],
            to: vec!["10.0.0.5:5432".parse().unwrap()],
            ..ExposeParams::default()
        };
        let line = request(7, "expose", &expose);
        let Request { id, command, .. } = parse(line.as_bytes()).unwrap();
        assert_eq!(id, Value::from(7));
        let Command::Expose(read) = command else {
            panic!("{line}");
        };
        assert_eq!((&read.name, &read.to), (&expose.name, &expose.to));
        assert_eq!(read.settings().unwrap(), expose.settings().unwrap());
    }

    #[test]
    fn an_invalid_request_says_what_where_and_what_is_allowed() {
        for (line, message) in [
            (
                "",
                "a request is a JSON object on a line: incomplete JSON: it ends at column 0",
            ),
            (
                "{\"v\":1,cmd",
                "a request is a JSON object on a line: invalid JSON at column 8",
            ),
            ("[1]", "a request is a JSON object on a line: found a list"),
            (
                r#"{"v":1,"id":[],"cmd":"list"}"#,
                "id: expected a number or a text of up to 64 bytes, found a list",
            ),
            (r#"{"v":1}"#, "the field cmd is missing"),
            (r#"{"v":1,"cmd":7}"#, "cmd: expected a text, found 7"),
            (
                r#"{"v":1,"cmd":"status","x":1}"#,
                "status: unknown field \"x\": no field is allowed here",
            ),
            (
                r#"{"v":1,"cmd":"expose"}"#,
                "expose: the field name is missing",
            ),
            (
                r#"{"v":1,"cmd":"hide","name":"a","hosts":["a.example",7]}"#,
                "hide: hosts[1]: expected a text, found 7",
            ),
            (
                r#"{"v":1,"cmd":"list","reason":"to see"}"#,
                "list: a reason goes with a change, and this is none",
            ),
            (
                r#"{"v":1,"cmd":"reload","reason":7}"#,
                "reload: reason: expected a text, found 7",
            ),
            (
                r#"{"v":1,"cmd":"hide","name":"a","running":"stop"}"#,
                "hide: running: invalid value \"stop\": use drain, keep or kill",
            ),
            (
                r#"{"v":1,"cmd":"kill","ids":[-1]}"#,
                "kill: ids[0]: expected a whole number from 0 to 18446744073709551615, found -1",
            ),
            (
                r#"{"v":1,"cmd":"sessions","name":"a"}"#,
                "sessions: unknown field \"name\": use database or client",
            ),
            (
                r#"{"v":1,"cmd":"expose","name":"a","dry_run":"yes"}"#,
                "expose: dry_run: expected true or false, found \"yes\"",
            ),
        ] {
            let error = parse(line.as_bytes()).unwrap_err().error;
            assert_eq!(error.message, message, "{line}");
        }
        for (line, part) in [
            (r#"{"id":1,"cmd":"list"}"#, "v: none"),
            (r#"{"v":2,"cmd":"list"}"#, "v: 2"),
            (r#"{"v":1,"cmd":"lst"}"#, "lst"),
            (
                r#"{"v":1,"cmd":"expose","name":"a","hosts":["1.2.3.4"]}"#,
                "hosts[0]: ",
            ),
        ] {
            let error = parse(line.as_bytes()).unwrap_err().error;
            assert!(error.message.contains(part), "{line}: {error}");
        }
    }
}
