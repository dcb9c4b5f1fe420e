//! What `ctl` says about changes: what is different now, and what becomes of running sessions.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::Value;

use super::{Page, differences, flag, items};
use crate::cli::ExposeArgs;
use crate::table::{count, escape, span, text};

pub(super) fn expose(answer: &Value, args: &ExposeArgs) -> Page {
    let mut page = Page::default();
    let name = text(&answer["database"]);
    let hosts = reached(answer, args);
    let under = hosts.join(", ");
    let revision = text(&answer["revision"]);
    let lasting = args.ttl.map_or_else(String::new, |ttl| {
        format!(" for {}", span(&crate::ctl::millis(ttl).into()))
    });
    page.line(&match (flag(answer, "changed"), flag(answer, "dry_run")) {
        (false, true) => "dry run: nothing would change".to_owned(),
        (true, true) if hosts.is_empty() => format!("dry run: {name} would be reachable again"),
        (true, true) => format!("dry run: {name} would be reachable under {under}{lasting}"),
        (false, false) if hosts.is_empty() => {
            format!("unchanged: {name} has no host (revision {revision})")
        }
        (false, false) => {
            format!("unchanged: {name} is reachable under {under} (revision {revision})")
        }
        (true, false) if hosts.is_empty() => {
            format!("{name} is not reachable under any host (revision {revision})")
        }
        (true, false) => {
            format!("{name} is reachable under {under}{lasting} (revision {revision})")
        }
    });
    page.notes(&answer["notes"]);
    for warning in items(&answer["warnings"]) {
        let [backend, detail, remedy] =
            ["backend", "detail", "remedy"].map(|key| text(&warning[key]));
        page.remark(&format!("warning: backend {backend}: {detail}; {remedy}"));
    }
    page
}

/// The hosts that lead to the database: of those that were asked for, else all.
fn reached(answer: &Value, args: &ExposeArgs) -> Vec<String> {
    items(&answer["hosts"])
        .iter()
        .map(text)
        .filter(|host| {
            args.hosts.is_empty() || args.hosts.iter().any(|asked| asked.to_string() == *host)
        })
        .collect()
}

/// The `psql` line that reaches a database just exposed, from the gateway's own machine; nothing
/// where there is no such line.
pub(crate) fn try_it(
    exposed: &Value,
    args: &ExposeArgs,
    database: &Value,
    status: &Value,
) -> String {
    let host = reached(exposed, args)
        .into_iter()
        .find(|host| !host.starts_with('*'));
    let speaks = |l: &&Value| matches!(l["protocol"].as_str(), Some("auto" | "postgres"));
    let listener = items(&status["listeners"]).iter().find(speaks);
    let addr = listener
        .and_then(|l| l["bind"].get(0)?.as_str())
        .and_then(|addr| addr.parse::<SocketAddr>().ok());
    let (Some("postgres"), Some(host), Some(addr)) =
        (database["settings"]["protocol"].as_str(), host, addr)
    else {
        return String::new();
    };
    let ip = match addr.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    escape(&format!(
        "try it: psql \"host={host} hostaddr={ip} port={} sslmode=require\"",
        addr.port()
    )) + "\n"
}

pub(super) fn hide(answer: &Value) -> Page {
    let mut page = Page::default();
    let name = text(&answer["database"]);
    let hosts = items(&answer["hosts"]);
    let revision = text(&answer["revision"]);
    let dry = flag(answer, "dry_run");
    if !flag(answer, "changed") {
        // What a hide before let be, this one may end.
        let touches = answer["sessions"] != 0 && answer["running"] != "keep";
        page.line(&match (touches, dry) {
            (true, true) => format!("dry run: {name} is hidden already"),
            (true, false) => format!("{name} is hidden already (revision {revision})"),
            (false, true) => "dry run: nothing would change".to_owned(),
            (false, false) => format!("unchanged: nothing of {name} to hide (revision {revision})"),
        });
        if touches {
            page.line(&ending_of(answer));
        }
        return page;
    }
    let under = match hosts {
        [] => "any host".to_owned(),
        _ => text(&answer["hosts"]),
    };
    page.line(&if dry {
        format!("dry run: {name} would no longer be reachable under {under}")
    } else {
        format!("{name} is no longer reachable under {under} (revision {revision})")
    });
    if flag(answer, "removed") {
        page.line(&if dry {
            format!("{name} was made by ctl: it would be removed with its last host")
        } else {
            format!("{name} was made by ctl: it is removed with its last host")
        });
    }
    if !items(&answer["refused"]).is_empty() {
        page.line(&format!(
            "clients that ask for {} {} refused, also where a wildcard or a default would take them",
            text(&answer["refused"]),
            if dry { "would be" } else { "are" }
        ));
    }
    page.notes(&answer["notes"]);
    page.line(&ending_of(answer));
    page
}

