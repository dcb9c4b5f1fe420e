//! Files that are not supported captures: their kind, and what to do.
//!
//! Detected by their first bytes, for people only; nothing depends on it.

use crate::wire::Reader;

/// Bytes that are enough to distinguish files.
pub(super) const ENOUGH: usize = 64;

const BEGINNINGS: &[(&[u8], &str)] = &[
    (
        b"\x1f\x8b",
        "it is compressed with gzip; gunzip -c FILE | dbgate probe pcap -",
    ),
    (
        b"\x28\xb5\x2f\xfd",
        "it is compressed with zstd; zstd -dc FILE | dbgate probe pcap -",
    ),
    (
        b"\x04\x22\x4d\x18",
        "it is compressed with lz4; lz4 -dc FILE | dbgate probe pcap -",
    ),
    (
        b"\xfd7zXZ\0",
        "it is compressed with xz; xz -dc FILE | dbgate probe pcap -",
    ),
    (
        b"BZh",
        "it is compressed with bzip2; bzip2 -dc FILE | dbgate probe pcap -",
    ),
    (
        b"PK\x03\x04",
        "it is a zip archive; unzip -p FILE | dbgate probe pcap -",
    ),
    (
        b"snoop\0\0\0",
        "it is a Solaris snoop capture; convert it: editcap -F pcapng FILE new.pcapng",
    ),
    (
        b"GMBU",
        "it is a Microsoft Network Monitor capture; convert it: editcap -F pcapng FILE new.pcapng",
    ),
    (b"\x7fELF", "it is a program"),
    (
        b"-----BEGIN ",
        "it is a certificate or key; dbgate cert show FILE reads it",
    ),
];

const PCAP_MAGICS: [&[u8]; 5] = [
    b"\xa1\xb2\xc3\xd4",
    b"\xd4\xc3\xb2\xa1",
    b"\xa1\xb2\x3c\x4d",
    b"\x4d\x3c\xb2\xa1",
    b"\x34\xcd\xb2\xa1",
];

/// Names the kind of a file by its first bytes.
pub(super) fn looks_like(start: &[u8]) -> &'static str {
    if start.is_empty() {
        return "it is empty; let the capture run until packets have come, and write with tcpdump -U";
    }
    if let Some((_, what)) = BEGINNINGS
        .iter()
        .find(|(magic, _)| start.starts_with(magic))
    {
        return what;
    }
    if PCAP_MAGICS.iter().any(|magic| start.starts_with(magic)) {
        return "it ends within the file header; copy or record it again";
    }
    if is_event_trace(start) {
        return "it looks like a Windows event trace (netsh trace, pktmon); convert it: pktmon etl2pcap FILE";
    }
    let printed = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    if start.iter().all(printed) {
        return "it is text; record packets with tcpdump -w new.pcap, not what tcpdump prints";
    }
    "its first bytes are those of no known format; record with tcpdump -w new.pcap"
}

/// Returns whether it begins like the buffers of Event Tracing for Windows (`WMI_BUFFER_HEADER`):
/// its size, and two positions in it.
fn is_event_trace(start: &[u8]) -> bool {
    let mut fields = Reader::new(start);
    let mut next = || fields.u32().map_or(0, u32::swap_bytes);
    let (size, saved, current) = (next(), next(), next());
    size.is_power_of_two()
        && (1 << 10..=1 << 24).contains(&size)
        && (1..=size).contains(&saved)
        && (1..=size).contains(&current)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_their_first_bytes() {
        let mut trace = vec![0, 0, 1, 0, 0x48, 2, 0, 0, 0x48, 2, 0, 0];
        trace.resize(ENOUGH, 0);
        let cases: [(&[u8], &str); 8] = [
            (b"", "empty"),
            (b"\x1f\x8b\x08\0\0", "gzip"),
            (b"\x28\xb5\x2f\xfd\x24", "zstd"),
            (b"\xd4\xc3\xb2\xa1\x02\0", "within the file header"),
            (
                b"12:01:02.3 IP 10.0.0.1.5 > 10.0.0.2.5432: S\n",
                "it is text",
            ),
            (&trace, "Windows event trace"),
            (b"\0\0\0\0\0\0\0\0\0\0\0\0", "no known format"),
            (b"\xff\xd8\xff\xe0", "no known format"),
        ];
        for (start, what) in cases {
            let said = looks_like(start);
            assert!(said.contains(what), "{start:?}: {said}");
        }
    }
}
