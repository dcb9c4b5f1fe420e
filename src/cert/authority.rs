//! Authorities: `ca.crt` and `ca.key` in a directory, made once and never overwritten, and what
//! signs with them.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;

use super::constraint::{first_outside, permitted_domains};
use super::error::CertError;
use super::files::{self, Locked, PUBLIC, SECRET, content};
use super::issued::{IssuedPair, PairChange};
use super::mint::{self, HostName};
use super::path::Cert;
use super::view::{self, view};
use crate::tls::ServerName;

/// The file of an authority's certificate.
pub(super) const CERT: &str = "ca.crt";

/// The file of an authority's key.
pub(super) const KEY: &str = "ca.key";

/// An authority with less time left is remarked on.
const ENDS_SOON: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Request for an authority.
#[derive(Clone, Debug)]
pub struct RootRequest {
    /// Directory of its files.
    pub dir: PathBuf,
    /// Common name; without one it gets a name that no other has.
    pub name: Option<String>,
    /// Lifetime.
    pub lifetime: Duration,
    /// The only domains that it may issue for; none means any.
    pub domains: Vec<ServerName>,
}

/// Makes an authority, or finds it as it was made before.
///
/// # Errors
/// Another authority is there (it is never overwritten), files cannot be read or written, or the
/// system gives no random bytes.
pub fn make_root(wanted: &RootRequest, now: SystemTime) -> Result<IssuedPair, CertError> {
    let (cert, key) = (wanted.dir.join(CERT), wanted.dir.join(KEY));
    if let Some(name) = &wanted.name {
        check_name(name)?;
    }
    let locked = Locked::open(&wanted.dir)?;
    let mut remarks = Vec::new();
    let mut new_key = false;
    let change = match (files::read_chain(&cert)?, read_pair(&key)?) {
        (Some(chain), Some((_, der))) => {
            unchanged(wanted, &cert, &chain, &der)?;
            PairChange::Unchanged
        }
        (Some(_), None) => {
            return Err(CertError::Conflict(format!(
                "{} is there, but not its key {}: put the key back, or move the certificate away \
                 to make another authority",
                cert.display(),
                key.display()
            )));
        }
        (None, found) => {
            let name = match &wanted.name {
                Some(name) => name.clone(),
                // Two authorities of one name are the hardest to tell apart for clients.
                None => format!("dbgate CA {:08x}", u32::from_be_bytes(mint::random()?)),
            };
            let pair = if let Some((pair, _)) = found {
                let key = key.display();
                remarks.push(format!("the key {key} was there already and is used"));
                pair
            } else {
                let pair = mint::new_key()?;
                locked.put(&key, &pair.serialize_pem(), SECRET)?;
                new_key = true;
                pair
            };
            let until = mint::end(now, wanted.lifetime)?;
            let pem = mint::root(&name, &wanted.domains, &pair, now, until)?;
            locked.put(&cert, &pem, PUBLIC)?;
            PairChange::Made
        }
    };
    let chain = files::read_chain(&cert)?.unwrap_or_default();
    let der = chain.first().ok_or_else(|| content(&cert, "is empty"))?;
    let view = view(der, now).map_err(|e| content(&cert, e.to_string()))?;
    if view.days_left < days(ENDS_SOON) {
        remarks.push(format!(
            "the authority ends on {}: make its successor in another directory, and let clients \
             trust both for a while",
            view.not_after
        ));
    }
    if files::is_exposed(&key) {
        remarks.push(exposed(&key));
    }
    Ok(IssuedPair {
        trust: cert.clone(),
        cert,
        key,
        view,
        change,
        new_key,
        remarks,
    })
}

pub(super) fn exposed(key: &Path) -> String {
    let key = key.display();
    format!("others than its owner can read {key}: chmod 600 {key}")
}

fn days(span: Duration) -> i64 {
    span.as_secs().cast_signed() / view::DAY
}

/// Checks a common name.
pub(super) fn check_name(name: &str) -> Result<(), CertError> {
    let wrong = if name.is_empty() {
        "is empty"
    } else if name.chars().count() > mint::MAX_COMMON_NAME {
        "is longer than the 64 characters that a certificate takes"
    } else if crate::wire::printable(name) != name {
        "holds characters that cannot be seen"
    } else {
        return Ok(());
    };
    let name = crate::wire::printable(name);
    Err(CertError::Name(format!("the name \"{name}\" {wrong}")))
}

