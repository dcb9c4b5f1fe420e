//! The sections of a file as a [`Config`]: the keys that there are, and the values they may have.
//!
//! Not here: listeners ([`super::listener`]) and databases ([`super::database`]).

use std::net::SocketAddr;
use std::time::Duration;

use super::problem::Report;
use super::section::{Section, did_you_mean};
use super::settings::{
    AccessTo, Config, Control, JOURNAL, Limits, Log, ReadOnlySocket, Timeouts, TlsSection,
};
use super::{database, listener};
use crate::duration::parse_duration;

/// Reads all sections.
///
/// `databases` are those of the file. What was reported leaves its default behind. `whole` tells
/// that the file has no syntax errors; otherwise sections may be missing that the file does have,
/// and what refers from one section to another is not judged.
pub(super) fn config(
    root: &mut Section<'_, '_>,
    databases: Vec<database::ParsedDatabase>,
    report: &Report<'_>,
    whole: bool,
) -> Config {
    let control = root.section("control").map(control).unwrap_or_default();
    let listeners = listener::read(root);
    let tls = root.section("tls").map(tls).unwrap_or_default();
    let timeouts = root.section("timeouts").map(timeouts).unwrap_or_default();
    let limits = root.section("limits").map(limits).unwrap_or_default();
    let log = root.section("log").map(log).unwrap_or_default();
    let metrics = root
        .section("metrics")
        .and_then(|section| metrics(section, &listeners));
    if whole {
        database::compare(&databases, report);
        listener::compare(&listeners, &databases, report);
    }
    let defaults = Config::default();
    Config {
        control,
        listeners: if root.has("listener") {
            listeners.into_iter().map(|found| found.listener).collect()
        } else {
            defaults.listeners
        },
        tls,
        timeouts,
        limits,
        log,
        metrics,
        databases: databases
            .into_iter()
            .map(|found| (found.name, found.declared))
            .collect(),
    }
}

fn control(mut section: Section<'_, '_>) -> Control {
    let socket = section.path("socket");
    let read_only = section.path("read_only_socket");
    for key in ["read_only_mode", "read_only_group"] {
        if section.has(key) && !section.has("read_only_socket") {
            section.error(key, format!("{key} goes with read_only_socket = \"PATH\""));
        }
    }
    if read_only.is_some() && read_only == socket {
        section.error(
            "read_only_socket",
            "it is the same as socket: give it a path of its own",
        );
    }
    let mut rights = |mode_key, group_key| {
        let mode = section.string(mode_key, mode).unwrap_or(Control::MODE);
        (mode, section.string(group_key, group))
    };
    let (mode, group) = rights("mode", "group");
    let (read_only_mode, read_only_group) = rights("read_only_mode", "read_only_group");
    let control = Control {
        socket,
        mode,
        group,
        read_only: read_only.map(|path| ReadOnlySocket {
            path,
            mode: read_only_mode,
            group: read_only_group,
        }),
    };
    section.finish();
    control
}

fn group(text: &str) -> Result<String, String> {
    match text {
        "" => Err("the name of a group is not empty".to_owned()),
        group => Ok(group.to_owned()),
    }
}

fn mode(text: &str) -> Result<u32, String> {
    let octal = matches!(text.len(), 3 | 4) && text.bytes().all(|b| b.is_ascii_digit());
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| octal && *mode <= 0o777)
        .ok_or_else(|| {
            format!("invalid permissions \"{text}\": write octal digits, as in \"0660\"")
        })
}

fn tls(mut section: Section<'_, '_>) -> TlsSection {
    let (cert, key) = (section.path("cert"), section.path("key"));
    for (one, other) in [("cert", "key"), ("key", "cert")] {
        if section.has(one) && !section.has(other) {
            section.error(one, "cert and key belong together: give both or neither");
        }
    }
    let tls = TlsSection {
        files: cert.zip(key),
        min_version: section
            .string("min_version", str::parse)
            .unwrap_or_default(),
    };
    section.finish();
    tls
}

