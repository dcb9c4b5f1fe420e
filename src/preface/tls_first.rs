//! The preface of protocols that begin with TLS at byte 0: none.

use std::convert::Infallible;

use super::{Preface, Refusal, ResponderStep, postgres};

/// Any protocol that is only known to begin with TLS.
#[derive(Clone, Copy, Debug)]
pub struct TlsFirst;

impl Preface for TlsFirst {
    /// Some clients insist on a protocol that the gateway cannot know (h2 for etcd, tds/8.0 for
    /// SQL Server).
    fn agrees_to_any_alpn(&self) -> bool {
        true
    }
}

/// Faces a client that may only begin with TLS.
#[derive(Clone, Copy, Debug, Default)]
pub struct Responder;

impl super::Responder for Responder {
    type Error = Infallible;

    fn advance(&mut self, _: &[u8]) -> Result<ResponderStep, Infallible> {
        Ok(ResponderStep::StartTls)
    }

    /// A client that begins otherwise reads words of its protocol, where it can.
    fn refuse(&self, input: &[u8], refusal: &Refusal<'_>) -> Vec<u8> {
        postgres::Responder::default().refuse(input, refusal)
    }
}