/// Holds an authority that is there against the one asked for.
fn unchanged(
    wanted: &RootRequest,
    path: &Path,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<(), CertError> {
    let der = chain.first().ok_or_else(|| content(path, "is empty"))?;
    let cert = Cert::read(der).map_err(|e| content(path, e.to_string()))?;
    let differs = |what: String| {
        Err(CertError::Conflict(format!(
            "{} {what}; an authority is never overwritten, since clients trust it: choose another \
             --dir, or move it away",
            path.display()
        )))
    };
    if !cert.x509.is_ca() {
        return differs("is not the certificate of an authority (no CA:TRUE)".into());
    }
    if !files::fits(der, key) {
        return differs(format!("and the {KEY} beside it do not belong together"));
    }
    let name = view::common_name(cert.x509.subject()).unwrap_or_default();
    if wanted.name.as_ref().is_some_and(|wanted| *wanted != name) {
        return differs(format!("is named \"{name}\""));
    }
    let constraints = cert.x509.name_constraints().ok().flatten();
    let mut there = constraints.map_or_else(Vec::new, |found| permitted_domains(found.value));
    let mut asked: Vec<String> = wanted.domains.iter().map(ToString::to_string).collect();
    there.sort();
    asked.sort();
    asked.dedup();
    if there != asked && !asked.is_empty() {
        return differs(if there.is_empty() {
            "may issue for any name".into()
        } else {
            format!("may issue for {} only", there.join(", "))
        });
    }
    Ok(())
}

/// A key file, as a pair to sign with and as in the file.
pub(super) fn read_pair(
    path: &Path,
) -> Result<Option<(KeyPair, PrivateKeyDer<'static>)>, CertError> {
    let Some(der) = files::read_key(path)? else {
        return Ok(None);
    };
    let pair = KeyPair::try_from(&der).map_err(|_| {
        content(
            path,
            "holds a private key of a kind that is not usable here",
        )
    })?;
    Ok(Some((pair, der)))
}

/// An authority that can sign.
pub(super) struct Authority {
    /// Its certificate's file.
    pub(super) path: PathBuf,
    /// Its certificate, then those above it, as far as the file has them; DER.
    chain: Vec<CertificateDer<'static>>,
    pub(super) issuer: Issuer<'static, KeyPair>,
    /// End of validity.
    pub(super) until: SystemTime,
}

impl Authority {
    /// Reads the authority of a directory.
    pub(super) fn open(dir: &Path, now: SystemTime) -> Result<Self, CertError> {
        let (path, key_path) = (dir.join(CERT), dir.join(KEY));
        let Some(chain) = files::read_chain(&path)? else {
            let place = match dir.as_os_str() {
                empty if empty.is_empty() || empty == "." => String::new(),
                dir => format!(" --dir {}", dir.display()),
            };
            return Err(CertError::Refused(format!(
                "no authority found: {} does not exist. `dbgate cert ca{place}` makes one, \
                 --ca names the directory of another, --self-signed does without",
                path.display()
            )));
        };
        let Some((pair, key)) = read_pair(&key_path)? else {
            return Err(CertError::Refused(format!(
                "the authority {} cannot sign: its key {} is not there",
                path.display(),
                key_path.display()
            )));
        };
        let refused = |what: String| Err(CertError::Refused(format!("{}: {what}", path.display())));
        let der = chain.first().ok_or_else(|| content(&path, "is empty"))?;
        let cert = Cert::read(der).map_err(|e| content(&path, e.to_string()))?;
        if !cert.x509.is_ca() || cert.may_not_sign() {
            return refused("may not sign certificates (no CA:TRUE, or no keyCertSign)".into());
        }
        if !files::fits(der, &key) {
            return refused(format!("does not belong to the key {}", key_path.display()));
        }
        let end = cert.x509.validity().not_after;
        let until = UNIX_EPOCH
            .checked_add(Duration::from_secs(
                u64::try_from(end.timestamp()).unwrap_or(0),
            ))
            .unwrap_or(now);
        if until <= now {
            let end = view::rfc3339(end);
            return refused(format!("the authority ended on {end}; make another one"));
        }
        let Ok(issuer) = Issuer::from_ca_cert_der(der, pair) else {
            return refused("has a field or an extension that cannot be issued from here".into());
        };
        Ok(Self {
            path,
            chain,
            issuer,
            until,
        })
    }

    /// Returns whether it has signed the certificate.
    pub(super) fn has_signed(&self, cert: &Cert<'_>) -> bool {
        self.chain
            .first()
            .and_then(|der| Cert::read(der).ok())
            .is_some_and(|own| cert.link_to(&own) != super::signature::Link::No)
    }

    /// Certificates that a server has to send behind one signed here: all but a root; PEM.
    pub(super) fn sent_along(&self) -> String {
        let read = self.chain.iter().filter_map(|der| Cert::read(der).ok());
        read.filter(|cert| !cert.is_self_signed())
            .map(|cert| files::pem(cert.der))
            .collect()
    }

    /// Returns whether it may issue for all of these names.
    pub(super) fn check(&self, names: &[HostName]) -> Result<(), CertError> {
        let texts: Vec<String> = names.iter().map(ToString::to_string).collect();
        let addresses: Vec<Vec<u8>> = names
            .iter()
            .filter_map(|name| match name {
                HostName::Ip(std::net::IpAddr::V4(ip)) => Some(ip.octets().to_vec()),
                HostName::Ip(std::net::IpAddr::V6(ip)) => Some(ip.octets().to_vec()),
                _ => None,
            })
            .collect();
        let dns = texts
            .iter()
            .zip(names)
            .filter_map(|(text, name)| match name {
                HostName::Ip(_) => None,
                _ => Some(GeneralName::DNSName(text)),
            });
        let ips = addresses.iter().map(|ip| GeneralName::IPAddress(ip));
        let general: Vec<GeneralName<'_>> = dns.chain(ips).collect();
        for der in &self.chain {
            let Ok(cert) = Cert::read(der) else { continue };
            let Ok(Some(constraints)) = cert.x509.name_constraints() else {
                continue;
            };
            if let Some(name) = first_outside(constraints.value, general.iter()) {
                let domains = permitted_domains(constraints.value);
                let domains = if domains.is_empty() {
                    "its name constraints".to_owned()
                } else {
                    format!("names in {}", domains.join(", "))
                };
                return Err(CertError::Refused(format!(
                    "the authority {} may not issue for \"{name}\": it is limited to {domains}, \
                     and clients would refuse the certificate",
                    self.path.display()
                )));
            }
        }
        Ok(())
    }
}