fn timeouts(mut section: Section<'_, '_>) -> Timeouts {
    let defaults = Timeouts::default();
    let positive = |text: &str| match required(text)? {
        Duration::ZERO => Err("0 would leave no time at all".to_owned()),
        duration => Ok(duration),
    };
    let optional = |text: &str| match text {
        "off" => Ok(None),
        _ => match parse_duration(text)? {
            Duration::ZERO => {
                Err("0 would end every session: write \"off\" for no limit".to_owned())
            }
            duration => Ok(Some(duration)),
        },
    };
    let timeouts = Timeouts {
        handshake: section
            .duration("handshake", positive)
            .unwrap_or(defaults.handshake),
        connect: section
            .duration("connect", positive)
            .unwrap_or(defaults.connect),
        idle: section.duration("idle", optional).unwrap_or(defaults.idle),
        drain: section
            .duration("drain", required)
            .unwrap_or(defaults.drain),
    };
    section.finish();
    timeouts
}

fn required(text: &str) -> Result<Duration, String> {
    match text {
        "off" => Err("cannot be off: write a duration, as in \"30s\"".to_owned()),
        _ => parse_duration(text),
    }
}

fn limits(mut section: Section<'_, '_>) -> Limits {
    let defaults = Limits::default();
    let limits = Limits {
        max_sessions: limit(&mut section, "max_sessions", defaults.max_sessions),
        max_sessions_given: section.has("max_sessions"),
        max_sessions_per_ip: section.integer("max_sessions_per_ip"),
        max_handshakes: limit(&mut section, "max_handshakes", defaults.max_handshakes),
        max_handshakes_per_ip: limit(
            &mut section,
            "max_handshakes_per_ip",
            defaults.max_handshakes_per_ip,
        ),
    };
    if limits.max_sessions_per_ip == Some(0) {
        section.error(
            "max_sessions_per_ip",
            "max_sessions_per_ip must be at least 1: 0 would let nobody in",
        );
    }
    section.finish();
    limits
}

fn limit(section: &mut Section<'_, '_>, key: &'static str, default: usize) -> usize {
    match section.integer(key) {
        Some(0) => {
            section.error(
                key,
                format!("{key} must be at least 1: 0 would let nobody in"),
            );
            default
        }
        Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
        None => default,
    }
}

fn log(mut section: Section<'_, '_>) -> Log {
    let defaults = Log::default();
    let socket = section.path("journal_socket");
    let access_to = section.string("access_to", access_to).map(|to| match to {
        AccessTo::Journal(usual) => AccessTo::Journal(socket.unwrap_or(usual)),
        AccessTo::File(path) => AccessTo::File(section.resolve(&path)),
        AccessTo::Stdout => AccessTo::Stdout,
    });
    if section.has("journal_socket") && !matches!(access_to, Some(AccessTo::Journal(_))) {
        section.warning(
            "journal_socket",
            "journal_socket has no effect without access_to = \"journal\"",
        );
    }
    let log = Log {
        format: section.string("format", str::parse).unwrap_or_default(),
        access: section.bool("access").unwrap_or(defaults.access),
        access_to: access_to.unwrap_or_default(),
    };
    section.finish();
    log
}

/// A file has a `/` in its path, so that a slip in one of the words makes no file.
fn access_to(text: &str) -> Result<AccessTo, String> {
    match text {
        "stdout" => Ok(AccessTo::Stdout),
        "journal" => Ok(AccessTo::Journal(JOURNAL.into())),
        path if path.ends_with('/') => Err(format!("\"{path}\" is a directory, not a file")),
        path if path.contains('/') => Ok(AccessTo::File(path.into())),
        other => Err(format!(
            "\"{other}\" is neither stdout nor journal{}; a file is written with a /, as in \"./{other}\"",
            did_you_mean(other, &["stdout", "journal"])
        )),
    }
}

fn metrics(
    mut section: Section<'_, '_>,
    listeners: &[listener::ParsedListener],
) -> Option<SocketAddr> {
    let bind = section.string("bind", |text| listener::bind_addr(text, "127.0.0.1:9432"));
    if let Some(bind) = &bind
        && let Some((name, addr)) = listener::in_the_way(listeners, bind)
    {
        section.error(
            "bind",
            format!("{bind} of metrics clashes with {addr} of listener {name}"),
        );
    }
    section.finish();
    bind
}
