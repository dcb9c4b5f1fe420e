//! Reading a request line, and writing lines: the framing of the control protocol.
//!
//! Not here: what the commands carry ([`super::params`]).

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::error::{CommandError, ErrorKind};
use super::params::{
    DeleteParams, DrainParams, ExplainParams, ExposeParams, HideParams, KillParams, NoParams,
    SessionsParams, ShowParams, WatchParams,
};

/// The version of the protocol.
pub const VERSION: u64 = 1;

/// The longest request line accepted, in bytes.
pub const MAX_LINE: usize = 1024 * 1024;

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
    List,
    Show(ShowParams),
    Explain(ExplainParams),
    Sessions(SessionsParams),
    Rejects,
    Kill(KillParams),
    Drain(DrainParams),
    Status,
    Reload,
    Diff,
    Export,
    Events,
    Watch(WatchParams),
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
    let plain = |fields, command| params::<NoParams>(cmd, fields).map(|_| command);
    match cmd {
        "expose" => params(cmd, fields).map(Command::Expose),
        "hide" => params(cmd, fields).map(Command::Hide),
        "delete" => params(cmd, fields).map(Command::Delete),
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
        "watch" => params(cmd, fields).map(Command::Watch),
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
    use crate::route::Protocol;

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let expose = ExposeParams {
            name: "pg1".into(),
            hosts: vec!["a.example".parse().unwrap()],
            to: vec!["10.0.0.5:5432".parse().unwrap()],
            ..ExposeParams::default()
        };
        let line = request(7, "expose", &expose);
        let Request { id, command } = parse(line.as_bytes()).unwrap();
        assert_eq!(id, json!(7));
        let Command::Expose(read) = command else {
            panic!("{line}");
        };
        let spec = read.spec().unwrap().unwrap();
        assert_eq!(
            (spec.protocol, spec.backends.to_vec()),
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
}
