//! What was heard of one client: the report that every look gives, and what only the one who
//! answered knows.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::certify::Outcome;
use super::history::Again;
use super::words::{self, Words};
use super::{Mode, Visit};
use crate::probe::diagnose::{self, Vantage};
use crate::probe::exchange::{End, Exchange};
use crate::probe::facts::{self, Facts, Hint, Opening};
use crate::probe::report::{Finding, Report};
use crate::probe::rules::{self, Rule, Stage};
use crate::tls::{Alert, names};
use crate::wire::Reader;

/// How many of a client's first bytes are shown.
const SHOWN: usize = 16;

/// The same of a message that is not all there: what follows may be a name or a password.
const INCOMPLETE: usize = 4;

/// How a client took a certificate that it cannot know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// It ended the handshake.
    Refused,
    /// It completed the handshake, looked at the certificate, and hung up.
    RefusedAfterwards,
    /// It went on as if nothing were wrong.
    Accepted,
}

/// What the client did once it had its answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reaction {
    /// `closed`, `reset`, `alert`, `went-on`, or `waited` for the listener to hang up.
    pub what: &'static str,
    /// The name of the alert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
    /// How long after the answer, in milliseconds; nothing for one that waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<f64>,
}

/// One client, or what is known of it so far.
#[derive(Clone, Debug, Serialize)]
pub struct Heard {
    /// What every look at a connection gives.
    #[serde(flatten)]
    pub report: Report,
    /// What the client sent up to the ClientHello or the login, by the protocol's own names.
    pub said: Vec<String>,
    /// The first 16 bytes of that, in hexadecimal.
    pub first_bytes: String,
    /// Whether it tried just the same a moment before.
    pub retry: bool,
    /// The server name as the gateway reads it: lower case, no trailing dot.
    pub sni_normalised: Option<String>,
    /// The signature algorithms on offer, in the client's order.
    pub signature_algorithms: Vec<String>,
    /// What of a login went through in the clear, such as `user`; never its value.
    pub readable: Vec<&'static str>,
    /// What the client got for an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// What it did then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reaction: Option<Reaction>,
    /// How it took the throwaway certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Trust>,
    /// The first message inside TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inside: Option<String>,
    /// The server that it was passed on to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded_to: Option<SocketAddr>,
    /// Whether the connection goes on; another report follows at its end.
    pub open: bool,
    /// Bytes that the client sent.
    pub bytes_in: u64,
    /// Bytes that it was sent.
    pub bytes_out: u64,
    /// From accept to now, in milliseconds.
    pub duration_ms: f64,
    /// The code that was told already, while the connection was open.
    #[serde(skip)]
    pub told: Option<String>,
    #[serde(skip)]
    refused: bool,
}

/// An answer of the listener's own: what it was, and where the client stood.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) what: String,
    /// What the client had sent by then, in bytes.
    pub(super) heard: usize,
    pub(super) at: Duration,
}

impl Heard {
    /// What the recording of a visit tells.
    pub(super) fn of(visit: &Visit) -> Self {
        let exchange = visit.recording.exchange();
        let settings = &visit.shared.settings;
        let vantage = match settings.mode {
            Mode::Forward(..) => Vantage::Capture,
            Mode::Refuse | Mode::Certify => Vantage::Listen,
        };
        let facts = facts::read(&exchange, settings.hint);
        let mut report = diagnose::report(&exchange, settings.hint, vantage);
        report.began(visit.began);
        report.id = Some(visit.id);
        report.client = Some(visit.client.to_string());
        report.server = visit.server.map(|server| server.to_string());
        let hello = facts.client_tls.hello.as_ref();
        let schemes = hello.map(|(_, offer)| offer.signature_algorithms.as_slice());
        let (said, words) = said(&facts, &exchange, settings.hint);
        let harmless = match &facts.opening {
            Opening::Incomplete => INCOMPLETE,
            _ => words.as_ref().map_or(SHOWN, |words| words.harmless),
        };
        Self {
            report,
            said,
            retry: false,
            first_bytes: hexadecimal(exchange.client.bytes(), harmless),
            sni_normalised: hello.and_then(|(hello, _)| Some(hello.sni.name()?.to_string())),
            signature_algorithms: schemes
                .unwrap_or_default()
                .iter()
                .map(|&scheme| names::signature_scheme(scheme).into_owned())
                .collect(),
            readable: words.map(|words| words.holds).unwrap_or_default(),
            answer: None,
            reaction: None,
            certificate: None,
            inside: None,
            forwarded_to: None,
            open: exchange.open,
            bytes_in: exchange.client.total(),
            bytes_out: exchange.server.total(),
            duration_ms: ms(visit.recording.elapsed()),
            told: None,
            refused: false,
        }
    }

