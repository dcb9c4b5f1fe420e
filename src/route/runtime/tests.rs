use std::time::Duration;

use super::*;

fn spec(port: u16) -> DatabaseSpec {
    serde_json::from_value(serde_json::json!({
        "protocol": "postgres", "backends": [format!("10.0.0.1:{port}")],
    }))
    .unwrap()
}

fn host(text: &str) -> Host {
    text.parse().unwrap()
}

fn exposed(hosts: &[&str], expires: Option<SystemTime>) -> RuntimeEntry {
    let lease = Lease {
        expires,
        ..Lease::default()
    };
    RuntimeEntry {
        database: Some(spec(1)),
        exposed: hosts.iter().map(|text| (host(text), lease)).collect(),
        hidden: BTreeSet::new(),
        admin: None,
    }
}

#[test]
fn leases_end_and_take_their_database_with_them() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
    let mut runtime = RuntimeChanges::default();
    runtime.put("tmp", exposed(&["t.example"], Some(now)));
    runtime.put("pg9", exposed(&["9.example"], None));
    assert_eq!(runtime.lasting().databases.len(), 1);
    assert_eq!(runtime.next_expiry(), Some(now));
    assert!(runtime.expired(now - Duration::from_secs(1)).is_empty());
    for (name, left) in runtime.expired(now) {
        runtime.put(&name, left);
    }
    assert!(runtime.made("tmp").is_none() && runtime.made("pg9").is_some());
    assert_eq!(runtime.next_expiry(), None);
}

#[test]
fn a_bounded_number_of_ended_leases_is_remembered() {
    let mut runtime = RuntimeChanges::default();
    let at = |n: usize| SystemTime::UNIX_EPOCH + Duration::from_secs(n as u64);
    for n in 0..MAX_ENDED + 3 {
        let entry = exposed(&[&format!("h{n}.example")], Some(at(n)));
        runtime.put(&format!("db{n}"), entry);
    }
    let refuser = |runtime: &RuntimeChanges, n: usize| {
        runtime.withdrawers(&host(&format!("h{n}.example"))).count()
    };
    for now in [at(MAX_ENDED - 1), at(MAX_ENDED), at(MAX_ENDED + 2)] {
        for (name, left) in runtime.expired(now) {
            runtime.put(&name, left);
        }
    }
    let known = [0, 1, 2, 3, MAX_ENDED - 1, MAX_ENDED + 2].map(|n| refuser(&runtime, n));
    assert_eq!(known, [0, 0, 0, 1, 1, 1]);
    assert_eq!(runtime.names().count(), MAX_ENDED);
}

#[test]
fn it_knows_who_has_a_host_whatever_was_put_in_its_place() {
    let mut runtime = RuntimeChanges::default();
    let claimants = |runtime: &RuntimeChanges, text: &str| {
        let mut names: Vec<_> = runtime.claimants(&host(text)).map(str::to_owned).collect();
        names.sort_unstable();
        names
    };
    runtime.put("a", exposed(&["1.example", "2.example"], None));
    runtime.put("b", exposed(&["2.example"], None));
    assert_eq!(claimants(&runtime, "2.example"), ["a", "b"]);
    let old = runtime.put("a", exposed(&["1.example"], None));
    assert_eq!(claimants(&runtime, "2.example"), ["b"]);
    runtime.put("a", old);
    runtime.put("b", RuntimeEntry::default());
    assert_eq!(claimants(&runtime, "1.example"), ["a"]);
    assert_eq!(claimants(&runtime, "2.example"), ["a"]);
}

#[test]
fn what_is_told_makes_the_same_again() {
    let mut runtime = RuntimeChanges::default();
    runtime.put("pg9", exposed(&["*.example"], None));
    let mut entry = RuntimeEntry::default();
    entry.hidden.insert(host("a.example"));
    runtime.put("pg1", entry);
    assert_eq!(RuntimeChanges::from(runtime.record()), runtime);
    let entry = runtime.get("pg9").unwrap();
    let text = serde_json::to_string(entry).unwrap();
    assert_eq!(serde_json::from_str::<RuntimeEntry>(&text).unwrap(), *entry);
}
