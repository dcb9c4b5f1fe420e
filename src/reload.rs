//! Reading the configuration again: everything in it is checked and built before anything
//! changes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::access_log::Sink;
use crate::cert::{self, CertError};
use crate::config::difference::{self, Differences};
use crate::config::{self, AccessTo, Config, Log};
use crate::gateway::{Gateway, Listener, Settings};
use crate::listeners::Listeners;
use crate::metrics::Metrics;
use crate::net::descriptors;
use crate::net::held::HeldSockets;
use crate::route::RouteChange;
use crate::route::database::GatewayTls;
use crate::tls::material::MaterialOrigin;

/// The parts of the running process that a reload needs.
pub struct Reloader {
    config_file: Option<PathBuf>,
    state_dir: PathBuf,
    listeners: Arc<Listeners>,
    metrics: Metrics,
    held: Arc<HeldSockets>,
    /// The configuration that is in force; its databases are in the store.
    running: Mutex<Config>,
    stopping: AtomicBool,
}

/// Most databases with differences that are named, the others are counted: an answer about 100,000
/// of them would take half a gigabyte.
const MOST_NAMED: usize = 10_000;

/// A reload that is in force, or what one would come to.
#[derive(Debug)]
pub struct Reloaded {
    /// The change of the routes.
    pub change: RouteChange,
    /// The differences of the file, with those that only a restart puts in force.
    pub differences: Differences,
    /// Warnings about the file.
    pub warnings: Vec<String>,
}

impl Reloader {
    /// A reloader of this file; without one it reads only certificates again. `running` is the
    /// configuration in force, without its databases.
    #[must_use]
    pub fn new(
        config_file: Option<PathBuf>,
        state_dir: PathBuf,
        listeners: Arc<Listeners>,
        metrics: Metrics,
        held: Arc<HeldSockets>,
        running: Config,
    ) -> Self {
        Self {
            config_file,
            state_dir,
            listeners,
            metrics,
            held,
            running: Mutex::new(running),
            stopping: AtomicBool::new(false),
        }
    }

    /// The configuration file, if there is one.
    #[must_use]
    pub fn config_file(&self) -> Option<&Path> {
        self.config_file.as_deref()
    }

    /// The listeners, in the order of the configuration.
    #[must_use]
    pub fn listeners(&self) -> Vec<Arc<Listener>> {
        self.listeners.all()
    }

    /// The listeners with the addresses that the system bound.
    #[must_use]
    pub fn bound(&self) -> Vec<(Arc<Listener>, Vec<SocketAddr>)> {
        let all = self.listeners.all();
        all.into_iter()
            .map(|l| {
                let addrs = self.listeners.addresses(&l);
                (l, addrs)
            })
            .collect()
    }

