use std::collections::HashSet;

use super::*;
use crate::route::tests::{EVERY_KIND, Ground};

/// `ctl explain` and sessions decide alike about a client, on every listener.
#[test]
fn an_explanation_ends_as_the_decision_does() {
    let ground = Ground::of_every_kind();
    let snapshot = ground.store.snapshot();
    let hosts = [
        "pg.x",
        "PG.x",
        "a.wild.x",
        "more.x",
        "hidden.wild.x",
        "broken.wild.x",
        "ended.x",
        "redis.x",
        "mysql.x",
        "guarded.x",
        "other.x",
        "",
        "10.0.0.9",
        "a b",
        "*.wild.x",
    ];
    let names = EVERY_KIND.iter().copied().chain(["gone"]);
    let defaults: Vec<_> = names
        .map(|name| Some(name.to_owned()))
        .chain([None])
        .collect();
    let mut kinds = HashSet::new();
    for (protocol, default) in [
        ListenerProtocol::Auto,
        ListenerProtocol::Postgres,
        ListenerProtocol::Tls,
        ListenerProtocol::Tcp,
    ]
    .into_iter()
    .flat_map(|protocol| {
        defaults
            .iter()
            .map(move |default| (protocol, default.clone()))
    }) {
        let settings = ListenerSettings {
            protocol,
            default,
            proxy_protocol: None,
        };
        for host in hosts {
            for client in [None, Some("10.0.0.1"), Some("192.0.2.1")] {
                let client = client.map(|client| client.parse().unwrap());
                let sni = Sni::from_host_name(host.as_bytes());
                let shown = match protocol {
                    ListenerProtocol::Tcp => Shown::Port,
                    _ => Shown::Hello {
                        sni: &sni,
                        speaks: None,
                    },
                };
                let default = settings.default.as_deref();
                let decided = decide(&snapshot, default, shown, client, &mut |_| ());
                let explained = explain(&snapshot, ("main", &settings), host, client);
                let what = format!("{host:?} {settings:?} {client:?}: {explained:?}");
                let last = explained.walk.last().expect("a step");
                match decided {
                    Ok(Decision { database, .. }) => {
                        assert_eq!(explained.refused, None, "{what}");
                        assert!(
                            Arc::ptr_eq(&explained.database.unwrap(), database),
                            "{what}"
                        );
                        assert!(last.contains(&*database.name), "{what}");
                    }
                    Err(refusal) => {
                        let reason = CloseReason::from(&refusal);
                        assert_eq!(explained.refused, Some(reason), "{what}");
                        let of = |database: &Arc<Database>| database.name.clone();
                        let expected = refusal.database().map(of);
                        assert_eq!(explained.database.as_ref().map(of), expected, "{what}");
                        assert!(
                            last.contains("reject") || last.contains("kept out"),
                            "{what}"
                        );
                        kinds.insert(reason);
                    }
                }
            }
        }
    }
    assert_eq!(kinds.len(), 7, "{kinds:?}");
}
