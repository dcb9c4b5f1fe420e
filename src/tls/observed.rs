//! The visible part of one direction of a TLS connection: the plaintext part of the
//! handshake, alerts, and how many encrypted records follow.
//!
//! It decrypts nothing and checks nothing that needs a key. A direction alone may leave a
//! question open; [`established`] looks at both. The first `ClientHello` is read by the parser
//! that the gateway uses, so both always agree on it.
//! Source: RFC 8446 sections 4, 5, 6 and appendix D.4 (middlebox compatibility); RFC 5246
//! sections 6.2, 7.1 to 7.4; RFC 8422 section 5.4 (`ServerKeyExchange`).

mod message;
mod walk;

use super::hello::{ClientHello, HelloError};
use super::offer::Offer;
use super::{Alert, names};

pub use walk::observe;

/// The most handshake messages listed; a handshake has fewer than ten in the clear.
pub const MAX_MESSAGES: usize = 32;

/// The most certificates kept of a chain; the message that holds them is at most 64 KiB long.
pub const MAX_CERTIFICATES: usize = 16;

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The end that sends the `ClientHello`.
    Client,
    /// The end that answers it.
    Server,
}

/// The messages of one end; every offset counts bytes from the start of the input.
///
/// More input adds to it and takes nothing back, except that `last` of [`Encrypted`] moves on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The first `ClientHello`, once it is complete.
    pub hello: Option<(ClientHello, Offer)>,
    /// Their number: two after a `HelloRetryRequest`.
    pub hellos: usize,
    /// The `ServerHello` that is not a `HelloRetryRequest`.
    pub server_hello: Option<ServerHello>,
    /// True if the server asked for another `ClientHello`.
    pub hello_retry: bool,
    /// The group that the other `ClientHello` must have a key for, if that is why.
    pub retry_group: Option<u16>,
    /// The handshake messages in the clear, in order; at most [`MAX_MESSAGES`].
    pub messages: Vec<Message>,
    /// The chain of a `Certificate` message in the clear (TLS 1.2), leaf first, DER; at most
    /// [`MAX_CERTIFICATES`]. TLS 1.3 encrypts it.
    pub certificates: Vec<Vec<u8>>,
    /// True if the server asked for a client certificate in the clear (TLS 1.2).
    pub certificate_request: bool,
    /// Offset of the first `change_cipher_spec` record.
    ///
    /// In TLS 1.2 everything behind it is encrypted; in TLS 1.3 it means nothing.
    pub change_cipher_spec: Option<usize>,
    /// The first fatal alert in the clear that is no `close_notify`.
    pub alert: Option<SeenAlert>,
    /// The first warning in the clear that is no `close_notify`; only TLS 1.2 and older have them.
    pub warning: Option<SeenAlert>,
    /// Offset of the record of a `close_notify` in the clear.
    pub close: Option<usize>,
    /// The records behind the change of keys.
    pub encrypted: Encrypted,
    /// Bytes of complete records, all told about above; zero until the first hello is complete.
    pub wire_read: usize,
    /// The reason why reading ended before the input did; `None` for an input that just ends.
    pub fault: Option<ObservedFault>,
}

/// The server's choices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHello {
    /// The version, such as 0x0304; `supported_versions` counts, where it is there.
    pub version: u16,
    /// The cipher suite.
    pub suite: u16,
    /// The group of the key exchange: of `key_share`, or of the `ServerKeyExchange` in TLS 1.2,
    /// which comes later.
    pub group: Option<u16>,
    /// The ALPN protocol; TLS 1.3 encrypts it. Any bytes, not safe to print.
    pub alpn: Option<Vec<u8>>,
    /// True if an earlier session is resumed, so that no certificate is sent.
    ///
    /// In TLS 1.2 that is known only at the `change_cipher_spec`.
    pub resumed: bool,
}

/// A handshake message in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its type; [`names::handshake_message`] has the names.
    pub kind: u8,
    /// Offset of the record that holds its first byte.
    pub at: usize,
    /// End of the record that holds its last byte.
    pub end: usize,
}

/// An alert in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenAlert {
    /// 1 for a warning, 2 for a fatal alert.
    pub level: u8,
    /// The number of the alert.
    pub code: u8,
    /// Offset of its record.
    pub at: usize,
}

