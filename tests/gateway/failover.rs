//! A primary that dies and a standby that takes its place while clients write: nothing that was
//! acknowledged is lost, and every client goes on by the same name. HAProxy with its own check does
//! the same beside it; how long each took is printed (`tests/run --test gateway failover -- --nocapture`).

use std::fmt::Write as _;

use crate::certs::{Ca, Leaf};
use crate::clients::{Action, Answer, Client, Target};
use crate::gateway::Gateway;
use crate::servers::{HaProxy, Postgres, Server, promote, query};
use crate::testbed;

const HOST: &str = "pg1.example.test";

/// A primary and its standby; what the primary acknowledges, the standby has.
struct Pair {
    ca: Ca,
    leaf: Leaf,
    primary: Server,
    standby: Server,
}

impl Pair {
    fn start() -> Self {
        let ca = Ca::new("Failover");
        let leaf = ca.leaf(&[HOST]);
        let primary = Postgres::named("pg-a")
            .tls(&leaf)
            .replicates()
            .settings(&["synchronous_standby_names=*"])
            .start();
        let standby = Postgres::named("pg-b")
            .tls(&leaf)
            .standby_of(&primary)
            .start();
        query(
            &primary,
            "create table written (
                 writer int, number int, server text default current_setting('cluster_name'),
                 primary key (writer, number)
             );
             grant all on written to app",
        )
        .expect("a table");
        Self {
            ca,
            leaf,
            primary,
            standby,
        }
    }

    /// Kills the primary and promotes the standby while clients write through this port, until all
    /// of them have written to the new primary; then compares what they were told with what is there.
    fn fail_over(mut self, by: &str, port: u16) {
        let target = Target::postgres(HOST, port, &self.ca);
        let writers = Client::Asyncpg.spawn(Action::Write, &target);
        let writers = writers
            .ready()
            .unwrap_or_else(|answer| panic!("{answer:#?}"));
        self.primary.stop();
        promote(&self.standby);
        let moved = "select count(distinct writer) from written where server = 'pg-b'";
        let mut last = Ok(String::new());
        let all = testbed::until(|| {
            last = query(&self.standby, moved);
            last.as_deref() == Ok("50")
        });
        let answer = writers.go_on();
        assert!(all, "{by}: {last:?} of 50 went on: {answer:#?}");
        self.compare(by, &answer);
    }

    /// Everything that was acknowledged is there.
    fn compare(&self, by: &str, answer: &Answer) {
        let writers = answer.json["writers"].as_array().expect("writers");
        assert_eq!(writers.len(), 50, "{answer:#?}");
        let mut longest = Vec::new();
        let mut total = 0;
        for (writer, of) in writers.iter().enumerate() {
            let acknowledged = of["acknowledged"].as_u64().expect("a number");
            let kept = format!(
                "select count(*) from written where writer = {writer} and number < {acknowledged}"
            );
            let kept = query(&self.standby, &kept).expect("the new primary");
            assert_eq!(kept, acknowledged.to_string(), "{by}: writer {writer}");
            longest.push(of["longest"].as_f64().expect("seconds"));
            total += acknowledged;
        }
        longest.sort_by(f64::total_cmp);
        let mut line = format!(
            "{by}: {total} writes acknowledged, none lost; pause of a client {:.2} s (median), {:.2} s (longest)",
            longest[25], longest[49]
        );
        for (error, count) in answer.json["errors"].as_object().expect("errors") {
            let _ = write!(line, "\n  {count} times {error}");
        }
        println!("{line}");
    }
}

#[test]
fn dbgate_leads_writers_to_the_new_primary() {
    let pair = Pair::start();
    let gateway = Gateway::start(&format!(
        "[database.orders]\nprotocol = \"postgres\"\nhosts = [\"{HOST}\"]\nbackends = [\"{}\", \"{}\"]\n",
        pair.primary.addr(),
        pair.standby.addr()
    ));
    let port = gateway.addr("main").port();
    pair.fail_over("dbgate", port);
}

/// The same with HAProxy's `pgsql-check`, every half second.
#[test]
fn haproxy_leads_writers_to_the_new_primary() {
    let pair = Pair::start();
    let haproxy = HaProxy::start(
        &pair.leaf,
        &format!(
            "listen orders\n  bind 127.0.0.1:PORT\n  mode tcp\n  option pgsql-check user postgres\n  \
             default-server inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions\n  \
             server a {} check\n  server b {} check backup\n",
            pair.primary.addr(),
            pair.standby.addr()
        ),
    );
    let port = haproxy.port();
    pair.fail_over("haproxy", port);
}
