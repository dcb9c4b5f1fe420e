//! The key `health` of a database: the checks of its backends.
//!
//! Not here: what they find ([`crate::upstream::Checked`]), and how they are made
//! ([`crate::health`]).

use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::spec::{DatabaseSpec, is_default};
use crate::duration::HumanDuration;
use crate::protocol::Protocol;
use crate::tls::TlsMode;
use crate::upstream::{BackendAddr, Check, CheckKind, HttpPath, Speak, Timing};

/// The least time from one check to the next: a typing error must not become an attack.
const LEAST_INTERVAL_MS: u128 = 10;

/// The word for no checks.
const OFF: &str = "off";

/// The key `health` of a database.
#[derive(Clone, Debug, PartialEq)]
pub enum Health {
    /// No checks.
    Off,
    /// Checks with these settings.
    On(Box<Settings>),
}

/// The settings of checks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Time from one to the next.
    #[serde(skip_serializing_if = "is_default")]
    pub interval: Option<HumanDuration>,
    /// The same while the backend is not plainly up.
    #[serde(skip_serializing_if = "is_default")]
    pub fast_interval: Option<HumanDuration>,
    /// Time for each.
    #[serde(skip_serializing_if = "is_default")]
    pub timeout: Option<HumanDuration>,
    /// Successes in a row after which a backend is up again.
    #[serde(skip_serializing_if = "is_default")]
    pub rise: Option<u32>,
    /// Failures in a row after which it is down.
    #[serde(skip_serializing_if = "is_default")]
    pub fall: Option<u32>,
    /// What is spoken.
    #[serde(skip_serializing_if = "is_default")]
    pub check: Option<CheckKind>,
    /// The service beside each backend that is asked instead.
    #[serde(skip_serializing_if = "is_default")]
    pub http: Option<HttpPath>,
}

impl Settings {
    /// The rhythm.
    fn timing(&self) -> Timing {
        let usual = Timing::default();
        let interval = self.interval.map_or(usual.interval, |d| d.0);
        Timing {
            interval,
            fast_interval: self
                .fast_interval
                .map_or(usual.fast_interval, |d| d.0)
                .min(interval),
            timeout: self.timeout.map_or(usual.timeout, |d| d.0),
            rise: self.rise.unwrap_or(usual.rise),
            fall: self.fall.unwrap_or(usual.fall),
        }
    }

    /// What is wrong with the values, if anything.
    fn problem(&self) -> Option<&'static str> {
        let too_short =
            |d: Option<HumanDuration>| d.is_some_and(|d| d.0.as_millis() < LEAST_INTERVAL_MS);
        if too_short(self.interval) || too_short(self.fast_interval) || too_short(self.timeout) {
            Some(
                "interval, fast_interval and timeout are 10ms at least; health = \"off\" ends all checks",
            )
        } else if self.rise == Some(0) || self.fall == Some(0) {
            Some("rise and fall are 1 at least: the number of checks that make a change")
        } else if self.http.is_some() && self.check.is_some() {
            Some("http is asked instead of the backend: leave check out, or http")
        } else {
            None
        }
    }
}

impl Health {
    /// A sentence about what is wrong with it for backends of this protocol, if anything.
    pub(super) fn problem(&self, protocol: Protocol) -> Option<&'static str> {
        let Self::On(settings) = self else {
            return None;
        };
        let leaves_early = matches!(settings.check, Some(CheckKind::Tcp | CheckKind::Tls));
        if protocol.server_first() && leaves_early {
            return Some(
                "mysql and mariadb count each connection that ends before a login, and block the gateway after max_connect_errors of them: leave check out",
            );
        }
        settings.problem()
    }
}

/// The check of each backend of a database, and their rhythm; none where none are made: one backend
/// alone is not checked unless `health` says so, since there is nothing to choose.
#[must_use]
pub(super) fn checks(spec: &DatabaseSpec) -> Option<(Timing, Vec<Check>)> {
    let usual = Settings::default();
    let settings = match &spec.upstream.health {
        Some(Health::Off) => return None,
        Some(Health::On(settings)) => settings,
        None if spec.backends.len() < 2 => return None,
        None => &usual,
    };
    let speak = match &settings.http {
        Some(_) => None,
        None => Some(speak(
            settings.check.unwrap_or_default(),
            spec.protocol,
            spec.tls.mode(),
        )),
    };
    let check = |addr: &BackendAddr| Check {
        addr: addr.clone(),
        speak,
        http: settings.http.clone(),
        // The service beside it is no proxy's business.
        proxy: spec.send_proxy.filter(|_| speak.is_some()),
    };
    Some((settings.timing(), spec.backends.iter().map(check).collect()))
}

/// What is spoken with backends that get clients of this protocol in this mode.
fn speak(kind: CheckKind, protocol: Protocol, mode: TlsMode) -> Speak {
    let tls_first = !protocol.server_first() && protocol != Protocol::Postgres;
    match kind {
        CheckKind::Tcp => Speak::Tcp,
        CheckKind::Tls => Speak::Tls(protocol),
        CheckKind::Protocol if protocol == Protocol::Tls => match mode {
            TlsMode::Terminate => Speak::Tcp,
            TlsMode::Passthrough | TlsMode::Reencrypt => Speak::Tls(protocol),
        },
        CheckKind::Protocol => Speak::Protocol(protocol, tls_first && mode != TlsMode::Terminate),
    }
}