    /// The address of metrics, as the system bound it.
    #[must_use]
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.metrics.address()
    }

    /// Stops accepting everywhere, for good.
    pub fn stop_accepting(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.listeners.stop_accepting();
        self.held.stop_listening_except(&self.in_use());
    }

    /// The addresses that are served.
    fn in_use(&self) -> Vec<SocketAddr> {
        let listeners = self.bound().into_iter().flat_map(|(_, addrs)| addrs);
        listeners.chain(self.metrics()).collect()
    }

    /// True if the gateway takes no more clients and no more changes of its listeners.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Returns what a reload would do; nothing changes.
    ///
    /// # Errors
    /// Every problem of the file, or the first of the files of certificates that it names. Addresses
    /// are not bound, so one that cannot be bound is not told.
    pub fn preview(&self, gateway: &Gateway) -> Result<Reloaded, Vec<String>> {
        let one = |problem: &dyn std::error::Error| vec![problem.to_string()];
        let (config, warnings) = self.read()?;
        let running = self.lock();
        let tls = if config.tls.files.is_none() && running.tls.files.is_none() {
            // It is made anew where its end is near, which is for a reload to do.
            GatewayTls {
                min_version: config.tls.min_version,
                ..gateway.store.gateway_tls()
            }
        } else {
            gateway_tls(&config, &self.state_dir).map_err(|e| one(&e))?
        };
        let snapshot = gateway.store.snapshot();
        let differences = difference::compare(&running, &snapshot, &config, MOST_NAMED);
        drop(snapshot);
        let change = gateway.store.replace_config(config.databases, tls, true);
        Ok(Reloaded {
            change: change.map_err(|e| one(&e))?,
            differences,
            warnings,
        })
    }

    /// Reads the file and puts it in force.
    ///
    /// # Errors
    /// Every problem of the file, or the first of the files and addresses that it names; nothing
    /// has changed then.
    pub fn reload(&self, gateway: &Gateway) -> Result<Reloaded, Vec<String>> {
        let mut reloaded = self.try_reload(gateway);
        let in_use = self.in_use();
        self.held.stop_listening_except(&in_use);
        if let Ok(reloaded) = &mut reloaded {
            for socket in self.held.unused(&in_use) {
                reloaded.warnings.push(format!(
                    "nothing binds the inherited socket {socket} any more: clients wait in it unanswered until its socket unit is stopped"
                ));
            }
        }
        let ok = reloaded.is_ok();
        gateway.last_reload_ok.store(ok, Ordering::Relaxed);
        reloaded
    }

    fn try_reload(&self, gateway: &Gateway) -> Result<Reloaded, Vec<String>> {
        let one = |problem: &dyn std::error::Error| vec![problem.to_string()];
        let (mut config, mut warnings) = self.read()?;
        let tls = gateway_tls(&config, &self.state_dir).map_err(|e| one(&e))?;
        let mut running = self.lock();
        if config.control != running.control || config.log.format != running.log.format {
            warnings.push("[control] and log.format take effect at the next start".into());
        }
        let log = Log {
            format: running.log.format,
            ..config.log.clone()
        };
        // A file is opened anew, since it may have been moved away.
        let reopen = log != running.log || matches!(log.access_to, AccessTo::File(_));
        let sink = if reopen {
            Some(Sink::open(&log).map_err(|e| one(&e))?)
        } else {
            None
        };
        let metrics = self.metrics.prepare(config.metrics).map_err(|e| one(&e))?;
        let listeners = self
            .listeners
            .prepare(&config.listeners)
            .map_err(|e| one(&e))?;
        let settings = settings(&config);
        let differences =
            difference::compare(&running, &gateway.store.snapshot(), &config, MOST_NAMED);
        let databases = std::mem::take(&mut config.databases);
        let change = gateway
            .store
            .replace_config(databases, tls, false)
            .map_err(|e| one(&e))?;
        listeners.commit();
        metrics.commit();
        gateway.settings.store(Arc::new(settings));
        let access = log.access;
        let mut in_force = running.log.clone();
        in_force.access = access;
        if let Some(sink) = sink {
            match gateway.access_log.switch(sink) {
                Ok(()) => in_force = log,
                Err(e) => warnings.push(format!("the access log stays where it was: {e}")),
            }
        }
        *running = Config {
            control: running.control.clone(),
            log: in_force,
            ..config
        };
        Ok(Reloaded {
            change,
            differences,
            warnings,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Config> {
        // It is replaced as a whole.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> Result<(Config, Vec<String>), Vec<String>> {
        let Some(file) = &self.config_file else {
            return Ok((Config::default(), Vec::new()));
        };
        let parsed = config::load(file);
        let problems = parsed.problems.iter().map(ToString::to_string).collect();
        match parsed.config {
            Some(config) => Ok((config, problems)),
            None => Err(problems),
        }
    }
}

/// The gateway's own certificate: the configured one, or the one minted into `state_dir`.
///
/// # Errors
/// A pair cannot be minted there.
pub fn gateway_tls(config: &Config, state_dir: &Path) -> Result<GatewayTls, CertError> {
    let min_version = config.tls.min_version;
    let (cert, key) = if let Some((cert, key)) = &config.tls.files {
        (cert.clone().into(), key.clone().into())
    } else {
        let (cert, key) = cert::gateway_pair(state_dir)?;
        (MaterialOrigin::Minted(cert), MaterialOrigin::Minted(key))
    };
    Ok(GatewayTls {
        cert,
        key,
        min_version,
    })
}

/// The part of a configuration that sessions need. The default of `max_sessions` gives way where
/// the limit on open files leaves room for fewer.
#[must_use]
pub fn settings(config: &Config) -> Settings {
    let mut limits = config.limits.clone();
    if !limits.max_sessions_given {
        limits.max_sessions = limits.max_sessions.min(descriptors::sessions());
    }
    Settings {
        timeouts: config.timeouts.clone(),
        limits,
        access: config.log.access,
    }
}
