//! Look-up of the index of a network interface by its name.

use std::io;
use std::net::{SocketAddr, SocketAddrV6};

use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::upstream::ZonedAddr;

/// Returns the address with the current index of its interface.
///
/// # Errors
/// There is no such interface now.
pub fn resolve(addr: &ZonedAddr, port: u16) -> io::Result<SocketAddr> {
    let number = addr.zone.parse().ok().filter(|number| *number != 0);
    let number = number.map_or_else(|| index(&addr.zone), Ok)?;
    Ok(SocketAddrV6::new(addr.ip, port, 0, number).into())
}

fn index(zone: &str) -> io::Result<u32> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET6, SocketType::DGRAM, flags, None)?;
    name_to_index(socket, zone).map_err(|error| match error {
        rustix::io::Errno::NODEV => io::Error::new(
            io::ErrorKind::NotFound,
            format!("this machine has no network interface {zone}"),
        ),
        other => other.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_looked_up_by_name_or_taken_by_number() {
        let by = |text: &str| resolve(&text.parse().unwrap(), 5432);
        let lo = by("::1%lo").unwrap();
        let SocketAddr::V6(v6) = lo else {
            panic!("{lo}");
        };
        assert!(v6.scope_id() > 0 && v6.port() == 5432, "{lo}");
        assert_eq!(by(&format!("::1%{}", v6.scope_id())).unwrap(), lo);
        let error = by("fe80::1%nowhere0").unwrap_err().to_string();
        assert!(error.contains("no network interface nowhere0"), "{error}");
    }
}
