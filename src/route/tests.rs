//! Stores for tests, with the certificate that one needs.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, LazyLock};

use super::database::GatewayTls;
use super::runtime::{Lease, RuntimeRecord};
use super::source::Declared;
use super::{ChangeError, DatabaseSpec, Host, RouteChange, RuntimeChanges, Store};
use crate::cert::gateway_pair;
use crate::cert::scratch::Scratch;
use crate::tls::config::MinVersion;
use crate::tls::files::Files;
use crate::tls::material::MaterialOrigin;

pub(crate) type Config = BTreeMap<Arc<str>, Declared>;

/// The names of the databases of [`Ground::of_every_kind`].
pub(crate) const EVERY_KIND: [&str; 5] = ["pg", "ended", "redis", "mysql", "guarded"];

/// A store, and the gateway's certificate.
pub(crate) struct Ground {
    pub(crate) store: Store,
    pub(crate) gateway: GatewayTls,
    _scratch: Scratch,
}

impl Ground {
    pub(crate) fn new(config: Config, runtime: RuntimeRecord) -> Self {
        /// Making one takes longer than all else here.
        static PAIR: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
            let scratch = Scratch::new();
            let (cert, key) = gateway_pair(scratch.path()).unwrap();
            [cert, key].map(|path| fs::read(path).unwrap())
        });
        let scratch = Scratch::new();
        let [cert, key] = ["cert", "key"].map(|name| scratch.path().join(name));
        for (path, bytes) in [&cert, &key].into_iter().zip(&*PAIR) {
            fs::write(path, bytes).unwrap();
        }
        let gateway = GatewayTls {
            cert: MaterialOrigin::Minted(cert),
            key: MaterialOrigin::Minted(key),
            min_version: MinVersion::default(),
        };
        let store = Store::new(
            config,
            gateway.clone(),
            RuntimeChanges::from(runtime),
            Arc::new(Files),
        )
        .unwrap();
        Self {
            store,
            gateway,
            _scratch: scratch,
        }
    }

    /// Databases of every kind, some of which are not reached any more.
    pub(crate) fn of_every_kind() -> Self {
        let mut config = Config::new();
        for (name, protocol, tls, hosts, deny) in [
            (
                "pg",
                "postgres",
                "passthrough",
                "pg.x *.wild.x hidden.wild.x",
                "",
            ),
            ("ended", "postgres", "terminate", "ended.x", ""),
            ("redis", "redis", "passthrough", "redis.x", ""),
            ("mysql", "mysql", "passthrough", "mysql.x", ""),
            (
                "guarded",
                "postgres",
                "passthrough",
                "guarded.x",
                "10.0.0.0/8",
            ),
        ] {
            let mut spec =
                serde_json::json!({"protocol": protocol, "tls": tls, "backends": ["192.0.2.1:1"]});
            if !deny.is_empty() {
                spec["deny"] = serde_json::json!([deny]);
            }
            let declared = Declared {
                spec: serde_json::from_value(spec).unwrap(),
                hosts: hosts.split(' ').map(host).collect(),
            };
            config.insert(name.into(), declared);
        }
        let mut runtime = RuntimeRecord::default();
        let hidden = [host("hidden.wild.x")].into();
        runtime.hidden.insert("pg".into(), hidden);
        for (name, hosts, spec) in [
            ("redis", ["pg.x", "more.x"].as_slice(), None),
            ("broken", &["broken.wild.x"], Some(broken())),
        ] {
            let hosts = hosts.iter().map(|text| (host(text), Lease::default()));
            runtime.exposed.insert(name.into(), hosts.collect());
            if let Some(spec) = spec {
                runtime.databases.insert(name.into(), spec);
            }
        }
        Self::new(config, runtime)
    }

    pub(crate) fn reload(&self, config: Config) -> Result<RouteChange, ChangeError> {
        self.store
            .replace_config(config, self.gateway.clone(), false)
    }
}

pub(crate) fn spec(port: u16) -> DatabaseSpec {
    serde_json::from_value(serde_json::json!({
        "protocol": "postgres", "backends": [format!("10.0.0.1:{port}")],
    }))
    .unwrap()
}

/// A declaration whose files are missing.
pub(crate) fn broken() -> DatabaseSpec {
    serde_json::from_value(serde_json::json!({
        "protocol": "postgres", "backends": ["10.0.0.1:1"], "tls": "terminate",
        "cert": "/nonexistent/a.crt", "key": "/nonexistent/a.key",
    }))
    .unwrap()
}

pub(crate) fn host(text: &str) -> Host {
    text.parse().unwrap()
}