pub(super) fn delete(answer: &Value) -> Page {
    let mut page = Page::default();
    let name = text(&answer["database"]);
    let revision = text(&answer["revision"]);
    let freed = match items(&answer["hosts"]) {
        [] => String::new(),
        _ => format!(", with {}", text(&answer["hosts"])),
    };
    match (flag(answer, "changed"), flag(answer, "dry_run")) {
        (false, true) => page.line("dry run: nothing would change"),
        (false, false) => page.line(&format!(
            "unchanged: nothing of {name} to delete (revision {revision})"
        )),
        (true, true) => page.line(&format!("dry run: {name} would be deleted{freed}")),
        (true, false) => page.line(&format!("{name} is deleted{freed} (revision {revision})")),
    }
    if flag(answer, "changed") {
        page.line(&ending_of(answer));
    }
    page
}

fn ending_of(answer: &Value) -> String {
    ending(
        answer["sessions"].as_u64().unwrap_or_default(),
        answer["running"].as_str().unwrap_or_default(),
        &answer["drain_ms"],
    )
}

/// What becomes of running sessions.
fn ending(sessions: u64, running: &str, drain: &Value) -> String {
    let one = sessions == 1;
    let them = count(sessions, "session");
    match running {
        _ if sessions == 0 => "no session runs there".to_owned(),
        "keep" => format!("{them} {} on", if one { "runs" } else { "run" }),
        "kill" => format!("{them} {} closed at once", if one { "is" } else { "are" }),
        _ if one => format!("{them} gets {}, then it is closed", span(drain)),
        _ => format!("{them} get {}, then they are closed", span(drain)),
    }
}

pub(super) fn kill(answer: &Value) -> Page {
    let mut page = Page::default();
    let killed = answer["killed"].as_u64().unwrap_or_default();
    page.line(&format!("killed {}", count(killed, "session")));
    if !items(&answer["missing"]).is_empty() {
        page.remark(&format!("no session {}", text(&answer["missing"])));
    }
    page
}

pub(super) fn drain(answer: &Value) -> Page {
    let mut page = Page::default();
    page.line(&format!(
        "{}: {}",
        text(&answer["database"]),
        ending(
            answer["sessions"].as_u64().unwrap_or_default(),
            "drain",
            &answer["drain_ms"]
        )
    ));
    page
}

pub(super) fn reload(answer: &Value) -> Page {
    let mut page = Page::default();
    let done = if flag(answer, "changed") {
        "reloaded"
    } else {
        "unchanged"
    };
    page.line(&format!("{done} (revision {})", text(&answer["revision"])));
    differences::sections(&mut page, items(&answer["changes"]));
    differences::more(&mut page, answer);
    for (key, what) in [
        ("exposed", "is reachable under"),
        ("withdrawn", "is no longer reachable under"),
    ] {
        for pair in items(&answer[key]) {
            let (name, host) = (text(&pair["database"]), text(&pair["host"]));
            page.line(&format!("{name} {what} {host}"));
        }
    }
    let sessions = answer["sessions"].as_u64().unwrap_or_default();
    if sessions > 0 {
        page.line(&ending(sessions, "drain", &answer["drain_ms"]));
    }
    for warning in items(&answer["warnings"]) {
        page.remark(&text(warning));
    }
    page.notes(&answer["notes"]);
    page
}
