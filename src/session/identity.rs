//! The identity of a client by its certificate: noted for people, and verified against the
//! database's rules.
//!
//! Not here: the verification of the certificate, which the handshake has done.

use rustls::{CertRevocationListError, CertificateError, Error};
use tokio_rustls::server::TlsStream;

use super::end::SessionEnd;
use crate::net::Buffered;
use crate::preface::{User, of};
use crate::sessions::LiveSession;
use crate::stats::CloseReason;
use crate::tls::{ClientCertificate, ClientUser};

/// Notes the certificate that a client showed in its handshake, and verifies it against `client_names` and
/// `client_user` of its database; `login` is the login that the client has sent, if it has.
///
/// # Errors
/// The rule that keeps the client out.
pub(super) fn check(
    stream: &TlsStream<Buffered>,
    entry: &LiveSession,
    login: Option<&[u8]>,
) -> Result<(), SessionEnd> {
    let shown = stream.get_ref().1.peer_certificates();
    let Some(leaf) = shown.and_then(|chain| chain.first()) else {
        return Ok(());
    };
    let certificate = ClientCertificate::read(leaf);
    entry.shown(certificate.shown.clone());
    let Some(rules) = entry.database.spec.tls.client() else {
        return Ok(());
    };
    if !rules.client_names.is_empty() && !certificate.is_one_of(&rules.client_names) {
        return Err(SessionEnd::new(
            CloseReason::ClientName,
            format!(
                "client_names of {} has no name of the client's certificate, {}",
                entry.database.name, certificate.shown
            ),
        ));
    }
    match (rules.client_user, login) {
        // Without a login it is a cancellation, which names no user.
        (None, _) | (_, None) => Ok(()),
        (Some(ClientUser::Certificate), Some(login)) => {
            let user = of(entry.database.spec.protocol).user(login);
            verify_user(user, &certificate)
        }
    }
}

fn verify_user(user: Option<User<'_>>, certificate: &ClientCertificate) -> Result<(), SessionEnd> {
    let name = user.map_or("", |user| user.name);
    let whole = user.is_none_or(|user| user.whole);
    // The database would cut a longer name, and log in another user.
    if whole && certificate.common_name() == Some(name) {
        return Ok(());
    }
    Err(SessionEnd::new(
        CloseReason::ClientUser,
        format!(
            "client_user = \"certificate\": the user \"{name}\" is not the one common name (CN) of {}",
            certificate.shown
        ),
    ))
}

/// The reason why a client's certificate was refused in the handshake, in the words of the
/// configuration; `None` where it was not.
pub(super) fn refused(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::NoCertificatesPresented => {
            "the client showed no certificate, and client_ca asks for one"
        }
        Error::InvalidCertificate(fault) => match fault {
            CertificateError::Revoked => "the client's certificate is revoked by client_crl",
            CertificateError::UnknownRevocationStatus => {
                "client_crl holds no list of an authority that the client's certificate leads to: it needs one of each"
            }
            CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. } => {
                "client_crl holds a list that is past its next update: get the authority's new one"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the client's certificate, or one that it leads to, has expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the client's certificate, or one that it leads to, is not valid yet"
            }
            CertificateError::UnknownIssuer => {
                "no authority of client_ca has signed the client's certificate"
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                "the client's certificate is not for clients (extended key usage)"
            }
            CertificateError::BadSignature => {
                "the client's certificate has a signature that is wrong"
            }
            _ => "the client's certificate is damaged or cannot be used",
        },
        Error::InvalidCertRevocationList(CertRevocationListError::BadSignature) => {
            "client_crl holds a list that the authority of its name has not signed"
        }
        Error::InvalidCertRevocationList(_) => "client_crl holds a list that cannot be used",
        _ => return None,
    })
}
