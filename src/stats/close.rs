//! Close reasons: exactly one for each session that ends, the same word in the access log, in `ctl` and,
//! as a label, in metrics.
//!
//! Not here: the words for the client (`session/ending.rs`).

use std::fmt;

use serde::{Serialize, Serializer};

use crate::rate::RateReached;
use crate::route::database::ENDINGS;
use crate::route::decide::Refusal;
use crate::tls::Sni;

/// The party that ended a session: the coarse half of a close reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    /// The client hung up first.
    Client,
    /// The backend hung up first.
    Backend,
    /// Nothing moved for `timeouts.idle`.
    Idle,
    /// An operator: kill, hide, drain.
    Admin,
    /// The gateway is stopping.
    Shutdown,
    /// The connection broke on one side.
    Error,
    /// The client never reached a backend.
    Reject,
}

impl ClosedBy {
    /// All of them; each is numbered by its place.
    pub const ALL: [Self; ENDINGS] = [
        Self::Client,
        Self::Backend,
        Self::Idle,
        Self::Admin,
        Self::Shutdown,
        Self::Error,
        Self::Reject,
    ];

    /// The word for logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Backend => "backend",
            Self::Idle => "idle",
            Self::Admin => "admin",
            Self::Shutdown => "shutdown",
            Self::Error => "error",
            Self::Reject => "reject",
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident, $by:ident, $word:literal;)*) => {
        /// The one reason why a session ended.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum CloseReason {
            $($(#[$doc])* $variant,)*
        }

        impl CloseReason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word for logs, tables, JSON and metric labels.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            /// The party that ended it.
            #[must_use]
            pub fn by(self) -> ClosedBy {
                match self {
                    $(Self::$variant => ClosedBy::$by,)*
                }
            }
        }
    };
}

