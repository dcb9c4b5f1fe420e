//! What can be wrong with a chain of certificates: each cause apart, with its code, a sentence and
//! the remedy.
//!
//! Not here: how they are found ([`super::judge`](super::judge())).

use std::fmt;
use std::net::IpAddr;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// What a fault does to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A client that verifies refuses the chain.
    Refused,
    /// The chain is accepted, but not everywhere or not for long.
    Warning,
}

/// Where in a chain a certificate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The one of the server, or of the client.
    Leaf,
    /// An authority between leaf and root, which the peer has sent.
    Intermediate,
    /// The authority in the trust store; some verifiers look at nothing but its name and key.
    Root,
}

/// What tells a missing intermediate certificate from an authority that is not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The leaf says where its issuer's certificate can be had (authorityInfoAccess).
    Url(String),
    /// The leaf says that this trusted root has issued its issuer (authorityKeyIdentifier).
    NamedRoot(String),
    /// This trusted root is of the same organisation as the issuer.
    SameOrganisation(String),
    /// This trusted root's name differs from the issuer's only in the common name.
    SiblingName(String),
}

/// One thing that is wrong with a chain.
///
/// Texts in it are safe for a terminal. The order of the variants is that of importance, with the
/// most fundamental first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are what their names say")]
pub enum Fault {
    /// The peer has sent no certificate at all.
    None,
    /// Bytes that are no certificate; `position` counts from 1.
    Unreadable { position: usize, what: String },
    /// A certificate of the first version, which has no extensions.
    Version1 { subject: String },
    /// The leaf is signed by its own key and is not in the trust store.
    SelfSigned { subject: String },
    /// The trust store has an authority of the issuer's name, but with another key.
    CaRegenerated { issuer: String },
    /// The issuer is an authority that the trust store does not have.
    UnknownRoot { issuer: String, root_was_sent: bool },
    /// The link between the leaf and a trusted root was not sent.
    MissingIntermediate { issuer: String, evidence: Evidence },
    /// The leaf stands behind its issuers, where verifiers expect it first.
    LeafNotFirst { first: String, leaf: String },
    /// The leaf is an authority's certificate (CA:TRUE).
    CaAsLeaf { subject: String },
    /// The leaf's time is over.
    Expired { not_after: String, days_ago: i64 },
    /// The time of a certificate has not come.
    NotYetValid {
        place: Place,
        subject: String,
        not_before: String,
        days_ahead: i64,
    },
    /// The time of an authority in the chain is over.
    ChainExpired {
        place: Place,
        subject: String,
        not_after: String,
        days_ago: i64,
    },
    /// A certificate has signed another one without being an authority's (no CA:TRUE).
    NotACa { place: Place, subject: String },
    /// An authority whose key usage leaves out the signing of certificates.
    NotForSigning { subject: String },
    /// More authorities below this one than it permits.
    PathTooLong {
        place: Place,
        subject: String,
        limit: u32,
    },
    /// An authority may not issue for this name.
    NameConstraint { authority: String, name: String },
    /// The certificate is for other purposes (extendedKeyUsage).
    WrongUsage {
        subject: String,
        usages: Vec<String>,
        wanted: &'static str,
    },
    /// The certificate names no host at all, only a common name or nothing.
    NoSan { common_name: Option<String> },
    /// A wildcard stands for exactly one label; the name asked for has none there, or more.
    WildcardDepth { asked: String, wildcard: String },
    /// The certificate is for other names.
    NameMismatch { asked: String, names: Vec<String> },
    /// The address asked for is not among the certificate's addresses.
    IpNotCovered {
        ip: IpAddr,
        names: Vec<String>,
        /// It stands there as a DNS name, which no verifier takes for an address.
        as_dns_name: bool,
    },
    /// A key that is too short, or of a kind no longer accepted.
    WeakKey { subject: String, key: String },
    /// A signature by an algorithm no longer accepted.
    WeakSignature { subject: String, algorithm: String },
    /// Verifiers refuse it for a reason not known here; `words` are theirs.
    Rejected { words: String },
    /// The certificates were not sent in the order in which they sign each other.
    WrongOrder,
    /// Certificates were sent that do not belong to the chain.
    Unrelated { subjects: Vec<String> },
    /// The leaf's time is nearly over.
    ExpiresSoon { not_after: String, days: i64 },
    /// The leaf is good for longer than some verifiers permit.
    LongValidity { days: i64 },
}

