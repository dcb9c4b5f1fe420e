//! Verification of a chain of certificates: the one place that says why it is not trusted.
//!
//! rustls' verifier has the last word: a chain is trusted exactly when it says so. What is found
//! here by reading explains its answer. No clock, no I/O.
//! Source: RFC 5280 section 6, RFC 9525 (names), RFC 6125 section 6.4.3 (wildcards).

mod examine;
mod names;

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};

use super::fault::{Fault, Severity};
use super::path::{self, Cert};
use super::purpose::Purpose;
use super::view::{self, View, view_of};
use crate::tls::error::{certificate_words, tls_words};

/// The most certificates of a chain that are looked at.
const MAX_CHAIN: usize = 16;

static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));

/// Result of verifying a chain.
#[derive(Clone, Debug)]
pub struct Verification {
    /// The certificates as they were sent, those that can be read, at most 16.
    pub views: Vec<View>,
    /// The subjects of the path from the leaf towards the root, without the root of the trust
    /// store.
    pub path: Vec<String>,
    /// The subject of the trusted root at the path's end.
    pub root: Option<String>,
    /// Faults: those that make verifiers refuse first, the most fundamental at their head.
    pub faults: Vec<Fault>,
}

impl Verification {
    /// Returns whether clients that verify accept the chain.
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

/// Verifies `chain` (leaf first, as sent, DER) for a verifier that trusts
/// `roots` and asked for `name`, and lists every fault.
///
/// Without a name, names are not checked. It never fails: what cannot be read is a fault, too.
#[must_use]
pub fn verify(
    chain: &[CertificateDer<'_>],
    roots: &[CertificateDer<'_>],
    name: Option<&ServerName<'_>>,
    purpose: Purpose,
    now: SystemTime,
) -> Verification {
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
        return Verification {
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
    let path = path::find(&sent, &known, seconds);
    let time = UnixTime::since_unix_epoch(
        now.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO),
    );
    let examined = examine::Examined {
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
        match names::wrong_name(&leaf.x509, name) {
            Some(fault) => faults.push(fault),
            // Refused for its form, which is among the chain's faults.
            None if is_refused(&faults) => {}
            None => faults.push(rejected(&error)),
        }
    }
    faults.sort_by_key(Fault::rank);
    Verification {
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
    let words = match error {
        rustls::Error::InvalidCertificate(why) => {
            format!("a certificate in it {}", certificate_words(why))
        }
        other => tls_words(other),
    };
    Fault::Rejected { words }
}

/// Index of the leaf, when an authority's certificate is in its place.
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
                // No authority at all.
                .map_err(|_| rustls::CertificateError::UnknownIssuer)?
                .verify_client_cert(leaf, intermediates, now)
                .map(drop)
        }
    }
}

fn verify_name(leaf: &[u8], name: &ServerName<'_>) -> Result<(), rustls::Error> {
    let leaf = CertificateDer::from(leaf);
    rustls::client::verify_server_name(&ParsedCertificate::try_from(&leaf)?, name)
}

#[cfg(test)]
mod tests;
