//! Speed and memory of reading captures: `cargo bench --bench capture`.
//!
//! Captures of about a gigabyte are written to the directory for temporary files, read back from
//! the page cache by one thread, and removed. The conversations in them are recorded ones with
//! other addresses. The numbers are printed; nothing is asserted.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use dbgate::probe::capture::conversations::Pace;
use dbgate::probe::capture::file::{Next, Packets};
use dbgate::probe::capture::link;
use dbgate::probe::capture::{Capture, Hints, Progress};

const DIRECT: &[u8] = include_bytes!("../tests/data/captures/pg-direct-libpq18.pcap");
const STARTTLS: &[u8] = include_bytes!("../tests/data/captures/pg-starttls-psql15.pcap");
const REDIS: &[u8] = include_bytes!("../tests/data/captures/redis-cli-sni.pcap");
const REFUSED: &[u8] = include_bytes!("../tests/data/captures/tls-version-mismatch.pcap");

/// A recorded packet: Ethernet, IPv4, TCP.
struct Packet {
    frame: Vec<u8>,
    by_client: bool,
    fin: bool,
}

/// The packets of a capture with one conversation.
fn packets(capture: &[u8]) -> Vec<Packet> {
    let mut packets = Packets::new(capture);
    let mut found = Vec::new();
    while let Ok(Next::Packet(packet)) = packets.read() {
        let Ok(segment) = link::segment(&packet) else {
            continue;
        };
        found.push(Packet {
            frame: packet.data.to_vec(),
            by_client: segment.from.port() > segment.to.port(),
            fin: segment.fin,
        });
    }
    found
}

/// Writes a capture of conversations that run side by side.
struct Writer {
    out: BufWriter<File>,
    written: u64,
    packets: u64,
    frame: Vec<u8>,
}

impl Writer {
    fn new(path: &Path) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
        out.write_all(&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0])?;
        out.write_all(&[0; 8])?;
        out.write_all(&[0, 0, 4, 0, 1, 0, 0, 0])?;
        Ok(Self {
            out,
            written: 24,
            packets: 0,
            frame: Vec::new(),
        })
    }

    /// Writes a packet of the conversation with this number.
    fn packet(&mut self, number: u32, packet: &Packet) -> io::Result<()> {
        self.frame.clear();
        self.frame.extend_from_slice(&packet.frame);
        let address = (10 << 24) | (number / 50_000) << 8 | 1;
        let port = u16::try_from(10_000 + number % 50_000).unwrap_or(1);
        let (ip, tcp) = if packet.by_client { (26, 34) } else { (30, 36) };
        self.frame[ip..ip + 4].copy_from_slice(&address.to_be_bytes());
        self.frame[tcp..tcp + 2].copy_from_slice(&port.to_be_bytes());
        self.write()
    }

    /// Writes a segment full of data of the server, `at` bytes behind `before`.
    fn data(&mut self, number: u32, before: &Packet, at: u32) -> io::Result<()> {
        let mut packet = Packet {
            frame: before.frame[..66].to_vec(),
            ..*before
        };
        let length = u16::try_from(packet.frame.len() - 14 + 1448).unwrap_or(0);
        packet.frame[16..18].copy_from_slice(&length.to_be_bytes());
        let seq = u32::from_be_bytes(packet.frame[38..42].try_into().unwrap_or([0; 4]));
        packet.frame[38..42].copy_from_slice(&seq.wrapping_add(at).to_be_bytes());
        // What TLS 1.3 shows of a record.
        packet.frame.extend([23, 3, 3, 5, 163]);
        packet.frame.resize(66 + 1448, 0xa5);
        self.packet(number, &packet)
    }

    fn write(&mut self) -> io::Result<()> {
        let millis = u32::try_from(self.packets / 500).unwrap_or(0);
        let length = u32::try_from(self.frame.len()).unwrap_or(0);
        let fields = [
            1_700_000_000 + millis / 1000,
            millis % 1000 * 1000,
            length,
            length,
        ];
        for field in fields {
            self.out.write_all(&field.to_le_bytes())?;
        }
        self.out.write_all(&self.frame)?;
        self.written += 16 + self.frame.len() as u64;
        self.packets += 1;
        Ok(())
    }
}

