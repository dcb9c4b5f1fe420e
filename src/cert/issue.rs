//! End-entity certificates in files: made, kept, renewed when due, repaired after a crash.
//!
//! A key is written before its certificate, and a renewal keeps the key, so that at every moment
//! the two files fit each other or a second run makes them fit.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rcgen::KeyPair;

use super::authority::{Authority, check_name, exposed, read_pair};
use super::error::CertError;
use super::files::{self, Locked, PUBLIC, SECRET, content};
use super::issued::{IssuedPair, PairChange};
use super::mint::{self, HostName, Leaf};
use super::path::Cert;
use super::purpose::Purpose;
use super::view::{self, view};
use crate::tls::ServerName;

/// A certificate with less time left is due, unless it was made for a short time.
const DUE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The longest life that Apple's systems accept, in days.
const LONGEST: u64 = 825;

/// Subject of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A server of these names, at least one.
    Server(Vec<HostName>),
    /// A client of this name: what Postgres takes for the user.
    Client(String),
}

/// Signer of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// The authority whose files are in this directory.
    Authority(PathBuf),
    /// Its own key.
    Itself,
}

/// Request for a certificate in files.
#[derive(Clone, Debug)]
pub struct LeafRequest {
    /// Receiver.
    pub subject: Subject,
    /// Signer.
    pub signer: Signer,
    /// Lifetime; it never exceeds that of the authority.
    pub lifetime: Duration,
    /// The directory of its files.
    pub out: PathBuf,
    /// Less time left makes one that is there due; without it 30 days, or a third of its life.
    pub if_due: Option<Duration>,
    /// Make certificate and key anew, whatever is there.
    pub force: bool,
    /// Make a new key with each new certificate.
    pub new_key: bool,
}

/// Makes a certificate and its key, or keeps those that are there and still good.
///
/// # Errors
/// A certificate for others is there, the authority cannot sign or may not issue for the names,
/// files cannot be read or written, or the system gives no random bytes.
pub fn make_leaf(wanted: &LeafRequest, now: SystemTime) -> Result<IssuedPair, CertError> {
    let stem = wanted.subject.file_stem()?;
    let cert_path = wanted.out.join(format!("{stem}.crt"));
    let key_path = wanted.out.join(format!("{stem}.key"));
    let mut remarks = wanted.subject.remarks();
    let authority = match &wanted.signer {
        Signer::Authority(dir) => {
            let authority = Authority::open(dir, now)?;
            authority.check(&wanted.subject.checked_names())?;
            Some(authority)
        }
        Signer::Itself => None,
    };
    let mut until = mint::end(now, wanted.lifetime)?;
    if let Some(authority) = &authority
        && until > authority.until
    {
        until = authority.until;
        remarks.push(format!(
            "the certificate ends with its authority {}, before the time asked for",
            authority.path.display()
        ));
    }
    if wanted.lifetime.as_secs() > LONGEST * 24 * 60 * 60 {
        remarks.push("Apple's systems refuse a server's certificate of more than 825 days".into());
    }
    let locked = Locked::open(&wanted.out)?;
    let pair = Pair {
        wanted,
        authority: authority.as_ref(),
        cert: &cert_path,
        key: &key_path,
    };
    let (change, key) = pair.plan(until, now)?;
    let new_key = change != PairChange::Unchanged && key.is_none();
    if change != PairChange::Unchanged {
        let key = if let Some(key) = key {
            key
        } else {
            let key = mint::new_key()?;
            locked.put(&key_path, &key.serialize_pem(), SECRET)?;
            key
        };
        let names = wanted.subject.names();
        let leaf = Leaf {
            common_name: &wanted.subject.common_name(),
            names,
            purpose: wanted.subject.purpose(),
            until,
        };
        let mut pem = leaf.sign(&key, authority.as_ref().map(|a| &a.issuer), now)?;
        if let Some(authority) = &authority {
            pem += &authority.sent_along();
        }
        locked.put(&cert_path, &pem, PUBLIC)?;
    }
    if files::is_exposed(&key_path) {
        remarks.push(exposed(&key_path));
    }
    let chain = files::read_chain(&cert_path)?.unwrap_or_default();
    let der = chain
        .first()
        .ok_or_else(|| content(&cert_path, "is empty"))?;
    Ok(IssuedPair {
        view: view(der, now).map_err(|e| content(&cert_path, e.to_string()))?,
        trust: authority.map_or_else(|| cert_path.clone(), |authority| authority.path),
        cert: cert_path,
        key: key_path,
        change,
        new_key,
        remarks,
    })
}

