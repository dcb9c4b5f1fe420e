//! The bytes of a protocol before and beside those that are only relayed: bytes in, steps out.
//!
//! A preface has two halves. A [`Responder`] faces a client: it reads the client's first bytes
//! (or speaks before them), gives the replies, and says when TLS begins. An [`Initiator`] faces a
//! backend: it sends the same request and verifies the answer. Neither does I/O nor knows the
//! time; the caller owns the socket, the buffer and the deadline. The rest that a session needs of
//! a protocol is in [`Preface`]; the defaults are those of a protocol that begins with TLS and is
//! not looked into.
//!
//! A new preface is one folder here and its registration in `registry.rs`.

pub mod flight;
pub mod inquiry;
pub mod mongodb;
pub mod mysql;
pub mod opening;
pub mod postgres;
pub mod redis;
mod refusal;
mod registry;
pub mod sniff;
pub mod tls_first;

use bytes::Bytes;

pub use flight::{Channel, FlightKind};
pub use opening::{Opening, TlsOpening};
pub use refusal::{Refusal, RefusalKind};
pub use registry::{AnyInitiator, AnyMessageEnds, AnyResponder, LoginWatch, ResponderError, of};

use crate::protocol::Protocol;
use crate::tls::TlsMode;

/// The next step with a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponderStep {
    /// Read more, then ask again with all of the input.
    NeedMore,
    /// Drop `consumed` bytes of the input, send `reply`, and go on with what comes next.
    Reply {
        /// In bytes; 0 where the server speaks first.
        consumed: usize,
        /// Empty where the client goes on without an answer.
        reply: Bytes,
    },
    /// The input begins with TLS, or has to.
    StartTls,
    /// The input begins with a message that TLS does not follow.
    Message(Message),
}

/// A client's message of its own protocol, complete at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The protocol.
    pub protocol: Protocol,
    /// The purpose.
    pub kind: MessageKind,
    /// The length in bytes.
    pub len: usize,
}

/// The purpose of a client's first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// A login, or its beginning.
    Login,
    /// The cancellation of what another connection does.
    Cancel,
    /// A request for encryption that the backend answers.
    Request,
}

/// The half of a preface that faces one client, until TLS starts or a message is there.
///
/// End of input is no error at any [`ResponderStep::NeedMore`] with an empty input: monitoring does
/// that, and so do clients that dislike an answer.
pub trait Responder {
    /// A rule that the client broke.
    type Error;

    /// Takes `input`, everything received and not yet consumed, and gives the next step.
    ///
    /// Waits only while further bytes can make the input legal. A [`ResponderStep::Reply`] is
    /// remembered: call again only after it was carried out.
    ///
    /// # Errors
    /// The rule that the client broke.
    fn advance(&mut self, input: &[u8]) -> Result<ResponderStep, Self::Error>;

    /// The protocol in which the client has asked for TLS.
    fn requested_tls(&self) -> Option<Protocol> {
        None
    }

    /// True if the client has been answered and has to go on.
    fn has_replied(&self) -> bool {
        self.requested_tls().is_some()
    }

    /// The bytes that refuse a client which has sent `input`, so that its user can read why; empty
    /// where it would not be understood.
    fn refuse(&self, input: &[u8], refusal: &Refusal<'_>) -> Vec<u8>;
}

/// The next step with a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InitiatorStep {
    /// Read more, then ask again with all of the input.
    NeedMore,
    /// Drop `consumed` bytes of the input, send `bytes`, and ask again.
    Send {
        /// In bytes.
        consumed: usize,
        /// Never empty.
        bytes: Bytes,
    },
    /// Begin with TLS; the input is empty.
    StartTls,
    /// The backend takes the client's bytes; these, instead of the input, are for the client.
    Ready(Bytes),
}

/// The half of a preface that faces one backend, in the clear or inside TLS.
pub trait Initiator {
    /// Takes `input`, everything received and not yet consumed, and gives the next step.
    ///
    /// # Errors
    /// The backend does not serve.
    fn advance(&mut self, input: &[u8]) -> Result<InitiatorStep, InitiatorError>;

