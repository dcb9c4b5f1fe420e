//! Certification path: from a leaf to a trusted root, or as far as there is one.
//!
//! Not here: whether verifiers accept it; they have the last word
//! ([`super::verify`](super::verify())). Source: RFC 5280 section 6.1, RFC 4158 (building paths).

use std::cell::Cell;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};

use super::der::{Unreadable, parse};
use super::fault::Evidence;
use super::signature::{Link, link};
use super::view::name_text;
use crate::wire::printable;

/// The most signatures checked for one chain; a hostile one could ask for any number.
const MAX_CHECKS: u32 = 100;

/// A certificate that has been read.
pub(super) struct Cert<'a> {
    pub(super) der: &'a [u8],
    pub(super) x509: X509Certificate<'a>,
    pub(super) subject: String,
}

impl<'a> Cert<'a> {
    pub(super) fn read(der: &'a [u8]) -> Result<Self, Unreadable> {
        let x509 = parse(der)?;
        let subject = name_text(x509.subject());
        Ok(Self { der, x509, subject })
    }

    pub(super) fn issuer(&self) -> String {
        name_text(self.x509.issuer())
    }

    /// Returns whether `issuer` bears the name that this certificate says has signed it.
    pub(super) fn names_as_issuer(&self, issuer: &Cert<'_>) -> bool {
        self.x509.issuer().as_raw() == issuer.x509.subject().as_raw()
    }

    pub(super) fn link_to(&self, issuer: &Cert<'_>) -> Link {
        link(&self.x509, &issuer.x509)
    }

    fn is_valid_at(&self, time: i64) -> bool {
        let validity = self.x509.validity();
        (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&time)
    }

    pub(super) fn is_self_signed(&self) -> bool {
        self.link_to(self) != Link::No
    }

    /// Path length constraint of an authority.
    pub(super) fn path_limit(&self) -> Option<u32> {
        let basic = self.x509.basic_constraints().ok()??;
        basic.value.path_len_constraint.filter(|_| basic.value.ca)
    }

    /// Returns whether its key usage forbids to sign certificates.
    pub(super) fn may_not_sign(&self) -> bool {
        matches!(self.x509.key_usage(), Ok(Some(usage)) if !usage.value.key_cert_sign())
    }
}

/// A way from the leaf towards a root.
pub(super) struct Path<'c, 'a> {
    /// Leaf first; never empty where there is a leaf.
    pub(super) certs: Vec<&'c Cert<'a>>,
    /// The trusted root at its end; the leaf itself may be one.
    pub(super) root: Option<&'c Cert<'a>>,
    /// Some certificate bears the name of the last one's issuer, but its key did not sign.
    pub(super) other_key: bool,
}

/// Finds the way from the first of `sent` to a root, else the longest there is.
///
/// A way through certificates whose time it is goes before all others, as for verifiers.
pub(super) fn find<'c, 'a>(sent: &'c [Cert<'a>], roots: &'c [Cert<'a>], now: i64) -> Path<'c, 'a> {
    let walk = |valid_at| {
        let search = Search {
            sent,
            roots,
            valid_at,
            checks_left: Cell::new(MAX_CHECKS),
        };
        let mut walk: Vec<&Cert<'_>> = sent.first().into_iter().collect();
        let mut longest = walk.clone();
        match search.extend(&mut walk, &mut longest) {
            Some(root) => (walk, Some(root)),
            None => (longest, None),
        }
    };
    let (certs, root) = match walk(Some(now)) {
        (_, None) => walk(None),
        found => found,
    };
    let other_key = root.is_none()
        && certs
            .last()
            .is_some_and(|last| roots.iter().any(|root| last.names_as_issuer(root)));
    Path {
        certs,
        root,
        other_key,
    }
}

struct Search<'c, 'a> {
    sent: &'c [Cert<'a>],
    roots: &'c [Cert<'a>],
    /// Only issuers whose time this is, in seconds since 1970.
    valid_at: Option<i64>,
    checks_left: Cell<u32>,
}

