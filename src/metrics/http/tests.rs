use std::fmt::Write as _;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::*;
use crate::access_log::AccessLog;
use crate::config;
use crate::gateway::Gateway;
use crate::listeners::Listeners;

use crate::listeners::workers::Workers;
use crate::reload;
use crate::route::{RuntimeChanges, Store};

/// Far longer than anything here takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// So many that a page of metrics is larger than what sockets hold.
const DATABASES: usize = 3_000;

/// Serves the metrics of a gateway, and connects a client that holds little.
async fn connect(timeouts: Timeouts) -> TcpStream {
    let mut text = String::new();
    for number in 0..DATABASES {
        writeln!(
            text,
            "[database.db{number}]\nbackends = [\"10.0.0.5:6379\"]"
        )
        .unwrap();
    }
    let config = config::parse(&text, Path::new("gate.toml")).config.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let tls = reload::gateway_tls(&config, dir.path()).unwrap();
    let store = Store::new(
        config.databases.clone(),
        tls,
        RuntimeChanges::default(),
        Arc::new(crate::tls::files::Files),
    )
    .unwrap();
    let gateway = Gateway::new(store, reload::settings(&config), AccessLog::default());
    let gateway = Arc::new(gateway);
    let workers = Arc::new(Workers::start(1, &gateway).unwrap());
    let sources = Sources {
        gateway,
        listeners: Arc::new(Listeners::new(workers, Arc::default())),
        pages: Arc::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, Arc::new(sources), timeouts));
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(addr).await.unwrap()
}

#[tokio::test]
async fn a_scraper_that_does_not_read_is_cut() {
    let mut scraper = connect(Timeouts {
        stalled: Duration::from_millis(50),
        ..Timeouts::default()
    })
    .await;
    let request = b"GET /metrics HTTP/1.1\r\nHost: gate\r\n\r\n";
    scraper.write_all(request).await.unwrap();
    let mut answer = vec![0; 256];
    scraper.read_exact(&mut answer).await.unwrap();
    // It reads no further: its connection's task ends, that of the port goes on.
    let cut = async {
        while Handle::current().metrics().num_alive_tasks() > 1 {
            yield_now().await;
        }
    };
    timeout(TIMEOUT, cut).await.expect("it is cut");
    let _ = timeout(TIMEOUT, scraper.read_to_end(&mut answer))
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.expect("a length").parse().unwrap();
    assert!(body.len() < length, "all {length} bytes were sent");
}

#[tokio::test]
async fn a_client_that_asks_for_nothing_is_cut() {
    let mut client = connect(Timeouts {
        connection: Duration::from_millis(50),
        ..Timeouts::default()
    })
    .await;
    let read = timeout(TIMEOUT, client.read_to_end(&mut Vec::new())).await;
    assert_eq!(read.expect("it is cut").unwrap(), 0);
}