reasons! {
    /// The client closed its side first, and everything was delivered.
    ClientClosed, Client, "client_closed";
    /// The backend closed its side first, and everything was delivered.
    BackendClosed, Backend, "backend_closed";
    /// The backend refused the login because gateway and backend show different certificates.
    ScramChannelBinding, Backend, "scram_channel_binding";
    /// The client's connection broke.
    ClientLost, Error, "client_lost";
    /// The backend's connection broke.
    BackendLost, Error, "backend_lost";
    /// Nothing moved for `timeouts.idle`.
    Idle, Idle, "idle";
    /// `ctl kill`, or `ctl hide --kill`.
    Killed, Admin, "killed";
    /// Still open at the end of a drain.
    Drained, Admin, "drained";
    /// `allow` and `deny` do not let the client's address in any more (`enforce`).
    NoLongerAllowed, Admin, "no_longer_allowed";
    /// The gateway stopped.
    Shutdown, Shutdown, "shutdown";

    /// Gone before it sent anything: a port check or a scanner.
    NothingSent, Reject, "nothing_sent";
    /// Gone after the `S` that answers an SSLRequest: the client disliked it, or only asked.
    GoneAfterSslRequest, Reject, "gone_after_ssl_request";
    /// Gone in the middle of its first message.
    GoneInHandshake, Reject, "gone_in_handshake";
    /// Sent nothing within `timeouts.handshake`.
    Silent, Reject, "silent";
    /// Sent nothing after the `S` that answers an SSLRequest.
    SilentAfterSslRequest, Reject, "silent_after_ssl_request";
    /// Did not finish its first message within `timeouts.handshake`.
    HelloTimeout, Reject, "hello_timeout";
    /// Did not finish the TLS handshake within `timeouts.handshake`.
    TlsTimeout, Reject, "tls_timeout";
    /// TLS is up, but the Postgres StartupMessage did not come within `timeouts.handshake`.
    StartupTimeout, Reject, "startup_timeout";
    /// Neither TLS nor Postgres.
    BadPreface, Reject, "bad_preface";
    /// No PROXY protocol header, without which this listener takes nobody.
    ProxyMissing, Reject, "proxy_missing";
    /// A PROXY protocol header that breaks a rule, or did not come to its end.
    ProxyInvalid, Reject, "proxy_invalid";
    /// A PROXY protocol header from somebody whom this listener does not believe.
    ProxyUntrusted, Reject, "proxy_untrusted";
    /// Bytes stuffed behind an SSLRequest (the class of CVE-2021-23214).
    EarlyData, Reject, "early_data";
    /// TLS that is damaged, or does not begin with a ClientHello.
    BadHello, Reject, "bad_hello";
    /// Postgres without TLS.
    Plaintext, Reject, "plaintext";
    /// A CancelRequest without TLS, which carries no name.
    PlaintextCancel, Reject, "plaintext_cancel";
    /// TLS without a server name.
    NoSni, Reject, "no_sni";
    /// An IP address as server name.
    IpSni, Reject, "ip_sni";
    /// A server name that is not a valid DNS name.
    InvalidSni, Reject, "invalid_sni";
    /// A server name that no database has.
    UnknownHost, Reject, "unknown_host";
    /// A server name that a database had until it was hidden or expired, or until the database was
    /// left out.
    Withdrawn, Reject, "withdrawn";
    /// The listener's default database does not exist.
    NoDefault, Reject, "no_default";
    /// The client speaks Postgres and the database does not.
    WrongProtocol, Reject, "wrong_protocol";
    /// The client offers application protocols (ALPN), and none is the database's.
    NoApplicationProtocol, Reject, "no_application_protocol";
    /// The client's address is not allowed.
    NotAllowed, Reject, "not_allowed";
    /// The database takes no new sessions: it is drained.
    Draining, Reject, "draining";
    /// The database has `max_sessions` sessions.
    DatabaseFull, Reject, "database_full";
    /// The gateway has `limits.max_sessions` sessions.
    GatewayFull, Reject, "gateway_full";
    /// This client's address has as many sessions as it may have.
    SessionsPerIp, Reject, "sessions_per_ip";
    /// More sessions came from this client's network than `rate` of the database lets in.
    RateNetwork, Reject, "rate_network";
    /// More sessions of the database came than its `rate` lets in.
    RateDatabase, Reject, "rate_database";
    /// Too many clients are in their handshake, and those of this address wait for their turn.
    HandshakesFull, Reject, "handshakes_full";
    /// Many clients of this address are in their handshake, and its turn did not come.
    HandshakesPerIp, Reject, "handshakes_per_ip";
    /// Too many clients were in their handshake, and it was the oldest of the address with most.
    HandshakeGaveWay, Reject, "handshake_gave_way";
    /// Too many clients wait for a backend of this database.
    ConnectsFull, Reject, "connects_full";
    /// The client waited for a backend, and none was ready within `hold`.
    HoldExpired, Reject, "hold_expired";
    /// As many clients as `hold_max` wait for a backend already.
    HoldFull, Reject, "hold_full";
    /// The client's TLS handshake with the gateway failed.
    ClientTls, Reject, "client_tls_failed";
    /// The client showed no certificate, or one that `client_ca` has not signed or `client_crl`
    /// has revoked.
    ClientCertificate, Reject, "client_certificate";
    /// No name of the client's certificate is in `client_names`.
    ClientName, Reject, "client_name";
    /// The Postgres user is not the one whose certificate was shown (`client_user`).
    ClientUser, Reject, "client_user";
    /// Gone while its backend was being reached.
    GoneWhileConnecting, Reject, "gone_while_connecting";
    /// No backend could be connected.
    BackendUnreachable, Reject, "backend_unreachable";
    /// The backend's name does not resolve.
    BackendUnresolved, Reject, "backend_unresolved";
    /// The backend did not answer in time.
    BackendSilent, Reject, "backend_silent";
    /// The backend closed before it answered the client's first bytes.
    BackendClosedEarly, Reject, "backend_closed_early";
    /// The backend said `N` to our SSLRequest.
    BackendNoTls, Reject, "backend_refused_tls";
    /// The backend answered our SSLRequest with something else than one byte.
    BackendBadReply, Reject, "backend_bad_reply";
    /// The backend's TLS handshake failed, its certificate included.
    BackendTls, Reject, "backend_tls_failed";
    /// Descriptors or memory ran out.
    Resources, Reject, "resources";
}

impl CloseReason {
    /// True where the session never reached a backend.
    #[must_use]
    pub fn is_reject(self) -> bool {
        self.by() == ClosedBy::Reject
    }

