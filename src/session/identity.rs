//! Who a client is by its certificate: noted for people, and held against the database's rules.
//!
//! Not here: whether the certificate is to be believed, which the handshake has decided.

use rustls::{CertRevocationListError, CertificateError, Error};
use tokio_rustls::server::TlsStream;

use super::end::SessionEnd;
use crate::net::Buffered;
use crate::preface::postgres::Startup;
use crate::sessions::LiveSession;
use crate::stats::CloseReason;
use crate::tls::{ClientCertificate, ClientUser};

/// The longest user name that Postgres does not cut (`NAMEDATALEN` less one), in bytes.
const LONGEST_USER: usize = 63;

/// Notes the certificate that a client showed in its handshake, and judges it by `client_names` and
/// `client_user` of its database; `startup` is the StartupMessage of a Postgres client.
///
/// # Errors
/// The rule that keeps the client out.
pub(super) fn check(
    stream: &TlsStream<Buffered>,
    entry: &LiveSession,
    startup: Option<&[u8]>,
) -> Result<(), SessionEnd> {
    let shown = stream.get_ref().1.peer_certificates();
    let Some(leaf) = shown.and_then(|chain| chain.first()) else {
        return Ok(());
    };
    let certificate = ClientCertificate::read(leaf);
    entry.shown(certificate.shown.clone());
    let rules = &entry.database.spec.rare;
    if !rules.client_names.is_empty() && !certificate.is_one_of(&rules.client_names) {
        return Err(SessionEnd::new(
            CloseReason::ClientName,
            format!(
                "client_names of {} has no name of the client's certificate, {}",
                entry.database.name, certificate.shown
            ),
        ));
    }
    match (rules.client_user, startup) {
        // Without a StartupMessage it is a CancelRequest, which names nobody.
        (None, _) | (_, None) => Ok(()),
        (Some(ClientUser::Certificate), Some(startup)) => {
            judge_user(user(startup).unwrap_or_default(), &certificate)
        }
    }
}

/// The user of the StartupMessage at the start of these bytes.
fn user(bytes: &[u8]) -> Option<&str> {
    let length = u32::from_be_bytes(*bytes.first_chunk()?);
    let message = bytes.get(..usize::try_from(length).ok()?)?;
    Startup::parse(message).ok()?.user
}

fn judge_user(user: &str, certificate: &ClientCertificate) -> Result<(), SessionEnd> {
    // The database would cut a longer name, and log in somebody else.
    if certificate.common_name() == Some(user) && user.len() <= LONGEST_USER {
        return Ok(());
    }
    Err(SessionEnd::new(
        CloseReason::ClientUser,
        format!(
            "client_user = \"certificate\": the user \"{user}\" is not the one common name (CN) of {}",
            certificate.shown
        ),
    ))
}

/// Why a client's certificate was refused in the handshake, in the words of the configuration;
/// `None` where it was not.
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
