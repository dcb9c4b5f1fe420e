//! TLS tickets that lead nowhere, for databases that ask clients for a certificate.
//!
//! rustls resumes a session without looking at its certificate again: a client whose certificate has
//! expired or been revoked would go on with tickets, each of which brings the next.

use rustls::server::ProducesTickets;

use super::config::PROVIDER;

/// The size of a ticket, in bytes.
const SIZE: usize = 16;

/// A source of tickets that are random bytes and are never taken: who comes back with one goes
/// through the whole handshake.
///
/// They are to be thrown away at once (lifetime 0, RFC 8446 section 4.6.1), and none is of use at
/// any database, whatever tickets that one takes.
#[derive(Debug)]
pub(crate) struct NeverResumed;

impl ProducesTickets for NeverResumed {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _session: &[u8]) -> Option<Vec<u8>> {
        let mut ticket = vec![0; SIZE];
        PROVIDER.secure_random.fill(&mut ticket).ok()?;
        Some(ticket)
    }

    fn decrypt(&self, _ticket: &[u8]) -> Option<Vec<u8>> {
        None
    }
}
