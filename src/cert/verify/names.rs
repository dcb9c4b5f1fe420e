//! Mismatch between a certificate's names and the name asked for.

use std::net::IpAddr;

use rustls::pki_types::ServerName;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use crate::cert::fault::Fault;
use crate::cert::view;
use crate::wire::printable;

/// Fault of a leaf that is not for `asked`; `None` when by its names it is.
pub(super) fn wrong_name(leaf: &X509Certificate<'_>, asked: &ServerName<'_>) -> Option<Fault> {
    let names = view::names(leaf);
    if names.is_empty() {
        return Some(Fault::NoSan {
            common_name: view::common_name(leaf.subject()),
        });
    }
    if let ServerName::IpAddress(ip) = asked {
        return wrong_address(leaf, names, IpAddr::from(*ip));
    }
    let asked = printable(&asked.to_str()).to_ascii_lowercase();
    let asked = asked.trim_end_matches('.');
    if names.iter().any(|name| covers(name, asked)) {
        return None;
    }
    let above = |name: &&String| {
        let base = name.strip_prefix("*.").map(str::to_ascii_lowercase);
        base.is_some_and(|base| asked == base || asked.ends_with(&format!(".{base}")))
    };
    let asked = asked.to_owned();
    Some(match names.iter().find(above) {
        Some(wildcard) => Fault::WildcardDepth {
            wildcard: wildcard.clone(),
            asked,
        },
        None => Fault::NameMismatch { asked, names },
    })
}

fn wrong_address(leaf: &X509Certificate<'_>, names: Vec<String>, ip: IpAddr) -> Option<Fault> {
    let is_it = |name: &GeneralName<'_>| match name {
        GeneralName::IPAddress(bytes) => view::ip(bytes) == Some(ip),
        _ => false,
    };
    let extension = leaf.subject_alternative_name().ok()??;
    if extension.value.general_names.iter().any(is_it) {
        return None;
    }
    Some(Fault::IpNotCovered {
        ip,
        as_dns_name: names.contains(&ip.to_string()),
        names,
    })
}

/// Returns whether a name of a certificate, which may be a wildcard, is that of a host in lower
/// case.
fn covers(name: &str, host: &str) -> bool {
    let name = name.to_ascii_lowercase();
    match name.strip_prefix("*.") {
        None => name == host,
        Some(base) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest == base),
    }
}
