//! The `[database.NAME]` sections.

use std::collections::HashMap;
use std::sync::Arc;

use toml::Spanned;

use super::problem::Report;
use super::section::Section;
use crate::duration::HumanDuration;
use crate::one_or_many::OneOrMany;
use crate::protocol::Protocol;
use crate::proxy_protocol::Version;
use crate::rate::RateLimits;
use crate::route::access::Access;
use crate::route::health::{Health, Settings};
use crate::route::hold::{Hold, HttpCall, Wake};
use crate::route::source::Declared;
use crate::route::spec::{BackendTls, ClientTls, Keys};
use crate::route::upstream::Upstream;
use crate::route::{Host, Network};
use crate::tls::material::MaterialOrigin;
use crate::tls::{ClientName, ServerName, TlsMode};
use crate::upstream::{BackendAddr, WeightedAddr};

/// A database of the file, with the places of its hosts.
pub(super) struct ParsedDatabase {
    pub(super) name: Arc<str>,
    pub(super) declared: Declared,
    /// True if neither protocol nor mode was reported, so that they are as the user meant them.
    pub(super) clear: bool,
    /// The byte offset of each host.
    places: OneOrMany<usize>,
    /// The byte offset of `networks`.
    networks_at: usize,
}

/// Reads all databases, in the order of the file.
pub(super) fn read(root: &mut Section<'_, '_>) -> Vec<ParsedDatabase> {
    root.named("database")
        .into_iter()
        .map(|(name, section)| database(name, section))
        .collect()
}

/// Reports hosts that are listed twice, in one database or in two.
pub(super) fn compare(databases: &[ParsedDatabase], report: &Report<'_>) {
    let mut hosts: Vec<_> = databases
        .iter()
        .flat_map(|found| {
            let places = found.places.iter().copied();
            let hosts = places.zip(found.declared.hosts.iter());
            hosts.map(|(place, host)| (place, host, &*found.name))
        })
        .collect();
    hosts.sort_by_key(|(place, ..)| *place);
    let mut owners: HashMap<&Host, &str> = HashMap::with_capacity(hosts.len());
    for (place, host, name) in hosts {
        let message = match owners.get(host) {
            Some(owner) if *owner == name => {
                format!("host {host} is listed twice in database {name}")
            }
            Some(owner) => format!(
                "host {host} is listed in database {owner} and in database {name}, but can lead to only one"
            ),
            None => {
                owners.insert(host, name);
                continue;
            }
        };
        report.error(place, message);
    }
    compare_networks(databases, report);
}

/// Reports networks that lead to two databases.
fn compare_networks(databases: &[ParsedDatabase], report: &Report<'_>) {
    let mut owners: HashMap<Network, &str> = HashMap::new();
    for found in databases {
        for network in &found.declared.spec.access.networks {
            let owner = owners.entry(network.trunc()).or_insert(&*found.name);
            if **owner != *found.name {
                report.error(
                    found.networks_at,
                    format!(
                        "network {network} is listed in database {owner} and in database {}, but its clients can come to only one: make one of them smaller",
                        found.name
                    ),
                );
            }
        }
    }
}

fn database(name: &str, mut section: Section<'_, '_>) -> ParsedDatabase {
    section.check_name(name);
    let protocol = section.string("protocol", str::parse::<Protocol>);
    let backends = section
        .strings_or_tables("backends", "addresses", str::parse::<BackendAddr>, weighted)
        .unwrap_or_default();
    let backends: OneOrMany<WeightedAddr> = backends.into();
    let protocol = protocol.or_else(|| guess_protocol(&section, &backends));
    let hosts = section
        .strings("hosts", "host names", str::parse::<Host>)
        .unwrap_or_default();
    let keys = Keys {
        // Where it is unknown something was reported, and the whole is not used.
        protocol: protocol.unwrap_or(Protocol::Tls),
        backends,
        upstream: Upstream {
            balance: section.string("balance", str::parse).unwrap_or_default(),
            health: health(&mut section),
            ..Upstream::default()
        },
        tls: section.string("tls", str::parse).unwrap_or_default(),
        max_sessions: section.integer("max_sessions"),
        send_proxy: section.string("send_proxy", str::parse::<Version>),
        access: Access {
            allow: networks(&mut section, "allow"),
            deny: networks(&mut section, "deny"),
            networks: networks(&mut section, "networks"),
            enforce: section.string("enforce", str::parse),
            max_sessions_per_ip: section.integer("max_sessions_per_ip"),
            rate: rate(&mut section),
        },
        hold: hold(&mut section),
        client: ClientTls {
            cert: material(&mut section, "cert"),
            key: material(&mut section, "key"),
            min_version: section.string("min_version", str::parse),
            client_ca: material(&mut section, "client_ca"),
            client_crl: material(&mut section, "client_crl"),
            client_names: client_names(&mut section),
            client_user: section.string("client_user", str::parse),
        },
        backend: BackendTls {
            backend_ca: material(&mut section, "backend_ca"),
            backend_name: section.string("backend_name", |text| {
                ServerName::typed(text).map_err(|e| format!("invalid host name \"{text}\": {e}"))
            }),
            backend_cert: material(&mut section, "backend_cert"),
            backend_key: material(&mut section, "backend_key"),
        },
    };
    let clear = protocol.is_some() && !section.failed("tls");
    check(&keys, clear, !hosts.is_empty(), &section);
    let networks_at = section.at("networks");
    section.finish();
    let places = hosts.iter().map(|host| host.span().start).collect();
    ParsedDatabase {
        name: name.into(),
        declared: Declared {
            spec: keys.into_spec(),
            hosts: hosts.into_iter().map(Spanned::into_inner).collect(),
        },
        clear,
        places,
        networks_at,
    }
}

