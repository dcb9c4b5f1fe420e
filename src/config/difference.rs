//! Comparison of two configurations, key by key: the one that runs and the one in the
//! file.
//!
//! Not here: what certificate files hold ([`crate::route::renewed`]).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::settings::{
    AccessTo, Config, Control, JOURNAL, Limits, ListenerSpec, Log, LogFormat, ProxyProtocol,
    Timeouts, TlsSection,
};
use crate::duration::written;
use crate::one_or_many::OneOrMany;
use crate::route::source::Declared;
use crate::route::{Host, Snapshot};

/// A key that has another value in the file than in the gateway that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The header of its section, without brackets, such as `database.pg1`.
    pub section: String,
    /// The key.
    pub key: String,
    /// The value that runs; null where there is none.
    pub running: Value,
    /// The value in the file; null where there is none.
    pub file: Value,
    /// The sides that have the section.
    pub presence: Presence,
    /// The moment from which a reload puts it in force.
    pub effect: Effect,
}

/// The sides that have the section of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Both.
    Both,
    /// The file only.
    File,
    /// The gateway that runs only.
    Running,
}

/// The moment from which a reload puts a change in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The reload itself.
    AtOnce,
    /// The sessions that come after it.
    NewSessions,
    /// The next start: a reload does not touch it.
    Restart,
}

impl Effect {
    /// The words used in tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AtOnce => "at once",
            Self::NewSessions => "new sessions",
            Self::Restart => "needs a restart",
        }
    }

    fn of(section: &str, key: &str) -> Self {
        let kind = section.split_once('.').map_or(section, |(kind, _)| kind);
        match (kind, key) {
            ("control", _) | ("log", "format") => Self::Restart,
            ("metrics", _)
            | ("listener", "bind")
            | ("log", "access_to" | "journal_socket")
            | ("timeouts", "drain") => Self::AtOnce,
            _ => Self::NewSessions,
        }
    }
}

/// The differences of two configurations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Differences {
    /// The keys, section by section.
    pub keys: Vec<Difference>,
    /// The number of further databases with differences.
    pub more: usize,
}

/// A section as the file would have it: its header without brackets, and its keys.
#[derive(Clone, Debug, PartialEq)]
struct Section {
    name: String,
    keys: Vec<(String, Value)>,
}

impl Section {
    /// A section without the keys that have no value.
    fn new(name: impl Into<String>, keys: &[(&str, Value)]) -> Self {
        let there = keys.iter().filter(|(_, value)| !value.is_null());
        Self {
            name: name.into(),
            keys: there
                .map(|(key, value)| ((*key).to_owned(), value.clone()))
                .collect(),
        }
    }

    fn value(&self, key: &str) -> Option<&Value> {
        let found = self.keys.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value)
    }
}

/// Compares the configuration that runs, whose databases are in `snapshot`, with that of the
/// file; of no more than `most` databases, the others are counted.
#[must_use]
pub fn compare(running: &Config, snapshot: &Snapshot, file: &Config, most: usize) -> Differences {
    let mut found = Differences::default();
    let (ours, theirs) = (general(running), general(file));
    let new = theirs.iter().filter(|s| named(&ours, &s.name).is_none());
    let all = ours
        .iter()
        .map(|ours| (Some(ours), named(&theirs, &ours.name)))
        .chain(new.map(|theirs| (None, Some(theirs))));
    for (ours, theirs) in all {
        keys(ours, theirs, &mut found.keys);
    }
    databases(snapshot, &file.databases, most, &mut found);
    found
}

fn databases(
    snapshot: &Snapshot,
    file: &BTreeMap<Arc<str>, Declared>,
    most: usize,
    found: &mut Differences,
) {
    let mut left = most;
    let mut add = |ours: Option<&dyn Fn() -> Section>, theirs: Option<&dyn Fn() -> Section>| {
        let Some(fewer) = left.checked_sub(1) else {
            found.more += 1;
            return;
        };
        left = fewer;
        let (ours, theirs) = (ours.map(|make| make()), theirs.map(|make| make()));
        keys(ours.as_ref(), theirs.as_ref(), &mut found.keys);
    };
    let running = |name: &str| {
        let database = snapshot.of_config(name)?;
        let hosts = database.config_hosts().cloned().collect();
        let (spec, hosts): (_, OneOrMany<Host>) = (database.spec.clone(), hosts);
        Some(Declared { spec, hosts })
    };
    for (name, declared) in file {
        match snapshot.of_config(name) {
            Some(database) if database.is_declared_as(declared) => {}
            Some(_) => add(
                Some(&|| database(name, running(name).as_ref())),
                Some(&|| database(name, Some(declared))),
            ),
            None => add(None, Some(&|| database(name, Some(declared)))),
        }
    }
    for gone in snapshot.by_name() {
        let name = &gone.name;
        if snapshot.of_config(name).is_some() && !file.contains_key(name) {
            add(Some(&|| database(name, running(name).as_ref())), None);
        }
    }
}

fn named<'s>(sections: &'s [Section], name: &str) -> Option<&'s Section> {
    sections.iter().find(|section| section.name == name)
}

