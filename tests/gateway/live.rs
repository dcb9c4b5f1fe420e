//! Changes of a running gateway: whoever they do not concern goes on, and whoever they do is treated
//! as it was said.

mod callers;
mod corners;
mod drain;
mod hide;
mod listeners;
mod pumps;
mod reload;
mod renewal;
mod stop;
mod withdrawn;

use crate::certs::Ca;
use crate::gateway::Gateway;
use crate::streams::{Echo, Line, Trust};

/// A gateway with databases that are [`Echo`]s, and clients that trust what they are shown.
struct Ground {
    gateway: Gateway,
    trust: Trust,
    /// Every database's backend.
    echo: Echo,
    ca: Ca,
}

impl Ground {
    /// The configuration is made from the backend's address.
    fn new(config: impl Fn(&str) -> String) -> Self {
        let ca = Ca::new("Echo");
        let leaf = ca.leaf(&["*.example.test"]);
        let echo = Echo::tls(&leaf);
        Self {
            gateway: Gateway::start(&config(&echo.addr().to_string())),
            trust: Trust::new(&ca),
            echo,
            ca,
        }
    }

    /// Databases in passthrough: a name and its hosts each, without `.example.test`.
    fn with(head: &str, databases: &[(&str, &[&str])]) -> Self {
        Self::new(|addr| head.to_owned() + &sections(addr, databases))
    }

    /// Puts another set of databases in the file, as [`Ground::with`].
    fn configure(&self, head: &str, databases: &[(&str, &[&str])]) {
        let addr = self.echo.addr().to_string();
        self.gateway
            .configure(&(head.to_owned() + &sections(&addr, databases)));
    }

    /// A session by this name, and its id.
    #[track_caller]
    fn open(&self, name: &str) -> (Line, u64) {
        let line = self
            .try_open(name)
            .unwrap_or_else(|e| panic!("{name} is not reached: {e}"));
        let id = self.gateway.session(line.addr())["id"].as_u64();
        (line, id.expect("an id"))
    }

    fn try_open(&self, name: &str) -> std::io::Result<Line> {
        let host = format!("{name}.example.test");
        Line::open(self.gateway.addr("main"), &host, &self.trust)
    }

    /// A client by this name is refused, since it leads nowhere.
    #[track_caller]
    fn expect_unknown(&self, name: &str) {
        let error = self.try_open(name).err();
        let error = error.unwrap_or_else(|| panic!("{name} is still reached"));
        let text = error.to_string();
        assert!(
            text.contains("UnrecognisedName") || text.contains("unrecognized_name"),
            "{name}: {text}"
        );
    }

    /// The states of these sessions, in their order.
    fn states(&self, ids: &[u64]) -> Vec<String> {
        let sessions = self.gateway.sessions();
        ids.iter()
            .map(|id| {
                let found = sessions.iter().find(|s| s["id"] == *id);
                let state = found.and_then(|s| s["state"].as_str());
                state.unwrap_or("gone").to_owned()
            })
            .collect()
    }

    /// Ends a session from the client's side; nobody else has ended it.
    #[track_caller]
    fn finish(&self, line: Line, id: u64) {
        let addr = line.addr();
        line.finish().unwrap_or_else(|e| panic!("{addr}: {e}"));
        let end = self.gateway.ended(id);
        // TLS that the gateway does not see into tells the backend of the end, too.
        let own = ["client_closed", "backend_closed"];
        assert!(own.iter().any(|reason| end["reason"] == *reason), "{end}");
    }

    /// Each session ends with this reason.
    #[track_caller]
    fn expect_ended(&self, ids: &[u64], reason: &str) {
        for id in ids {
            let line = self.gateway.ended(*id);
            assert_eq!(line["reason"], reason, "{line}");
        }
    }
}

fn sections(addr: &str, databases: &[(&str, &[&str])]) -> String {
    let section = |(name, hosts): &(&str, &[&str])| {
        let hosts: Vec<String> = hosts.iter().map(|h| format!("{h}.example.test")).collect();
        format!(
            "[database.{name}]\nprotocol = \"tls\"\nbackends = [\"{addr}\"]\nhosts = {hosts:?}\n"
        )
    };
    databases.iter().map(section).collect()
}
