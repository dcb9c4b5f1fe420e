//! How many clients may be in their handshake at once, in all and from one address: a client
//! that has not named a database yet costs a descriptor and memory, and nobody vouches for it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Limits;
use crate::stats::CloseReason;

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_source: HashMap<IpAddr, usize>,
}

/// The handshakes that are under way.
#[derive(Debug, Default)]
pub struct Handshakes(Mutex<Open>);

/// One handshake's place in the count, given back when dropped.
#[derive(Debug)]
pub struct Slot {
    handshakes: Arc<Handshakes>,
    source: IpAddr,
}

impl Handshakes {
    /// Takes a place for a client.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn enter(self: &Arc<Self>, client: IpAddr, limits: &Limits) -> Result<Slot, CloseReason> {
        let source = source(client);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.all >= limits.max_handshakes {
            return Err(CloseReason::HandshakesFull);
        }
        let from_source = open.by_source.entry(source).or_default();
        if *from_source >= limits.max_handshakes_per_ip {
            return Err(CloseReason::HandshakesPerIp);
        }
        *from_source += 1;
        open.all += 1;
        Ok(Slot {
            handshakes: self.clone(),
            source,
        })
    }

    /// How many are under way.
    #[must_use]
    pub fn open(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self
            .handshakes
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        if let Some(n) = open.by_source.get_mut(&self.source) {
            *n -= 1;
            if *n == 0 {
                open.by_source.remove(&self.source);
            }
        }
    }
}

/// What counts as one address: an IPv4 address, or the /64 network of an IPv6 address, of which
/// any single host has all the addresses it likes.
fn source(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_and_places_come_back() {
        let limits = Limits {
            max_handshakes: 3,
            max_handshakes_per_ip: 2,
            ..Limits::default()
        };
        let handshakes = Arc::new(Handshakes::default());
        let enter = |ip: &str| handshakes.enter(ip.parse().unwrap(), &limits);
        let first = enter("2001:db8::1").unwrap();
        let _second = enter("2001:db8::2").unwrap();
        assert_eq!(
            enter("2001:db8::3").unwrap_err(),
            CloseReason::HandshakesPerIp
        );
        let _third = enter("192.0.2.1").unwrap();
        assert_eq!(enter("192.0.2.2").unwrap_err(), CloseReason::HandshakesFull);
        drop(first);
        assert!(enter("2001:db8::3").is_ok());
        assert_eq!(handshakes.open(), 2);
    }
}
