//! Cost of `top` with 10,000 sessions: the gateway's side and its own, in processor time a
//! refresh.
//!
//! ```text
//! cargo bench --bench top                 # 10,000 sessions, 15 refreshes of each kind
//! cargo bench --bench top -- 20000 30
//! ```
//!
//! The gateway is a real one with its control socket; its sessions are entries of `dbgate::sessions`
//! whose counters are moved, without sockets. `top` is its own connection, state and view, drawn
//! at 120x40 into a terminal that goes nowhere. Each side is a thread, and the kernel says how
//! long it ran. Ends with 1 where a side needs more than 5 % of a core at one refresh a second.

#![allow(
    dead_code,
    unused_imports,
    reason = "parts of the binary: without those that call them, and with tests that nobody runs here"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use std::{fs, io};

use dbgate::config;
use dbgate::gateway::Gateway;
use dbgate::net::held::HeldSockets;
use dbgate::process::{self, Options};
use dbgate::sessions::{RequestedHost, SessionGuard};
use dbgate::tls::Sni;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};

#[path = "../commands/cli"]
mod cli {
    pub(crate) use top::*;

    mod top;
}

#[path = "../commands/table.rs"]
mod table;

#[path = "../commands/top"]
mod top {
    pub(crate) mod app;
    pub(crate) mod dialog;
    #[cfg(test)]
    pub(crate) mod example;
    pub(crate) mod filter;
    pub(crate) mod input;
    pub(crate) mod keys;
    pub(crate) mod link;
    pub(crate) mod meter;
    pub(crate) mod mirror;
    pub(crate) mod row;
    pub(crate) mod tabs;
    pub(crate) mod value;
    pub(crate) mod view;
}

use top::app::App;
use top::input::Message;
use top::link::Connection;
use top::view;
use top::view::paint::Skin;

/// From one refresh to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// Databases that the sessions are spread over.
const DATABASES: usize = 50;

/// Share of a core that a side may use.
const LIMIT: f64 = 0.05;

fn main() -> ExitCode {
    let mut numbers = std::env::args().filter_map(|word| word.parse::<usize>().ok());
    let sessions = numbers.next().unwrap_or(10_000);
    let refreshes = numbers.next().unwrap_or(15);
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("s.sock");
    let (gateway, thread) = start(dir.path(), &socket);
    let own = Thread::this();

    println!(
        "{sessions} sessions of {DATABASES} databases, a refresh a second, {refreshes} refreshes"
    );
    println!(
        "{:<40} {:>18} {:>18}",
        "a refresh takes", "the gateway", "top"
    );
    let live = enter(&gateway, sessions);
    let mut app = App::new(false, SystemTime::now());
    let mut connection = Connection::open(&socket, INTERVAL).expect("a subscription");
    let mut screen = screen();

    let mut worst = 0.0_f64;
    let begun = [thread.time(), own.time()];
    refresh(&mut connection, &mut app, &mut screen);
    print_row(
        "the first: everything",
        begun,
        [thread.time(), own.time()],
        1,
    );
    let kinds: [(&str, usize, usize); 4] = [
        ("nothing moves", 0, 0),
        ("one in ten moves", sessions / 10, 0),
        ("all move", sessions, 0),
        ("all move, 200 come and go a second", sessions, 200),
    ];
    for (what, moving, changing) in kinds {
        // The first of a kind still has the sessions of the kind before.
        step(&live, moving);
        refresh(&mut connection, &mut app, &mut screen);
        let begun = [thread.time(), own.time()];
        for _ in 0..refreshes {
            step(&live, moving);
            let short = enter(&gateway, changing);
            refresh(&mut connection, &mut app, &mut screen);
            drop(short);
        }
        let ended = [thread.time(), own.time()];
        worst = worst.max(print_row(what, begun, ended, refreshes));
    }
    println!(
        "at most {:.2} % of a core; the limit is {:.0} %",
        worst * 100.0,
        LIMIT * 100.0
    );
    if worst > LIMIT {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// A thread whose time on a processor can be asked for.
struct Thread(PathBuf);

impl Thread {
    /// The one that calls.
    fn this() -> Self {
        let place = fs::read_link("/proc/thread-self").expect("Linux");
        Self(Path::new("/proc").join(place).join("schedstat"))
    }

    /// Processor time so far, as the kernel has counted.
    fn time(&self) -> Duration {
        let text = fs::read_to_string(&self.0).expect("the kernel's count");
        let nanos = text.split(' ').next().and_then(|n| n.parse().ok());
        Duration::from_nanos(nanos.expect("a number"))
    }
}

/// A gateway on a thread of its own, and that thread.
fn start(dir: &Path, socket: &Path) -> (Arc<Gateway>, Thread) {
    let mut text = "[listener.main]\nbind = [\"127.0.0.1:0\"]\n".to_owned();
    for number in 0..DATABASES {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "[database.db{number}]\nprotocol = \"postgres\"\nbackends = [\"10.0.0.{number}:5432\"]\n\
             hosts = [\"db{number}.example\"]\n"
        );
    }
    let config = config::parse(&text, Path::new("top.toml")).config;
    let config = config.expect("a configuration");
    let options = Options {
        config_file: None,
        socket: socket.to_owned(),
        state_dir: dir.join("state"),
        threads: 1,
    };
    let (ready, started) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let server = process::start(config, options, HeldSockets::default())
                .await
                .expect("a gateway");
            let started = (server.gateway().clone(), Thread::this());
            ready.send(started).expect("the main thread");
            server.run().await;
        });
    });
    started.recv().expect("a gateway")
}

