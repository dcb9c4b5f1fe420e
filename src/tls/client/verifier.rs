//! Verifies the certificates of clients: by authorities, and by revocation lists that may be
//! replaced while it is in use.
//!
//! A list that is past its next update refuses every certificate of its authority, and so does an
//! authority without a list: what is not known to be good is not let in, as Postgres and nginx have
//! it. Source: RFC 5280 section 6.3.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
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
use crate::tls::material::{Digest, Material, MaterialError, MaterialOrigin};
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

/// The revocation lists of a verifier.
#[derive(Debug)]
struct Lists {
    origin: MaterialOrigin,
    in_force: Mutex<Digest>,
}

impl ClientVerifier {
    /// A verifier by these authorities and revocation lists.
    ///
    /// # Errors
    /// One of the lists cannot be used.
    pub fn new(roots: RootCertStore, crl: Option<&Material>) -> Result<Self, MaterialError> {
        let roots = Arc::new(roots);
        let first = match crl {
            None => build(&roots, Vec::new()).map_err(|_| NO_AUTHORITY)?,
            Some(crl) => with_lists(&roots, crl)?,
        };
        Ok(Self {
            authorities: roots.subjects(),
            roots,
            lists: crl.map(|crl| Lists {
                origin: crl.origin().clone(),
                in_force: Mutex::new(crl.digest()),
            }),
            current: ArcSwap::from_pointee(first),
        })
    }

    /// The reasons why all clients of an authority are refused, a sentence each: no list of it, or one that is
    /// past its next update at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// The revocation lists cannot be used.
    pub fn shut_out(&self, crl: &Material, now: i64) -> Result<Vec<String>, MaterialError> {
        let lists = crl.crls()?;
        let lists: Vec<_> = lists
            .iter()
            .filter_map(|(_, list)| Some(x509_parser::parse_x509_crl(list).ok()?.1))
            .collect();
        let mut found = Vec::new();
        for list in &lists {
            let over = list.next_update().is_some_and(|at| at.timestamp() < now);
            if over {
                found.push(format!(
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
                found.push(format!(
                    "there is no list of {}: all client certificates of this authority are refused",
                    wire::printable(&name)
                ));
            }
        }
        Ok(found)
    }

    /// The origin of the revocation lists.
    #[must_use]
    pub fn crl(&self) -> Option<&MaterialOrigin> {
        self.lists.as_ref().map(|lists| &lists.origin)
    }

    /// Puts revocation lists in force, and returns the digest of those before; `None` where they
    /// are in force already.
    ///
    /// # Errors
    /// They cannot be used; those in force remain.
    pub fn replace(&self, crl: &Material) -> Result<Option<Digest>, MaterialError> {
        let Some(lists) = &self.lists else {
            return Ok(None);
        };
        let mut in_force = lists
            .in_force
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *in_force == crl.digest() {
            return Ok(None);
        }
        self.current.store(Arc::new(with_lists(&self.roots, crl)?));
        Ok(Some(std::mem::replace(&mut *in_force, crl.digest())))
    }
}

const NO_AUTHORITY: MaterialError =
    MaterialError::Setup("client_ca names no authority that can be used");

fn with_lists(
    roots: &Arc<RootCertStore>,
    crl: &Material,
) -> Result<Arc<dyn ClientCertVerifier>, MaterialError> {
    let lists = crl.crls()?;
    let all = lists.iter().map(|(_, list)| list.clone()).collect();
    build(roots, all).map_err(|_| bad(roots, crl, &lists))
}

/// The first list that cannot be used.
fn bad(
    roots: &Arc<RootCertStore>,
    crl: &Material,
    lists: &[(Line, CertificateRevocationListDer<'static>)],
) -> MaterialError {
    for (line, list) in lists {
        if let Err(VerifierBuilderError::InvalidCrl(error)) = build(roots, vec![list.clone()]) {
            return MaterialError::Crl {
                origin: crl.origin().clone(),
                line: *line,
                what: words(&error),
            };
        }
    }
    NO_AUTHORITY
}

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
    use std::path::PathBuf;

    use rcgen::{
        CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
        KeyPair, KeyUsagePurpose, date_time_ymd,
    };

    use rustls::pki_types::pem::PemObject;

    use super::*;

    fn material(bytes: impl Into<Vec<u8>>) -> Material {
        Material::new(PathBuf::from("/gate/material").into(), bytes.into())
    }

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
        let (ours, list) = authority("Ours", 2090);
        let (late, late_list) = authority("Late", 2021);
        let ca = material(ours + &late);
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
            let crl = material(lists);
            let verifier = ClientVerifier::new(ca.roots().unwrap(), Some(&crl)).unwrap();
            let found = verifier.shut_out(&crl, NOW).unwrap();
            assert_eq!(found.len(), told.len(), "{found:?}");
            for (found, words) in found.iter().zip(told) {
                assert!(found.contains(words), "{found}");
            }
        }
    }

    #[test]
    fn a_file_that_is_no_list_says_so_and_never_what_it_holds() {
        let (ours, list) = authority("Ours", 2090);
        let ca = material(ours.clone());
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
            let error =
                ClientVerifier::new(ca.roots().unwrap(), Some(&material(bytes))).unwrap_err();
            let error = error.to_string();
            assert!(
                error.contains(words) && !error.contains("SECRET"),
                "{error}"
            );
        }
    }
}
