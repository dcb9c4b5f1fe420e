//! Name constraints: which names an authority may issue for.
//!
//! DNS names and IP addresses only; those are the names that a server's certificate has.
//! Source: RFC 5280 section 4.2.1.10.

use x509_parser::extensions::{GeneralName, GeneralSubtree, NameConstraints};

use super::view;
use crate::wire::printable;

/// The first of `names` that the constraints rule out, as text.
pub(super) fn first_outside<'a, 'n: 'a>(
    constraints: &NameConstraints<'_>,
    mut names: impl Iterator<Item = &'a GeneralName<'n>>,
) -> Option<String> {
    let permitted = constraints
        .permitted_subtrees
        .as_deref()
        .unwrap_or_default();
    let excluded = constraints.excluded_subtrees.as_deref().unwrap_or_default();
    names
        .find(|name| is_outside(name, permitted, excluded))
        .map(|name| match name {
            GeneralName::DNSName(name) => printable(name),
            GeneralName::IPAddress(bytes) => {
                view::ip(bytes).map_or_else(String::new, |ip| ip.to_string())
            }
            _ => String::new(),
        })
}

/// The domains that the constraints are about, for a sentence.
pub(super) fn permitted_domains(constraints: &NameConstraints<'_>) -> Vec<String> {
    let permitted = constraints.permitted_subtrees.iter().flatten();
    permitted
        .filter_map(|tree| match &tree.base {
            GeneralName::DNSName(base) => Some(printable(base)),
            _ => None,
        })
        .collect()
}

fn is_outside(
    name: &GeneralName<'_>,
    permitted: &[GeneralSubtree<'_>],
    excluded: &[GeneralSubtree<'_>],
) -> bool {
    // A tree of another kind of name says nothing about this one.
    let within: Vec<Option<bool>> = permitted.iter().map(|tree| lies_in(name, tree)).collect();
    let of_kind = within.iter().any(Option::is_some);
    let is_permitted = !of_kind || within.contains(&Some(true));
    !is_permitted
        || excluded
            .iter()
            .any(|tree| lies_in(name, tree) == Some(true))
}

/// Returns whether the name lies in the tree; `None` when they are of different kinds.
fn lies_in(name: &GeneralName<'_>, tree: &GeneralSubtree<'_>) -> Option<bool> {
    match (name, &tree.base) {
        (GeneralName::DNSName(name), GeneralName::DNSName(base)) => Some(dns_lies_in(name, base)),
        (GeneralName::IPAddress(ip), GeneralName::IPAddress(range)) => Some(ip_lies_in(ip, range)),
        _ => None,
    }
}

/// Returns whether `name` is `base` or below it; a leading dot of `base` changes nothing.
pub(super) fn dns_lies_in(name: &str, base: &str) -> bool {
    let (name, base) = (name.to_ascii_lowercase(), base.to_ascii_lowercase());
    let base = base.trim_start_matches('.');
    base.is_empty()
        || name == base
        || name
            .strip_suffix(base)
            .is_some_and(|above| above.ends_with('.'))
}

/// `range` is an address and a mask of the same length.
fn ip_lies_in(ip: &[u8], range: &[u8]) -> bool {
    let Some((base, mask)) = range.split_at_checked(ip.len()) else {
        return false;
    };
    mask.len() == ip.len()
        && ip
            .iter()
            .zip(base)
            .zip(mask)
            .all(|((byte, base), mask)| byte & mask == base & mask)
}
