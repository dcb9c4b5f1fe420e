//! The running process: start, signals, drain, end.
//!
//! The control side has a thread of its own, so that no change of routes ever makes a session
//! wait; sessions run on the worker threads ([`crate::listeners::workers`]).

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use crate::access_log::{AccessLog, OpenError};
use crate::author::Author;
use crate::cert::CertError;
use crate::config::Config;
use crate::control::caller::Caller;
use crate::control::controller::Controller;
use crate::control::server;
use crate::control::socket::{self, ControlSocket};
use crate::gateway::{Gateway, Settings};
use crate::health;
use crate::listeners::workers::Workers;
use crate::listeners::{BindError, Listeners};
use crate::metrics::{Metrics, MetricsError};
use crate::net::descriptors;
use crate::net::held::HeldSockets;
use crate::reload::{Reloader, gateway_tls, settings};
use crate::renewal;
use crate::route::{ChangeError, Store};
use crate::service;
use crate::source::state_dir::{StateDir, StateError};
use crate::stats::CloseReason;
use crate::tls::files::Files;

/// Interval of checks whether the last session of a stopping gateway has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Interval of notifications to the service manager while stopping.
const NOTIFY_INTERVAL: Duration = Duration::from_secs(1);

/// Time for sessions that are cut to end and to write their log line.
const CUT_TIMEOUT: Duration = Duration::from_secs(2);

/// Time for the access log to write its last lines.
const ACCESS_LOG_TIMEOUT: Duration = Duration::from_secs(2);

/// Shortest time between two checks for expired exposures.
const MIN_EXPIRY_INTERVAL: Duration = Duration::from_millis(50);

/// Descriptors that sessions may not take: for the control socket, metrics, and files of a reload.
const RESERVED_DESCRIPTORS: u64 = 64;

/// Options of the command line.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration file, read again at a reload; `None` runs on the defaults.
    pub config_file: Option<PathBuf>,
    /// The control socket.
    pub socket: PathBuf,
    /// Directory of runtime exposures and the minted certificate.
    pub state_dir: PathBuf,
    /// Worker threads; at least one is started.
    pub threads: usize,
}

/// Error of starting a gateway.
#[derive(Debug, Error)]
pub enum StartError {
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The minted certificate.
    #[error(transparent)]
    Certificate(#[from] CertError),
    /// A database's files.
    #[error(transparent)]
    Routes(#[from] ChangeError),
    /// A listener's address.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// An inherited socket belongs to no listener, so its clients would never be served.
    #[error(
        "the service manager passes the socket {unused}, which nothing in the configuration binds; it binds {bound}: ListenStream= of the socket unit and bind of the listener have to be the same address"
    )]
    Unused {
        /// The sockets.
        unused: String,
        /// The addresses of the configuration.
        bound: String,
    },
    /// The access log.
    #[error(transparent)]
    AccessLog(#[from] OpenError),
    /// The address for monitoring.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The control socket.
    #[error("control socket {0}")]
    Control(io::Error),
    /// The control socket of readers.
    #[error("read-only control socket {0}")]
    ReadOnly(io::Error),
    /// Threads or signals.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// A gateway that listens.
pub struct Server {
    controller: Arc<Controller>,
    workers: Arc<Workers>,
    sockets: Vec<ControlSocket>,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// Starts a gateway: everything is bound and ready when this returns.
///
/// `held` are the sockets that exist already; other addresses are bound. Call it inside a tokio
/// runtime, and run the [`Server`] in the same.
///
/// # Errors
/// Something could not be opened, bound or read; nothing is left running.
#[expect(
    clippy::unused_async,
    reason = "sockets and signals need a runtime around them; an async fn has one"
)]
pub async fn start(
    mut config: Config,
    options: Options,
    held: HeldSockets,
) -> Result<Server, StartError> {
    check_inherited(&config, &held)?;
    let held = Arc::new(held);
    let state = StateDir::open(&options.state_dir)?;
    let runtime = state.load()?;
    let gateway_tls = gateway_tls(&config, state.path())?;
    raise_descriptor_limit(options.threads);
    let settings = settings(&config);
    compare_descriptor_limit(&config, &settings);
    let databases = std::mem::take(&mut config.databases);
    let store = Store::new(databases, gateway_tls, runtime, Arc::new(Files))?;
    for note in store.snapshot().all_notes() {
        warn!("{note}");
    }
    let access_log = AccessLog::start(&config.log)?;
    let gateway = Arc::new(Gateway::new(store, settings, access_log));
    let operators = socket::bind(&options.socket, &config.control).map_err(StartError::Control)?;
    let readers = socket::bind_read_only(&options.socket, &config.control);
    let readers = readers.map_err(StartError::ReadOnly)?;
    let workers = Arc::new(Workers::start(options.threads.max(1), &gateway)?);
    let listeners = Arc::new(Listeners::new(workers.clone(), held.clone()));
    let metrics = Metrics::new(gateway.clone(), listeners.clone(), held.clone());
    let monitored = metrics.prepare(config.metrics)?;
    listeners.prepare(&config.listeners)?.commit();
    monitored.commit();
    let reloader = Reloader::new(
        options.config_file,
        state.path().to_owned(),
        listeners,
        metrics,
        held,
        config,
    );
    let controller = Arc::new(Controller::new(gateway, reloader, state)?);
    renewal::watch(&controller)?;
    Ok(Server {
        controller,
        workers,
        sockets: [Some(operators), readers].into_iter().flatten().collect(),
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        hangup: signal(SignalKind::hangup())?,
    })
}

impl Server {
    /// The state that all sessions share.
    #[must_use]
    pub fn gateway(&self) -> &Arc<Gateway> {
        self.controller.gateway()
    }