impl<'c, 'a> Search<'c, 'a> {
    /// Walks on from the end of `walk`; leaves it complete when a root is found, else as it was.
    fn extend(
        &self,
        walk: &mut Vec<&'c Cert<'a>>,
        longest: &mut Vec<&'c Cert<'a>>,
    ) -> Option<&'c Cert<'a>> {
        let head = *walk.last()?;
        if walk.len() > longest.len() {
            longest.clone_from(walk);
        }
        let trusted = self.roots.iter().find(|root| self.linked(head, root));
        if trusted.is_some() {
            return trusted;
        }
        for next in self.sent {
            if walk.iter().any(|cert| cert.der == next.der) || !self.linked(head, next) {
                continue;
            }
            walk.push(next);
            let root = self.extend(walk, longest);
            if root.is_some() {
                return root;
            }
            walk.pop();
        }
        None
    }

    fn linked(&self, cert: &Cert<'_>, issuer: &Cert<'_>) -> bool {
        let is_out_of_time = self.valid_at.is_some_and(|time| !issuer.is_valid_at(time));
        if is_out_of_time || !cert.names_as_issuer(issuer) {
            return false;
        }
        let Some(left) = self.checks_left.get().checked_sub(1) else {
            return false;
        };
        self.checks_left.set(left);
        cert.link_to(issuer) != Link::No
    }
}

/// Evidence that the leaf's issuer is an intermediate below a trusted root.
pub(super) fn evidence(leaf: &Cert<'_>, roots: &[Cert<'_>]) -> Option<Evidence> {
    let found = |is: &dyn Fn(&Cert<'_>) -> bool| {
        roots
            .iter()
            .find(|root| is(root))
            .map(|root| root.subject.clone())
    };
    let named = issuer_of_issuer(leaf);
    if let Some(root) = found(&|root| named.contains(&root.x509.subject().as_raw())) {
        return Some(Evidence::NamedRoot(root));
    }
    if let Some(url) = issuer_url(leaf) {
        return Some(Evidence::Url(url));
    }
    let (organisation, rest) = (
        organisation(leaf.x509.issuer()),
        rest_of_name(leaf.x509.issuer()),
    );
    if let Some(root) = found(&|root| !rest.is_empty() && rest_of_name(root.x509.subject()) == rest)
    {
        return Some(Evidence::SiblingName(root));
    }
    let root = found(&|root| {
        !organisation.is_empty() && self::organisation(root.x509.subject()) == organisation
    })?;
    Some(Evidence::SameOrganisation(root))
}

type Name<'a> = x509_parser::x509::X509Name<'a>;

fn organisation<'a>(name: &'a Name<'_>) -> Vec<&'a [u8]> {
    name.iter_organization()
        .map(x509_parser::x509::AttributeTypeAndValue::as_slice)
        .collect()
}

/// A name without its common names: kinds and values.
fn rest_of_name<'a>(name: &'a Name<'_>) -> Vec<(&'a [u8], &'a [u8])> {
    name.iter_attributes()
        .filter(|part| *part.attr_type() != x509_parser::oid_registry::OID_X509_COMMON_NAME)
        .map(|part| (part.attr_type().as_bytes(), part.as_slice()))
        .collect()
}

/// The names in authorityCertIssuer: who has issued the issuer's certificate, DER.
fn issuer_of_issuer<'a>(leaf: &Cert<'a>) -> Vec<&'a [u8]> {
    let mut found = Vec::new();
    for extension in leaf.x509.extensions() {
        if let ParsedExtension::AuthorityKeyIdentifier(id) = extension.parsed_extension() {
            for name in id.authority_cert_issuer.iter().flatten() {
                if let GeneralName::DirectoryName(name) = name {
                    found.push(name.as_raw());
                }
            }
        }
    }
    found
}

/// The first caIssuers address of authorityInfoAccess.
fn issuer_url(leaf: &Cert<'_>) -> Option<String> {
    /// id-ad-caIssuers (RFC 5280 section 4.2.2.1).
    const CA_ISSUERS: &str = "1.3.6.1.5.5.7.48.2";
    leaf.x509.extensions().iter().find_map(|extension| {
        let ParsedExtension::AuthorityInfoAccess(access) = extension.parsed_extension() else {
            return None;
        };
        access.iter().find_map(|way| match &way.access_location {
            GeneralName::URI(url) if way.access_method.to_id_string() == CA_ISSUERS => {
                Some(printable(url))
            }
            _ => None,
        })
    })
}
