//! Faults of a chain, apart from names.

use x509_parser::x509::X509Version;

use crate::cert::constraint;
use crate::cert::der;
use crate::cert::fault::{ChainPosition, Fault};
use crate::cert::key;
use crate::cert::path::{self, Cert, Path};
use crate::cert::purpose::Purpose;
use crate::cert::view::{self, days_between, rfc3339};

/// Days before its end at which a certificate is called due, unless it was made for less.
const SOON: i64 = 30;

/// The most days that Apple's systems accept ("Requirements for trusted certificates in iOS 13
/// and macOS 10.15").
const LONGEST: i64 = 825;

/// A chain that has been read, and what it is held against.
pub(super) struct Examined<'c, 'a> {
    pub(super) sent: &'c [Cert<'a>],
    pub(super) roots: &'c [Cert<'a>],
    pub(super) path: &'c Path<'c, 'a>,
    pub(super) purpose: Purpose,
    pub(super) now: i64,
}

impl Examined<'_, '_> {
    /// Everything that is wrong, apart from names.
    pub(super) fn faults(&self, leaf: &Cert<'_>) -> Vec<Fault> {
        let mut faults = Vec::new();
        if leaf.x509.version() != X509Version::V3 {
            faults.push(Fault::Version1 {
                subject: leaf.subject.clone(),
            });
        }
        faults.extend(self.own_time(leaf));
        if leaf.x509.is_ca() {
            faults.push(Fault::CaAsLeaf {
                subject: leaf.subject.clone(),
            });
        }
        faults.extend(self.unanchored());
        let mut below = 0;
        for (at, cert) in self.path.certs.iter().enumerate() {
            faults.extend(self.wrong_usage(cert));
            faults.extend(weak(cert));
            if at > 0 {
                faults.extend(self.as_issuer(cert, ChainPosition::Intermediate, below));
                below += 1;
            }
        }
        if let Some(root) = self.path.root.filter(|root| root.der != leaf.der) {
            faults.extend(self.as_issuer(root, ChainPosition::Root, below));
            if key::is_weak(root.x509.public_key()) {
                faults.push(weak_key(root));
            }
        }
        faults.extend(self.constrained(leaf));
        faults.extend(self.disorder());
        faults.extend(self.length(leaf));
        faults
    }

    fn own_time(&self, leaf: &Cert<'_>) -> Option<Fault> {
        let validity = leaf.x509.validity();
        let (from, to) = (
            validity.not_before.timestamp(),
            validity.not_after.timestamp(),
        );
        if self.now > to {
            return Some(Fault::Expired {
                not_after: rfc3339(validity.not_after),
                days_ago: days_between(to, self.now),
            });
        }
        if self.now < from {
            return Some(self.not_yet(leaf, ChainPosition::Leaf));
        }
        let days = days_between(self.now, to);
        (days < SOON.min(days_between(from, to) / 3)).then(|| Fault::ExpiresSoon {
            not_after: rfc3339(validity.not_after),
            days,
        })
    }

    fn not_yet(&self, cert: &Cert<'_>, position: ChainPosition) -> Fault {
        let from = cert.x509.validity().not_before;
        Fault::NotYetValid {
            position,
            subject: cert.subject.clone(),
            not_before: rfc3339(from),
            days_ahead: days_between(self.now, from.timestamp()),
        }
    }

    /// Fault of a path that ends before a trusted root.
    fn unanchored(&self) -> Option<Fault> {
        let last = *self.path.certs.last()?;
        if self.path.root.is_some() {
            return None;
        }
        let issuer = last.issuer();
        if self.path.other_key {
            return Some(Fault::CaRegenerated { issuer });
        }
        let is_leaf = self.path.certs.len() == 1;
        if last.is_self_signed() {
            return Some(if is_leaf {
                Fault::SelfSigned {
                    subject: last.subject.clone(),
                }
            } else {
                Fault::UnknownRoot {
                    issuer,
                    root_was_sent: true,
                }
            });
        }
        let evidence = path::evidence(last, self.roots).filter(|_| is_leaf);
        Some(match evidence {
            Some(evidence) => Fault::MissingIntermediate { issuer, evidence },
            None => Fault::UnknownRoot {
                issuer,
                root_was_sent: false,
            },
        })
    }