    /// The same where nothing follows `input`, since the backend has ended.
    ///
    /// # Errors
    /// The backend does not serve.
    fn end(&mut self, input: &[u8]) -> Result<InitiatorStep, InitiatorError>;
}

/// A backend that does not serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InitiatorError {
    /// The reason in general.
    pub kind: InitiatorErrorKind,
    /// The reason, with the backend's own words.
    pub message: String,
    /// The backend's own words; not safe to print, and not vouched for where TLS is not up.
    pub said: Option<String>,
    /// True if more of the backend's message may follow: read on for a moment, and ask again.
    pub partial: bool,
}

/// The reason why a backend does not serve, in general.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitiatorErrorKind {
    /// It has no TLS.
    NoTls,
    /// It ended without an answer.
    Closed,
    /// It answered something else.
    BadReply,
}

/// The state of a login that is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoginEvent {
    /// It goes on: feed more.
    #[default]
    Watching,
    /// It has ended, well or with another error, or this is another protocol. Final.
    Done,
    /// The backend refused it because of the channel binding. Final.
    ChannelBindingFailed,
}

/// The user that a login names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User<'a> {
    /// The client's own text.
    pub name: &'a str,
    /// True if the server takes all of the name; it may cut a long one, and so log in another user.
    pub whole: bool,
}

/// Requests for encryption inside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requests {
    /// Are declined by the gateway.
    Decline,
    /// Go to the backend.
    Pass,
}

/// A protocol, as a session needs to know it.
pub trait Preface: Sync {
    /// True if its client sends a ClientHello before anything else.
    fn tls_first(&self) -> bool {
        true
    }

    /// True if the gateway agrees to whatever a client offers by ALPN, and offers it to the backend.
    fn agrees_to_any_alpn(&self) -> bool {
        false
    }

    /// The responder inside the TLS that ends at the gateway; `None` where the client's bytes go to
    /// the backend unread.
    fn responder_inside_tls(&self, _requests: Requests) -> Option<AnyResponder> {
        None
    }

    /// The user whom a [`MessageKind::Login`] names.
    fn user<'a>(&self, _login: &'a [u8]) -> Option<User<'a>> {
        None
    }

    /// A sentence about a message that came without TLS.
    fn without_tls(&self, _kind: MessageKind) -> &'static str {
        "a login without TLS"
    }

    /// The initiator for a backend of a database in this mode, before TLS; without a client for one
    /// that may come.
    fn initiator(&self, mode: TlsMode, _client: Option<&TlsOpening>) -> AnyInitiator {
        match mode {
            TlsMode::Terminate => AnyInitiator::None,
            TlsMode::Passthrough | TlsMode::Reencrypt => AnyInitiator::TlsFirst,
        }
    }

    /// The initiator, inside TLS, that sends a client's login, where the client cannot conduct it
    /// alone.
    fn login(&self, _mode: TlsMode, _client: &TlsOpening, _login: &Bytes) -> Option<AnyInitiator> {
        None
    }

    /// The watch over a login that passes through a gateway which does TLS on both sides.
    fn login_watch(&self) -> Option<LoginWatch> {
        None
    }

    /// The ends of a backend's messages to a client that has logged in; `None` where they are not
    /// known.
    fn message_ends(&self) -> Option<AnyMessageEnds> {
        None
    }

    /// The effect of what a client has sent so far without TLS or inside it; `bytes` is all of it
    /// if `complete`.
    fn classify(&self, _bytes: &[u8], _complete: bool) -> FlightKind {
        FlightKind::Unknown
    }

    /// True if a client needs an answer to its first message, so that one which has ended its side
    /// is gone.
    fn awaits_answer(&self) -> bool {
        false
    }

    /// The bytes that refuse a client inside TLS, instead of a backend's first answer, or end a
    /// session between two messages of its backend; empty where the protocol has none.
    fn refuse(&self, _refusal: &Refusal<'_>) -> Vec<u8> {
        Vec::new()
    }
}
