//! Report on one client: the diagnosis of its connection, and what only the side that
//! answered knows.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::certify::HandshakeOutcome;
use super::connection::{Connection, Mode};
use super::first_message::{self, FirstMessage};
use super::history::Reconnect;
use super::reaction::{Answer, Reaction, Trust, human_ms, ms, reaction};
use crate::probe::diagnose::{self, Vantage};
use crate::probe::dissection::{self, Dissection, Opening};
use crate::probe::exchange::Exchange;
use crate::probe::report::{Finding, Report};
use crate::probe::rules::{self, Rule, Stage};
use crate::protocol::Protocol;
use crate::tls::{Alert, names};
use crate::wire::Reader;

/// First bytes of a client that are shown.
const SHOWN: usize = 16;

/// The same of a message that is not all there: what follows may be a name or a password.
const INCOMPLETE: usize = 4;

/// One client, or what is known of it so far.
#[derive(Clone, Debug, Serialize)]
pub struct ClientReport {
    /// Report on the connection.
    #[serde(flatten)]
    pub report: Report,
    /// Messages of the client up to the ClientHello or the login, by the protocol's own names.
    pub said: Vec<String>,
    /// The first 16 bytes of that, in hexadecimal.
    pub first_bytes: String,
    /// True if it tried just the same a moment before.
    pub retry: bool,
    /// The server name as the gateway reads it: lower case, no trailing dot.
    pub sni_normalised: Option<String>,
    /// The signature algorithms on offer, in the client's order.
    pub signature_algorithms: Vec<String>,
    /// Login fields that were sent in plaintext, such as `user`; never their values.
    pub readable: Vec<&'static str>,
    /// Answer to the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Its reaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reaction: Option<Reaction>,
    /// Reaction to the throwaway certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Trust>,
    /// The first message inside TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inside: Option<String>,
    /// The server that it was passed on to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded_to: Option<SocketAddr>,
    /// True if the connection goes on; another report follows at its end.
    pub open: bool,
    /// Bytes that the client sent.
    pub bytes_in: u64,
    /// Bytes that it was sent.
    pub bytes_out: u64,
    /// From accept to now, in milliseconds.
    pub duration_ms: f64,
    /// Code reported while the connection was open.
    #[serde(skip)]
    pub reported_code: Option<String>,
    #[serde(skip)]
    refused: bool,
}

impl ClientReport {
    /// Report on the recording of a connection.
    pub(super) fn of(connection: &Connection) -> Self {
        let exchange = connection.recording.exchange();
        let settings = &connection.shared.settings;
        let vantage = match settings.mode {
            Mode::Forward(..) => Vantage::Capture,
            Mode::Refuse | Mode::Certify => Vantage::Listen,
        };
        let dissection = dissection::dissect(&exchange, settings.hint);
        let mut report = diagnose::report(&exchange, settings.hint, vantage);
        report.began(connection.began);
        report.id = Some(connection.id);
        report.client = Some(connection.client.to_string());
        report.server = connection.server.map(|server| server.to_string());
        let hello = dissection.client_tls.hello.as_ref();
        let schemes = hello.map(|(_, offer)| offer.signature_algorithms.as_slice());
        let (said, words) = said(&dissection, &exchange, settings.hint);
        let harmless = match &dissection.opening {
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
            duration_ms: ms(connection.recording.elapsed()),
            reported_code: None,
            refused: false,
        }
    }

    /// Returns whether the client got no further, so that it may try again.
    #[must_use]
    pub fn was_refused(&self) -> bool {
        self.refused
    }

    /// Adds the answer to the client, and its reaction.
    pub(super) fn answered(&mut self, answer: Answer, connection: &Connection) {
        let exchange = connection.recording.exchange();
        self.reaction = Some(reaction(&exchange, &answer, connection));
        self.answer = Some(answer.what);
        self.refused = true;
    }

    /// Notes that the client did not go on, and not that the listener closed.
    pub(super) fn fell_silent(&mut self, timeout: Duration) {
        let finding = if self.bytes_in == 0 {
            self.drop_findings(|rule| rule.code == rules::CLIENT_SAID_NOTHING.code);
            let detail = if self.bytes_out == 0 {
                format!("nothing came within {timeout:?}")
            } else {
                format!("it was greeted, and nothing came within {timeout:?}")
            };
            Finding::new(&rules::CLIENT_WAITS, detail)
        } else if self.said.last().is_some_and(|last| last == "SSLRequest") {
            self.drop_findings(|rule| rule.code == rules::CLIENT_LEFT_AFTER_S.code);
            let detail = format!("after its SSLRequest nothing came within {timeout:?}");
            Finding::new(&rules::CLIENT_UNFINISHED, detail)
        } else {
            return;
        };
        self.report.find(finding);
        self.report.conclude();
    }

