//! Why a chain of certificates is or is not trusted: the one place that tells.
//!
//! rustls' verifier has the last word: a chain is trusted exactly when it says so. What is found
//! here by reading explains its answer. No clock, no I/O.
//! Source: RFC 5280 section 6, RFC 9525 (names), RFC 6125 section 6.4.3 (wildcards).

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use serde::Serialize;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{ExtendedKeyUsage, GeneralName};
use x509_parser::x509::X509Version;

use super::fault::{Fault, Place, Severity};
use super::path::{self, Cert, Path};
use super::view::{self, View, days_between, rfc3339, view_of};
use crate::wire::printable;

/// The most certificates of a chain that are looked at.
const MAX_CHAIN: usize = 16;

/// Days before its end at which a certificate is called due, unless it was made for less.
const SOON: i64 = 30;

/// The most days that Apple's systems accept ("Requirements for trusted certificates in iOS 13
/// and macOS 10.15").
pub(super) const LONGEST: i64 = 825;

static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));

/// What a certificate is shown for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// By a server, to its clients.
    Server,
    /// By a client, to a server that asks for one.
    Client,
}

impl Purpose {
    fn usage(self) -> &'static str {
        match self {
            Self::Server => "serverAuth",
            Self::Client => "clientAuth",
        }
    }

    fn is_among(self, usages: &ExtendedKeyUsage<'_>) -> bool {
        match self {
            Self::Server => usages.server_auth,
            Self::Client => usages.client_auth,
        }
    }
}

/// What there is to say about a chain.
#[derive(Clone, Debug, Serialize)]
pub struct Judgement {
    /// The certificates as they were sent, those that can be read, at most 16.
    pub views: Vec<View>,
    /// The subjects of the path from the leaf towards the root, without the root of the trust
    /// store.
    pub path: Vec<String>,
    /// The subject of the trusted root at the path's end.
    pub root: Option<String>,
    /// What is wrong: what makes verifiers refuse first, the most fundamental at its head.
    pub faults: Vec<Fault>,
}

impl Judgement {
    /// Whether clients that verify accept the chain.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.worst() != Some(Severity::Refused)
    }

    /// The severity of the first fault.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.faults.first().map(Fault::severity)
    }
}

