//! The queries of `config/grafana-dashboard.json`, asked of a real Prometheus that scrapes a gateway
//! with traffic: each has data.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;

use super::{METRICS, address, get};
use crate::clients::{Client, Target};
use crate::gateway::Gateway;
use crate::raw::Pki;
use crate::servers::{Postgres, Prometheus, Redis, Server, prometheus_get};
use crate::streams::StopAtEnd;
use crate::testbed;

fn dashboard() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/grafana-dashboard.json");
    let text = fs::read_to_string(path).expect("the dashboard");
    serde_json::from_str(&text).expect("JSON")
}

/// Every query of the dashboard: of its panels, and the series of its variables.
fn queries(dashboard: &Value) -> BTreeSet<String> {
    fn collect(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(expr)) = fields.get("expr") {
                    found.insert(expr.clone());
                }
                for value in fields.values() {
                    collect(value, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|value| collect(value, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    collect(&dashboard["panels"], &mut found);
    for variable in dashboard["templating"]["list"]
        .as_array()
        .expect("variables")
    {
        if let Some(query) = variable["query"]["query"].as_str() {
            let series = query.strip_prefix("label_values(").expect("label_values");
            let (series, _label) = series.rsplit_once(", ").expect("a label");
            found.insert(series.to_owned());
        }
    }
    found
}

/// As Grafana does before it asks, with all values of each variable chosen.
fn filled_in(query: &str) -> String {
    let query = query
        .replace("$__rate_interval", "5s")
        .replace("$instance", ".*")
        .replace("$database", ".*");
    assert!(!query.contains('$'), "an unknown variable: {query}");
    query
}

/// The numbers that Prometheus answers with, without those that are none.
fn ask(prometheus: &Server, query: &str) -> Result<Vec<f64>, String> {
    let mut encoded = String::new();
    for byte in query.bytes() {
        write!(encoded, "%{byte:02X}").expect("a string");
    }
    let path = format!("/api/v1/query?query={encoded}");
    let answer = prometheus_get(prometheus.port(), &path).map_err(|e| e.to_string())?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let json: Value = serde_json::from_str(body).map_err(|e| format!("{e}: {answer}"))?;
    let results = json["data"]["result"].as_array().ok_or(answer)?;
    let numbers = results
        .iter()
        .filter_map(|r| r["value"][1].as_str()?.parse().ok());
    Ok(numbers.filter(|number: &f64| number.is_finite()).collect())
}

#[test]
fn every_query_of_the_dashboard_has_data() {
    let pki = Pki::new();
    let leaf = pki.ca.leaf(&["*.example.test"]);
    let postgres = Postgres::debian("pg", &leaf);
    let redis = Redis::plain("redis");
    let own = pki.ca.leaf(&["redis1.example.test"]);
    let config = pki.tls()
        + METRICS
        + &pki.database("pg1", "postgres", "passthrough", &[postgres.addr()])
        + &pki
            .database("redis1", "redis", "terminate", &[redis.addr()])
            .replace("\"off\"", "{ interval = \"1s\" }")
        + &format!(
            "cert = \"{}\"\nkey = \"{}\"\n",
            own.cert_path.display(),
            own.key_path.display()
        );
    let gateway = Gateway::start(&config);
    let prometheus = Prometheus::of(address(&gateway));
    let target = Target::postgres("pg1.example.test", gateway.port(), &pki.ca);
    let nobody = Target::postgres("nobody.example.test", gateway.port(), &pki.ca);
    let cache = Target::new("redis1.example.test", gateway.port(), &pki.ca);

    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let stopping = StopAtEnd(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                Client::Psql.whoami(&target).expect_who();
                Client::RedisCli.whoami(&cache).expect_who();
                assert!(!Client::Psql.whoami(&nobody).ok);
            }
        });
        let queries = queries(&dashboard());
        assert!(queries.len() > 20, "{queries:#?}");
        for query in &queries {
            let mut answer = Err("not asked".to_owned());
            testbed::until(|| {
                answer = ask(&prometheus, &filled_in(query));
                answer.as_ref().is_ok_and(|numbers| !numbers.is_empty())
            });
            assert!(
                answer.as_ref().is_ok_and(|numbers| !numbers.is_empty()),
                "{query}\nhas no data: {answer:?}\n{}",
                get(address(&gateway), "/metrics")
            );
        }
        drop(stopping);
    });
    let names = "count(dbgate_certificate_expiry_timestamp_seconds{name=~\"tls|database.redis1\"})";
    assert_eq!(ask(&prometheus, names), Ok(vec![2.0]));
}

#[test]
fn every_metric_is_on_the_dashboard_or_left_out_on_purpose() {
    let gateway = Gateway::start(METRICS);
    let answer = get(address(&gateway), "/metrics");
    let families: BTreeSet<&str> = answer
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let text = dashboard().to_string();
    let shown = |name: &&&str| text.contains(**name);
    let missing: Vec<_> = families.iter().filter(|name| !shown(name)).collect();
    assert_eq!(missing, [&"process_start_time_seconds"]);
}

#[test]
fn promtool_finds_nothing_to_say() {
    let pki = Pki::new();
    let redis = Redis::plain("redis");
    let database = pki.database("redis1", "redis", "terminate", &[redis.addr()]);
    let gateway = Gateway::start(&(pki.tls() + METRICS + &database));
    let target = Target::new("redis1.example.test", gateway.port(), &pki.ca);
    Client::RedisCli.whoami(&target).expect_who();
    let answer = get(address(&gateway), "/metrics");
    let (_, metrics) = answer.split_once("\r\n\r\n").expect("a body");
    let mut promtool = Command::new(testbed::part("prometheus/promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool");
    let mut stdin = promtool.stdin.take().expect("its input");
    stdin.write_all(metrics.as_bytes()).expect("its input");
    drop(stdin);
    let output = promtool.wait_with_output().expect("promtool");
    assert!(output.status.success(), "{output:?}\n{metrics}");
}