/// Adds the keys that differ between two forms of one section.
fn keys(running: Option<&Section>, file: Option<&Section>, found: &mut Vec<Difference>) {
    let presence = match (running, file) {
        (Some(_), Some(_)) => Presence::Both,
        (None, _) => Presence::File,
        (_, None) => Presence::Running,
    };
    let known = |key: &str| running.is_some_and(|section| section.value(key).is_some());
    let ours = running.into_iter().flat_map(|section| &section.keys);
    let theirs = file.into_iter().flat_map(|section| &section.keys);
    let names = ours.chain(theirs.filter(|(key, _)| !known(key)));
    let Some(section) = running.or(file) else {
        return;
    };
    for (key, _) in names {
        let value = |side: Option<&Section>| side.and_then(|section| section.value(key)).cloned();
        let (running, file) = (value(running), value(file));
        if running != file {
            found.push(Difference {
                section: section.name.clone(),
                key: key.clone(),
                running: running.unwrap_or_default(),
                file: file.unwrap_or_default(),
                presence,
                effect: Effect::of(&section.name, key),
            });
        }
    }
}

/// Every section but the databases, in the order of the reference, with every key that has a value
/// or a default.
///
/// Each part is taken apart without `..`, so that a new key cannot be left out.
fn general(config: &Config) -> Vec<Section> {
    let Config {
        control,
        listeners,
        tls,
        timeouts,
        limits,
        log,
        metrics,
        databases: _,
    } = config;
    let mut sections = vec![of_control(control)];
    sections.extend(listeners.iter().map(of_listener));
    sections.extend([
        of_tls(tls),
        of_timeouts(timeouts),
        of_limits(limits),
        of_log(log),
        Section::new("metrics", &[("bind", json!(metrics))]),
    ]);
    sections
}

fn of_control(
    Control {
        socket,
        mode,
        group,
        read_only,
    }: &Control,
) -> Section {
    let octal = |mode: u32| format!("{mode:04o}");
    let mode = octal(*mode);
    let read_only = read_only.as_ref();
    let read_only_path = path(read_only.map(|socket| socket.path.as_path()));
    let read_only_mode = read_only.map(|socket| octal(socket.mode));
    let read_only_group = read_only.and_then(|socket| socket.group.as_ref());
    Section::new(
        "control",
        &[
            ("socket", path(socket.as_deref())),
            ("mode", json!(mode)),
            ("group", json!(group)),
            ("read_only_socket", read_only_path),
            ("read_only_mode", json!(read_only_mode)),
            ("read_only_group", json!(read_only_group)),
        ],
    )
}

fn of_listener(listener: &ListenerSpec) -> Section {
    let ListenerSpec {
        name,
        bind,
        protocol,
        default,
        proxy_protocol,
    } = listener;
    let proxy_protocol = proxy_protocol.as_ref();
    let proxy_protocol = proxy_protocol.map(
        |ProxyProtocol { trusted, required }| json!({"trusted": trusted, "required": required}),
    );
    Section::new(
        format!("listener.{name}"),
        &[
            ("bind", json!(bind)),
            ("protocol", json!(protocol.as_str())),
            ("default", json!(default)),
            ("proxy_protocol", json!(proxy_protocol)),
        ],
    )
}

fn of_tls(TlsSection { files, min_version }: &TlsSection) -> Section {
    let (cert, key) = files.as_ref().map(|(cert, key)| (&**cert, &**key)).unzip();
    Section::new(
        "tls",
        &[
            ("cert", path(cert)),
            ("key", path(key)),
            ("min_version", json!(min_version)),
        ],
    )
}

fn of_timeouts(timeouts: &Timeouts) -> Section {
    let Timeouts {
        handshake,
        connect,
        idle,
        drain,
    } = timeouts;
    let idle = idle.map_or_else(|| "off".to_owned(), written);
    Section::new(
        "timeouts",
        &[
            ("handshake", json!(written(*handshake))),
            ("connect", json!(written(*connect))),
            ("idle", json!(idle)),
            ("drain", json!(written(*drain))),
        ],
    )
}

fn of_limits(limits: &Limits) -> Section {
    let Limits {
        max_sessions,
        max_sessions_given: _,
        max_sessions_per_ip,
        max_handshakes,
        max_handshakes_per_ip,
    } = limits;
    Section::new(
        "limits",
        &[
            ("max_sessions", json!(max_sessions)),
            ("max_sessions_per_ip", json!(max_sessions_per_ip)),
            ("max_handshakes", json!(max_handshakes)),
            ("max_handshakes_per_ip", json!(max_handshakes_per_ip)),
        ],
    )
}

fn of_log(log: &Log) -> Section {
    let Log {
        format,
        access,
        access_to,
    } = log;
    let format = match format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    let (to, socket) = match access_to {
        AccessTo::Stdout => (json!("stdout"), Value::Null),
        AccessTo::File(file) => (path(Some(file)), Value::Null),
        AccessTo::Journal(socket) if socket == Path::new(JOURNAL) => {
            (json!("journal"), Value::Null)
        }
        AccessTo::Journal(socket) => (json!("journal"), path(Some(socket))),
    };
    Section::new(
        "log",
        &[
            ("format", json!(format)),
            ("access", json!(access)),
            ("access_to", to),
            ("journal_socket", socket),
        ],
    )
}

fn database(name: &str, declared: Option<&Declared>) -> Section {
    let mut keys = Vec::new();
    if let Some(Declared { spec, hosts }) = declared {
        // A path that is no text cannot have come from a file.
        if let Ok(Value::Object(written)) = serde_json::to_value(spec) {
            keys.extend(written);
        }
        if !hosts.is_empty() {
            let hosts: Vec<&Host> = hosts.iter().collect();
            keys.push(("hosts".to_owned(), json!(hosts)));
        }
    }
    Section {
        name: format!("database.{name}"),
        keys,
    }
}

fn path(path: Option<&Path>) -> Value {
    path.map_or(Value::Null, |path| json!(path.to_string_lossy()))
}

#[cfg(test)]
mod tests;
