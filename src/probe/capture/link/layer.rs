//! Layers of headers: what was found below one, not read yet.

use super::segment::Skipped;
use crate::wire::Reader;

pub(super) mod ethertype {
    pub(in super::super) const IPV4: u16 = 0x0800;
    pub(in super::super) const IPV6: u16 = 0x86dd;
    /// 802.1Q, 802.1ad, and what was used before 802.1ad.
    pub(in super::super) const VLAN: [u16; 4] = [0x8100, 0x88a8, 0x9100, 0x9200];
    /// MPLS, to one receiver and to many.
    pub(in super::super) const MPLS: [u16; 2] = [0x8847, 0x8848];
    pub(in super::super) const PPPOE: u16 = 0x8864;
    /// Protocols known by name, and not read.
    pub(in super::super) const OTHER: [(u16, &str); 3] = [
        (0x88e5, "MACsec"),
        (0x8903, "FabricPath"),
        (0x8909, "Cisco metadata"),
    ];
}

/// The most layers of tunnels, and of fragments within them.
pub(super) const MAX_DEPTH: usize = 8;

/// A layer that is still to be read.
#[derive(Clone, Copy)]
pub(super) enum Layer<'a> {
    /// An Ethernet frame.
    Ethernet(Reader<'a>),
    /// The payload of an ethertype.
    Typed(u16, Reader<'a>),
    /// An IP packet.
    Ip(&'a [u8]),
}

/// Bytes beyond a layer, as far as known.
#[derive(Clone, Copy)]
pub(super) struct Rest {
    /// Bytes at the end that were not captured.
    pub(super) cut: usize,
    /// Tunnels that may still be inside.
    pub(super) depth: usize,
}

impl Rest {
    pub(super) fn whole() -> Self {
        let depth = MAX_DEPTH;
        Self { cut: 0, depth }
    }

    /// Reason for too few bytes.
    pub(super) fn short(self) -> Skipped {
        if self.cut > 0 {
            Skipped::Cut
        } else {
            Skipped::Malformed
        }
    }

    /// The same within a tunnel.
    pub(super) fn inside(self) -> Result<Self, Skipped> {
        let depth = self.depth.checked_sub(1);
        let depth = depth.ok_or(Skipped::Tunnel("more tunnels in each other than are read"))?;
        Ok(Self { depth, ..self })
    }
}