/// Tells why `chain` (leaf first, as sent, DER) is or is not trusted by somebody who trusts
/// `roots` and asked for `name`.
///
/// Without a name, names are not judged. It never fails: what cannot be read is a fault, too.
#[must_use]
pub fn judge(
    chain: &[CertificateDer<'_>],
    roots: &[CertificateDer<'_>],
    name: Option<&ServerName<'_>>,
    purpose: Purpose,
    now: SystemTime,
) -> Judgement {
    let mut faults = Vec::new();
    let mut sent = Vec::new();
    if chain.is_empty() {
        faults.push(Fault::None);
    }
    let chain = chain.get(..MAX_CHAIN).unwrap_or(chain);
    let mut leaf_is_readable = true;
    for (at, der) in chain.iter().enumerate() {
        match Cert::read(der) {
            Ok(cert) => sent.push(cert),
            Err(error) => {
                leaf_is_readable &= at > 0;
                faults.push(Fault::Unreadable {
                    position: at + 1,
                    what: error.0,
                });
            }
        }
    }
    let seconds = view::seconds(now);
    let views = sent
        .iter()
        .map(|cert| view_of(cert.der, &cert.x509, seconds))
        .collect();
    if leaf_is_readable && let Some(at) = misplaced_leaf(&sent) {
        let leaf = sent.remove(at);
        faults.extend(sent.first().map(|first| Fault::LeafNotFirst {
            first: first.subject.clone(),
            leaf: leaf.subject.clone(),
        }));
        sent.insert(0, leaf);
    }
    let Some(leaf) = sent.first().filter(|_| leaf_is_readable) else {
        return Judgement {
            views,
            path: Vec::new(),
            root: None,
            faults,
        };
    };
    // One that cannot be read cannot be the root of anything either.
    let known: Vec<Cert<'_>> = roots
        .iter()
        .filter_map(|der| Cert::read(der).ok())
        .collect();
    let path = path::find(&sent, &known);
    let time = UnixTime::since_unix_epoch(
        now.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO),
    );
    let examined = Examined {
        sent: &sent,
        roots: &known,
        path: &path,
        purpose,
        now: seconds,
    };
    let mut found = examined.faults(leaf);
    match verify_chain(&sent, roots, purpose, time) {
        Ok(()) => found.retain(|fault| {
            // The key of the leaf is looked at in the handshake only.
            fault.severity() == Severity::Warning || matches!(fault, Fault::WeakKey { .. })
        }),
        Err(error) if !is_refused(&found) => found.push(rejected(&error)),
        Err(_) => {}
    }
    faults.append(&mut found);
    if let Some(name) = name
        && let Err(error) = verify_name(leaf.der, name)
    {
        match wrong_name(&leaf.x509, name) {
            Some(fault) => faults.push(fault),
            // Refused for its form, which the chain's verdict has told.
            None if is_refused(&faults) => {}
            None => faults.push(rejected(&error)),
        }
    }
    faults.sort_by_key(Fault::rank);
    Judgement {
        views,
        path: path.certs.iter().map(|cert| cert.subject.clone()).collect(),
        root: path.root.map(|root| root.subject.clone()),
        faults,
    }
}

fn is_refused(faults: &[Fault]) -> bool {
    faults
        .iter()
        .any(|fault| fault.severity() == Severity::Refused)
}

fn rejected(error: &rustls::Error) -> Fault {
    Fault::Rejected {
        words: printable(&error.to_string()),
    }
}

/// Where the leaf stands, when an authority's certificate is in its place.
fn misplaced_leaf(sent: &[Cert<'_>]) -> Option<usize> {
    sent.first().filter(|first| first.x509.is_ca())?;
    let is_issued = |leaf: &Cert<'_>| sent.iter().any(|cert| leaf.names_as_issuer(cert));
    sent.iter()
        .position(|cert| !cert.x509.is_ca() && is_issued(cert))
}

/// The verdict on the chain, without names.
fn verify_chain(
    chain: &[Cert<'_>],
    roots: &[CertificateDer<'_>],
    purpose: Purpose,
    now: UnixTime,
) -> Result<(), rustls::Error> {
    let chain: Vec<CertificateDer<'_>> = chain.iter().map(|cert| cert.der.into()).collect();
    let Some((leaf, intermediates)) = chain.split_first() else {
        return Err(rustls::Error::NoCertificatesPresented);
    };
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().cloned());
    match purpose {
        Purpose::Server => rustls::client::verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(leaf)?,
            &store,
            intermediates,
            now,
            PROVIDER.signature_verification_algorithms.all,
        ),
        Purpose::Client => {
            WebPkiClientVerifier::builder_with_provider(Arc::new(store), PROVIDER.clone())
                .build()
                .map_err(|error| rustls::Error::General(error.to_string()))?
                .verify_client_cert(leaf, intermediates, now)
                .map(drop)
        }
    }
}

fn verify_name(leaf: &[u8], name: &ServerName<'_>) -> Result<(), rustls::Error> {
    let leaf = CertificateDer::from(leaf);
    rustls::client::verify_server_name(&ParsedCertificate::try_from(&leaf)?, name)
}

/// A chain that has been read, and what it is held against.
struct Examined<'c, 'a> {
    sent: &'c [Cert<'a>],
    roots: &'c [Cert<'a>],
    path: &'c Path<'c, 'a>,
    purpose: Purpose,
    now: i64,
}

impl Examined<'_, '_> {
    /// Everything that is wrong, apart from names.
    fn faults(&self, leaf: &Cert<'_>) -> Vec<Fault> {
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
                faults.extend(self.as_issuer(cert, Place::Intermediate, below));
                below += 1;
            }
        }
        if let Some(root) = self.path.root.filter(|root| root.der != leaf.der) {
            faults.extend(self.as_issuer(root, Place::Root, below));
            if view::is_weak(root.x509.public_key()) {
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
            return Some(self.not_yet(leaf, Place::Leaf));
        }
        let days = days_between(self.now, to);
        (days < SOON.min(days_between(from, to) / 3)).then(|| Fault::ExpiresSoon {
            not_after: rfc3339(validity.not_after),
            days,
        })
    }

    fn not_yet(&self, cert: &Cert<'_>, place: Place) -> Fault {
        let from = cert.x509.validity().not_before;
        Fault::NotYetValid {
            place,
            subject: cert.subject.clone(),
            not_before: rfc3339(from),
            days_ahead: days_between(self.now, from.timestamp()),
        }
    }

    /// Why the path ends before a trusted root.
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

    /// What keeps `cert` from having issued the one below it; `below` counts the authorities
    /// between it and the leaf.
    fn as_issuer(&self, cert: &Cert<'_>, place: Place, below: u32) -> Vec<Fault> {
        let mut faults = Vec::new();
        let subject = || cert.subject.clone();
        let validity = cert.x509.validity();
        if self.now > validity.not_after.timestamp() {
            faults.push(Fault::ChainExpired {
                place,
                subject: subject(),
                not_after: rfc3339(validity.not_after),
                days_ago: days_between(validity.not_after.timestamp(), self.now),
            });
        }
        if self.now < validity.not_before.timestamp() {
            faults.push(self.not_yet(cert, place));
        }
        // Roots of old are of version 1, and every verifier takes them.
        let is_old_root = place == Place::Root && cert.x509.version() != X509Version::V3;
        if !cert.x509.is_ca() && !is_old_root {
            faults.push(Fault::NotACa {
                place,
                subject: subject(),
            });
        } else if cert.may_not_sign() {
            faults.push(Fault::NotForSigning { subject: subject() });
        }
        if let Some(limit) = cert.path_limit()
            && below > limit
        {
            faults.push(Fault::PathTooLong {
                place,
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
            usages: usage_names(usages),
            wanted: self.purpose.usage(),
        })
    }

    /// The first name of the leaf that an authority above it may not issue for.
    fn constrained(&self, leaf: &Cert<'_>) -> Option<Fault> {
        let names = leaf.x509.subject_alternative_name().ok()??;
        let authorities = self.path.certs.iter().skip(1).chain(&self.path.root);
        authorities.into_iter().find_map(|authority| {
            let constraints = authority.x509.name_constraints().ok()??.value;
            let name =
                super::constraint::first_outside(constraints, names.value.general_names.iter())?;
            Some(Fault::NameConstraint {
                authority: authority.subject.clone(),
                name,
            })
        })
    }

    /// Certificates out of order, or of no use.
    fn disorder(&self) -> Vec<Fault> {
        let place_of = |cert: &Cert<'_>| {
            let same = |other: &&Cert<'_>| other.der == cert.der;
            self.path
                .certs
                .iter()
                .copied()
                .position(|other| same(&other))
        };
        let is_root = |cert: &Cert<'_>| self.path.root.is_some_and(|root| root.der == cert.der);
        let mut faults = Vec::new();
        let places: Vec<usize> = self.sent.iter().filter_map(&place_of).collect();
        if !places.is_sorted() {
            faults.push(Fault::WrongOrder);
        }
        let unrelated: Vec<String> = self
            .sent
            .iter()
            .filter(|cert| place_of(cert).is_none() && !is_root(cert))
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
    if view::is_weak(cert.x509.public_key()) {
        faults.push(weak_key(cert));
    }
    let algorithm = &cert.x509.signature_algorithm.algorithm;
    if WEAK_SIGNATURES.contains(&algorithm.to_id_string().as_str()) {
        faults.push(Fault::WeakSignature {
            subject: cert.subject.clone(),
            algorithm: view::oid_text(algorithm),
        });
    }
    faults
}