/// The pair of files that a request is about.
struct Pair<'a> {
    wanted: &'a LeafRequest,
    authority: Option<&'a Authority>,
    cert: &'a PathBuf,
    key: &'a PathBuf,
}

impl Pair<'_> {
    /// Decides what to do with the files that are there, and gives the key where one is
    /// kept.
    fn plan(
        &self,
        until: SystemTime,
        now: SystemTime,
    ) -> Result<(PairChange, Option<KeyPair>), CertError> {
        if self.wanted.force {
            let is_there = self.cert.exists() || self.key.exists();
            let change = if is_there {
                PairChange::Replaced
            } else {
                PairChange::Made
            };
            return Ok((change, None));
        }
        let or_force = |error: CertError| match error {
            CertError::Content { path, what } => CertError::Content {
                path,
                what: format!("{what}; --force replaces certificate and key"),
            },
            other => other,
        };
        let chain = files::read_chain(self.cert).map_err(or_force)?;
        let key = read_pair(self.key).map_err(or_force)?;
        let Some(der) = chain.as_ref().and_then(|chain| chain.first()) else {
            return Ok((PairChange::Made, key.map(|(pair, _)| pair)));
        };
        let cert = Cert::read(der).map_err(|e| or_force(content(self.cert, e.to_string())))?;
        let extended = match self.difference(&cert) {
            None => false,
            Some(Difference::MoreNames) => true,
            Some(Difference::Other(difference)) => {
                return Err(CertError::Conflict(format!(
                    "{} {difference}; --force replaces certificate and key",
                    self.cert.display()
                )));
            }
        };
        let kept = |pair: KeyPair| (!self.wanted.new_key).then_some(pair);
        Ok(match key {
            Some((pair, key)) if files::fits(der, &key) => {
                if extended {
                    (PairChange::Extended, kept(pair))
                } else if self.is_due(&cert, until, now) {
                    (PairChange::Renewed, kept(pair))
                } else {
                    (PairChange::Unchanged, None)
                }
            }
            Some((pair, _)) => (PairChange::Repaired, kept(pair)),
            None => (PairChange::Repaired, None),
        })
    }

    /// In what the certificate that is there is another one than that asked for.
    fn difference(&self, cert: &Cert<'_>) -> Option<Difference> {
        let other = |text: String| Some(Difference::Other(text));
        let wanted = &self.wanted.subject;
        match (client(cert), wanted) {
            (Some(there), Subject::Client(asked)) if there != *asked => {
                return other(format!("is for the client \"{there}\""));
            }
            (Some(_), Subject::Server(_)) => return other("is for a client".into()),
            (None, Subject::Client(_)) => return other("is for a server".into()),
            _ => {}
        }
        let asked: BTreeSet<String> = wanted.names().iter().map(ToString::to_string).collect();
        let names: BTreeSet<String> = view::names(&cert.x509).into_iter().collect();
        if !names.is_subset(&asked) {
            let (names, asked): (Vec<_>, Vec<_>) =
                (names.into_iter().collect(), asked.into_iter().collect());
            return other(format!(
                "is for {}, not for {}",
                or_nobody(&names),
                asked.join(", ")
            ));
        }
        match self.authority {
            Some(authority) if !authority.has_signed(cert) => other(format!(
                "is signed by \"{}\", not by {}",
                cert.issuer(),
                authority.path.display()
            )),
            None if !cert.is_self_signed() => {
                other(format!("is signed by \"{}\", not by itself", cert.issuer()))
            }
            _ => (names != asked).then_some(Difference::MoreNames),
        }
    }

    /// Returns whether a new one is wanted, and would last longer.
    fn is_due(&self, cert: &Cert<'_>, until: SystemTime, now: SystemTime) -> bool {
        let validity = cert.x509.validity();
        let (from, to) = (
            validity.not_before.timestamp(),
            validity.not_after.timestamp(),
        );
        let due = match self.wanted.if_due {
            Some(due) => due.as_secs().cast_signed(),
            None => DUE.as_secs().cast_signed().min(to.saturating_sub(from) / 3),
        };
        to.saturating_sub(view::seconds(now)) < due && to < view::seconds(until)
    }
}

