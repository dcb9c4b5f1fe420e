//! Five thousand sessions at a time, with real TLS: all are listed and counted, all work, each costs
//! little while it is idle, and nothing is left of them.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::scan::memory;
use super::views::{top, top_once};
use super::{METRICS, Scrape, databases};
use crate::certs::{Ca, Leaf};
use crate::gateway::Gateway;
use crate::streams::{Trust, server_config};
use crate::testbed;

const SESSIONS: usize = 5_000;

/// Sessions that come and go before memory is measured, so that what is made once is there.
const WARM_UP: usize = 200;

/// Clients that connect at a time; below `limits.max_handshakes_per_ip`.
const CLIENTS: usize = 32;

/// Twice what an idle session takes in the gateway, and less than a buffer of its own would.
const SESSION_BYTES: u64 = 8 * 1024;

const DATABASES: [&str; 10] = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9"];

type Client = StreamOwned<ClientConnection, TcpStream>;

/// A backend that echoes, all its sessions in one thread.
fn echo(leaf: &Leaf) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let addr = listener.local_addr().expect("its own address");
    listener.set_nonblocking(true).expect("a socket option");
    let tls = TlsAcceptor::from(server_config(leaf));
    thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_io().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            while let Ok((tcp, _)) = listener.accept().await {
                let tls = tls.clone();
                tokio::spawn(async move {
                    let mut stream = tls.accept(tcp).await?;
                    let mut byte = [0];
                    while stream.read(&mut byte).await? > 0 {
                        stream.write_all(&byte).await?;
                        stream.flush().await?;
                    }
                    stream.shutdown().await
                });
            }
        });
    });
    addr
}

/// Each session has an end at the client and one at the backend in this process. No higher than
/// needed: some of the servers that other tests start take what they get for what they must serve.
fn raise_descriptor_limit() {
    let needed = 3 * SESSIONS as u64;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    assert!(
        maximum.is_none_or(|maximum| maximum >= needed),
        "{SESSIONS} sessions need a limit of {needed} open files, and it is {maximum:?}: raise it (ulimit -Hn)"
    );
    let raised = Rlimit {
        current: current.map(|current| current.max(needed)),
        maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("a higher limit on open files");
}

/// Opens this many sessions, spread over the databases, and has a byte echoed in each.
fn open(gateway: &Gateway, trust: &Trust, count: usize) -> Vec<Client> {
    let to = gateway.addr("main");
    let connect = |number: usize| {
        let host = format!("{}.example.test", DATABASES[number % DATABASES.len()]);
        let mut client = trust.connect(to, &host).expect("a connection");
        ask(&mut client);
        client
    };
    let share = |from: usize| (from..count).step_by(CLIENTS).map(connect).collect();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..CLIENTS)
            .map(|from| scope.spawn(move || -> Vec<Client> { share(from) }))
            .collect();
        let all = threads
            .into_iter()
            .map(|thread| thread.join().expect("clients"));
        all.flatten().collect()
    })
}

fn ask(client: &mut Client) {
    let addr = client.sock.local_addr();
    let mut back = [0];
    let asked = client.write_all(b"?").and_then(|()| client.flush());
    let answered = asked.and_then(|()| client.read_exact(&mut back));
    assert!(answered.is_ok() && back == *b"?", "{addr:?}: {answered:?}");
}

/// Waits until nobody is connected and all is given back.
#[track_caller]
fn wait_empty(gateway: &Gateway, descriptors: usize, ended: usize) {
    gateway.wait_sessions(0);
    let given_back = || gateway.descriptors() <= descriptors;
    assert!(
        testbed::until(given_back),
        "{} descriptors, {descriptors} before",
        gateway.descriptors()
    );
    let logged = || gateway.access().len() == ended;
    assert!(
        testbed::until(logged),
        "{} lines for {ended} sessions",
        gateway.access().len()
    );
    let scrape = Scrape::of(gateway);
    assert_eq!(scrape.sum("dbgate_sessions_active", ""), 0);
    assert_eq!(scrape.sum("dbgate_sessions_total", ""), ended as u64);
    assert_eq!(scrape.value("dbgate_handshakes_active"), 0);
    assert_eq!(gateway.call("status", &json!({}))["handshakes"], 0);
}

#[test]
fn five_thousand_sessions() {
    raise_descriptor_limit();
    let ca = Ca::new("Crowd");
    let backend = echo(&ca.leaf(&["*.example.test"]));
    let config = METRICS.to_owned() + &databases(backend, &DATABASES);
    let gateway = Gateway::start(&config);
    let trust = Trust::new(&ca);
    let idle = gateway.descriptors();
    drop(open(&gateway, &trust, WARM_UP));
    wait_empty(&gateway, idle, WARM_UP);

    let before = memory(gateway.pid());
    let mut clients = open(&gateway, &trust, SESSIONS);
    let active = |scrape: &Scrape| scrape.sum("dbgate_sessions_active", "");
    assert_eq!(active(&Scrape::of(&gateway)), SESSIONS as u64);
    let grown = memory(gateway.pid()).saturating_sub(before) * 1024;
    let each = grown / SESSIONS as u64;
    assert!(
        each < SESSION_BYTES,
        "{each} bytes a session, {before} KiB before"
    );

    let wanted: BTreeSet<String> = clients
        .iter()
        .map(|client| {
            client
                .sock
                .local_addr()
                .expect("its own address")
                .to_string()
        })
        .collect();
    let told = |rows: &Value| -> BTreeSet<String> {
        let rows = rows["sessions"].as_array().expect("sessions");
        let open = rows.iter().filter(|row| row["state"] == "open");
        open.filter_map(|row| row["client"].as_str())
            .map(str::to_owned)
            .collect()
    };
    let listed = gateway.ctl_ok(&["-o", "json", "sessions"]);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let shown = top(&gateway, &[]);
    for (who, told) in [("ctl sessions", told(&listed)), ("top", told(&shown))] {
        let missing: Vec<_> = wanted.difference(&told).collect();
        assert!(
            missing.is_empty() && told.len() == SESSIONS,
            "{who}: {} and not {missing:?}",
            told.len()
        );
    }
    assert_eq!(shown["gateway"]["sessions"], SESSIONS);
    for table in [gateway.ctl_ok(&["sessions"]), top_once(&gateway, &[])] {
        let lines = table.lines().filter(|line| line.contains(".example.test"));
        assert_eq!(lines.count(), SESSIONS);
    }
    let one = clients[SESSIONS / 2]
        .sock
        .local_addr()
        .expect("its own address");
    let found = top(
        &gateway,
        &["--tab", "sessions", "--filter", &format!("client:{one}")],
    );
    assert_eq!(found["sessions"][0]["client"], one.to_string(), "{found:#}");

    thread::scope(|scope| {
        for share in clients.chunks_mut(SESSIONS / CLIENTS + 1) {
            scope.spawn(|| share.iter_mut().for_each(ask));
        }
    });
    drop(clients);
    wait_empty(&gateway, idle, WARM_UP + SESSIONS);
}
