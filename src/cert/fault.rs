//! Faults of a chain of certificates: each cause apart, with its code, a sentence and
//! the remedy.
//!
//! Not here: how they are found ([`super::verify`](super::verify())).

mod advice;
mod display;

use std::net::IpAddr;

/// Effect of a fault on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// A client that verifies refuses the chain.
    Refused,
    /// The chain is accepted, but not everywhere or not for long.
    Warning,
}

/// Position of a certificate in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainPosition {
    /// The one of the server, or of the client.
    Leaf,
    /// An authority between leaf and root, which the peer has sent.
    Intermediate,
    /// The authority in the trust store; some verifiers check only its name and key.
    Root,
}

/// Evidence for a missing intermediate, as opposed to an untrusted authority.
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
    /// Bytes that are not a certificate; `position` counts from 1.
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
    /// The leaf is behind its issuers, where verifiers expect it first.
    LeafNotFirst { first: String, leaf: String },
    /// The leaf is an authority's certificate (CA:TRUE).
    CaAsLeaf { subject: String },
    /// The leaf's time is over.
    Expired { not_after: String, days_ago: i64 },
    /// The time of a certificate has not come.
    NotYetValid {
        position: ChainPosition,
        subject: String,
        not_before: String,
        days_ahead: i64,
    },
    /// The time of an authority in the chain is over.
    ChainExpired {
        position: ChainPosition,
        subject: String,
        not_after: String,
        days_ago: i64,
    },
    /// A certificate has signed another one without being an authority's (no CA:TRUE).
    NotACa {
        position: ChainPosition,
        subject: String,
    },
    /// An authority whose key usage leaves out the signing of certificates.
    NotForSigning { subject: String },
    /// More authorities below this one than it permits.
    PathTooLong {
        position: ChainPosition,
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
    /// A wildcard covers exactly one label; the name asked for has none there, or more.
    WildcardDepth { asked: String, wildcard: String },
    /// The certificate is for other names.
    NameMismatch { asked: String, names: Vec<String> },
    /// The address asked for is not among the certificate's addresses.
    IpNotCovered {
        ip: IpAddr,
        names: Vec<String>,
        /// It is there as a DNS name, which no verifier takes for an address.
        as_dns_name: bool,
    },
    /// A key that is too short, or of a kind no longer accepted.
    WeakKey { subject: String, key: String },
    /// A signature by an algorithm no longer accepted.
    WeakSignature { subject: String, algorithm: String },
    /// Verifiers refuse it for a reason without a rule; `words` are their message.
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
            Self::LeafNotFirst { .. } => "cert-leaf-not-first",
            Self::WrongOrder | Self::Unrelated { .. } => "cert-chain-order",
            Self::ExpiresSoon { .. } => "cert-expires-soon",
            Self::LongValidity { .. } => "cert-long-validity",
        }
    }

    /// Returns whether it keeps a client that verifies from connecting.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            // rustls uses only name and key of a root; OpenSSL, and so libpq, checks all of it.
            Self::NotYetValid { position, .. }
            | Self::ChainExpired { position, .. }
            | Self::NotACa { position, .. }
            | Self::PathTooLong { position, .. }
                if *position == ChainPosition::Root =>
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
}