    /// Whether the client got no further, so that it may try again.
    #[must_use]
    pub fn was_refused(&self) -> bool {
        self.refused
    }

    /// Adds what the client was told, and what it did then.
    pub(super) fn answered(&mut self, answer: Answer, visit: &Visit) {
        let exchange = visit.recording.exchange();
        self.reaction = Some(reaction(&exchange, &answer, visit));
        self.answer = Some(answer.what);
        self.refused = true;
    }

    /// Says that it was the client who did not go on, not the listener who hung up.
    pub(super) fn fell_silent(&mut self, patience: Duration) {
        let finding = if self.bytes_in == 0 {
            self.forget(|rule| rule.code == rules::CLIENT_SAID_NOTHING.code);
            let detail = if self.bytes_out == 0 {
                format!("nothing came within {patience:?}")
            } else {
                format!("it was greeted, and nothing came within {patience:?}")
            };
            Finding::new(&rules::CLIENT_WAITS, detail)
        } else if self.said.last().is_some_and(|last| last == "SSLRequest") {
            self.forget(|rule| rule.code == rules::CLIENT_LEFT_AFTER_S.code);
            let detail = format!("after its SSLRequest nothing came within {patience:?}");
            Finding::new(&rules::CLIENT_UNFINISHED, detail)
        } else {
            return;
        };
        self.report.find(finding);
        self.report.conclude();
    }

    /// Adds how this connection follows the one before it.
    pub(super) fn comes_again(&mut self, again: Again) {
        let finding = match again {
            // The rules are about sslmode: no other protocol has one.
            Again::FellBack(_) | Again::Upgraded(_) if self.report.protocol != "postgres" => return,
            Again::FellBack(after) => {
                let detail = format!(
                    "it came {} after its attempt with TLS was refused",
                    human_ms(ms(after))
                );
                self.forget(|rule| rule.code == rules::CLIENT_PLAINTEXT.code);
                Finding::new(&rules::CLIENT_FELL_BACK, detail)
            }
            Again::Upgraded(after) => Finding::new(
                &rules::CLIENT_PLAINTEXT_FIRST,
                format!(
                    "it came with TLS {} after its attempt in plaintext was refused",
                    human_ms(ms(after))
                ),
            ),
            Again::Retried(after) => {
                self.retry = true;
                Finding::new(
                    &rules::CLIENT_RETRIES,
                    format!("it came {} after the answer", human_ms(ms(after))),
                )
            }
        };
        self.report.find(finding);
        self.report.conclude();
    }

    /// Adds how the client took a throwaway certificate for `name`.
    pub(super) fn certified(&mut self, name: &str, outcome: Outcome) {
        self.refused = true;
        // What the bytes alone suggest is outdone by what the one who decrypts them knows.
        self.forget(|rule| rule.stage == Stage::Certificate && rule.said_by == "client");
        let finding = match outcome {
            Outcome::Refused(Some(alert)) => {
                self.report.alert = Some(alert.name().to_owned());
                self.report.alert_by = Some("client");
                self.report.established = false;
                if is_about_certificates(alert) {
                    self.forget(|rule| rule.code == rules::CLIENT_ALERT.code);
                    self.certificate = Some(Trust::Refused);
                    let detail = format!("it ended the handshake with the alert {alert}");
                    Finding::new(&rules::CLIENT_VERIFIES, detail)
                } else {
                    let code = alert.code();
                    let detail = format!("the alert {code} {alert}, in answer to the certificate");
                    Finding::new(&rules::CLIENT_ALERT, detail)
                }
            }
            Outcome::Refused(None) => {
                self.report.established = false;
                self.certificate = Some(Trust::Refused);
                let detail = "it hung up without an alert when it had seen the certificate";
                Finding::new(&rules::CLIENT_VERIFIES, detail)
            }
            Outcome::LeftAfterwards => {
                self.report.established = true;
                self.certificate = Some(Trust::RefusedAfterwards);
                let detail = "it completed the handshake, looked at the certificate and hung up before it said anything";
                Finding::new(&rules::CLIENT_VERIFIES, detail)
            }
            Outcome::Accepted(words) => {
                self.report.established = true;
                self.certificate = Some(Trust::Accepted);
                let detail = match words {
                    Some(words) => {
                        let detail = format!("it went on with {}", words.describe());
                        if let Some(protocol) = words.protocol()
                            && self.report.protocol == "tls"
                        {
                            protocol.clone_into(&mut self.report.protocol);
                        }
                        self.inside = Some(words.what);
                        detail
                    }
                    None => "it went on with something unknown".to_owned(),
                };
                Finding::new(&rules::CLIENT_ACCEPTS_ANY, detail)
            }
            Outcome::Quiet => {
                self.report.established = true;
                Finding::new(
                    &rules::CLIENT_SILENT_INSIDE,
                    "nothing came within the time given",
                )
            }
            Outcome::NothingInCommon(why) => {
                self.report.established = false;
                let offers = self.report.hello.as_ref();
                let versions = offers.map(|hello| hello.versions.join(" "));
                let versions = versions.unwrap_or_default();
                let detail = format!("it offers TLS {versions}; {why}");
                Finding::new(&rules::CLIENT_NOTHING_IN_COMMON, detail)
            }
            Outcome::Damaged(why) => {
                self.report.established = false;
                Finding::new(&rules::CLIENT_DAMAGED, why)
            }
            Outcome::Unfinished => {
                self.report.established = false;
                let detail = "it had the certificate and did not go on in the time given";
                Finding::new(&rules::CLIENT_UNFINISHED, detail)
            }
        };
        // An alert of the listener's own came before any certificate.
        self.answer = match (&self.report.alert, self.report.alert_by) {
            (Some(alert), Some("server")) => Some(format!("alert {alert}")),
            _ => Some(format!("a throwaway certificate for {name}")),
        };
        self.report.find(finding);
        self.report.conclude();
    }

