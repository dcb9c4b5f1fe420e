//! Diagnosis of a dissected connection: findings, each by one rule.
//!
//! It uses only the bytes and the ends of the streams. What a probe learns besides (names,
//! addresses, certificates, the database's answer) it adds itself. Pure.

mod before_tls;
mod handshake;

pub(super) use handshake::server_alert_rule;

use super::dissection::{self, Dissection, Opening};
use super::exchange::{Exchange, Loss, Side, StreamEnd};
use super::report::{Finding, HelloReport, Report};
use super::rules::{self, Rule, Severity};
use crate::preface::sniff::Spoken;
use crate::protocol::Protocol;
use crate::tls::observed::Observed;
use crate::tls::{ClientHello, Sni, ja4, names};
use crate::wire::escape;

/// Point from which the connection was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vantage {
    /// A capture, or a relay in between: both ends are strangers.
    Capture,
    /// A listener: the server's part was played to see what the client does.
    Listen,
    /// A probe: the client's part was played to see what the server does.
    Active,
}

/// Dissects and diagnoses an exchange; the report is concluded.
#[must_use]
pub fn report(exchange: &Exchange, hint: Option<Protocol>, vantage: Vantage) -> Report {
    let dissection = dissection::dissect(exchange, hint);
    let mut report = Report::default();
    fill(&mut report, &dissection, exchange);
    for finding in findings(&dissection, exchange, hint, vantage) {
        report.find(finding);
    }
    report.conclude();
    report
}

/// The fields of the report that state facts.
fn fill(report: &mut Report, dissection: &Dissection, exchange: &Exchange) {
    dissection.protocol.clone_into(&mut report.protocol);
    report.starttls = dissection.starttls();
    report.ssl_answer = dissection.ssl_answer().map(|byte| escape(&[byte]));
    report.sni_status = Sni::None.status();
    report.alert = dissection.alert_name();
    report.alert_by = dissection.alert.map(|(_, side)| side.as_str());
    report.established = dissection.established;
    if let Some((hello, offer)) = &dissection.client_tls.hello {
        report.sni = hello.sni_raw.as_deref().map(escape);
        report.sni_status = hello.sni.status();
        report.alpn = hello.alpn.iter().map(|protocol| escape(protocol)).collect();
        let start = dissection.tls_at.map_or(0, |(client, _)| client);
        let segments = exchange
            .client
            .pieces_between(start, start + hello.wire_len);
        report.hello = Some(HelloReport {
            bytes: hello.wire_len,
            records: hello.records,
            segments,
            ja4: ja4::ja4(hello, offer),
            versions: versions(hello),
            groups: offer
                .groups
                .iter()
                .map(|&group| names::group(group).into_owned())
                .collect(),
            post_quantum: offer.groups.iter().copied().any(names::is_post_quantum),
        });
    }
    if let Some(chosen) = &dissection.server_tls.server_hello {
        report.tls_version = Some(names::version(chosen.version).into_owned());
        report.cipher = Some(names::cipher_suite(chosen.suite).into_owned());
        report.group = chosen.group.map(|group| names::group(group).into_owned());
    }
    phases(report, dissection, exchange);
}

fn versions(hello: &ClientHello) -> Vec<String> {
    let offered = if hello.versions.is_empty() {
        vec![hello.newest_version()]
    } else {
        hello.versions.clone()
    };
    let name = |version: &u16| names::version(*version).into_owned();
    offered.iter().map(name).collect()
}