impl Serialize for Health {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_str(OFF),
            Self::On(settings) => settings.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Health {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Health;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("\"off\" or settings")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Health, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Health, A::Error> {
                let settings = Settings::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Health::On(settings.into()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl FromStr for Health {
    type Err = String;

    /// Reads `off`, or settings as on a command line: `interval=1s,fall=2`.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == OFF {
            return Ok(Self::Off);
        }
        let mut settings = Settings::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').ok_or_else(|| {
                format!("\"{text}\": write off, or settings as in interval=1s,fall=2")
            })?;
            match key {
                "interval" => settings.interval = Some(value.parse()?),
                "fast_interval" => settings.fast_interval = Some(value.parse()?),
                "timeout" => settings.timeout = Some(value.parse()?),
                "rise" => settings.rise = Some(number(key, value)?),
                "fall" => settings.fall = Some(number(key, value)?),
                "check" => settings.check = Some(value.parse()?),
                "http" => settings.http = Some(value.parse()?),
                _ => {
                    return Err(format!(
                        "no setting \"{}\": use interval, fast_interval, timeout, rise, fall, check, http",
                        key.escape_default()
                    ));
                }
            }
        }
        Ok(Self::On(settings.into()))
    }
}

fn number(key: &str, value: &str) -> Result<u32, String> {
    let number = value.parse();
    number.map_err(|_| {
        format!(
            "{key} is a whole number, not \"{}\"",
            value.escape_default()
        )
    })
}

impl std::fmt::Display for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::On(settings) = self else {
            return f.write_str(OFF);
        };
        let Settings {
            interval,
            fast_interval,
            timeout,
            rise,
            fall,
            check,
            http,
        } = &**settings;
        let text = |value: Option<String>| value;
        let parts = [
            ("interval", text(interval.map(|v| v.to_string()))),
            ("fast_interval", fast_interval.map(|v| v.to_string())),
            ("timeout", timeout.map(|v| v.to_string())),
            ("rise", rise.map(|v| v.to_string())),
            ("fall", fall.map(|v| v.to_string())),
            ("check", check.map(|v| v.to_string())),
            ("http", http.as_ref().map(ToString::to_string)),
        ];
        let parts = parts.into_iter();
        let given = parts.filter_map(|(key, value)| Some(format!("{key}={}", value?)));
        f.write_str(&given.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_they_are_written() {
        for (text, json) in [
            ("off", r#""off""#),
            (
                "interval=1s,fast_interval=100ms,timeout=2s,rise=1,fall=4",
                r#"{"interval":"1s","fast_interval":"100ms","timeout":"2s","rise":1,"fall":4}"#,
            ),
            ("check=tcp", r#"{"check":"tcp"}"#),
            ("http=8008/primary", r#"{"http":"8008/primary"}"#),
        ] {
            let read: Health = text.parse().unwrap();
            assert_eq!(read.to_string(), text);
            assert_eq!(serde_json::to_string(&read).unwrap(), json);
            assert_eq!(serde_json::from_str::<Health>(json).unwrap(), read);
            assert_eq!(read.problem(Protocol::Postgres), None, "{text}");
        }
        for bad in ["on", "interval=5", "rise=x", "every=1s", "check=ping"] {
            assert!(bad.parse::<Health>().is_err(), "{bad}");
        }
        for wrong in ["interval=1ms", "fall=0", "check=tls,http=8008"] {
            let read: Health = wrong.parse().unwrap();
            assert!(read.problem(Protocol::Postgres).is_some(), "{wrong}");
        }
        let tcp: Health = "check=tcp".parse().unwrap();
        assert!(tcp.problem(Protocol::Mariadb).is_some());
    }

    #[test]
    fn several_backends_are_checked_and_one_if_it_is_said() {
        let spec = |backends: serde_json::Value, health: serde_json::Value| {
            let mut spec = serde_json::json!({
                "protocol": "redis", "backends": backends, "send_proxy": "v2",
            });
            if !health.is_null() {
                spec["health"] = health;
            }
            serde_json::from_value::<DatabaseSpec>(spec).unwrap()
        };
        let (one, two) = (
            serde_json::json!(["a:1"]),
            serde_json::json!(["a:1", "b:1"]),
        );
        let (unsaid, off) = (serde_json::Value::Null, serde_json::json!("off"));
        assert_eq!(checks(&spec(one.clone(), unsaid.clone())), None);
        assert_eq!(checks(&spec(two.clone(), off)), None);
        let (timing, found) = checks(&spec(two, unsaid)).unwrap();
        assert_eq!((timing, found.len()), (Timing::default(), 2));
        assert_eq!(found[0].speak, Some(Speak::Protocol(Protocol::Redis, true)));
        assert!(found[0].proxy.is_some());
        let http = serde_json::json!({"http": "8008/primary", "interval": "500ms"});
        let (timing, found) = checks(&spec(one, http)).unwrap();
        assert_eq!(timing.fast_interval, timing.interval, "never slower");
        assert_eq!((found[0].speak, found[0].proxy), (None, None));
        assert!(found[0].http.is_some());
    }
}
