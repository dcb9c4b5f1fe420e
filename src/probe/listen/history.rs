//! History of refused clients: one that is refused often comes back at once, in another way, and
//! that shows how it is configured.
//!
//! Clients are distinguished by their address. A retry is reported only of one that
//! sent the same hello (name, ALPN, fingerprint) or the same login; of another kind of attempt from
//! one address, two programs look like one. There is no clock: times come from outside.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// Time within which another attempt of a client counts as a retry.
pub const WINDOW: Duration = Duration::from_secs(2);

/// The most addresses remembered; the one that came longest ago makes room.
const MAX_ADDRESSES: usize = 1024;

/// Attempt of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAttempt {
    /// True if it asked for TLS, in whatever way.
    pub tls: bool,
    /// True if it asked for it in the protocol's own way first.
    pub starttls: bool,
    /// The server name as sent.
    pub sni: Option<Box<[u8]>>,
    /// Fingerprint of the program: JA4 and ALPN of a hello, the fixed part of a login in plaintext.
    pub program: Box<[u8]>,
}

impl ClientAttempt {
    /// One that asks for no TLS; `login` is of its message what is the same each time.
    #[must_use]
    pub fn plaintext(login: &[u8]) -> Self {
        Self {
            tls: false,
            starttls: false,
            sni: None,
            program: login.into(),
        }
    }
}

/// Relation of an attempt to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    /// In plaintext, when TLS had been refused.
    FellBack(Duration),
    /// With TLS, when plaintext had been refused.
    Upgraded(Duration),
    /// With the same once more.
    Retried(Duration),
}

/// The last refused attempt of each address.
#[derive(Debug, Default)]
pub struct History {
    last: HashMap<IpAddr, (ClientAttempt, Instant)>,
}

impl History {
    /// Remembers that `client` was refused at `now`.
    pub fn refused(&mut self, client: IpAddr, attempt: ClientAttempt, now: Instant) {
        if self.last.len() >= MAX_ADDRESSES && !self.last.contains_key(&client) {
            let oldest = self.last.iter().min_by_key(|(_, (_, at))| *at);
            if let Some(oldest) = oldest.map(|(&address, _)| address) {
                self.last.remove(&oldest);
            }
        }
        self.last.insert(client, (attempt, now));
    }

    /// Relates the attempt of a client accepted at `accepted` to its last refused one.
    ///
    /// `None` if there was none within [`WINDOW`], if the two ran side by side, or if they have
    /// nothing to do with each other.
    #[must_use]
    pub fn compare(
        &self,
        client: IpAddr,
        attempt: &ClientAttempt,
        accepted: Instant,
    ) -> Option<Reconnect> {
        let (before, refused) = self.last.get(&client)?;
        let after = accepted.checked_duration_since(*refused)?;
        if after > WINDOW {
            return None;
        }
        match (before.tls, attempt.tls) {
            (true, false) => Some(Reconnect::FellBack(after)),
            (false, true) => Some(Reconnect::Upgraded(after)),
            _ => (before == attempt).then_some(Reconnect::Retried(after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn tls(sni: &[u8]) -> ClientAttempt {
        by(sni, b"t13d")
    }

    fn by(sni: &[u8], program: &[u8]) -> ClientAttempt {
        ClientAttempt {
            tls: true,
            starttls: true,
            sni: Some(sni.into()),
            program: program.into(),
        }
    }

    #[test]
    fn the_second_attempt_is_seen_in_the_light_of_the_first() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let plain = ClientAttempt::plaintext(b"user");
        let other = ClientAttempt::plaintext(b"user, database");
        for (before, then, after, reconnect) in [
            (
                tls(b"a"),
                plain.clone(),
                3,
                Some(Reconnect::FellBack(ms(3))),
            ),
            (
                plain.clone(),
                tls(b"a"),
                3,
                Some(Reconnect::Upgraded(ms(3))),
            ),
            (tls(b"a"), tls(b"a"), 3, Some(Reconnect::Retried(ms(3)))),
            (
                plain.clone(),
                plain.clone(),
                9,
                Some(Reconnect::Retried(ms(9))),
            ),
            (tls(b"a"), tls(b"b"), 3, None),
            (tls(b"a"), by(b"a", b"t12d"), 3, None),
            (plain.clone(), other.clone(), 3, None),
            (tls(b"a"), other, 3, Some(Reconnect::FellBack(ms(3)))),
            (tls(b"a"), plain.clone(), 2001, None),
        ] {
            let mut history = History::default();
            history.refused(HOME, before.clone(), start);
            let found = history.compare(HOME, &then, start + ms(after));
            assert_eq!(found, reconnect, "{before:?}, then {then:?}");
        }
    }

    #[test]
    fn connections_side_by_side_do_not_follow_each_other() {
        let start = Instant::now();
        let mut history = History::default();
        history.refused(HOME, tls(b"a"), start + Duration::from_millis(1));
        assert_eq!(
            history.compare(HOME, &ClientAttempt::plaintext(b""), start),
            None
        );
    }

    #[test]
    fn no_more_than_so_many_are_remembered() {
        let start = Instant::now();
        let mut history = History::default();
        let address = |n: usize| IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(n).unwrap()));
        for n in 0..MAX_ADDRESSES + 10 {
            let now = start + Duration::from_nanos(n as u64);
            history.refused(address(n), tls(b"a"), now);
        }
        assert_eq!(history.last.len(), MAX_ADDRESSES);
        assert!(!history.last.contains_key(&address(9)));
        assert!(history.last.contains_key(&address(10)));
    }
}