fn weak_key(cert: &Cert<'_>) -> Fault {
    Fault::WeakKey {
        subject: cert.subject.clone(),
        key: view::key_text(cert.x509.public_key()),
    }
}

fn usage_names(usages: &ExtendedKeyUsage<'_>) -> Vec<String> {
    let known = [
        (usages.any, "anyExtendedKeyUsage"),
        (usages.server_auth, "serverAuth"),
        (usages.client_auth, "clientAuth"),
        (usages.code_signing, "codeSigning"),
        (usages.email_protection, "emailProtection"),
        (usages.time_stamping, "timeStamping"),
        (usages.ocsp_signing, "OCSPSigning"),
    ];
    let known = known
        .iter()
        .filter(|(is, _)| *is)
        .map(|(_, name)| (*name).to_owned());
    known
        .chain(usages.other.iter().map(view::oid_text))
        .collect()
}

/// Why the leaf is not for `asked`; `None` when by its names it is.
fn wrong_name(leaf: &X509Certificate<'_>, asked: &ServerName<'_>) -> Option<Fault> {
    let names = view::names(leaf);
    let asked_text = printable(&asked.to_str());
    if names.is_empty() {
        return Some(Fault::NoSan {
            common_name: view::common_name(leaf.subject()),
        });
    }
    match asked {
        ServerName::IpAddress(ip) => {
            let ip = IpAddr::from(*ip);
            let is_address = |name: &GeneralName<'_>| match name {
                GeneralName::IPAddress(bytes) => view::ip(bytes) == Some(ip),
                _ => false,
            };
            let extension = leaf.subject_alternative_name().ok()??;
            if extension.value.general_names.iter().any(is_address) {
                return None;
            }
            let text = ip.to_string();
            Some(Fault::IpNotCovered {
                ip,
                as_dns_name: names.contains(&text),
                names,
            })
        }
        _ => {
            let asked = asked_text.trim_end_matches('.').to_ascii_lowercase();
            if names
                .iter()
                .any(|name| covers(&name.to_ascii_lowercase(), &asked))
            {
                return None;
            }
            let wildcard = names.iter().find(|name| {
                name.strip_prefix("*.").is_some_and(|base| {
                    let base = base.to_ascii_lowercase();
                    asked == base || asked.ends_with(&format!(".{base}"))
                })
            });
            Some(match wildcard {
                Some(wildcard) => Fault::WildcardDepth {
                    asked,
                    wildcard: wildcard.clone(),
                },
                None => Fault::NameMismatch { asked, names },
            })
        }
    }
}

/// Whether a name of a certificate, which may be a wildcard, is that of a host.
pub(super) fn covers(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        None => name == host,
        Some(base) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest == base),
    }
}

#[cfg(test)]
mod tests;