    /// The addresses that clients can connect to, with the listener's name.
    #[must_use]
    pub fn addresses(&self) -> Vec<(Arc<str>, SocketAddr)> {
        self.controller
            .reloader()
            .bound()
            .into_iter()
            .flat_map(|(listener, addrs)| {
                addrs
                    .into_iter()
                    .map(move |addr| (listener.name.clone(), addr))
            })
            .collect()
    }

    /// Address of metrics, as bound.
    #[must_use]
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.controller.reloader().metrics()
    }

    /// Serves until SIGTERM or SIGINT, then drains; a second signal ends the drain.
    pub async fn run(self) {
        let Self {
            controller,
            workers,
            sockets,
            mut terminate,
            mut interrupt,
            mut hangup,
        } = self;
        let sockets = sockets.into_iter();
        let serve = |socket| server::serve(socket, controller.clone());
        // They end when this does.
        let mut control: JoinSet<()> = sockets.map(serve).collect();
        service::ready(&controller.status());
        let leases = tokio::spawn(expire_leases(controller.clone()));
        tokio::spawn(health::run(controller.gateway().clone()));
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => {
                    let caller = Caller::from(Author::own("SIGHUP"));
                    // What is wrong is in the log.
                    drop(controller.on_disk(move |controller| controller.reload(&caller)));
                }
            }
        }
        leases.abort();
        let gateway = controller.gateway();
        let timeout = gateway.settings.load().timeouts.drain;
        controller.reloader().stop_accepting();
        controller.begin_stopping(timeout);
        info!(sessions = gateway.sessions.len(), drain = ?timeout, "stopping: no new clients");
        service::stopping(&stopping_status(gateway));
        tokio::select! {
            () = last_session_ends(gateway) => {}
            () = sleep(timeout) => {}
            () = notify_stopping(gateway) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        for entry in gateway.sessions.select(|_| true) {
            entry.cut(CloseReason::Shutdown);
        }
        let gone = async {
            while !gateway.sessions.is_empty() {
                sleep(POLL_INTERVAL).await;
            }
        };
        let _ = tokio::time::timeout(CUT_TIMEOUT, gone).await;
        control.abort_all();
        // Wait for a change under way; one that takes longer was not reported to its caller, and may
        // or may not be in force after the next start.
        let _ = tokio::time::timeout(CUT_TIMEOUT, controller.on_disk(|_| ())).await;
        workers.stop();
        controller.gateway().access_log.finish(ACCESS_LOG_TIMEOUT);
        info!("stopped");
    }
}

/// Fails if an inherited socket belongs to no listener: its clients would connect in vain.
fn check_inherited(config: &Config, held: &HeldSockets) -> Result<(), StartError> {
    let listeners = config.listeners.iter().flat_map(|l| l.bind.clone());
    let bound: Vec<SocketAddr> = listeners.chain(config.metrics).collect();
    let unused = held.unused(&bound);
    if unused.is_empty() {
        return Ok(());
    }
    let bound: Vec<String> = bound.iter().map(ToString::to_string).collect();
    Err(StartError::Unused {
        unused: unused.join(", "),
        bound: bound.join(", "),
    })
}

async fn last_session_ends(gateway: &Gateway) {
    while !gateway.sessions.is_empty() || gateway.handshakes.open() > 0 {
        sleep(POLL_INTERVAL).await;
    }
}

/// Notifies the service manager at intervals; never returns.
async fn notify_stopping(gateway: &Gateway) {
    loop {
        sleep(NOTIFY_INTERVAL).await;
        service::still_stopping(&stopping_status(gateway));
    }
}

fn stopping_status(gateway: &Gateway) -> String {
    let sessions = gateway.sessions.len();
    let plural = if sessions == 1 { "" } else { "s" };
    format!("stopping: waiting for {sessions} session{plural} to end")
}

/// Ends exposures as they expire; never returns.
async fn expire_leases(controller: Arc<Controller>) {
    loop {
        tokio::select! {
            () = next_expiry(&controller) => {
                // A panic is in the log.
                let _ = controller.on_disk(Controller::expire).await;
            }
            () = controller.leases.notified() => {}
        }
        service::status(&controller.status());
    }
}

async fn next_expiry(controller: &Controller) {
    match controller.gateway().store.next_expiry() {
        None => std::future::pending().await,
        Some(at) => {
            let left = at.duration_since(SystemTime::now()).unwrap_or_default();
            sleep_until(Instant::now() + left.max(MIN_EXPIRY_INTERVAL)).await;
        }
    }
}

/// Raises the soft limit on open files to the hard one, and reserves some for the control side.
fn raise_descriptor_limit(threads: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // If it cannot be raised, the number of sessions is compared with what there is.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
    // Each accept loop may hold one client that it cannot serve yet.
    let held = u64::try_from(threads).unwrap_or(u64::MAX).saturating_mul(2);
    descriptors::reserve(RESERVED_DESCRIPTORS.saturating_add(held));
}

/// Warns if the limit on open files is too low for the configured number of sessions; the default
/// has given way already.
fn compare_descriptor_limit(config: &Config, settings: &Settings) {
    let fit = descriptors::sessions();
    let limits = &settings.limits;
    if limits.max_sessions > fit {
        warn!(
            fit,
            max_sessions = limits.max_sessions,
            "the limit on open files is too low for limits.max_sessions: raise it (LimitNOFILE in the unit) or lower max_sessions"
        );
    } else if limits.max_sessions < config.limits.max_sessions {
        info!(
            max_sessions = limits.max_sessions,
            "the limit on open files leaves room for fewer sessions than the default of limits.max_sessions, which gives way"
        );
    }
}