/// Adds the durations of connecting, the preface and the handshake.
fn phases(report: &mut Report, dissection: &Dissection, exchange: &Exchange) {
    if let super::exchange::Connect::Accepted(took) = exchange.connect {
        report.phase("tcp", took);
    }
    let between = |from: Option<std::time::Duration>, to: Option<std::time::Duration>| {
        from.zip(to).map(|(from, to)| to.saturating_sub(from))
    };
    if let Some(request) = dissection.requests.iter().find(|request| request.tls) {
        let answer = dissection
            .tls_at
            .and_then(|(_, server)| server.checked_sub(1));
        let asked = exchange.client.time_of(request.at);
        let answered = answer.and_then(|at| exchange.server.time_of(at));
        if let Some(took) = between(asked, answered) {
            report.phase("preface", took);
        }
    }
    if let (true, Some((client_at, server_at))) = (dissection.established, dissection.tls_at) {
        let sealed = |tls: &Observed| tls.encrypted.first.map(|first| first.at);
        let finished = [
            sealed(&dissection.client_tls).and_then(|at| exchange.client.time_of(client_at + at)),
            sealed(&dissection.server_tls).and_then(|at| exchange.server.time_of(server_at + at)),
        ];
        let done = finished.into_iter().flatten().max();
        if let Some(took) = between(exchange.client.time_of(client_at), done) {
            report.phase("tls", took);
        }
    }
}

/// All findings, in the order of the events.
fn findings(
    dissection: &Dissection,
    exchange: &Exchange,
    hint: Option<Protocol>,
    vantage: Vantage,
) -> Vec<Finding> {
    let diagnoser = Diagnoser {
        dissection,
        exchange,
        hint,
        vantage,
    };
    let mut found = Vec::new();
    diagnoser.connecting(&mut found);
    diagnoser.recording(&mut found);
    match &dissection.opening {
        Opening::Nothing => diagnoser.nothing(&mut found),
        Opening::Incomplete => diagnoser.incomplete(&mut found),
        Opening::Tls => diagnoser.tls(&mut found),
        // Bytes from the middle of a stream are not what the client began with.
        _ if !exchange.client.has_start() => {}
        Opening::Startup
        | Opening::MysqlLogin
        | Opening::Other(Spoken::RedisCommand | Spoken::Mongodb) => diagnoser.plaintext(&mut found),
        // What makes no sense may do so after a greeting that was not recorded.
        Opening::Illegal(_) | Opening::Unknown(_) | Opening::Other(_)
            if !diagnoser.has_opening(Side::Server) => {}
        Opening::Cancel => found.push(Finding::new(
            &rules::CLIENT_CANCEL_PLAINTEXT,
            "a CancelRequest came without TLS",
        )),
        Opening::Other(spoken) => found.push(Finding::new(
            &rules::CLIENT_OTHER_PROTOCOL,
            format!("its first bytes look like {spoken}"),
        )),
        Opening::Illegal(why) => found.push(Finding::new(&rules::CLIENT_DAMAGED, why.clone())),
        Opening::Unknown(bytes) => found.push(Finding::new(
            &rules::CLIENT_OTHER_PROTOCOL,
            format!("its first bytes are {bytes}"),
        )),
    }
    found
}

struct Diagnoser<'a> {
    dissection: &'a Dissection,
    exchange: &'a Exchange,
    hint: Option<Protocol>,
    vantage: Vantage,
}

