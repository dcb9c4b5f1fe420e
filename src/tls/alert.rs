//! TLS alerts: their names, and the one record that refuses a client before any handshake.
//!
//! Not here: alerts inside an established connection, which rustls writes itself.
//! Source: RFC 8446 section 6, and the registry "TLS Alerts" for the codes of older RFCs.

/// The reason for which a TLS peer gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are the registry's own")]
pub enum Alert {
    CloseNotify = 0,
    UnexpectedMessage = 10,
    BadRecordMac = 20,
    RecordOverflow = 22,
    HandshakeFailure = 40,
    BadCertificate = 42,
    UnsupportedCertificate = 43,
    CertificateRevoked = 44,
    CertificateExpired = 45,
    CertificateUnknown = 46,
    IllegalParameter = 47,
    UnknownCa = 48,
    AccessDenied = 49,
    DecodeError = 50,
    DecryptError = 51,
    ProtocolVersion = 70,
    InsufficientSecurity = 71,
    InternalError = 80,
    InappropriateFallback = 86,
    UserCanceled = 90,
    NoRenegotiation = 100,
    MissingExtension = 109,
    UnsupportedExtension = 110,
    UnrecognizedName = 112,
    BadCertificateStatusResponse = 113,
    UnknownPskIdentity = 115,
    CertificateRequired = 116,
    NoApplicationProtocol = 120,
    EchRequired = 121,
}

/// Every alert this crate has a name for, in the order of the codes.
const ALL: [Alert; 29] = [
    Alert::CloseNotify,
    Alert::UnexpectedMessage,
    Alert::BadRecordMac,
    Alert::RecordOverflow,
    Alert::HandshakeFailure,
    Alert::BadCertificate,
    Alert::UnsupportedCertificate,
    Alert::CertificateRevoked,
    Alert::CertificateExpired,
    Alert::CertificateUnknown,
    Alert::IllegalParameter,
    Alert::UnknownCa,
    Alert::AccessDenied,
    Alert::DecodeError,
    Alert::DecryptError,
    Alert::ProtocolVersion,
    Alert::InsufficientSecurity,
    Alert::InternalError,
    Alert::InappropriateFallback,
    Alert::UserCanceled,
    Alert::NoRenegotiation,
    Alert::MissingExtension,
    Alert::UnsupportedExtension,
    Alert::UnrecognizedName,
    Alert::BadCertificateStatusResponse,
    Alert::UnknownPskIdentity,
    Alert::CertificateRequired,
    Alert::NoApplicationProtocol,
    Alert::EchRequired,
];

impl Alert {
    /// The alert with this code; `None` for codes that are unassigned or long gone.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        ALL.into_iter().find(|alert| alert.code() == code)
    }

    /// The number on the wire.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The RFC's name, in `snake_case`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CloseNotify => "close_notify",
            Self::UnexpectedMessage => "unexpected_message",
            Self::BadRecordMac => "bad_record_mac",
            Self::RecordOverflow => "record_overflow",
            Self::HandshakeFailure => "handshake_failure",
            Self::BadCertificate => "bad_certificate",
            Self::UnsupportedCertificate => "unsupported_certificate",
            Self::CertificateRevoked => "certificate_revoked",
            Self::CertificateExpired => "certificate_expired",
            Self::CertificateUnknown => "certificate_unknown",
            Self::IllegalParameter => "illegal_parameter",
            Self::UnknownCa => "unknown_ca",
            Self::AccessDenied => "access_denied",
            Self::DecodeError => "decode_error",
            Self::DecryptError => "decrypt_error",
            Self::ProtocolVersion => "protocol_version",
            Self::InsufficientSecurity => "insufficient_security",
            Self::InternalError => "internal_error",
            Self::InappropriateFallback => "inappropriate_fallback",
            Self::UserCanceled => "user_canceled",
            Self::NoRenegotiation => "no_renegotiation",
            Self::MissingExtension => "missing_extension",
            Self::UnsupportedExtension => "unsupported_extension",
            Self::UnrecognizedName => "unrecognized_name",
            Self::BadCertificateStatusResponse => "bad_certificate_status_response",
            Self::UnknownPskIdentity => "unknown_psk_identity",
            Self::CertificateRequired => "certificate_required",
            Self::NoApplicationProtocol => "no_application_protocol",
            Self::EchRequired => "ech_required",
        }
    }

    /// A fatal alert as a whole plaintext record, for a client that has sent only its hello.
    ///
    /// Fatal always: RFC 6066 section 3 recommends against a warning that a server then ignores.
    #[must_use]
    pub fn record(self) -> [u8; 7] {
        // type alert, version TLS 1.2 as all plaintext records carry, two bytes: fatal, code
        [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, self.code()]
    }
}

impl std::fmt::Display for Alert {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_unique_and_lead_back() {
        for alert in ALL {
            assert_eq!(Alert::from_code(alert.code()), Some(alert));
            assert_eq!(ALL.iter().filter(|a| a.name() == alert.name()).count(), 1);
        }
        assert_eq!(Alert::from_code(1), None);
    }

    #[test]
    fn the_names_are_those_of_another_implementation() {
        for alert in ALL {
            let theirs = format!("{:?}", rustls::AlertDescription::from(alert.code()));
            // Two names that rustls writes in its own way.
            let theirs = theirs
                .to_lowercase()
                .replace("unrecognised", "unrecognized")
                .replace("encryptedclienthello", "ech");
            assert_eq!(format!("{alert:?}").to_lowercase(), theirs);
            assert_eq!(alert.name().replace('_', ""), theirs);
        }
    }

    #[test]
    fn the_record_is_fatal_and_plain() {
        assert_eq!(
            Alert::UnrecognizedName.record(),
            [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70]
        );
    }
}