impl SeenAlert {
    /// The alert, when it is one that this crate knows.
    #[must_use]
    pub fn alert(&self) -> Option<Alert> {
        Alert::from_code(self.code)
    }
}

/// The records that nobody outside can read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encrypted {
    /// Number of complete ones.
    pub records: usize,
    /// The sum of their lengths, headers left out.
    pub bytes: usize,
    /// The first.
    pub first: Option<Sealed>,
    /// The last that is complete.
    pub last: Option<Sealed>,
}

/// One encrypted record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Its content type as far as it shows: always `application_data` (23) in TLS 1.3.
    pub kind: u8,
    /// The length of its fragment, in bytes.
    pub len: usize,
    /// Its offset.
    pub at: usize,
    /// True if it is an alert by type and length; `close_notify` looks the same.
    ///
    /// Certain in TLS 1.2, which shows the type. In TLS 1.3 an alert takes 19 bytes: two, the
    /// hidden type and a tag of 16. Application data of two bytes is as long.
    pub likely_alert: bool,
}

/// The place and the reason at which reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObservedFault {
    /// Offset of the faulty record.
    pub at: usize,
    /// The fault.
    pub what: Fault,
}

/// A fault of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A first byte that starts no TLS record.
    #[error("not TLS: the first byte is 0x{0:02x}")]
    NotTls(u8),
    /// Something else than a legal `ClientHello` at the start.
    #[error(transparent)]
    Hello(HelloError),
    /// A version whose major number is not 3.
    #[error("a record of version {0}.x, which is not TLS")]
    RecordVersion(u8),
    /// A length that no record of this type may have.
    #[error("a record of type {kind} with {length} bytes")]
    RecordLength {
        /// The content type.
        kind: u8,
        /// Its length, in bytes.
        length: usize,
    },
    /// A content type that cannot stand here.
    #[error("a record of type {0}, which does not belong here")]
    Record(u8),
    /// A handshake message that cannot stand here.
    #[error("a {} message, which does not belong here", names::handshake_message(*.0))]
    Message(u8),
    /// A handshake message of more than 64 KiB.
    #[error("a {} message of more than 64 KiB", names::handshake_message(*.0))]
    TooLong(u8),
    /// A handshake message whose fields do not fit its length.
    #[error("a malformed {} message", names::handshake_message(*.0))]
    Malformed(u8),
    /// More handshake bytes where the keys change.
    #[error("handshake data in the clear behind the server_hello of TLS 1.3")]
    DataBehind,
}

/// True if the handshake was completed, as far as both directions show.
///
/// Never after a fatal alert in the clear by either end: once a handshake is complete, alerts are
/// encrypted. In TLS 1.3: the server has sent its `ServerHello`, and the client an encrypted record
/// that is no likely alert: its `Finished`, alone or behind its certificate. When the client offered
/// early data, which comes encrypted before any answer, its last record must not be a likely alert
/// and there must be two. In TLS 1.2 and older: both ends have sent `change_cipher_spec` and then an
/// encrypted handshake record: their `Finished`; a resumed session has both, too.
///
/// Encrypted messages of a server stay hidden, so a server of TLS 1.3 that refuses the
/// client's certificate counts as established: it is the client's `Finished` that was refused.
#[must_use]
pub fn established(client: &Observed, server: &Observed) -> bool {
    let Some(chosen) = &server.server_hello else {
        return false;
    };
    if client.alert.is_some() || server.alert.is_some() {
        return false;
    }
    if chosen.version < 0x0304 {
        return finished(client) && finished(server);
    }
    let early_data = client
        .hello
        .as_ref()
        .is_some_and(|(_, offer)| offer.early_data);
    let proof = if early_data && client.encrypted.records < 2 {
        None
    } else if early_data {
        client.encrypted.last
    } else {
        client.encrypted.first
    };
    proof.is_some_and(|record| !record.likely_alert)
}

/// True if an end of TLS 1.2 has changed its keys and used them for a handshake message.
fn finished(end: &Observed) -> bool {
    let first = end.encrypted.first;
    end.change_cipher_spec.is_some() && first.is_some_and(|record| record.kind == walk::HANDSHAKE)
}

#[cfg(test)]
mod tests;