impl Fault {
    /// The stable code of the cause, for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::None => "cert-none",
            Self::Unreadable { .. } => "cert-unreadable",
            Self::Version1 { .. } => "cert-version-1",
            Self::SelfSigned { .. } => "cert-self-signed",
            Self::CaRegenerated { .. } => "cert-ca-regenerated",
            Self::UnknownRoot { .. } => "cert-unknown-root",
            Self::MissingIntermediate { .. } => "cert-missing-intermediate",
            Self::CaAsLeaf { .. } => "cert-ca-as-leaf",
            Self::Expired { .. } => "cert-expired",
            Self::NotYetValid { .. } => "cert-not-yet-valid",
            Self::ChainExpired { .. } => "cert-chain-expired",
            Self::NotACa { .. } | Self::NotForSigning { .. } => "cert-issuer-not-a-ca",
            Self::PathTooLong { .. } => "cert-path-too-long",
            Self::NameConstraint { .. } => "cert-name-constraint",
            Self::WrongUsage { .. } => "cert-wrong-usage",
            Self::NoSan { .. } => "cert-no-san",
            Self::WildcardDepth { .. } => "cert-wildcard-depth",
            Self::NameMismatch { .. } => "cert-name-mismatch",
            Self::IpNotCovered { .. } => "cert-ip-not-covered",
            Self::WeakKey { .. } => "cert-weak-key",
            Self::WeakSignature { .. } => "cert-weak-signature",
            Self::Rejected { .. } => "cert-rejected",
            Self::LeafNotFirst { .. } | Self::WrongOrder | Self::Unrelated { .. } => {
                "cert-chain-order"
            }
            Self::ExpiresSoon { .. } => "cert-expires-soon",
            Self::LongValidity { .. } => "cert-long-validity",
        }
    }

    /// Whether it keeps a client that verifies from connecting.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            // rustls takes a root for name and key; OpenSSL, and so libpq, looks at all of it.
            Self::NotYetValid { place, .. }
            | Self::ChainExpired { place, .. }
            | Self::NotACa { place, .. }
            | Self::PathTooLong { place, .. }
                if *place == Place::Root =>
            {
                Severity::Warning
            }
            Self::Unreadable { position, .. } if *position > 1 => Severity::Warning,
            Self::NotForSigning { .. }
            | Self::WrongOrder
            | Self::Unrelated { .. }
            | Self::ExpiresSoon { .. }
            | Self::LongValidity { .. } => Severity::Warning,
            _ => Severity::Refused,
        }
    }

    /// The place in the order of importance; the least is the most fundamental.
    pub(super) fn rank(&self) -> (bool, u8) {
        let rank = match self {
            Self::None => 0,
            Self::Unreadable { .. } => 1,
            Self::Version1 { .. } => 2,
            Self::LeafNotFirst { .. } => 3,
            Self::SelfSigned { .. } => 4,
            Self::CaRegenerated { .. } => 5,
            Self::UnknownRoot { .. } => 6,
            Self::MissingIntermediate { .. } => 7,
            Self::CaAsLeaf { .. } => 8,
            Self::Expired { .. } => 9,
            Self::NotYetValid { .. } => 10,
            Self::ChainExpired { .. } => 11,
            Self::NotACa { .. } => 12,
            Self::NotForSigning { .. } => 13,
            Self::PathTooLong { .. } => 14,
            Self::NameConstraint { .. } => 15,
            Self::WrongUsage { .. } => 16,
            Self::NoSan { .. } => 17,
            Self::WildcardDepth { .. } => 18,
            Self::NameMismatch { .. } => 19,
            Self::IpNotCovered { .. } => 20,
            Self::WeakKey { .. } => 21,
            Self::WeakSignature { .. } => 22,
            Self::Rejected { .. } => 23,
            Self::WrongOrder => 24,
            Self::Unrelated { .. } => 25,
            Self::ExpiresSoon { .. } => 26,
            Self::LongValidity { .. } => 27,
        };
        (self.severity() == Severity::Warning, rank)
    }

    /// What to do about it, one sentence.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::None => {
                "give the server a certificate and its key; a TLS server cannot do without".into()
            }
            Self::Unreadable { .. } => {
                "look at the certificate file on the server: `dbgate cert show FILE`".into()
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
            Self::UnknownRoot { issuer, .. } => format!(
                "give clients the certificate of \"{issuer}\" as trusted root, if it is yours"
            ),
            Self::MissingIntermediate { issuer, .. } => format!(
                "on the server, append the certificate of \"{issuer}\" to the file that holds \
                 its own; clients need nothing"
            ),
            Self::LeafNotFirst { .. } => "put the server's own certificate first in its file, \
                then each one's issuer"
                .into(),
            Self::CaAsLeaf { .. } => "make a certificate with CA:FALSE for the server: \
                `dbgate cert new NAME`; plain `openssl req -x509` makes authorities"
                .into(),
            Self::Expired { .. } => {
                "renew it on the server, and let the server load the new one".into()
            }
            Self::NotYetValid { .. } => {
                "look at the clocks of this machine and of the one that issued it; else wait".into()
            }
            Self::ChainExpired {
                place: Place::Root, ..
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
            Self::WrongOrder => "put the server's own certificate first in its file, then each \
                one's issuer"
                .into(),
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

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no certificate was sent"),
            Self::Unreadable { position, what } => {
                write!(
                    f,
                    "certificate {position} of the chain cannot be read: {what}"
                )
            }
            Self::Version1 { subject } => write!(
                f,
                "\"{subject}\" is a certificate of version 1, which carries no names to verify"
            ),
            Self::SelfSigned { subject } => write!(
                f,
                "the certificate \"{subject}\" is signed by its own key, and is not among the \
                 trusted ones"
            ),
            Self::CaRegenerated { issuer } => write!(
                f,
                "the trust store has an authority \"{issuer}\", but its key is not the one that \
                 signed"
            ),
            Self::UnknownRoot {
                issuer,
                root_was_sent: true,
            } => write!(
                f,
                "the chain ends at \"{issuer}\", a root that is not trusted; a root that the peer \
                 sends itself counts for nothing"
            ),
            Self::UnknownRoot {
                issuer,
                root_was_sent: false,
            } => {
                write!(
                    f,
                    "the issuer \"{issuer}\" is not among the trusted authorities"
                )
            }
            Self::MissingIntermediate { issuer, evidence } => {
                write!(
                    f,
                    "the certificate of the issuer \"{issuer}\" was not sent: "
                )?;
                match evidence {
                    Evidence::Url(url) => {
                        write!(f, "it is an intermediate, to be had at {url}")
                    }
                    Evidence::NamedRoot(root) => {
                        write!(f, "it is an intermediate below the trusted \"{root}\"")
                    }
                    Evidence::SameOrganisation(root) => write!(
                        f,
                        "the trusted \"{root}\" is of the same organisation, so it is most likely \
                         an intermediate below it"
                    ),
                    Evidence::SiblingName(root) => write!(
                        f,
                        "the trusted \"{root}\" has the same name but for the common name, so it \
                         is most likely an intermediate below it"
                    ),
                }
            }
            Self::LeafNotFirst { first, leaf } => write!(
                f,
                "the first certificate sent is the authority \"{first}\", the server's own \
                 \"{leaf}\" comes after it"
            ),
            Self::CaAsLeaf { subject } => write!(
                f,
                "the certificate \"{subject}\" is an authority's (CA:TRUE); rustls \
                 and others refuse that in a server's place, OpenSSL does not"
            ),
            Self::Expired {
                not_after,
                days_ago,
            } => {
                write!(
                    f,
                    "the certificate ended on {not_after}, {}",
                    ago(*days_ago)
                )
            }
            Self::NotYetValid {
                subject,
                not_before,
                days_ahead,
                ..
            } => write!(
                f,
                "the certificate \"{subject}\" begins on {not_before}, {}",
                ahead(*days_ahead)
            ),
            Self::ChainExpired {
                place,
                subject,
                not_after,
                days_ago,
            } => {
                let ago = ago(*days_ago);
                if *place == Place::Root {
                    write!(
                        f,
                        "the trusted root \"{subject}\" ended on {not_after}, {ago}; OpenSSL \
                         (psql, redis-cli) refuses it, rustls does not"
                    )
                } else {
                    write!(
                        f,
                        "the issuing certificate \"{subject}\" ended on {not_after}, {ago}"
                    )
                }
            }
            Self::NotACa { place, subject } => {
                let else_accepted = if *place == Place::Root {
                    "; OpenSSL (psql, redis-cli) refuses it, rustls does not"
                } else {
                    ""
                };
                write!(
                    f,
                    "\"{subject}\" has signed a certificate without being an authority (no \
                     CA:TRUE){else_accepted}"
                )
            }
            Self::NotForSigning { subject } => write!(
                f,
                "the authority \"{subject}\" may not sign certificates by its own key usage (no \
                 keyCertSign); OpenSSL (psql, redis-cli) refuses it, rustls does not"
            ),
            Self::PathTooLong { subject, limit, .. } => write!(
                f,
                "the authority \"{subject}\" permits {limit} authorities below it, the chain has \
                 more"
            ),
            Self::NameConstraint { authority, name } => write!(
                f,
                "the authority \"{authority}\" may not issue for \"{name}\" (name constraints)"
            ),
            Self::WrongUsage {
                subject,
                usages,
                wanted,
            } => write!(
                f,
                "the certificate \"{subject}\" is for {}, not for {wanted}",
                list(usages)
            ),
            Self::NoSan {
                common_name: Some(name),
            } => write!(
                f,
                "the certificate carries no subjectAltName, only the common name \"{name}\", \
                 which verifiers do not look at"
            ),
            Self::NoSan { common_name: None } => {
                f.write_str("the certificate carries no subjectAltName, so it is for no host")
            }
            Self::WildcardDepth { asked, wildcard } => write!(
                f,
                "\"{wildcard}\" does not cover \"{asked}\": a wildcard stands for exactly one \
                 label"
            ),
            Self::NameMismatch { asked, names } => {
                write!(
                    f,
                    "the certificate is for {}, not for \"{asked}\"",
                    list(names)
                )
            }
            Self::IpNotCovered {
                ip,
                as_dns_name: true,
                ..
            } => write!(
                f,
                "the address {ip} stands in the certificate as a DNS name, where nobody looks for \
                 an address"
            ),
            Self::IpNotCovered { ip, names, .. } => {
                write!(
                    f,
                    "the certificate is for {}, not for the address {ip}",
                    list(names)
                )
            }
            Self::WeakKey { subject, key } => {
                write!(
                    f,
                    "the key of \"{subject}\" is {key}, which verifiers refuse as too weak"
                )
            }
            Self::WeakSignature { subject, algorithm } => write!(
                f,
                "\"{subject}\" is signed by {algorithm}, which verifiers refuse as too weak"
            ),
            Self::Rejected { words } => write!(f, "verifiers refuse the chain: {words}"),
            Self::WrongOrder => f.write_str(
                "the certificates were not sent in the order in which they sign each other; some \
                 clients mind",
            ),
            Self::Unrelated { subjects } => {
                write!(
                    f,
                    "certificates were sent that do not belong to the chain: {}",
                    list(subjects)
                )
            }
            Self::ExpiresSoon { not_after, days } => {
                write!(f, "the certificate ends on {not_after}, {}", ahead(*days))
            }
            Self::LongValidity { days } => write!(
                f,
                "the certificate is good for {days} days; Apple's systems refuse more than 825"
            ),
        }
    }
}

/// `code`, `severity`, `what` and `do`.
impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Fault", 4)?;
        fields.serialize_field("code", self.code())?;
        fields.serialize_field("severity", &self.severity())?;
        fields.serialize_field("what", &self.to_string())?;
        fields.serialize_field("do", &self.advice())?;
        fields.end()
    }
}

/// The most names that a sentence lists.
const LISTED: usize = 5;

fn list(names: &[String]) -> String {
    let mut text = names
        .iter()
        .take(LISTED)
        .map(|name| format!("\"{name}\""))
        .collect::<Vec<_>>()
        .join(", ");
    if names.is_empty() {
        text.push_str("nothing");
    }
    if let Some(more) = names.len().checked_sub(LISTED).filter(|more| *more > 0) {
        text = format!("{text} and {more} more");
    }
    text
}

fn ago(days: i64) -> String {
    match days {
        0 => "less than a day ago".into(),
        1 => "a day ago".into(),
        days => format!("{days} days ago"),
    }
}

fn ahead(days: i64) -> String {
    match days {
        0 => "less than a day from now".into(),
        1 => "a day from now".into(),
        days => format!("{days} days from now"),
    }
}