impl Diagnoser<'_> {
    /// Returns whether the server is a stranger, so that its part can be at fault.
    fn server_is_foreign(&self) -> bool {
        self.vantage != Vantage::Listen
    }

    /// Returns whether the client is a stranger, so that its part can be at fault.
    fn client_is_foreign(&self) -> bool {
        self.vantage != Vantage::Active
    }

    fn connecting(&self, found: &mut Vec<Finding>) {
        use super::exchange::Connect;
        match self.exchange.connect {
            Connect::Unanswered => found.push(Finding::new(
                &rules::TCP_TIMEOUT,
                "the client's SYN was never answered",
            )),
            Connect::Refused(_) => found.push(Finding::new(
                &rules::TCP_REFUSED,
                "the client's SYN was answered by a reset",
            )),
            Connect::Unseen | Connect::Accepted(_) => {}
        }
    }

    /// Adds the faults of the recording itself.
    fn recording(&self, found: &mut Vec<Finding>) {
        for side in [Side::Client, Side::Server] {
            let (rule, what) = match self.exchange.side(side).lost() {
                None => continue,
                Some(Loss::Gap) => (&rules::CAPTURE_GAP, "bytes were not captured"),
                Some(Loss::Snaplen) => (&rules::CAPTURE_SNAPLEN, "packets were cut short"),
                Some(Loss::Start) => (&rules::CAPTURE_START_UNKNOWN, "the beginning is missing"),
            };
            let known = self.exchange.side(side).bytes().len();
            let side = side.as_str();
            let detail = format!("of the {side}'s bytes {known} are known, then {what}");
            found.push(Finding::new(rule, detail));
        }
    }

    /// Returns whether something may be missing in the recording behind what is known of a side.
    fn is_lost(&self, side: Side) -> bool {
        self.exchange.side(side).lost().is_some()
    }

    /// Returns whether a side is known to have said nothing but what was recorded of it. Only then
    /// does a missing message mean anything.
    fn is_whole(&self, side: Side) -> bool {
        self.exchange.side(side).is_whole()
    }

    /// Returns whether the first bytes of both sides are known to be the first that they said. Only
    /// then is one side's beginning the answer to the other's.
    fn have_starts(&self) -> bool {
        self.exchange.client.has_start() && self.exchange.server.has_start()
    }

    /// Returns whether it is known what a side began with, or that it said nothing.
    fn has_opening(&self, side: Side) -> bool {
        let flow = self.exchange.side(side);
        flow.is_whole() || (flow.has_start() && flow.lost().is_none() && !flow.bytes().is_empty())
    }

    /// Returns whether the connection is still being watched and neither end has closed.
    fn is_open(&self) -> bool {
        self.exchange.open && self.exchange.ended_first().is_none()
    }

    fn still_open(&self, found: &mut Vec<Finding>, waiting_for: &str) {
        if self.vantage == Vantage::Capture {
            let detail = format!("it was waiting for {waiting_for}");
            found.push(Finding::new(&rules::CAPTURE_STILL_OPEN, detail).with(Severity::Warn));
        }
    }

    /// The rule for what the server's bytes look like; `otherwise` where they look like nothing.
    fn spoken_rule(&self, otherwise: &'static Rule) -> &'static Rule {
        match self.dissection.server_speaks {
            Some(Spoken::Http) => &rules::HTTP_SERVER,
            Some(Spoken::Ssh) => &rules::SSH_SERVER,
            Some(Spoken::MysqlGreeting | Spoken::MysqlError) => &rules::MYSQL_SERVER,
            Some(Spoken::RedisReply) if self.dissection.opening == Opening::Tls => {
                &rules::REDIS_PLAIN
            }
            Some(Spoken::RedisReply) => &rules::REDIS_SERVER,
            Some(Spoken::Postgres) => &rules::POSTGRES_SERVER,
            Some(Spoken::Mongodb) => &rules::MONGODB_SERVER,
            Some(Spoken::TlsAlert | Spoken::Tls) if !self.dissection.requests.is_empty() => {
                &rules::PG_EXPECTS_TLS_FIRST
            }
            Some(Spoken::TlsAlert | Spoken::Tls) => &rules::TLS_FIRST_SERVER,
            Some(_) => &rules::OTHER_SERVER,
            None => otherwise,
        }
    }

    /// Describes what came instead of what was expected.
    fn instead(&self, expected: &str) -> String {
        let bytes = &self.dissection.server_bytes;
        match self.dissection.server_speaks {
            Some(spoken) => format!("instead of {expected} came {spoken}: {bytes}"),
            None => format!("instead of {expected} came the bytes {bytes}"),
        }
    }
}

fn how_ended(end: StreamEnd) -> &'static str {
    match end {
        StreamEnd::Closed => "hung up",
        StreamEnd::Reset => "reset the connection",
    }
}

#[cfg(test)]
mod tests;
