//! Remedy for each fault, for those who run the client or the server.

use super::{ChainPosition, Fault};

impl Fault {
    /// Remedy, one sentence.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a sentence for each")]
    pub fn advice(&self) -> String {
        match self {
            Self::None => {
                "give the server a certificate and its key; a TLS server cannot do without".into()
            }
            Self::Unreadable { .. } => {
                "check the certificate file on the server: `dbgate cert show FILE`".into()
            }
            Self::Version1 { .. } => {
                "make it anew as version 3 with subjectAltName: `dbgate cert new NAME`".into()
            }
            Self::SelfSigned { .. } => "let clients trust this very certificate (sslrootcert, \
                --cacert, --tlsCAFile), or have one issued by an authority that they trust"
                .into(),
            Self::CaRegenerated { .. } => "the authority was made anew: give clients its present \
                certificate, or have the server's certificate signed by the old one"
                .into(),
            Self::UnknownRoot {
                issuer,
                root_was_sent: false,
            } => format!(
                "get the certificate of \"{issuer}\" and compare its subject and issuer \
                 (`openssl x509 -noout -subject -issuer -in FILE`): the same, and clients must \
                 trust it; different, and the server must send it behind its own"
            ),
            Self::UnknownRoot { issuer, .. } => format!(
                "give clients the certificate of \"{issuer}\" as trusted root, if it is yours"
            ),
            Self::MissingIntermediate { issuer, .. } => format!(
                "on the server, append the certificate of \"{issuer}\" to the file that holds \
                 its own; clients need nothing"
            ),
            Self::LeafNotFirst { .. } | Self::WrongOrder => "put the server's own certificate \
                first in its file, then each one's issuer"
                .into(),
            Self::CaAsLeaf { .. } => "make a certificate with CA:FALSE for the server: \
                `dbgate cert new NAME`; plain `openssl req -x509` makes authorities"
                .into(),
            Self::Expired { .. } => {
                "renew it on the server, and let the server load the new one".into()
            }
            Self::NotYetValid { .. } => {
                "check the clocks of this machine and of the one that issued it; else wait".into()
            }
            Self::ChainExpired {
                position: ChainPosition::Root,
                ..
            } => "give clients the authority's renewed certificate".into(),
            Self::ChainExpired { .. } => "on the server, replace the authority's certificate by \
                its renewed one, in the file that holds the chain"
                .into(),
            Self::NotACa { .. } | Self::NotForSigning { .. } => "have the certificate signed by \
                an authority whose own says CA:TRUE and keyCertSign: `dbgate cert ca`"
                .into(),
            Self::PathTooLong { .. } => {
                "have it signed by an authority with fewer others above it".into()
            }
            Self::NameConstraint { .. } => {
                "have it signed by an authority that may issue for this name".into()
            }
            Self::WrongUsage { wanted, .. } => {
                format!("have one issued whose extendedKeyUsage holds {wanted}")
            }
            Self::NoSan {
                common_name: Some(name),
            } => format!("make it anew with the name in subjectAltName: `dbgate cert new {name}`"),
            Self::NoSan { common_name: None } => {
                "make it anew with the name in subjectAltName: `dbgate cert new NAME`".into()
            }
            Self::WildcardDepth { asked, .. } => {
                format!("have \"{asked}\" put into the certificate, or a wildcard at its own level")
            }
            Self::NameMismatch { asked, .. } => format!(
                "connect by a name that the certificate carries, or have \"{asked}\" put into it"
            ),
            Self::IpNotCovered {
                ip, as_dns_name, ..
            } => {
                if *as_dns_name {
                    format!("have {ip} put in as an IP address (IP:{ip}), not as a DNS name")
                } else {
                    format!(
                        "connect by name (libpq: host=NAME hostaddr={ip}), or have {ip} put into the \
                     certificate"
                    )
                }
            }
            Self::WeakKey { .. } => {
                "make it anew with an ECDSA P-256 key, or RSA of 2048 bits or more".into()
            }
            Self::WeakSignature { .. } => "have it signed anew with SHA-256".into(),
            Self::Rejected { .. } => {
                "have it made anew by other means: `dbgate cert new NAME`".into()
            }
            Self::Unrelated { .. } => {
                "take what does not belong to the chain out of the server's file".into()
            }
            Self::ExpiresSoon { .. } => "renew it now".into(),
            Self::LongValidity { .. } => {
                "make it anew for 825 days at most, better 397: `dbgate cert new NAME`".into()
            }
        }
    }
}
