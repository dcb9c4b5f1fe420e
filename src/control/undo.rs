//! The command that takes a change back, as it is typed.

use serde_json::Value;

use crate::rate::RateLimits;
use crate::route::health::Health;
use crate::route::{DatabaseSpec, Host};
use crate::upstream::WeightedAddr;

/// The keys of a database that `ctl expose` has flags for, with the flag.
const FLAGS: &[(&str, &str)] = &[
    ("backends", "--to"),
    ("balance", "--balance"),
    ("health", "--health"),
    ("protocol", "--protocol"),
    ("tls", "--tls"),
    ("cert", "--cert"),
    ("key", "--key"),
    ("client_ca", "--client-ca"),
    ("client_crl", "--client-crl"),
    ("client_names", "--client-names"),
    ("client_user", "--client-user"),
    ("backend_ca", "--backend-ca"),
    ("backend_name", "--backend-name"),
    ("allow", "--allow"),
    ("deny", "--deny"),
    ("networks", "--networks"),
    ("enforce", "--enforce"),
    ("max_sessions", "--max-sessions"),
    ("max_sessions_per_ip", "--max-sessions-per-ip"),
    ("rate", "--rate"),
    ("send_proxy", "--send-proxy"),
    ("hold", "--hold"),
    ("hold_max", "--hold-max"),
    ("wake", "--wake"),
];

/// A command of `ctl` on these databases.
pub(super) fn command(verb: &str, names: &[&str]) -> String {
    let mut line = format!("dbgate ctl {verb}");
    for name in names {
        line += " ";
        line += &quoted(name);
    }
    line
}

/// The same with hosts, where there are any.
pub(super) fn with_hosts<'h>(
    mut line: String,
    hosts: impl IntoIterator<Item = &'h Host>,
) -> String {
    let mut flag = " --host";
    for host in hosts {
        line += flag;
        line += " ";
        line += &quoted(&host.to_string());
        flag = "";
    }
    line
}

/// The same with one backend.
pub(super) fn with_backend(line: String, backend: &str) -> String {
    line + " --backend " + &quoted(backend)
}

/// The same with all settings of a database; `None` where one of them has no flag.
pub(super) fn with_settings(mut line: String, spec: &DatabaseSpec) -> Option<String> {
    let Ok(Value::Object(mut keys)) = serde_json::to_value(spec) else {
        return None;
    };
    for (key, flag) in FLAGS {
        let Some(value) = keys.remove(*key) else {
            continue;
        };
        line += " ";
        line += flag;
        let values = match value {
            value if *key == "health" => {
                let health: Health = serde_json::from_value(value).ok()?;
                vec![Value::String(health.to_string())]
            }
            Value::Array(values) => values,
            value @ Value::Object(_) if *key == "rate" => {
                let rate: RateLimits = serde_json::from_value(value).ok()?;
                vec![rate.to_string().into()]
            }
            // `wake = { http = … }`
            Value::Object(keys) if keys.len() == 1 => keys.into_values().collect(),
            value => vec![value],
        };
        for value in values {
            line += " ";
            line += &match value {
                Value::String(text) => quoted(&text),
                value @ Value::Object(_) => {
                    let weighted: WeightedAddr = serde_json::from_value(value).ok()?;
                    quoted(&weighted.to_string())
                }
                Value::Number(number) => number.to_string(),
                _ => return None,
            };
        }
    }
    keys.is_empty().then_some(line)
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:/@%+=,[]".contains(c);
    if !word.is_empty() && word.chars().all(plain) && !word.starts_with('[') {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_database_can_be_made_again_by_what_is_printed() {
        let spec: DatabaseSpec = serde_json::from_value(serde_json::json!({
            "protocol": "postgres", "backends": ["10.0.0.5:5432", "[::1]:5433"], "tls": "terminate",
            "cert": "/a b/c.crt", "key": "/k", "max_sessions": 5,
            "health": {"interval": "1s", "fall": 2},
            "rate": {"database": "200/s"}, "hold": "30s", "wake": {"http": "POST http://starter:8080/pg1"},
        }))
        .unwrap();
        let hosts: Vec<Host> = ["a.example", "*.b.example"]
            .map(|h| h.parse().unwrap())
            .into();
        let line = with_hosts(command("expose", &["pg1"]), &hosts);
        assert_eq!(
            with_settings(line, &spec).unwrap(),
            "dbgate ctl expose pg1 --host a.example '*.b.example' --to 10.0.0.5:5432 '[::1]:5433' \
             --health interval=1s,fall=2 --protocol postgres --tls terminate --cert '/a b/c.crt' --key /k --max-sessions 5 \
             --rate database=200/s --hold 30s --wake 'POST http://starter:8080/pg1'"
        );
        let mut keys = serde_json::to_value(&spec).unwrap();
        keys["min_version"] = "1.3".into();
        let spec = serde_json::from_value(keys).unwrap();
        assert_eq!(with_settings(String::new(), &spec), None);
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
