//! Verifies the certificates of clients: by authorities, and by revocation lists that may be
//! replaced while it is in use.
//!
//! A list that is past its next update refuses every certificate of its authority, and so does an
//! authority without a list: what is not known to be good is not let in, as Postgres and nginx have
//! it. Source: RFC 5280 section 6.3.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertRevocationListError, DigitallySignedStruct, DistinguishedName, RootCertStore,
    SignatureScheme,
};
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::x509::X509Name;

use crate::tls::config::PROVIDER;
use crate::tls::files::{self, TlsFileError};
use crate::tls::pem::Line;
use crate::wire;

/// A verifier of client certificates.
#[derive(Debug)]
pub struct ClientVerifier {
    roots: Arc<RootCertStore>,
    authorities: Vec<DistinguishedName>,
    lists: Option<Lists>,
    current: ArcSwap<Arc<dyn ClientCertVerifier>>,
}

/// A file of revocation lists.
#[derive(Debug)]
struct Lists {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Of the bytes whose lists are in force.
    digest: [u8; 32],
    /// The file when it was last read.
    stamp: Option<Stamp>,
    /// What was wrong with it then.
    fault: Option<String>,
}

/// The identity of a file and of what it holds, links followed: device, inode, size, and the times
/// of the last changes of contents and inode in nanoseconds.
type Stamp = (u64, u64, u64, [i64; 4]);

fn stamp(path: &Path) -> Option<Stamp> {
    let file = std::fs::metadata(path).ok()?;
    let times = [
        file.mtime(),
        file.mtime_nsec(),
        file.ctime(),
        file.ctime_nsec(),
    ];
    Some((file.dev(), file.ino(), file.size(), times))
}

impl ClientVerifier {
    /// A verifier by these authorities, and by the revocation lists in a file.
    ///
    /// # Errors
    /// The file cannot be read, or one of its lists cannot be used.
    pub(crate) fn new(roots: RootCertStore, crl: Option<&Path>) -> Result<Self, TlsFileError> {
        let roots = Arc::new(roots);
        let lists = crl.map(|path| Lists {
            path: path.to_owned(),
            state: Mutex::default(),
        });
        let first = match &lists {
            None => build(&roots, Vec::new()).ok(),
            Some(lists) => lists.read(&roots)?,
        };
        let first = first.ok_or(NO_AUTHORITY)?;
        Ok(Self {
            authorities: roots.subjects(),
            roots,
            lists,
            current: ArcSwap::from_pointee(first),
        })
    }

    /// A verifier by the authorities in one file and the revocation lists in another.
    ///
    /// # Errors
    /// One of them cannot be read, or holds something that cannot be used.
    pub fn of_files(client_ca: &Path, crl: &Path) -> Result<Self, TlsFileError> {
        let roots = files::roots(client_ca, &files::read(client_ca)?)?;
        Self::new(roots, Some(crl))
    }

    /// What keeps out all clients of an authority, a sentence each: no list of it, or one that is
    /// past its next update at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// The file of revocation lists cannot be read any more.
    pub fn shut_out(&self, now: i64) -> Result<Vec<String>, TlsFileError> {
        let Some(path) = self.crl() else {
            return Ok(Vec::new());
        };
        let lists = files::crls(path, &files::read_crls(path)?)?;
        let lists: Vec<_> = lists
            .iter()
            .filter_map(|(_, list)| Some(x509_parser::parse_x509_crl(list).ok()?.1))
            .collect();
        let mut told = Vec::new();
        for list in &lists {
            let over = list.next_update().is_some_and(|at| at.timestamp() < now);
            if over {
                told.push(format!(
                    "the list of {} is past its next update: all client certificates of this authority are refused",
                    wire::printable(&list.issuer().to_string())
                ));
            }
        }
        for authority in &self.authorities {
            let listed =
                |list: &CertificateRevocationList<'_>| list.issuer().as_raw() == authority.as_ref();
            if !lists.iter().any(listed) {
                let name = X509Name::from_der(authority.as_ref());
                let name = name.map_or_else(|_| String::new(), |(_, name)| name.to_string());
                told.push(format!(
                    "there is no list of {}: all client certificates of this authority are refused",
                    wire::printable(&name)
                ));
            }
        }
        Ok(told)
    }

    /// The file of revocation lists.
    #[must_use]
    pub fn crl(&self) -> Option<&Path> {
        self.lists.as_ref().map(|lists| &*lists.path)
    }

    /// Reads the revocation lists again; whether others are in force now.
    ///
    /// # Errors
    /// They cannot be used; those in force remain.
    pub fn reread(&self) -> Result<bool, TlsFileError> {
        let Some(lists) = &self.lists else {
            return Ok(false);
        };
        let next = lists.read(&self.roots)?;
        let changed = next.is_some();
        if let Some(next) = next {
            self.current.store(Arc::new(next));
        }
        Ok(changed)
    }

    /// The same if the file has changed since it was last read; also true where it is good again.
    ///
    /// # Errors
    /// As [`ClientVerifier::reread`], but each fault once.
    pub fn reread_if_changed(&self) -> Result<bool, TlsFileError> {
        let Some(lists) = &self.lists else {
            return Ok(false);
        };
        let (before, fault) = {
            let state = lists.state.lock().unwrap_or_else(PoisonError::into_inner);
            (state.stamp, state.fault.clone())
        };
        let now = stamp(&lists.path);
        if now.is_some() && now == before {
            return Ok(false);
        }
        match (self.reread(), fault) {
            (Err(error), Some(fault)) if error.to_string() == fault => Ok(false),
            (Ok(changed), fault) => Ok(changed || fault.is_some()),
            (Err(error), _) => Err(error),
        }
    }
}