    /// Adds the relation of this connection to the one before it.
    pub(super) fn reconnected(&mut self, reconnect: Reconnect) {
        let finding = match reconnect {
            // The rules are about sslmode: no other protocol has one.
            Reconnect::FellBack(_) | Reconnect::Upgraded(_)
                if self.report.protocol != "postgres" =>
            {
                return;
            }
            Reconnect::FellBack(after) => {
                let detail = format!(
                    "it came {} after its attempt with TLS was refused",
                    human_ms(ms(after))
                );
                self.drop_findings(|rule| rule.code == rules::CLIENT_PLAINTEXT.code);
                Finding::new(&rules::CLIENT_FELL_BACK, detail)
            }
            Reconnect::Upgraded(after) => Finding::new(
                &rules::CLIENT_PLAINTEXT_FIRST,
                format!(
                    "it came with TLS {} after its attempt in plaintext was refused",
                    human_ms(ms(after))
                ),
            ),
            Reconnect::Retried(after) => {
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
    pub(super) fn certified(&mut self, name: &str, outcome: HandshakeOutcome) {
        self.refused = true;
        // What the bytes alone suggest is outdone by what the one who decrypts them knows.
        self.drop_findings(|rule| rule.stage == Stage::Certificate && rule.said_by == "client");
        let finding = match outcome {
            HandshakeOutcome::Refused(Some(alert)) => {
                self.report.alert = Some(alert.name().to_owned());
                self.report.alert_by = Some("client");
                self.report.established = false;
                if is_about_certificates(alert) {
                    self.drop_findings(|rule| rule.code == rules::CLIENT_ALERT.code);
                    self.certificate = Some(Trust::Refused);
                    let detail = format!("it ended the handshake with the alert {alert}");
                    Finding::new(&rules::CLIENT_VERIFIES, detail)
                } else {
                    let code = alert.code();
                    let detail = format!("the alert {code} {alert}, in answer to the certificate");
                    Finding::new(&rules::CLIENT_ALERT, detail)
                }
            }
            HandshakeOutcome::Refused(None) => {
                self.report.established = false;
                self.certificate = Some(Trust::Refused);
                let detail = "it hung up without an alert when it had seen the certificate";
                Finding::new(&rules::CLIENT_VERIFIES, detail)
            }
            HandshakeOutcome::LeftAfterwards => {
                self.report.established = true;
                self.certificate = Some(Trust::RefusedAfterwards);
                let detail = "it completed the handshake, looked at the certificate and hung up before it said anything";
                Finding::new(&rules::CLIENT_VERIFIES, detail)
            }
            HandshakeOutcome::Accepted(words) => {
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
            HandshakeOutcome::Quiet => {
                self.report.established = true;
                Finding::new(
                    &rules::CLIENT_SILENT_INSIDE,
                    "nothing came within the time given",
                )
            }
            HandshakeOutcome::NothingInCommon(why) => {
                self.report.established = false;
                let offers = self.report.hello.as_ref();
                let versions = offers.map(|hello| hello.versions.join(" "));
                let versions = versions.unwrap_or_default();
                let detail = format!("it offers TLS {versions}; {why}");
                Finding::new(&rules::CLIENT_NOTHING_IN_COMMON, detail)
            }
            HandshakeOutcome::Damaged(why) => {
                self.report.established = false;
                Finding::new(&rules::CLIENT_DAMAGED, why)
            }
            HandshakeOutcome::Unfinished => {
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

    /// Replaces all findings by why the server was not reached.
    pub(super) fn unreachable(&mut self, finding: Finding) {
        self.report.findings.clear();
        self.report.find(finding);
        self.report.conclude();
    }

    fn drop_findings(&mut self, outdone: impl Fn(&Rule) -> bool) {
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

/// Messages of the client up to its login or its TLS, and the last one in plaintext.
fn said(
    dissection: &Dissection,
    exchange: &Exchange,
    hint: Option<Protocol>,
) -> (Vec<String>, Option<FirstMessage>) {
    let request = |request: &dissection::Request| {
        let name = if request.tls {
            "SSLRequest"
        } else {
            "GSSENCRequest"
        };
        name.to_owned()
    };
    let mut said: Vec<String> = dissection.requests.iter().map(request).collect();
    if dissection.mysql_ssl_request {
        said.push("SSLRequest".to_owned());
    }
    let mut plaintext = None;
    let last = match &dissection.opening {
        Opening::Nothing => return (said, None),
        Opening::Incomplete => "an incomplete message".to_owned(),
        Opening::Tls if dissection.client_tls.hello.is_some() => "ClientHello".to_owned(),
        Opening::Tls => "something like TLS".to_owned(),
        Opening::Illegal(_) => "an illegal message".to_owned(),
        Opening::Unknown(_) => "something unknown".to_owned(),
        opening => {
            let mut reader = Reader::new(exchange.client.bytes());
            let _ = reader.skip(dissection.requests.len() * REQUEST);
            plaintext = first_message::read(reader.rest(), hint);
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