/// A backend that is written as a table.
fn weighted(mut table: Section<'_, '_>) -> Option<WeightedAddr> {
    let addr = table.string("address", str::parse::<BackendAddr>);
    let weight = table.integer("weight");
    if addr.is_none() && !table.failed("address") {
        table.error(
            "address",
            "a backend needs its address, as in { address = \"10.0.0.5:5432\", weight = 3 }",
        );
    }
    let weight = WeightedAddr::check(weight.unwrap_or(1));
    let weight = weight.map_err(|message| table.error("weight", message));
    table.finish();
    Some(WeightedAddr {
        addr: addr?,
        weight: weight.ok()?,
    })
}

/// The protocol of a database without `protocol`, by the port of its first backend.
fn guess_protocol(section: &Section<'_, '_>, backends: &[WeightedAddr]) -> Option<Protocol> {
    let port = backends.first()?.addr.port();
    let guess = Protocol::of_port(port);
    if guess.is_none() && !section.failed("protocol") {
        section.error(
            "protocol",
            format!(
                "port {port} does not tell the protocol of this database: add protocol, one of {}",
                Protocol::ALL.map(Protocol::as_str).join(", ")
            ),
        );
    }
    guess.filter(|_| !section.failed("protocol"))
}

/// Reports keys that do not fit together.
fn check(keys: &Keys, clear: bool, has_hosts: bool, section: &Section<'_, '_>) {
    for (key, message) in keys.problems() {
        let (key, other) = match key.as_str() {
            "cert" if !section.has("cert") => ("key", "cert"),
            "cert" => ("cert", "key"),
            "backend_cert" if !section.has("backend_cert") => ("backend_key", "backend_cert"),
            "backend_cert" => ("backend_cert", "backend_key"),
            key => (key, "tls"),
        };
        // What follows from a value that was reported is not the user's mistake.
        let known = key == "backends" || clear;
        if known && !section.failed(key) && !section.failed(other) {
            section.error(key, message);
        }
    }
    if !clear {
        return;
    }
    if keys.protocol.server_first() && has_hosts {
        section.error(
            "hosts",
            format!(
                "a {} server speaks first, before its client can ask for a host: leave hosts out, and lead a listener of its own here with protocol = \"tcp\" and default",
                keys.protocol
            ),
        );
    }
    if keys.protocol == Protocol::Postgres && keys.tls == TlsMode::Reencrypt {
        section.warning(
            "tls",
            "clients that bind the channel in SCRAM authentication, as libpq does unless told otherwise, are refused by the backend: give gateway and backend the same certificate and key, or have clients use channel_binding=disable",
        );
    }
}

fn rate(section: &mut Section<'_, '_>) -> Option<RateLimits> {
    section.section("rate").and_then(|mut rate| {
        let limits = RateLimits {
            network: rate.string("network", str::parse),
            prefix: rate.string("prefix", str::parse),
            database: rate.string("database", str::parse),
        };
        // What follows from a value that was reported is not the user's mistake.
        let failed = ["network", "prefix", "database"].map(|key| rate.failed(key));
        rate.finish();
        (!failed.contains(&true)).then_some(limits)
    })
}

fn health(section: &mut Section<'_, '_>) -> Option<Health> {
    if section.is_string("health") {
        let off = |text: &str| match text {
            "off" => Ok(Health::Off),
            _ => Err(format!(
                "\"{text}\" is neither \"off\" nor settings such as {{ interval = \"1s\" }}"
            )),
        };
        return section.string("health", off);
    }
    let mut table = section.section("health")?;
    let duration = |text: &str| text.parse::<HumanDuration>();
    let settings = Settings {
        interval: table.duration("interval", duration),
        fast_interval: table.duration("fast_interval", duration),
        timeout: table.duration("timeout", duration),
        rise: table.integer("rise"),
        fall: table.integer("fall"),
        check: table.string("check", str::parse),
        http: table.string("http", str::parse),
    };
    table.finish();
    Some(Health::On(settings.into()))
}

fn hold(section: &mut Section<'_, '_>) -> Hold {
    let duration = |text: &str| text.parse::<HumanDuration>();
    Hold {
        hold: section.duration("hold", duration),
        hold_max: section.integer("hold_max"),
        wake: section.section("wake").and_then(|mut wake| {
            if !wake.has("http") {
                wake.error(
                    "http",
                    "wake needs a call, as in wake = { http = \"POST http://starter:8080/pg1\" }",
                );
            }
            let http = wake.string("http", str::parse::<HttpCall>);
            wake.finish();
            http.map(|http| Wake { http })
        }),
    }
}

fn material(section: &mut Section<'_, '_>, key: &'static str) -> Option<MaterialOrigin> {
    section.path(key).map(MaterialOrigin::File)
}

fn client_names(section: &mut Section<'_, '_>) -> Vec<ClientName> {
    const KEY: &str = "client_names";
    let names = section.strings(KEY, "names", str::parse::<ClientName>);
    if names.as_ref().is_some_and(Vec::is_empty) {
        section.error(
            KEY,
            "an empty list has no effect: leave client_names out, or name a certificate".to_owned(),
        );
    }
    names
        .unwrap_or_default()
        .into_iter()
        .map(Spanned::into_inner)
        .collect()
}

fn networks(section: &mut Section<'_, '_>, key: &'static str) -> Vec<Network> {
    let networks = section.strings(key, "networks", str::parse::<Network>);
    if networks.as_ref().is_some_and(Vec::is_empty) {
        section.error(
            key,
            format!("an empty list has no effect: leave {key} out, or name a network"),
        );
    }
    networks
        .unwrap_or_default()
        .into_iter()
        .map(Spanned::into_inner)
        .collect()
}
