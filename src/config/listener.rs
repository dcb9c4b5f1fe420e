//! The `[listener.NAME]` sections.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use toml::Spanned;

use super::database::ParsedDatabase;
use super::problem::{Report, Severity};
use super::section::Section;
use super::settings::{ListenerSpec, ProxyProtocol};
use crate::net::zone;
use crate::protocol::ListenerProtocol;
use crate::route::Network;
use crate::upstream::BackendAddr;

/// A listener of the file, with the places of its addresses and of its default.
pub(super) struct ParsedListener {
    pub(super) listener: ListenerSpec,
    bind: Vec<Spanned<SocketAddr>>,
    default_at: usize,
}

/// Reads all listeners, in the order of the file.
pub(super) fn read(root: &mut Section<'_, '_>) -> Vec<ParsedListener> {
    root.named("listener")
        .into_iter()
        .map(|(name, section)| listener(name, section))
        .collect()
}

/// Reports what listeners take from each other, and defaults that they cannot serve.
pub(super) fn compare(
    listeners: &[ParsedListener],
    databases: &[ParsedDatabase],
    report: &Report<'_>,
) {
    compare_addresses(listeners, report);
    for found in listeners {
        judge_default(found, databases, report);
    }
}

/// The listener, and its address, that keeps another socket from listening on `addr`.
pub(super) fn in_the_way<'f>(
    listeners: &'f [ParsedListener],
    addr: &SocketAddr,
) -> Option<(&'f str, SocketAddr)> {
    let of = |found: &'f ParsedListener| {
        let bind = found.listener.bind.iter();
        bind.map(|bound| (found.listener.name.as_str(), *bound))
    };
    let mut all = listeners.iter().flat_map(of);
    all.find(|(_, bound)| overlap(bound, addr, false))
}

/// Reads an address to listen on, such as `[::]:5432`. One that is IPv4-mapped is the IPv4 address:
/// both take the same clients. An interface, as in `[fe80::1%eth0]:5432`, is looked up now, since the
/// address is bound now.
///
/// # Errors
/// The text is not an address, which the error shows by `example`, or the machine has no such
/// interface.
pub fn bind_addr(text: &str, example: &str) -> Result<SocketAddr, String> {
    if let Ok(addr) = text.parse() {
        return Ok(canonical(addr));
    }
    match text.parse() {
        Ok(BackendAddr::Zoned(addr, port)) => {
            zone::resolve(&addr, port).map_err(|error| format!("\"{text}\": {error}"))
        }
        _ => Err(format!(
            "\"{text}\" is not an address to listen on: write IP:PORT, as in {example}"
        )),
    }
}

fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        IpAddr::V4(v4) => (v4, addr.port()).into(),
        // Keeps the scope.
        IpAddr::V6(_) => addr,
    }
}

fn listener(name: &str, mut section: Section<'_, '_>) -> ParsedListener {
    section.check_name(name);
    let bind = section.strings("bind", "addresses", |text| {
        bind_addr(text, "0.0.0.0:5432 or [::]:5432")
    });
    if !section.has("bind") || bind.as_ref().is_some_and(Vec::is_empty) {
        section.error(
            "bind",
            "a listener needs an address, as in bind = [\"0.0.0.0:5432\", \"[::]:5432\"]",
        );
    }
    let bind = bind.unwrap_or_default();
    let protocol = section.string("protocol", str::parse).unwrap_or_default();
    let default = section.string("default", |text| Ok(text.to_owned()));
    if protocol == ListenerProtocol::Tcp && !section.has("default") {
        section.error(
            "protocol",
            "protocol = \"tcp\" looks for no name: say which database gets all clients, with default = \"NAME\"",
        );
    }
    let default_at = section.at("default");
    let proxy_protocol = section.section("proxy_protocol").map(proxy_protocol);
    if protocol == ListenerProtocol::Tcp && proxy_protocol.as_ref().is_some_and(|p| !p.required) {
        section.error(
            "proxy_protocol",
            "with protocol = \"tcp\" a client may wait for the server's first words, so the gateway cannot wait for a header that may not come: add required = true",
        );
    }
    section.finish();
    ParsedListener {
        listener: ListenerSpec {
            name: name.to_owned(),
            bind: bind.iter().map(|addr| *addr.get_ref()).collect(),
            protocol,
            default,
            proxy_protocol,
        },
        bind,
        default_at,
    }
}