    /// Puts why the server was not reached before everything else.
    pub(super) fn unreachable(&mut self, finding: Finding) {
        self.report.findings.clear();
        self.report.find(finding);
        self.report.conclude();
    }

    fn forget(&mut self, outdone: impl Fn(&Rule) -> bool) {
        self.report
            .findings
            .retain(|finding| !outdone(finding.rule));
    }
}

/// The alerts with which a client refuses a certificate.
fn is_about_certificates(alert: Alert) -> bool {
    matches!(
        alert,
        Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCa
    )
}

/// What the client did after the answer.
fn reaction(exchange: &Exchange, answer: &Answer, visit: &Visit) -> Reaction {
    let facts = facts::read(exchange, visit.shared.settings.hint);
    let after = |at: Duration| Some(ms(at.saturating_sub(answer.at)));
    let said_more = exchange.client.bytes().len() > answer.heard;
    let more_at = exchange.client.time_of(answer.heard);
    let (what, alert, after_ms) = match (facts.client_tls.alert, exchange.client.ended()) {
        (Some(alert), _) if said_more => {
            let name = Alert::from_code(alert.code);
            let name = name.map_or_else(|| alert.code.to_string(), |alert| alert.name().into());
            ("alert", Some(name), more_at.and_then(after))
        }
        _ if said_more => ("went-on", None, more_at.and_then(after)),
        (_, Some((End::Reset, at))) => ("reset", None, after(at)),
        (_, Some((End::Closed, at))) => ("closed", None, after(at)),
        (_, None) => ("waited", None, None),
    };
    Reaction {
        what,
        alert,
        after_ms,
    }
}

/// What the client sent up to its login or its TLS, and the message in plaintext that it sent last.
fn said(facts: &Facts, exchange: &Exchange, hint: Hint) -> (Vec<String>, Option<Words>) {
    let request = |request: &facts::Request| {
        let name = if request.tls {
            "SSLRequest"
        } else {
            "GSSENCRequest"
        };
        name.to_owned()
    };
    let mut said: Vec<String> = facts.requests.iter().map(request).collect();
    if facts.mysql_ssl_request {
        said.push("SSLRequest".to_owned());
    }
    let mut plaintext = None;
    let last = match &facts.opening {
        Opening::Nothing => return (said, None),
        Opening::Incomplete => "an incomplete message".to_owned(),
        Opening::Tls if facts.client_tls.hello.is_some() => "ClientHello".to_owned(),
        Opening::Tls => "something like TLS".to_owned(),
        Opening::Illegal(_) => "an illegal message".to_owned(),
        Opening::Unknown(_) => "something unknown".to_owned(),
        opening => {
            let mut reader = Reader::new(exchange.client.bytes());
            let _ = reader.skip(facts.requests.len() * REQUEST);
            plaintext = words::read(reader.rest(), hint);
            match (&plaintext, opening) {
                (Some(words), _) => words.what.clone(),
                (None, Opening::Other(spoken)) => spoken.to_string(),
                (None, _) => "a login".to_owned(),
            }
        }
    };
    said.push(last);
    (said, plaintext)
}

/// The length of a Postgres client's request for encryption.
const REQUEST: usize = crate::preface::postgres::SSL_REQUEST.len();

fn hexadecimal(bytes: &[u8], harmless: usize) -> String {
    let shown = Reader::new(bytes).take_up_to(harmless.min(SHOWN)).iter();
    let digits: Vec<String> = shown.map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}

/// In milliseconds, to the microsecond.
fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Milliseconds as people read them.
fn human_ms(ms: f64) -> String {
    if ms < 10.0 {
        format!("{ms:.1} ms")
    } else {
        format!("{ms:.0} ms")
    }
}
