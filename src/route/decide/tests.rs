use super::*;
use crate::route::tests::Ground;

/// A decision in words.
fn words(decided: &Result<Decision<'_>, Refusal<'_>>) -> String {
    match decided {
        Ok(Decision {
            database,
            exposure: None,
        }) => format!("{} by default", database.name),
        Ok(Decision {
            database,
            exposure: Some(at),
        }) => format!(
            "{} by {}",
            database.name,
            database.exposure(*at).unwrap().host
        ),
        Err(refusal) => {
            let kind = match refusal {
                Refusal::NoName(_) => "no name",
                Refusal::UnknownHost(_) => "unknown host",
                Refusal::Withdrawn(_) => "withdrawn",
                Refusal::NoDefault(_) => "no default",
                Refusal::WrongProtocol(_) => "wrong protocol",
                Refusal::EndsTls(_) => "ends TLS",
                Refusal::NotAllowed(..) => "not allowed",
                Refusal::Draining(_) => "draining",
            };
            let of = refusal
                .database()
                .map(|database| format!(" of {}", database.name));
            kind.to_owned() + &of.unwrap_or_default()
        }
    }
}

#[test]
fn each_client_gets_its_database_or_the_reason_why_not() {
    let ground = Ground::of_every_kind();
    let snapshot = ground.store.snapshot();
    for (name, postgres, default, address, expected) in [
        ("pg.x", true, None, "10.0.0.1", "pg by pg.x"),
        ("PG.x.", false, Some("redis"), "10.0.0.1", "pg by pg.x"),
        ("a.wild.x", true, None, "10.0.0.1", "pg by *.wild.x"),
        ("more.x", false, None, "10.0.0.1", "redis by more.x"),
        ("hidden.wild.x", true, Some("pg"), "10.0.0.1", "withdrawn"),
        ("broken.wild.x", true, Some("pg"), "10.0.0.1", "withdrawn"),
        ("ended.x", true, None, "10.0.0.1", "ended by ended.x"),
        ("redis.x", false, None, "10.0.0.1", "redis by redis.x"),
        ("redis.x", true, None, "10.0.0.1", "wrong protocol of redis"),
        (
            "mysql.x",
            false,
            None,
            "10.0.0.1",
            "wrong protocol of mysql",
        ),
        (
            "guarded.x",
            true,
            None,
            "10.0.0.1",
            "not allowed of guarded",
        ),
        ("guarded.x", true, None, "192.0.2.1", "guarded by guarded.x"),
        ("other.x", true, None, "10.0.0.1", "unknown host"),
        ("other.x", true, Some("pg"), "10.0.0.1", "pg by default"),
        (
            "other.x",
            true,
            Some("redis"),
            "10.0.0.1",
            "wrong protocol of redis",
        ),
        ("other.x", true, Some("gone"), "10.0.0.1", "no default"),
        ("", true, None, "10.0.0.1", "no name"),
        ("", true, Some("pg"), "10.0.0.1", "pg by default"),
        ("10.0.0.9", true, None, "10.0.0.1", "no name"),
        (
            "10.0.0.9",
            true,
            Some("guarded"),
            "10.0.0.1",
            "not allowed of guarded",
        ),
        ("a b", true, None, "10.0.0.1", "no name"),
        ("port", true, Some("pg"), "10.0.0.1", "pg by default"),
        ("port", false, Some("mysql"), "10.0.0.1", "mysql by default"),
        (
            "port",
            false,
            Some("ended"),
            "10.0.0.1",
            "ends TLS of ended",
        ),
        (
            "port",
            false,
            Some("guarded"),
            "10.0.0.1",
            "not allowed of guarded",
        ),
        ("port", false, Some("gone"), "10.0.0.1", "no default"),
        ("port", false, None, "10.0.0.1", "no default"),
    ] {
        let sni = match name {
            "" => Sni::None,
            sent => Sni::from_host_name(sent.as_bytes()),
        };
        let shown = match name {
            "port" => Shown::Port,
            _ => Shown::Hello {
                sni: &sni,
                speaks: postgres.then_some(crate::protocol::Protocol::Postgres),
            },
        };
        let address = Some(address.parse().unwrap());
        let mut last = None;
        let decided = decide(&snapshot, default, shown, address, &mut |step| {
            last = Some(step);
        });
        let what = format!("{name:?}, {postgres}, {default:?}, {address:?}");
        assert_eq!(words(&decided), expected, "{what}");
        // The walk ends with what was decided.
        let agrees = match (last.unwrap(), &decided) {
            (Step::Allowed(last, _), Ok(decided)) => Arc::ptr_eq(last, decided.database),
            (Step::Refused(last), Err(refusal)) => last.to_string() == refusal.to_string(),
            (Step::Lookup(_, last), Err(_)) => matches!(last, Lookup::Withdrawn(_)),
            (Step::Default(_, None) | Step::NoDefault, Err(refusal)) => {
                refusal.database().is_none()
            }
            _ => false,
        };
        assert!(agrees, "{what}: {last:?}, {decided:?}");
        // Without an address nothing is decided by it.
        let anywhere = decide(&snapshot, default, shown, None, &mut |_| ());
        let by_address = matches!(decided, Err(Refusal::NotAllowed(..)));
        assert_eq!(words(&anywhere) == words(&decided), !by_address, "{what}");
    }
}