impl Lists {
    /// A verifier by what the file holds; `None` where it holds what it did when last it was good.
    fn read(
        &self,
        roots: &Arc<RootCertStore>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsFileError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the contents: what changes in between is seen the next time.
        state.stamp = stamp(&self.path);
        let read = self.load(roots, &mut state.digest);
        state.fault = read.as_ref().err().map(ToString::to_string);
        read
    }

    fn load(
        &self,
        roots: &Arc<RootCertStore>,
        known: &mut [u8; 32],
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsFileError> {
        let bytes = files::read_crls(&self.path)?;
        let digest: [u8; 32] = digest(&SHA256, &bytes)
            .as_ref()
            .try_into()
            .unwrap_or_default();
        if digest == *known {
            return Ok(None);
        }
        let lists = files::crls(&self.path, &bytes)?;
        let all = lists.iter().map(|(_, list)| list.clone()).collect();
        let verifier = build(roots, all).map_err(|_| self.bad(roots, &lists))?;
        *known = digest;
        Ok(Some(verifier))
    }

    /// The first list that cannot be used.
    fn bad(
        &self,
        roots: &Arc<RootCertStore>,
        lists: &[(Line, CertificateRevocationListDer<'static>)],
    ) -> TlsFileError {
        for (line, list) in lists {
            if let Err(VerifierBuilderError::InvalidCrl(error)) = build(roots, vec![list.clone()]) {
                return TlsFileError::Crl {
                    path: self.path.clone(),
                    line: *line,
                    what: words(&error),
                };
            }
        }
        NO_AUTHORITY
    }
}

const NO_AUTHORITY: TlsFileError =
    TlsFileError::Setup("client_ca names no authority that can be used");

fn build(
    roots: &Arc<RootCertStore>,
    lists: Vec<CertificateRevocationListDer<'static>>,
) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
    WebPkiClientVerifier::builder_with_provider(roots.clone(), PROVIDER.clone())
        .with_crls(lists)
        .enforce_revocation_expiration()
        .build()
}

fn words(error: &CertRevocationListError) -> &'static str {
    match error {
        CertRevocationListError::UnsupportedCrlVersion => {
            "is of version 1: make one of version 2 (`openssl ca -gencrl` does with crl_extensions in its configuration)"
        }
        CertRevocationListError::UnsupportedDeltaCrl => {
            "is a delta list, which tells only what has changed: give the whole list"
        }
        CertRevocationListError::UnsupportedIndirectCrl => {
            "is an indirect list, about certificates of other authorities than the one that signed it: give the list of each authority"
        }
        CertRevocationListError::UnsupportedRevocationReason => {
            "is only about some reasons for revocation: give the list of all"
        }
        CertRevocationListError::UnsupportedCriticalExtension => {
            "has an extension that is marked critical and not known here"
        }
        _ => "is damaged",
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.authorities
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let current = self.current.load();
        current.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.current
            .load()
            .verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.current
            .load()
            .verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current.load().supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{
        CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
        KeyPair, KeyUsagePurpose, date_time_ymd,
    };

    use rustls::pki_types::pem::PemObject;

    use super::*;

    /// An authority's certificate, and its list with the next update due in this year; PEM.
    fn authority(name: &str, next_update: i32) -> (String, String) {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(next_update, 1, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&Issuer::new(params, key)).unwrap();
        (certificate, list.pem().unwrap())
    }

    #[test]
    fn what_keeps_everybody_out_is_told() {
        const NOW: i64 = 1_764_288_000;
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let (ours, list) = authority("Ours", 2090);
        let (late, late_list) = authority("Late", 2021);
        fs::write(file("ca"), ours + &late).unwrap();
        for (lists, told) in [
            (list.clone(), vec!["no list of CN=Late"]),
            (
                list.clone() + &late_list,
                vec!["CN=Late is past its next update"],
            ),
            (
                late_list.clone(),
                vec!["CN=Late is past", "no list of CN=Ours"],
            ),
        ] {
            fs::write(file("crl"), lists).unwrap();
            let verifier = ClientVerifier::of_files(&file("ca"), &file("crl")).unwrap();
            let found = verifier.shut_out(NOW).unwrap();
            assert_eq!(found.len(), told.len(), "{found:?}");
            for (found, words) in found.iter().zip(told) {
                assert!(found.contains(words), "{found}");
            }
        }
    }

    #[test]
    fn a_file_that_is_no_list_says_so_and_never_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let (ours, list) = authority("Ours", 2090);
        fs::write(file("ca"), &ours).unwrap();
        let der = CertificateRevocationListDer::from_pem_slice(list.as_bytes()).unwrap();
        for (bytes, words) in [
            (b"".to_vec(), "it is empty"),
            (ours.into_bytes(), "but a certificate on line 1"),
            (der.to_vec(), "openssl crl -inform der"),
            (
                b"-----BEGIN X509 CRL-----SECRET\n".to_vec(),
                "line ends are missing",
            ),
            (
                list.replace('\n', "\\n").into_bytes(),
                "line ends have been turned",
            ),
            (
                (list.clone() + &list.replacen("\nMI", "\nMA", 1)).into_bytes(),
                " is damaged",
            ),
        ] {
            fs::write(file("crl"), bytes).unwrap();
            let error = ClientVerifier::of_files(&file("ca"), &file("crl")).unwrap_err();
            let error = error.to_string();
            assert!(
                error.contains(words) && !error.contains("SECRET"),
                "{error}"
            );
        }
        let error = ClientVerifier::of_files(&file("ca"), &file("none")).unwrap_err();
        assert!(error.to_string().starts_with("cannot read"), "{error}");
    }
}