    /// Faults of `cert` as issuer of the one below it; `below` counts the authorities
    /// between it and the leaf.
    fn as_issuer(&self, cert: &Cert<'_>, position: ChainPosition, below: u32) -> Vec<Fault> {
        let mut faults = Vec::new();
        let subject = || cert.subject.clone();
        let validity = cert.x509.validity();
        if self.now > validity.not_after.timestamp() {
            faults.push(Fault::ChainExpired {
                position,
                subject: subject(),
                not_after: rfc3339(validity.not_after),
                days_ago: days_between(validity.not_after.timestamp(), self.now),
            });
        }
        if self.now < validity.not_before.timestamp() {
            faults.push(self.not_yet(cert, position));
        }
        // Roots of old are of version 1, and every verifier takes them.
        let is_old_root = position == ChainPosition::Root && cert.x509.version() != X509Version::V3;
        if !cert.x509.is_ca() && !is_old_root {
            faults.push(Fault::NotACa {
                position,
                subject: subject(),
            });
        } else if cert.may_not_sign() {
            faults.push(Fault::NotForSigning { subject: subject() });
        }
        if let Some(limit) = cert.path_limit()
            && below > limit
        {
            faults.push(Fault::PathTooLong {
                position,
                subject: subject(),
                limit,
            });
        }
        faults
    }

    fn wrong_usage(&self, cert: &Cert<'_>) -> Option<Fault> {
        let usages = cert.x509.extended_key_usage().ok()??.value;
        if self.purpose.is_among(usages) {
            return None;
        }
        Some(Fault::WrongUsage {
            subject: cert.subject.clone(),
            usages: view::usage_names(usages),
            wanted: self.purpose.usage(),
        })
    }

    /// The first name of the leaf that an authority above it may not issue for.
    fn constrained(&self, leaf: &Cert<'_>) -> Option<Fault> {
        let names = leaf.x509.subject_alternative_name().ok()??;
        let authorities = self.path.certs.iter().skip(1).chain(&self.path.root);
        authorities.into_iter().find_map(|authority| {
            let constraints = authority.x509.name_constraints().ok()??.value;
            let name = constraint::first_outside(constraints, names.value.general_names.iter())?;
            Some(Fault::NameConstraint {
                authority: authority.subject.clone(),
                name,
            })
        })
    }

    /// Certificates out of order, or of no use.
    fn disorder(&self) -> Vec<Fault> {
        let position_of = |cert: &Cert<'_>| {
            let same = |other: &&Cert<'_>| other.der == cert.der;
            self.path
                .certs
                .iter()
                .copied()
                .position(|other| same(&other))
        };
        let is_root = |cert: &Cert<'_>| self.path.root.is_some_and(|root| root.der == cert.der);
        let mut faults = Vec::new();
        let positions: Vec<usize> = self.sent.iter().filter_map(&position_of).collect();
        if !positions.is_sorted() {
            faults.push(Fault::WrongOrder);
        }
        let unrelated: Vec<String> = self
            .sent
            .iter()
            .filter(|cert| position_of(cert).is_none() && !is_root(cert))
            // Another way to the same end, such as a cross-signed root.
            .filter(|cert| {
                !self
                    .path
                    .certs
                    .iter()
                    .any(|member| member.names_as_issuer(cert))
            })
            .map(|cert| cert.subject.clone())
            .collect();
        if !unrelated.is_empty() {
            faults.push(Fault::Unrelated {
                subjects: unrelated,
            });
        }
        faults
    }

    fn length(&self, leaf: &Cert<'_>) -> Option<Fault> {
        let validity = leaf.x509.validity();
        let days = days_between(
            validity.not_before.timestamp(),
            validity.not_after.timestamp(),
        );
        (self.purpose == Purpose::Server && days > LONGEST).then_some(Fault::LongValidity { days })
    }
}

/// Signatures over MD2, MD4, MD5 and SHA-1 (RFC 8017 appendix A.2.4, RFC 3279 section 2.2).
const WEAK_SIGNATURES: [&str; 7] = [
    "1.2.840.113549.1.1.2",
    "1.2.840.113549.1.1.3",
    "1.2.840.113549.1.1.4",
    "1.2.840.113549.1.1.5",
    "1.3.14.3.2.29",
    "1.2.840.10045.4.1",
    "1.2.840.10040.4.3",
];

/// A weak key or signature of a certificate that the peer has sent.
fn weak(cert: &Cert<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    if key::is_weak(cert.x509.public_key()) {
        faults.push(weak_key(cert));
    }
    let algorithm = &cert.x509.signature_algorithm.algorithm;
    if WEAK_SIGNATURES.contains(&algorithm.to_id_string().as_str()) {
        faults.push(Fault::WeakSignature {
            subject: cert.subject.clone(),
            algorithm: der::oid_text(algorithm),
        });
    }
    faults
}

fn weak_key(cert: &Cert<'_>) -> Fault {
    Fault::WeakKey {
        subject: cert.subject.clone(),
        key: key::key_text(cert.x509.public_key()),
    }
}
