//! Packets of the loopback device, captured by tcpdump.
//!
//! Source: the manual page tcpdump(8).

use std::{
    fs::{self, File},
    net::{Ipv4Addr, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::testbed;

/// A capture that runs; its files live as long as it does.
pub(crate) struct Capture {
    port: u16,
    child: Child,
    /// A datagram to it tells how far tcpdump has come.
    marker: UdpSocket,
    folder: TempDir,
}

impl Capture {
    /// Captures all TCP from and to a port of this machine's loopback device.
    ///
    /// # Panics
    /// When tcpdump does not come up, with what it said.
    pub(crate) fn start(port: u16) -> Self {
        let folder = testbed::scratch();
        let marker = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let own = marker.local_addr().expect("its own address").port();
        let said = File::create(folder.path().join("said")).expect("a new file");
        let mut command = testbed::mortal("KILL", "tcpdump");
        command
            .args(["-i", "lo", "-n", "-U", "--immediate-mode"])
            .args(as_ourselves())
            .arg("-w")
            .arg(folder.path().join("raw.pcap"))
            .arg(format!("tcp port {port} or udp port {own}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said);
        let mut capture = Self {
            port,
            child: testbed::spawn(command),
            marker,
            folder,
        };
        let mut ended = false;
        testbed::until(|| {
            ended = !matches!(capture.child.try_wait(), Ok(None));
            ended || capture.said().contains("listening on")
        });
        assert!(!ended, "tcpdump does not come up: {}", capture.said());
        capture
    }

    /// Ends the capture, and gives its file: everything that was sent before this call is in it.
    ///
    /// # Panics
    /// When tcpdump has ended by itself, with what it said.
    pub(crate) fn stop(&mut self) -> PathBuf {
        let own = self.marker.local_addr().expect("its own address");
        let mark = b"everything before this has been captured";
        self.marker.send_to(mark, own).expect("a datagram");
        let raw = self.folder.path().join("raw.pcap");
        let holds = |mark: &[u8]| {
            let bytes = fs::read(&raw).unwrap_or_default();
            bytes.windows(mark.len()).any(|window| window == mark)
        };
        assert!(testbed::until(|| holds(mark)), "{}", self.said());
        testbed::signal(&self.child, Signal::INT);
        let status = self.child.wait().expect("the end of tcpdump");
        assert!(status.success(), "{status}: {}", self.said());

        let file = self.folder.path().join("capture.pcap");
        self.without_marker(&raw, &file);
        file
    }

    fn without_marker(&self, from: &Path, to: &Path) {
        let output = Command::new("tcpdump")
            .args(as_ourselves())
            .arg("-r")
            .arg(from)
            .arg("-w")
            .arg(to)
            .arg(format!("tcp port {}", self.port))
            .output()
            .expect("tcpdump");
        assert!(output.status.success(), "{output:?}");
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("said")).unwrap_or_default()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As root, Debian's tcpdump writes its files as another user, who may not.
fn as_ourselves() -> &'static [&'static str] {
    if rustix::process::geteuid().is_root() {
        &["-Z", "root"]
    } else {
        &[]
    }
}