    /// A step for the operator that mends it, where the reason alone says which.
    #[must_use]
    pub fn remedy(self) -> Option<&'static str> {
        Some(match self {
            Self::ProxyMissing => {
                "a client came around the proxy, or the proxy sends no header: switch it on there (`send-proxy` of HAProxy, `proxy_protocol` of nginx and load balancers), or leave `required` of the listener's `proxy_protocol` out"
            }
            Self::ProxyInvalid => {
                "look at the proxy that sent it: one header, v1 or v2, before anything else"
            }
            Self::ProxyUntrusted => {
                "if it comes from a proxy of yours, add the network to `trusted` of the listener's `proxy_protocol`; else nothing is to do"
            }
            Self::BackendUnresolved => {
                "check the backend's name with `getent hosts NAME` on the gateway's machine"
            }
            Self::BackendUnreachable => {
                "check that the server runs and listens at this address, and that no firewall is between"
            }
            Self::BackendSilent | Self::BackendClosedEarly => {
                "look at the server, its log and its limit of connections: it accepts and does not serve"
            }
            Self::BackendNoTls => {
                "no TLS there: switch it on at the server, or let the gateway do TLS with `--tls terminate`"
            }
            Self::BackendBadReply => {
                "check that the port is the database's own: `dbgate probe` tells what speaks there"
            }
            Self::BackendTls => {
                "compare `backend_ca` and `backend_name` with the server's certificate: `dbgate cert show HOST:PORT`"
            }
            Self::Draining => "`dbgate ctl resume NAME` lets clients in again",
            Self::RateNetwork => {
                "look at who connects so often, and whether it keeps its sessions (a pool); else raise `network` in `rate` of the database"
            }
            Self::RateDatabase => {
                "see who connects so often: `dbgate ctl sessions NAME`; else raise `database` in `rate` of the database"
            }
            Self::HoldExpired => {
                "look at the server: `dbgate ctl show NAME` says why it is not ready; raise `hold` if it only starts slowly"
            }
            Self::HoldFull => {
                "raise `hold_max` of the database, or see why its server is not ready: `dbgate ctl show NAME`"
            }
            Self::DatabaseFull => {
                "raise `max_sessions` of the database, or find who holds them: `dbgate ctl sessions NAME`"
            }
            Self::GatewayFull => {
                "raise `limits.max_sessions`, or find who holds them: `dbgate ctl sessions`"
            }
            _ => return None,
        })
    }

    /// The number of this reason; the numbers are private to one process.
    #[must_use]
    pub fn index(self) -> u8 {
        self as u8
    }

    /// The reason with this number.
    #[must_use]
    pub fn from_index(index: u8) -> Option<Self> {
        Self::ALL.get(usize::from(index)).copied()
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<&Refusal<'_>> for CloseReason {
    fn from(refusal: &Refusal<'_>) -> Self {
        match refusal {
            Refusal::NoName(Sni::Ip(_)) => Self::IpSni,
            Refusal::NoName(Sni::Invalid(_)) => Self::InvalidSni,
            Refusal::NoName(_) => Self::NoSni,
            Refusal::UnknownHost(_) => Self::UnknownHost,
            Refusal::Withdrawn(_) => Self::Withdrawn,
            Refusal::NoDefault(_) => Self::NoDefault,
            Refusal::WrongProtocol(_) | Refusal::EndsTls(_) => Self::WrongProtocol,
            Refusal::NotAllowed(..) => Self::NotAllowed,
            Refusal::Draining(_) => Self::Draining,
        }
    }
}

impl From<RateReached> for CloseReason {
    fn from(reached: RateReached) -> Self {
        match reached {
            RateReached::Network => Self::RateNetwork,
            RateReached::Database => Self::RateDatabase,
        }
    }
}

impl Serialize for CloseReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn words_are_unique_and_numbers_round_trip() {
        let words: BTreeSet<_> = CloseReason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(words.len(), CloseReason::ALL.len());
        for reason in CloseReason::ALL {
            assert_eq!(CloseReason::from_index(*reason as u8), Some(*reason));
        }
        for (place, by) in ClosedBy::ALL.into_iter().enumerate() {
            assert_eq!(by as usize, place, "{by:?}");
        }
    }
}
