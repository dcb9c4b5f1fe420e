//! Slow disks and slow readers: whoever else asks is answered meanwhile, and little is held for them.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;

use serde_json::json;
use socket2::{Domain, Socket, Type};

use super::scan::memory;
use super::{METRICS, address, get};
use crate::gateway::Gateway;
use crate::testbed;

/// A file that takes as long to open as the test likes: a lease on it (`F_SETLEASE` of fcntl(2))
/// holds up whoever opens it, for up to 45 seconds. In Python, since it takes a raw system call.
struct Leased {
    child: Child,
    told: BufReader<std::process::ChildStdout>,
}

const LEASE: &str = "
import fcntl, signal, sys
signal.signal(signal.SIGIO, lambda *_: print('wanted', flush=True))
file = open(sys.argv[1], 'r+')
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print('leased', flush=True)
sys.stdin.read()
";

impl Leased {
    fn new(path: &Path) -> Self {
        let mut command = testbed::mortal("KILL", "python3");
        command.args(["-c", LEASE]).arg(path);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = testbed::spawn(command);
        let told = BufReader::new(child.stdout.take().expect("its output"));
        let mut leased = Self { child, told };
        leased.wait("leased\n");
        leased
    }

    #[track_caller]
    fn wait(&mut self, word: &str) {
        let mut line = String::new();
        self.told.read_line(&mut line).expect("a line");
        assert_eq!(line, word);
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().expect("its end");
    }
}

const DATABASE: &str = "[database.a]\nprotocol = \"tls\"\nbackends = [\"127.0.0.1:9\"]\nhosts = [\"a.example.test\"]\n";

#[test]
fn a_slow_disk_holds_up_nobody_who_only_looks() {
    let gateway = Gateway::start(&(METRICS.to_owned() + DATABASE));
    let to = address(&gateway);
    let mut disk = Leased::new(&gateway.path("dbgate.toml"));
    let expose =
        json!({"name": "b", "to": ["127.0.0.1:9"], "protocol": "tls", "hosts": ["b.example.test"]});
    thread::scope(|scope| {
        let reload = scope.spawn(|| gateway.call("reload", &json!({})));
        disk.wait("wanted\n");
        let change = scope.spawn(|| gateway.call("expose", &expose));
        for path in ["/healthz", "/readyz", "/metrics"] {
            let answer = get(to, path);
            assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        }
        for cmd in ["list", "status", "sessions", "rejects", "export"] {
            gateway.call(cmd, &json!({}));
        }
        gateway.call("kill", &json!({"database": "a"}));
        // The change has its turn after the reload, and neither is done.
        let databases = gateway.call("status", &json!({}))["databases"].clone();
        assert_eq!(databases, 1);
        assert!(!reload.is_finished() && !change.is_finished());

        disk.end();
        let (reload, change) = (reload.join().expect("done"), change.join().expect("done"));
        assert_eq!(reload["ok"], true, "{reload}");
        assert_eq!(change["changed"], true, "{change}");
    });
    assert_eq!(gateway.call("status", &json!({}))["databases"], 2);
}

/// As many as are served at a time.
const PLACES: usize = 16;

#[test]
fn who_is_slow_gives_way_to_who_comes() {
    let gateway = Gateway::start(METRICS);
    let to = address(&gateway);
    let mut slow: Vec<TcpStream> = (0..PLACES)
        .map(|_| {
            let mut client = TcpStream::connect(to).expect("a connection");
            client
                .write_all(b"GET /metrics HT")
                .expect("half a request");
            client.set_nonblocking(true).expect("a socket option");
            client
        })
        .collect();
    assert!(get(to, "/healthz").starts_with("HTTP/1.1 200"));
    // Not because their time was over: all but the one whose place was needed are still there.
    let open = |client: &mut TcpStream| {
        let read = client.read(&mut [0; 64]);
        matches!(read, Err(e) if e.kind() == ErrorKind::WouldBlock)
    };
    let left = slow.iter_mut().map(open).filter(|open| *open).count();
    assert_eq!(left, PLACES - 1);
}

/// So many that a page is several times what the buffers of a socket hold.
const DATABASES: usize = 5_000;

/// A client that asks for metrics and reads nothing.
fn deaf(to: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    socket.connect(&to.into()).expect("a connection");
    let request = b"GET /metrics HTTP/1.1\r\nHost: gate\r\n\r\n";
    assert_eq!(socket.send(request).expect("a request"), request.len());
    socket
}

#[test]
fn a_large_page_is_held_once_for_all_who_do_not_read_it() {
    let mut config = METRICS.to_owned();
    for number in 0..DATABASES {
        let _ = write!(
            config,
            "[database.d{number}]\nprotocol = \"tls\"\nbackends = [\"127.0.0.1:9\"]\nhosts = [\"d{number}.example.test\"]\n"
        );
    }
    let gateway = Gateway::start(&config);
    let to = address(&gateway);
    let page = get(to, "/metrics").len();
    // As it is after a page was made and is gone.
    let before = memory(gateway.pid());
    let _deaf: Vec<Socket> = (0..PLACES).map(|_| deaf(to)).collect();
    gateway.call("status", &json!({}));
    assert!(get(to, "/healthz").starts_with("HTTP/1.1 200"));
    let grown = memory(gateway.pid()).saturating_sub(before) * 1024;
    let most = 4 * u64::try_from(page).expect("a length");
    assert!(grown < most, "{grown} bytes for {PLACES} of {page} bytes");
    // They are given up in time, and so is what they held; others read all of it.
    assert_eq!(get(to, "/metrics").len(), page);
}