fn proxy_protocol(mut section: Section<'_, '_>) -> ProxyProtocol {
    let trusted = section.strings("trusted", "networks", str::parse::<Network>);
    if trusted.as_ref().is_some_and(Vec::is_empty) || !section.has("trusted") {
        section.error(
            "trusted",
            "proxy_protocol needs the networks of the proxies that are believed, as in trusted = [\"10.0.0.0/8\"]",
        );
    }
    let required = section.bool("required").unwrap_or_default();
    section.finish();
    let trusted = trusted.unwrap_or_default().into_iter();
    ProxyProtocol {
        trusted: trusted.map(Spanned::into_inner).collect(),
        required,
    }
}

fn compare_addresses(listeners: &[ParsedListener], report: &Report<'_>) {
    let all: Vec<_> = listeners
        .iter()
        .flat_map(|found| {
            let name = &found.listener.name;
            found.bind.iter().map(move |addr| (name, addr))
        })
        .collect();
    let v4_apart = |port| {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        all.iter().any(|(_, addr)| *addr.get_ref() == any)
    };
    for (i, (name, place)) in all.iter().enumerate() {
        let addr = place.get_ref();
        let clash = all
            .iter()
            .take(i)
            .map(|(name, place)| (name, place.get_ref()))
            .find(|(_, other)| overlap(addr, other, v4_apart(addr.port())));
        let message = match clash {
            None => continue,
            Some((other_name, other)) if other_name != name => {
                format!("{addr} of listener {name} clashes with {other} of listener {other_name}")
            }
            Some((_, other)) if other == addr => {
                format!("{addr} is listed twice in listener {name}")
            }
            Some((_, other)) => {
                format!("{addr} clashes with {other}, both of listener {name}")
            }
        };
        report.error(place.span().start, message);
    }
}

/// True if some client could belong to both; `[::]` takes IPv4, too, unless that is `v4_apart`.
fn overlap(a: &SocketAddr, b: &SocketAddr, v4_apart: bool) -> bool {
    let takes = |one: &SocketAddr, other: &SocketAddr| {
        let family = one.is_ipv4() == other.is_ipv4() || one.is_ipv6() && !v4_apart;
        one.ip().is_unspecified() && family
    };
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || takes(a, b) || takes(b, a))
}

fn judge_default(found: &ParsedListener, databases: &[ParsedDatabase], report: &Report<'_>) {
    let listener = &found.listener;
    let Some(default) = &listener.default else {
        return;
    };
    let Some(database) = databases.iter().find(|d| *d.name == **default) else {
        report.note(
            Severity::Warning,
            Some(found.default_at),
            format!(
                "no database {default} in this file: until `dbgate ctl expose {default}` makes one, listener {} has no default",
                listener.name
            ),
        );
        return;
    };
    if !database.clear {
        return;
    }
    let spec = &database.declared.spec;
    let by_port = listener.protocol == ListenerProtocol::Tcp;
    if by_port && spec.tls.ends_client_tls() {
        report.error(
            found.default_at,
            format!(
                "protocol = \"tcp\" relays bytes as they come, but database {default} has tls = \"{}\": use protocol = \"auto\", or tls = \"passthrough\" there",
                spec.tls
            ),
        );
    }
    if !by_port && spec.protocol.server_first() {
        report.error(
            found.default_at,
            format!(
                "a {} server speaks first, and clients of database {default} wait for it: only a listener with protocol = \"tcp\" can lead there",
                spec.protocol
            ),
        );
    }
}