/// Sessions with this many bytes of data between handshake and end, some at a time, until the
/// capture has the wanted size.
fn sessions(path: &Path, size: u64, side_by_side: u32, data: u32) -> io::Result<Writer> {
    let recorded = [packets(DIRECT), packets(STARTTLS), packets(REDIS)];
    let mut writer = Writer::new(path)?;
    let mut number = 0;
    while writer.written < size {
        let group = number..number + side_by_side;
        number += side_by_side;
        let of = |number: u32| &recorded[number as usize % recorded.len()];
        let longest = recorded.iter().map(Vec::len).max().unwrap_or(0);
        let end = |packets: &[Packet]| packets.iter().position(|p| p.fin).unwrap_or(packets.len());
        for at in 0..longest {
            for number in group.clone() {
                let packets = of(number);
                if let Some(packet) = packets[..end(packets)].get(at) {
                    writer.packet(number, packet)?;
                }
            }
        }
        for at in (0..data).step_by(1448) {
            for number in group.clone() {
                let packets = &of(number)[..end(of(number))];
                if let Some(last) = packets.iter().rfind(|p| !p.by_client && p.frame.len() > 66) {
                    writer.data(number, last, 1448 + at)?;
                }
                if at % 2896 == 0
                    && let Some(ack) = packets.iter().rfind(|p| p.by_client)
                {
                    writer.packet(number, ack)?;
                }
            }
        }
        for number in group {
            let packets = of(number);
            for packet in &packets[end(packets)..] {
                writer.packet(number, packet)?;
            }
        }
    }
    Ok(writer)
}

/// Short conversations that fail, one after the other.
fn small(path: &Path, conversations: u32) -> io::Result<Writer> {
    let recorded = packets(REFUSED);
    let mut writer = Writer::new(path)?;
    for number in 0..conversations {
        for packet in &recorded {
            writer.packet(number, packet)?;
        }
    }
    Ok(writer)
}

/// Nothing but requests for connections.
fn flood(path: &Path, conversations: u32) -> io::Result<Writer> {
    let recorded = packets(REFUSED);
    let mut writer = Writer::new(path)?;
    for number in 0..conversations {
        writer.packet(number, &recorded[0])?;
    }
    Ok(writer)
}

/// The most memory that this process has taken since it was asked last, in MB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    // Starts the measurement anew (proc(5)).
    let _ = fs::write("/proc/self/clear_refs", "5");
    number
        .and_then(|text| text.parse::<u64>().ok())
        .unwrap_or(0)
        / 1000
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn measure(what: &str, path: &Path, written: &Writer) -> io::Result<()> {
    peak();
    let began = Instant::now();
    let mut capture = Capture::new(File::open(path)?, Hints::default(), Pace::Whole);
    let mut rows = 0_u64;
    loop {
        let read = capture.read(4096).map_err(io::Error::other)?;
        while capture.row().is_some() {
            rows += 1;
        }
        if read == Progress::End {
            break;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let counts = capture.counts();
    let megabytes = written.written / 1_000_000;
    println!(
        "{what:32} {megabytes:5} MB {:9} packets {rows:8} rows ({} established, {} early)  {:6.0} MB/s  {:5.2} M packets/s  peak {:4} MB",
        written.packets,
        counts.established,
        counts.early,
        written.written as f64 / 1e6 / seconds,
        written.packets as f64 / 1e6 / seconds,
        peak()
    );
    Ok(())
}

fn main() -> io::Result<()> {
    let path = std::env::temp_dir().join(format!("dbgate-bench-{}.pcap", std::process::id()));
    let size = 1_000_000_000;
    let outcome = (|| {
        let written = sessions(&path, size, 50, 200_000)?;
        finish(written, "ordinary sessions of 200 kB", &path)?;
        let written = sessions(&path, size, 10, 100_000_000)?;
        finish(written, "ten big ones", &path)?;
        let written = sessions(&path, size, 200, 5_000)?;
        finish(written, "short sessions of 10 kB", &path)?;
        let written = small(&path, 1_000_000)?;
        finish(written, "a million refused handshakes", &path)?;
        let written = flood(&path, 5_000_000)?;
        finish(written, "five million lone SYNs", &path)
    })();
    let _ = fs::remove_file(&path);
    outcome
}

fn finish(mut writer: Writer, what: &str, path: &Path) -> io::Result<()> {
    writer.out.flush()?;
    measure(what, path, &writer)
}
