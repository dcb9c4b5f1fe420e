//! Text of each fault, one sentence without its full stop.

use std::fmt;

use super::{ChainPosition, Evidence, Fault};

impl fmt::Display for Fault {
    #[expect(clippy::too_many_lines, reason = "a sentence for each")]
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
                    "the issuer \"{issuer}\" is not among the trusted authorities, and its \
                     certificate was not sent: it is either an intermediate that the server must \
                     send, or a root that you must trust"
                )
            }
            Self::MissingIntermediate { issuer, evidence } => {
                write!(
                    f,
                    "the certificate of the issuer \"{issuer}\" was not sent: "
                )?;
                match evidence {
                    Evidence::Url(url) => {
                        write!(
                            f,
                            "it is to be had at {url}, so it is most likely an intermediate"
                        )
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
                position,
                subject,
                not_before,
                days_ahead,
            } => {
                let kind = match position {
                    ChainPosition::Leaf => "the certificate",
                    ChainPosition::Intermediate => "the issuing certificate",
                    ChainPosition::Root => "the trusted root",
                };
                let ahead = ahead(*days_ahead);
                write!(f, "{kind} \"{subject}\" begins on {not_before}, {ahead}")?;
                if *position == ChainPosition::Root {
                    f.write_str(OPENSSL_ONLY)?;
                }
                Ok(())
            }
            Self::ChainExpired {
                position,
                subject,
                not_after,
                days_ago,
            } => {
                let (kind, also) = match position {
                    ChainPosition::Root => ("trusted root", OPENSSL_ONLY),
                    _ => ("issuing certificate", ""),
                };
                let ago = ago(*days_ago);
                write!(
                    f,
                    "the {kind} \"{subject}\" ended on {not_after}, {ago}{also}"
                )
            }
            Self::NotACa { position, subject } => {
                let also = match position {
                    ChainPosition::Root => OPENSSL_ONLY,
                    _ => "",
                };
                write!(
                    f,
                    "\"{subject}\" has signed a certificate without being an authority (no \
                     CA:TRUE){also}"
                )
            }
            Self::NotForSigning { subject } => write!(
                f,
                "the authority \"{subject}\" may not sign certificates by its own key usage (no \
                 keyCertSign){OPENSSL_ONLY}"
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
                 which verifiers ignore"
            ),
            Self::NoSan { common_name: None } => {
                f.write_str("the certificate carries no subjectAltName, so it is for no host")
            }
            Self::WildcardDepth { asked, wildcard } => write!(
                f,
                "\"{wildcard}\" does not cover \"{asked}\": a wildcard covers exactly one \
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
                "the address {ip} is in the certificate as a DNS name, where verifiers do not look for \
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

/// Remark on faults of a root that only OpenSSL refuses.
const OPENSSL_ONLY: &str = "; OpenSSL (psql, redis-cli) refuses it, rustls does not";

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