/// So many sessions, spread over the databases.
fn enter(gateway: &Gateway, count: usize) -> Vec<SessionGuard> {
    let snapshot = gateway.store.snapshot();
    let databases = snapshot.by_name();
    let listener: Arc<str> = "main".into();
    let entries = databases.iter().cycle().take(count).map(|database| {
        let id = gateway.next_id();
        let client = (
            [192, 0, 2, 1],
            1024 + u16::try_from(id % 60_000).unwrap_or(0),
        )
            .into();
        let host = database.active_hosts().next().map(|host| (0, host));
        let entry = gateway.sessions.enter(
            id,
            client,
            listener.clone(),
            Instant::now(),
            (*database).clone(),
            RequestedHost::new(host, &Sni::None),
        );
        entry.opened(
            ([10, 0, 0, 1], 5432).into(),
            0,
            entry.database.pool().members()[0].count(),
        );
        entry
    });
    entries.collect()
}

/// Lets the first `moving` sessions move some bytes.
fn step(live: &[SessionGuard], moving: usize) {
    for (entry, bytes) in live.iter().take(moving).zip(1000..) {
        entry.bytes_in.fetch_add(bytes, Ordering::Relaxed);
        entry.bytes_out.fetch_add(bytes * 20, Ordering::Relaxed);
    }
}

type Screen = Terminal<CrosstermBackend<io::Sink>>;

fn screen() -> Screen {
    let options = TerminalOptions {
        viewport: Viewport::Fixed(Rect::new(0, 0, 120, 40)),
    };
    Terminal::with_options(CrosstermBackend::new(io::sink()), options).expect("a screen")
}

/// Takes one whole refresh in and draws it.
fn refresh(connection: &mut Connection, app: &mut App, screen: &mut Screen) {
    loop {
        match connection.next().expect("the gateway goes on") {
            Message::Update(update) => {
                if app.apply(*update) {
                    break;
                }
            }
            Message::Answer(answer) => panic!("not asked for: {answer:?}"),
        }
    }
    let skin = Skin::default();
    screen
        .draw(|frame| view::draw(frame, app, skin))
        .expect("a frame");
}

/// Prints what a refresh cost on both sides; the larger share of a core.
fn print_row(what: &str, begun: [Duration; 2], ended: [Duration; 2], refreshes: usize) -> f64 {
    let count = u32::try_from(refreshes).expect("few");
    let [gateway, top] = [0, 1].map(|side| ended[side].saturating_sub(begun[side]) / count);
    let share = |time: Duration| time.as_secs_f64() / INTERVAL.as_secs_f64();
    let text = |time: Duration| {
        let millis = time.as_secs_f64() * 1000.0;
        format!("{millis:.2} ms ({:.2} %)", share(time) * 100.0)
    };
    println!("{what:<40} {:>18} {:>18}", text(gateway), text(top));
    share(gateway).max(share(top))
}
