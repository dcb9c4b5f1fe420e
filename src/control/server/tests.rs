use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use tokio::io::Lines;

use serde_json::json;

use super::*;
use crate::access_log::AccessLog;
use crate::config;
use crate::control::socket::bind;
use crate::gateway::Gateway;
use crate::listeners::Listeners;
use crate::listeners::workers::Workers;
use crate::metrics::Metrics;
use crate::net::held::HeldSockets;
use crate::reload::{self, Reloader};
use crate::route::{RuntimeChanges, Store};
use crate::source::state_dir::StateDir;

/// Far longer than anything here takes.
const TIMEOUT: Duration = Duration::from_secs(60);

const TWO: &str = "[database.a]\nbackends = [\"10.0.0.5:6379\"]\n\
    [database.b]\nbackends = [\"10.0.0.6:6379\"]\n";

/// A control socket in a directory of its own, served until it is dropped.
struct Served {
    dir: tempfile::TempDir,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Served {
    fn start(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = config::parse(TWO, Path::new("gate.toml")).config.unwrap();
        let state = StateDir::open(&dir.path().join("state")).unwrap();
        let tls = reload::gateway_tls(&config, state.path()).unwrap();
        let store = Store::new(
            config.databases.clone(),
            tls,
            RuntimeChanges::default(),
            Arc::new(crate::tls::files::Files),
        )
        .unwrap();
        let gateway = Gateway::new(store, reload::settings(&config), AccessLog::default());
        let gateway = Arc::new(gateway);
        let held = Arc::new(HeldSockets::default());
        let workers = Arc::new(Workers::start(1, &gateway).unwrap());
        let listeners = Arc::new(Listeners::new(workers, held.clone()));
        let metrics = Metrics::new(gateway.clone(), listeners.clone(), held.clone());
        let socket = bind(&dir.path().join("socket"), &config.control).unwrap();
        let path = state.path().to_owned();
        let reloader = Reloader::new(None, path, listeners, metrics, held, config);
        let controller = Controller::new(gateway, reloader, state).unwrap();
        let task = tokio::spawn(serve_within(socket, Arc::new(controller), limits));
        Self { dir, task }
    }

    async fn connect(&self) -> UnixStream {
        let path = self.dir.path().join("socket");
        UnixStream::connect(path).await.unwrap()
    }
}

/// The log of this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        Write::write(&mut *self.0.lock().unwrap(), text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The answer to a request; lines of a subscription are passed over.
async fn call(
    lines: &mut Lines<BufReader<OwnedReadHalf>>,
    writer: &mut OwnedWriteHalf,
    id: u32,
    cmd: &str,
) -> Value {
    let request = format!("{{\"v\":1,\"id\":{id},\"cmd\":\"{cmd}\"}}\n");
    writer.write_all(request.as_bytes()).await.unwrap();
    loop {
        let line = timeout(TIMEOUT, lines.next_line()).await.unwrap().unwrap();
        let answer: Value = serde_json::from_str(&line.expect("an answer")).unwrap();
        if answer["id"] == json!(id) && answer.get("ok").is_some() {
            return answer;
        }
    }
}

#[tokio::test]
async fn a_caller_that_reads_no_answers_is_hung_up_on() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone());
    let _logged = tracing::subscriber::set_default(subscriber.finish());
    let served = Served::start(Limits {
        write_timeout: Duration::from_millis(50),
        ..Limits::default()
    });
    let mut caller = served.connect().await;
    let hung_up = async {
        let list = b"{\"v\":1,\"id\":1,\"cmd\":\"list\"}\n";
        while caller.write_all(list).await.is_ok() {}
    };
    timeout(TIMEOUT, hung_up)
        .await
        .expect("the other end closes");
    let text = log.text();
    assert!(text.contains(" WARN "), "{text}");
    assert!(text.contains(TAKES_NOTHING), "{text}");
    // Its writes count, not its reads: one that asks and reads is served.
    let (reader, mut writer) = served.connect().await.into_split();
    let mut lines = BufReader::new(reader).lines();
    assert_eq!(call(&mut lines, &mut writer, 2, "status").await["ok"], true);
}

#[tokio::test]
async fn all_watches_together_are_bounded_in_rows() {
    let served = Served::start(Limits {
        watched_rows: 10,
        ..Limits::default()
    });
    let (reader, mut writer) = served.connect().await.into_split();
    let mut lines = BufReader::new(reader).lines();
    for id in 0..5 {
        let answer = call(&mut lines, &mut writer, id, "watch").await;
        assert_eq!(answer["ok"], true, "{answer}");
    }
    // Another connection makes no difference.
    let (reader, mut other) = served.connect().await.into_split();
    let mut other_lines = BufReader::new(reader).lines();
    let refused = call(&mut other_lines, &mut other, 5, "watch").await;
    assert_eq!(refused["ok"], false, "{refused}");
    let words = "5 callers watch this gateway (`dbgate top`), which is the most beside 2 databases\",\"hint\":\"end one of them";
    assert!(refused.to_string().contains(words), "{refused}");
    // All of the first caller's end with it.
    drop((lines, writer));
    let again = async {
        for id in 6.. {
            let answer = call(&mut other_lines, &mut other, id, "watch").await;
            if answer["ok"] == true {
                return;
            }
        }
    };
    timeout(TIMEOUT, again).await.expect("room for another");
}
