//! The reasons why a handshake failed, as a sentence for the operator: the library's own are made
//! for programmers, and name its types.
//!
//! Not here: which reason a session ends with ([`crate::tls::alert`] has the alerts).

use std::io;

use rustls::{CertificateError, Error, PeerIncompatible};

use super::Alert;

/// Describes why reading or writing through TLS failed, be it TLS or the socket.
#[must_use]
pub fn words(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(tls) => tls_words(tls),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the connection ended in the middle of TLS".to_owned()
        }
        None => error.to_string(),
    }
}

/// Describes why TLS failed.
#[must_use]
pub fn tls_words(error: &Error) -> String {
    match error {
        Error::AlertReceived(alert) => {
            let code = u8::from(*alert);
            match Alert::from_code(code) {
                Some(alert) => format!("the other end sent the alert {} ({code})", alert.name()),
                None => format!("the other end sent an alert of the unknown number {code}"),
            }
        }
        Error::InvalidCertificate(why) => {
            format!(
                "the certificate of the other end {}",
                certificate_words(why)
            )
        }
        Error::PeerIncompatible(why) => incompatible(why).to_owned(),
        other => broken(other).to_owned(),
    }
}

/// The fault of a certificate, as the end of a sentence.
#[must_use]
pub fn certificate_words(why: &CertificateError) -> String {
    let fault = match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet"
        }
        CertificateError::Revoked => "has been revoked",
        CertificateError::UnknownIssuer => {
            "leads to no authority that is trusted here (unknown issuer)"
        }
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => {
            let fault = format!("is not for {}, the name asked for", expected.to_str());
            return match presented.as_slice() {
                [] => fault,
                names => format!("{fault}; it is for {}", listed(names)),
            };
        }
        CertificateError::NotValidForName => "is not for the name asked for",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not for this purpose (extendedKeyUsage)"
        }
        CertificateError::BadSignature => "has a signature that is not its issuer's",
        CertificateError::UnknownRevocationStatus => {
            "comes from an issuer without a revocation list here"
        }
        CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => {
            "cannot be verified, since its issuer's revocation list is out of date"
        }
        CertificateError::UnhandledCriticalExtension => {
            "has an extension that is marked critical and not known here"
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "is signed by an algorithm that is not accepted here"
        }
        CertificateError::BadEncoding => "is damaged",
        // The library does not tell which, such as an unknown critical extension.
        _ => {
            "has something that is not accepted here, such as an extension that is marked critical and not known"
        }
    };
    fault.to_owned()
}

/// The first names of a certificate, which the library wraps in the kind of each.
fn listed(names: &[String]) -> String {
    const MOST: usize = 3;
    let plain = |name: &String| {
        let inner = name.strip_prefix("DnsName(\"");
        let inner = inner.and_then(|inner| inner.strip_suffix("\")"));
        inner.unwrap_or(name).to_owned()
    };
    let mut listed: Vec<String> = names.iter().take(MOST).map(plain).collect();
    if names.len() > MOST {
        listed.push(format!("{} more", names.len() - MOST));
    }
    listed.join(", ")
}

/// The thing that two ends do not have in common.
fn incompatible(why: &PeerIncompatible) -> &'static str {
    match why {
        PeerIncompatible::NoCipherSuitesInCommon => "the two ends have no cipher suite in common",
        PeerIncompatible::NoKxGroupsInCommon
        | PeerIncompatible::NamedGroupsExtensionRequired
        | PeerIncompatible::KeyShareExtensionRequired => {
            "the two ends have no key exchange group in common"
        }
        PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::SignatureAlgorithmsExtensionRequired
        | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => {
            "the two ends have no signature algorithm in common that the certificate's key can make"
        }
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => {
            "the two ends have no TLS version in common"
        }
        PeerIncompatible::ExtendedMasterSecretExtensionRequired => {
            "the other end lacks extended_master_secret, without which TLS 1.2 is not safe"
        }
        _ => "the two ends have no way of TLS in common",
    }
}

/// Everything that an end must not do, and what fails on this one.
fn broken(error: &Error) -> &'static str {
    match error {
        Error::NoCertificatesPresented => "the other end showed no certificate",
        Error::NoApplicationProtocol => "the two ends have no ALPN protocol in common",
        Error::DecryptError => "a record cannot be decrypted: it was altered, or a key differs",
        Error::PeerSentOversizedRecord | Error::InvalidMessage(_) => {
            "the other end sent what is not TLS, or damaged"
        }
        Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerMisbehaved(_) => "the other end broke a rule of TLS",
        Error::FailedToGetCurrentTime => "the system has no clock",
        Error::FailedToGetRandomBytes => "the system gives no random bytes",
        Error::InvalidCertRevocationList(_) => "the revocation list cannot be used",
        _ => "TLS failed",
    }
}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, PeerMisbehaved};

    use super::*;

    #[test]
    fn every_failure_is_a_sentence() {
        for (error, told) in [
            (
                Error::AlertReceived(AlertDescription::BadCertificate),
                "the other end sent the alert bad_certificate (42)",
            ),
            (
                Error::AlertReceived(AlertDescription::Unknown(200)),
                "the other end sent an alert of the unknown number 200",
            ),
            (
                CertificateError::UnknownIssuer.into(),
                "the certificate of the other end leads to no authority that is trusted here \
                 (unknown issuer)",
            ),
            (
                PeerIncompatible::Tls12NotOfferedOrEnabled.into(),
                "the two ends have no TLS version in common",
            ),
            (
                PeerMisbehaved::IllegalMiddleboxChangeCipherSpec.into(),
                "the other end broke a rule of TLS",
            ),
            (Error::General("internal words".into()), "TLS failed"),
        ] {
            assert_eq!(words(&io::Error::other(error)), told);
        }
        let cut = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert_eq!(words(&cut), "the connection ended in the middle of TLS");
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(words(&reset), "connection reset");
    }
}