/// The difference between the certificate that is there and that asked for.
enum Difference {
    /// There are further names; a new one for all can take its place.
    MoreNames,
    /// It is for something else, in words.
    Other(String),
}

fn or_nobody(names: &[String]) -> String {
    if names.is_empty() {
        "nobody".to_owned()
    } else {
        names.join(", ")
    }
}

/// The client that the certificate is for; `None` when it is a server's.
fn client(cert: &Cert<'_>) -> Option<String> {
    let usage = cert.x509.extended_key_usage().ok()??.value;
    (usage.client_auth && !usage.server_auth)
        .then(|| view::common_name(cert.x509.subject()).unwrap_or_default())
}

impl Subject {
    fn purpose(&self) -> Purpose {
        match self {
            Self::Server(_) => Purpose::Server,
            Self::Client(_) => Purpose::Client,
        }
    }

    /// The names that go into the certificate.
    fn names(&self) -> &[HostName] {
        match self {
            Self::Server(names) => names,
            Self::Client(_) => &[],
        }
    }

    /// The names that name constraints are held against.
    fn checked_names(&self) -> Vec<HostName> {
        match self {
            Self::Server(names) => names.clone(),
            // OpenSSL takes a common name that looks like a host's for one.
            Self::Client(name) if name.contains('.') => ServerName::parse(name)
                .map(HostName::Dns)
                .into_iter()
                .collect(),
            Self::Client(_) => Vec::new(),
        }
    }

    fn common_name(&self) -> String {
        match self {
            Self::Server(names) => names.first().map(ToString::to_string).unwrap_or_default(),
            Self::Client(name) => name.clone(),
        }
    }

    /// Name of the files, without `.crt` and `.key`.
    fn file_stem(&self) -> Result<String, CertError> {
        let stem = match self {
            Self::Server(names) => match names.first() {
                Some(HostName::Wildcard(base)) => format!("_wildcard.{base}"),
                Some(HostName::Ip(ip)) => ip.to_string().replace(':', "-"),
                Some(HostName::Dns(name)) => name.to_string(),
                None => return Err(CertError::Refused("a certificate needs a name".into())),
            },
            Self::Client(name) => {
                check_name(name)?;
                name.clone()
            }
        };
        if stem.contains('/') || stem.starts_with('.') {
            return Err(CertError::Name(format!(
                "\"{stem}\" cannot be the name of a file"
            )));
        }
        if stem.eq_ignore_ascii_case("ca") {
            return Err(CertError::Name(
                "\"ca\" as first name would take the files of an authority: put another name first"
                    .into(),
            ));
        }
        Ok(stem)
    }

    fn remarks(&self) -> Vec<String> {
        let Self::Server(names) = self else {
            return Vec::new();
        };
        let mut remarks = Vec::new();
        for name in names {
            let HostName::Wildcard(base) = name else {
                continue;
            };
            remarks.push(format!(
                "*.{base} covers exactly one label: not {base} itself, and not a.b.{base}"
            ));
            if base.parent().is_none() {
                remarks.push(format!(
                    "OpenSSL (psql, redis-cli) accepts no wildcard directly below a top-level \
                     name such as {base}"
                ));
            }
        }
        remarks
    }
}

#[cfg(test)]
mod tests;
