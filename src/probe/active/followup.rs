//! Follow-up connections, where the first leaves the cause open: each differs from it, and
//! is listed in the report.
//!
//! All of them together take no longer than one stage may. Not here: the first connection, and
//! those that differ from it in what they offer ([`offers`]).

mod context;
mod offers;
mod plaintext;

pub(super) use context::FollowUp;

use super::detect;
use super::plan::Preface;
use crate::probe::report::{Finding, Report};
use crate::probe::rules::{self, Rule, Severity};
use crate::protocol::ALPN_POSTGRES;
use crate::protocol::Protocol;

impl FollowUp<'_> {
    /// Connects as often as the findings so far require, and updates them.
    pub(super) async fn run(mut self) {
        self.report.conclude();
        if let Some(lead) = self.failure() {
            self.find_cause(lead).await;
        } else {
            let silent = |finding: &Finding| finding.rule.code == rules::PROTOCOL_SILENT.code;
            if self.report.findings.iter().any(silent) {
                self.inside().await;
            }
            self.hung_up_inside().await;
            self.without_identity().await;
            if self.setup.options.compare_no_sni {
                self.compare_no_sni().await;
            }
            if self.setup.options.check_plaintext && self.plan.protocol == Some(Protocol::Postgres)
            {
                self.check_plaintext().await;
            }
        }
    }

    /// The rule by which there is no TLS.
    fn failure(&self) -> Option<&'static Rule> {
        if self.report.established {
            return None;
        }
        let lead = self.report.findings.first()?;
        (lead.severity == Severity::Fail).then_some(lead.rule)
    }

    async fn find_cause(&mut self, lead: &'static Rule) {
        let is = |rules: &[&'static Rule]| rules.iter().any(|rule| std::ptr::eq(*rule, lead));
        let no_preface = is(&[
            &rules::PG_NO_ANSWER,
            &rules::PG_CLOSED_AFTER_REQUEST,
            &rules::PG_EXPECTS_TLS_FIRST,
            &rules::TLS_FIRST_SERVER,
            &rules::PG_UNEXPECTED_ANSWER,
            &rules::MYSQL_NO_GREETING,
            &rules::MYSQL_CLOSED,
        ]);
        let no_hello = is(&[
            &rules::TLS_NO_ANSWER,
            &rules::TLS_CLOSED_AFTER_HELLO,
            &rules::TLS_RESET_AFTER_HELLO,
        ]);
        let misread = is(&[
            &rules::TLS_NOT_TLS,
            &rules::POSTGRES_SERVER,
            &rules::OTHER_SERVER,
        ]);
        let by_name = is(&[
            &rules::ALERT_UNRECOGNIZED_NAME,
            &rules::ALERT_ACCESS_DENIED,
            &rules::ALERT_HANDSHAKE_FAILURE,
            &rules::ALERT_INTERNAL_ERROR,
        ]);
        if self.plan.offer.split.is_some() && !no_preface && self.unsplit().await {
            return;
        }
        if self.plan.offer.only.is_some() && is(&[&rules::ALERT_PROTOCOL_VERSION]) {
            self.both_versions().await;
        }
        if self.is_offer_refused() && self.full_offer().await {
            return;
        }
        if by_name && self.plan.offer.sni.is_some() {
            self.without_sni().await;
        }
        let hung_up = is(&[
            &rules::PG_CLOSED_AFTER_REQUEST,
            &rules::TLS_CLOSED_AFTER_HELLO,
            &rules::TLS_RESET_AFTER_HELLO,
        ]);
        if hung_up && self.left_alone().await {
            return;
        }
        let direct = self.plan.preface == Preface::Direct;
        if no_preface {
            if !self.tls_first().await {
                self.identify(detect::openers(self.plan.protocol)).await;
            }
        } else if no_hello || misread {
            let mut openers = detect::openers(self.plan.protocol);
            // The likeliest first: the database itself, without TLS.
            let others = openers.split_off(1);
            if direct && self.plan.protocol == Some(Protocol::Postgres) && self.ssl_request().await
                || direct && self.identify(openers).await
                || no_hello && self.smaller().await
                || direct && self.identify(others).await
            {
                return;
            }
            if hung_up && self.plan.offer.sni.is_some() {
                self.without_sni().await;
            }
        }
    }

    /// Finds out why a server has hung up inside TLS: for what was said there, or before that.
    async fn hung_up_inside(&mut self) {
        const WHAT: &str = "TLS, and silence inside";
        let rules = [
            &rules::ALERT_CERTIFICATE_REQUIRED,
            &rules::CLIENT_CERT_REFUSED,
            &rules::PROTOCOL_CLOSED,
        ];
        let closed = |report: &Report| {
            let lead = report.findings.first();
            lead.is_some_and(|lead| rules.iter().any(|rule| std::ptr::eq(*rule, lead.rule)))
        };
        if !closed(self.report) {
            return;
        }
        let protocol = self.plan.protocol;
        let was_told = !matches!(protocol, Some(Protocol::Postgres | Protocol::Tls) | None);
        if was_told && self.first.certs.requested {
            let silent = self
                .other(WHAT, |plan| plan.protocol = Some(Protocol::Tls))
                .await;
            if silent.is_some_and(|silent| silent.report.established && !closed(&silent.report)) {
                let detail = "left alone inside TLS it did not, so it is not for the certificate, \
                              but for the message it got there";
                self.conclude(&rules::PROTOCOL_CLOSED, detail);
            }
        }
        // Postgres 17 and later take TLS from the first byte, and hang up where ALPN is missing.
        if !matches!(
            protocol,
            Some(Protocol::Postgres | Protocol::Mysql | Protocol::Mariadb)
        ) {
            self.identify(vec![detect::SSL]).await;
        }
    }

    /// Returns whether a Redis that was shown a certificate takes commands without one, too.
    async fn without_identity(&mut self) {
        const WHAT: &str = "without the client certificate";
        let answered = self.first.told.get("answer").map(String::as_str) == Some("+PONG");
        if self.plan.protocol != Some(Protocol::Redis) || !self.first.certs.presented || !answered {
            return;
        }
        let other = self.other(WHAT, |plan| plan.offer.identity = None).await;
        let findings = other.map(|other| other.report.findings).unwrap_or_default();
        let open = |finding: &Finding| finding.rule.code == rules::REDIS_OPEN.code;
        if findings.iter().any(open) {
            let detail = "PING was answered by PONG without the certificate, too, and no password \
                          was asked for";
            self.report.find(Finding::new(&rules::REDIS_OPEN, detail));
        }
    }

    /// Tries other protocols inside TLS where the expected one got no answer.
    async fn inside(&mut self) {
        let (other, what, rule) = match self.plan.protocol {
            Some(Protocol::Mongodb) => (
                Some(Protocol::Redis),
                "PING of Redis inside TLS",
                &rules::MONGODB_UNEXPECTED,
            ),
            Some(Protocol::Redis) => (
                Some(Protocol::Mongodb),
                "hello of MongoDB inside TLS",
                &rules::REDIS_UNEXPECTED,
            ),
            _ => return,
        };
        let attempt = self.other(what, |plan| plan.protocol = other).await;
        let Some(attempt) = attempt.filter(|other| !other.attempt.told.is_empty()) else {
            return;
        };
        let told: Vec<String> = attempt.attempt.told.into_values().collect();
        let detail = format!("to {what} it answered: {}", told.join(", "));
        self.conclude(rule, &detail);
    }

    /// Returns whether TLS from the first byte succeeds where a preface did not.
    async fn tls_first(&mut self) -> bool {
        let postgres = self.plan.protocol == Some(Protocol::Postgres);
        let other = self
            .other("TLS from the first byte", |plan| {
                plan.preface = Preface::Direct;
                plan.offer.alpn = postgres.then_some(ALPN_POSTGRES);
                if !postgres {
                    // Its greeting is gone with the preface.
                    plan.protocol = Some(Protocol::Tls);
                }
            })
            .await;
        let Some(other) = other.filter(|other| other.report.established) else {
            return false;
        };
        if postgres {
            let negotiated = other.report.alpn_agreed.as_deref().map(str::as_bytes);
            let detail = if negotiated == Some(ALPN_POSTGRES) {
                "asked with TLS from the first byte it answered, and agreed to ALPN `postgresql`"
            } else {
                "asked with TLS from the first byte it answered, but without ALPN `postgresql`, \
                 so it is not Postgres 17 or newer, and sslnegotiation=direct fails as well"
            };
            self.conclude(&rules::PG_EXPECTS_TLS_FIRST, detail);
        } else {
            let detail = "asked with TLS from the first byte it answered";
            self.conclude(&rules::TLS_FIRST_SERVER, detail);
        }
        true
    }

    /// Returns whether an `SSLRequest` is granted where TLS from the first byte is not.
    async fn ssl_request(&mut self) -> bool {
        let other = self
            .other("an SSLRequest", |plan| {
                plan.preface = Preface::SslRequest;
                plan.offer.alpn = None;
            })
            .await;
        let granted =
            other.is_some_and(|other| other.attempt.failed.is_some() || other.report.established);
        if granted {
            let detail = "an SSLRequest is answered by S";
            self.conclude(&rules::PG_DIRECT_UNSUPPORTED, detail);
        }
        granted
    }
}
