//! The checks of `dbgate serve --check` beyond the text of a configuration: certificates, keys and
//! authorities, read as the gateway would read them.

mod sockets;

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use toml::de::{DeTable, DeValue};

use super::Parsed;
use super::problem::{Problem, Report, Severity};
use super::settings::{AccessTo, Log};
use super::syntax::Syntax;
use crate::file;
use crate::route::Host;
use crate::route::source::Declared;
use crate::tls::ServerName;
use crate::tls::client::ClientVerifier;
use crate::tls::config::{BackendSettings, Loader, MinVersion, ServerSettings, ServerTls};
use crate::tls::files::Files;
use crate::tls::material::{MAX_CRL, MAX_MATERIAL, MaterialError, MaterialOrigin, ReadMaterial};

/// A certificate is renewed some weeks before its end; one that has fewer days was forgotten.
const SOON_DAYS: i64 = 14;

/// Reads every file that a configuration names, and returns the problems of all.
///
/// What is wrong with one key is no reason to say nothing of the others: where the configuration
/// cannot be used, the rest of it is looked at. `text` and `file` are those that it was parsed from. `now` decides what has expired.
#[must_use]
pub fn check(parsed: &Parsed, text: &str, file: &Path, now: SystemTime) -> Vec<Problem> {
    let Some(config) = parsed.config.as_ref().or(parsed.rest.as_ref()) else {
        return Vec::new();
    };
    let report = Report::new(text, file);
    let document = DeTable::parse(text).ok();
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    });
    let written = match (&parsed.rest, &document) {
        (Some(_), Some(document)) => tables(document.get_ref(), "database"),
        _ => HashMap::new(),
    };
    let mut check = Check {
        report: &report,
        written,
        document: document.as_ref().map(toml::Spanned::get_ref),
        loader: Loader::new(Arc::new(Files)),
        now,
    };
    let gateway = config.tls.files.as_ref().and_then(|(cert, key)| {
        let (cert, key) = (cert.clone().into(), key.clone().into());
        check.pair(&["tls"], [("cert", Some(&cert)), ("key", Some(&key))])
    });
    check.sockets(&config.control);
    check.access_log(&config.log);
    for (name, declared) in &config.databases {
        check.database(name, declared, gateway.as_deref());
    }
    report.finish(&Syntax::default())
}

struct Check<'a, 't> {
    report: &'a Report<'t>,
    document: Option<&'a DeTable<'t>>,
    /// The databases as they are written, of a configuration that cannot be used.
    written: HashMap<&'a str, &'a DeTable<'t>>,
    loader: Loader,
    /// Seconds since 1970.
    now: i64,
}

type Pair<'p> = [(&'static str, Option<&'p MaterialOrigin>); 2];

impl Check<'_, '_> {
    /// Creates and opens nothing: the gateway may run as another user.
    fn access_log(&self, log: &Log) {
        match &log.access_to {
            _ if !log.access => {}
            AccessTo::Journal(socket) if socket.exists() => {}
            AccessTo::Journal(socket) => self.warn(
                &["log"],
                "access_to",
                format!("no journal listens on {} here", socket.display()),
            ),
            AccessTo::Stdout => {}
            AccessTo::File(path) => {
                let folder = path.parent().unwrap_or(Path::new("/"));
                if path.is_dir() {
                    let message = format!("{} is a directory, not a file", path.display());
                    self.fail(&["log"], "access_to", message);
                } else if !folder.is_dir() {
                    let message = format!("there is no directory {}", folder.display());
                    self.fail(&["log"], "access_to", message);
                }
            }
        }
    }

    fn database(&mut self, name: &str, declared: &Declared, gateway: Option<&ServerTls>) {
        let (section, spec) = (["database", name], &declared.spec);
        if let Some(client) = spec.tls.client() {
            let own = self.pair(
                &section,
                [("cert", client.cert.as_ref()), ("key", client.key.as_ref())],
            );
            let shown = match &client.cert {
                Some(_) => own.as_deref(),
                None if self.was_reported(name, "cert") => None,
                None => gateway,
            };
            let uncovered = |host: &&Host| shown.is_some_and(|shown| !covers(shown, host));
            for host in declared.hosts.iter().filter(uncovered) {
                self.warn(
                    &section,
                    "hosts",
                    format!(
                        "the certificate shown for {host} does not carry that name: clients that verify names will refuse it"
                    ),
                );
            }
            self.authorities(&section, "client_ca", client.client_ca.as_ref());
            if let (Some(ca), Some(crl)) = (&client.client_ca, &client.client_crl) {
                self.revocation(&section, ca, crl);
            }
        }
        if let Some(backend) = spec.tls.backend() {
            match &backend.backend_ca {
                None if self.was_reported(name, "backend_ca") => {}
                None => self.backend(&section, "tls", None),
                ca => self.authorities(&section, "backend_ca", ca.as_ref()),
            }
            self.pair(
                &section,
                [
                    ("backend_cert", backend.backend_cert.as_ref()),
                    ("backend_key", backend.backend_key.as_ref()),
                ],
            );
        }
    }

    /// A certificate and its key, for whichever side of a connection they are shown on.
    fn pair(&mut self, section: &[&str], files: Pair<'_>) -> Option<Arc<ServerTls>> {
        let [(cert_name, cert), (key_name, key)] = files;
        let (cert, key) = (cert?, key?);
        let readable = [
            self.readable(section, cert_name, cert),
            self.readable(section, key_name, key),
        ];
        if readable == [true, true] {
            let loaded = self.loader.server(&ServerSettings {
                cert: cert.clone(),
                key: key.clone(),
                client_ca: None,
                client_crl: None,
                min_version: MinVersion::default(),
                alpn: &[],
            });
            match loaded {
                Ok(tls) => {
                    self.expiry(section, cert_name, cert, tls.not_after);
                    self.secrecy(section, key_name, key);
                    return Some(tls);
                }
                Err(e) => {
                    let in_cert = e.origin() == Some(cert);
                    let name = if in_cert { cert_name } else { key_name };
                    self.fail(section, name, e.to_string());
                    // It is told of the first; the other may be no better.
                    if let Some(error) = in_cert.then(|| key_fault(key)).flatten() {
                        self.fail(section, key_name, error.to_string());
                    }
                }
            }
        } else if let (true, Some(error)) = (readable[0], certificate_fault(cert)) {
            self.fail(section, cert_name, error.to_string());
        } else if let (true, Some(error)) = (readable[1], key_fault(key)) {
            self.fail(section, key_name, error.to_string());
        }
        None
    }

    fn authorities(&mut self, section: &[&str], name: &str, ca: Option<&MaterialOrigin>) {
        if let Some(ca) = ca
            && self.readable(section, name, ca)
        {
            self.backend(section, name, Some(ca));
        }
    }

    /// Reports revocation lists that are wrong, or that refuse every client.
    fn revocation(&self, section: &[&str], ca: &MaterialOrigin, crl: &MaterialOrigin) {
        const KEY: &str = "client_crl";
        if !self.readable(section, KEY, crl) {
            return;
        }
        let shut_out = || -> Result<Vec<String>, MaterialError> {
            let lists = Files.material(crl, MAX_CRL)?;
            lists.crls()?;
            let roots = Files.material(ca, MAX_MATERIAL)?.roots()?;
            ClientVerifier::new(roots, Some(&lists))?.shut_out(&lists, self.now)
        };
        match shut_out() {
            Ok(found) => {
                for what in found {
                    self.warn(section, KEY, format!("{crl}: {what}"));
                }
            }
            // What is wrong with the authorities is reported of `client_ca`.
            Err(error) if error.origin() != Some(crl) => {}
            Err(error) => self.fail(section, KEY, error.to_string()),
        }
    }

    fn backend(&mut self, section: &[&str], name: &str, ca: Option<&MaterialOrigin>) {
        let files = BackendSettings {
            ca: ca.cloned(),
            name: None,
            identity: None,
            alpn: &[],
        };
        if let Err(e) = self.loader.backend(&files) {
            self.fail(section, name, e.to_string());
        }
    }

    /// Apart from loading, so that every unreadable file is reported and not only the first.
    fn readable(&self, section: &[&str], name: &str, origin: &MaterialOrigin) -> bool {
        let Some(path) = origin.path() else {
            return true;
        };
        let opened = file::open(path);
        if let Err(e) = &opened {
            self.fail(
                section,
                name,
                format!("cannot read {}: {e}", path.display()),
            );
        }
        opened.is_ok()
    }

    fn expiry(&self, section: &[&str], name: &str, cert: &MaterialOrigin, not_after: i64) {
        const DAY: i64 = 24 * 60 * 60;
        let left = not_after.saturating_sub(self.now);
        let when = match left / DAY {
            _ if left < 0 => "has expired".to_owned(),
            0 => "expires within a day".to_owned(),
            1 => "expires in 1 day".to_owned(),
            days if days < SOON_DAYS => format!("expires in {days} days"),
            _ => return,
        };
        self.warn(section, name, format!("{cert} {when}"));
    }

    fn secrecy(&self, section: &[&str], name: &str, key: &MaterialOrigin) {
        let found = key.path().and_then(|path| std::fs::metadata(path).ok());
        let open_to_all = found.is_some_and(|found| found.permissions().mode() & 0o004 != 0);
        if open_to_all {
            self.warn(
                section,
                name,
                format!("every user of this machine can read {key}: chmod o-r it"),
            );
        }
    }

    /// True if a key of a database is written, and its value was reported.
    fn was_reported(&self, name: &str, key: &str) -> bool {
        let written = self.written.get(name);
        written.is_some_and(|table| table.iter().any(|(k, _)| k.get_ref() == key))
    }

    fn fail(&self, section: &[&str], key: &str, message: String) {
        self.report
            .note(Severity::Error, self.locate(section, key), message);
    }

    fn warn(&self, section: &[&str], key: &str, message: String) {
        self.report
            .note(Severity::Warning, self.locate(section, key), message);
    }

    /// The byte offset of a key, or of its section's name where the key is not written.
    fn locate(&self, section: &[&str], key: &str) -> Option<usize> {
        let mut table = self.document?;
        let mut place = None;
        for name in section.iter().copied().chain([key]) {
            let Some((key, value)) = table.iter().find(|(k, _)| k.get_ref() == name) else {
                break;
            };
            place = Some(key.span().start);
            match value.get_ref() {
                DeValue::Table(below) => table = below,
                _ => break,
            }
        }
        place
    }
}

/// The tables below a key of the top level.
fn tables<'a, 't>(document: &'a DeTable<'t>, key: &str) -> HashMap<&'a str, &'a DeTable<'t>> {
    let found = document.iter().find(|(name, _)| name.get_ref() == key);
    let Some(DeValue::Table(below)) = found.map(|(_, value)| value.get_ref()) else {
        return HashMap::new();
    };
    let tables = below
        .iter()
        .filter_map(|(name, value)| match value.get_ref() {
            DeValue::Table(table) => Some((name.get_ref().as_ref(), table)),
            _ => None,
        });
    tables.collect()
}

/// The reason why a readable file is of no use as a certificate.
fn certificate_fault(origin: &MaterialOrigin) -> Option<MaterialError> {
    let material = Files.material(origin, MAX_MATERIAL);
    material.and_then(|material| material.certificates()).err()
}

/// The reason why a readable file is of no use as a key.
fn key_fault(origin: &MaterialOrigin) -> Option<MaterialError> {
    let material = Files.material(origin, MAX_MATERIAL);
    material.and_then(|material| material.usable_key()).err()
}

/// True if a client that asked for a name under `host` would find it in the certificate.
fn covers(shown: &ServerTls, host: &Host) -> bool {
    match host {
        Host::Exact(name) => shown.covers(name),
        Host::Wildcard(suffix) => {
            ServerName::parse(&format!("any.{suffix}")).is_ok_and(|name| shown.covers(&name))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::time::Duration;

    use super::*;
    use crate::cert::{gateway_pair, scratch::Scratch};
    use crate::config::parse;

    /// Keeps whole days of lifetime left from depending on the time that a test takes.
    const HOUR: u64 = 60 * 60;

    /// Asserts that these problems, and no others, are found in a file of a directory with
    /// `gateway.crt` and `gateway.key`, which are some days old.
    fn tells(scratch: &Scratch, text: &str, days: u64, expected: &[(&str, &str)]) {
        gateway_pair(scratch.path()).unwrap();
        let file = scratch.path().join("dbgate.toml");
        let parsed = parse(text, &file);
        assert!(parsed.config.is_some(), "{:#?}", parsed.problems);
        let now = SystemTime::now() + Duration::from_secs(days * 24 * 60 * 60 + HOUR);
        let found: Vec<_> = check(&parsed, text, &file, now)
            .iter()
            .map(ToString::to_string)
            .collect();
        let all = found.join("\n");
        assert_eq!(found.len(), expected.len(), "{all}");
        for (found, (place, words)) in found.iter().zip(expected) {
            let start = format!("{}:{place}: ", file.display());
            assert!(found.starts_with(&start) && found.contains(words), "{all}");
        }
    }

    const PAIR: &str = "[tls]\ncert = \"gateway.crt\"\nkey = \"gateway.key\"\n";

    #[test]
    fn a_good_pair_is_nothing_to_tell() {
        let scratch = Scratch::new();
        tells(&scratch, "", 0, &[]);
        let database =
            "[database.a]\nbackends = [\"a:5432\"]\ntls = \"terminate\"\nhosts = [\"localhost\"]\n";
        tells(&scratch, &format!("{PAIR}{database}"), 0, &[]);
        tells(&scratch, database, 0, &[]);
    }

    #[test]
    fn an_end_in_sight_is_told_in_days() {
        let scratch = Scratch::new();
        for (days, told) in [
            (380, None),
            (386, Some("expires in 10 days")),
            (395, Some("expires in 1 day")),
            (396, Some("expires within a day")),
            (398, Some("has expired")),
        ] {
            let expected: Vec<_> = told.map(|words| ("2:1", words)).into_iter().collect();
            tells(&scratch, PAIR, days, &expected);
        }
    }

    #[test]
    fn every_file_that_is_no_good_is_told() {
        let scratch = Scratch::new();
        let other = Scratch::new();
        let (_, key) = gateway_pair(other.path()).unwrap();
        fs::copy(key, scratch.path().join("other.key")).unwrap();
        fs::write(scratch.path().join("text"), "text").unwrap();
        tells(
            &scratch,
            "[tls]\ncert = \"no.crt\"\nkey = \"no.key\"\n\
             [database.a]\nbackends = [\"a:6379\"]\ntls = \"terminate\"\n\
             cert = \"gateway.crt\"\nkey = \"other.key\"\nclient_ca = \"text\"\n\
             hosts = [\"a.example\"]\n\
             [database.b]\nbackends = [\"a:6379\"]\ntls = \"reencrypt\"\n\
             cert = \"text\"\nkey = \"gateway.key\"\nbackend_ca = \"no.ca\"\n\
             backend_cert = \"gateway.crt\"\nbackend_key = \"text\"\n",
            0,
            &[
                ("2:1", "cannot read"),
                ("3:1", "no.key"),
                ("8:1", "does not belong to the certificate"),
                ("9:1", "holds no certificate"),
                ("14:1", "holds no certificate"),
                ("16:1", "no.ca"),
                ("18:1", "holds no certificate and no key"),
            ],
        );
    }

    #[test]
    fn what_is_wrong_with_one_file_or_key_hides_no_other() {
        let scratch = Scratch::new();
        gateway_pair(scratch.path()).unwrap();
        fs::write(scratch.path().join("text"), "text").unwrap();
        let text = "[tls]\ncert = \"text\"\nkey = \"text\"\n[limits]\nmax_session = 1\n\
             [database.a]\nbackends = [\"a:6379\"]\ntls = \"terminate\"\ncert = 1\nkey = 2\n\
             hosts = [\"a.example\"]\nclient_ca = \"no.ca\"\nclient_crl = \"text\"\n\
             [database.b]\nbackends = [\"b\"]\ntls = \"reencrypt\"\nbackend_ca = \"text\"\n\
             cert = \"gateway.crt\"\nkey = \"no.key\"\nhosts = [\"b.example\"]\n\
             [database.c]\nbackends = [\"c:6379\"]\ntls = \"terminate\"\ncert = \"no.crt\"\nkey = \"text\"\n";
        let file = scratch.path().join("dbgate.toml");
        let parsed = parse(text, &file);
        let mut lines: Vec<_> = parsed.problems.iter().map(|p| p.line).collect();
        assert_eq!(lines, [5, 9, 10, 15], "{:#?}", parsed.problems);
        let found = check(&parsed, text, &file, SystemTime::now());
        lines = found.iter().map(|p| p.line).collect();
        assert_eq!(lines, [2, 3, 12, 13, 17, 19, 24, 25], "{found:#?}");
    }

    #[test]
    fn the_place_of_the_access_log_is_looked_at() {
        let scratch = Scratch::new();
        let log = |keys: &str| format!("[log]\n{keys}\n");
        tells(&scratch, &log("access_to = \"./access.log\""), 0, &[]);
        for (keys, words) in [
            (
                "access_to = \"./no/access.log\"",
                "error: there is no directory",
            ),
            ("access_to = \"/tmp\"", "error: /tmp is a directory"),
            (
                "access_to = \"journal\"\njournal_socket = \"./no\"",
                "warning: no journal listens on",
            ),
        ] {
            tells(&scratch, &log(keys), 0, &[("2:1", words)]);
            tells(&scratch, &log(&format!("{keys}\naccess = false")), 0, &[]);
        }
    }

    #[test]
    fn names_and_permissions_are_looked_at() {
        let scratch = Scratch::new();
        let (_, key) = gateway_pair(scratch.path()).unwrap();
        fs::set_permissions(key, Permissions::from_mode(0o644)).unwrap();
        let text = format!(
            "{PAIR}[database.a]\nbackends = [\"a:6379\"]\ntls = \"terminate\"\n\
             hosts = [\"a.example\", \"*.example\", \"localhost\"]\n"
        );
        tells(
            &scratch,
            &text,
            0,
            &[
                ("3:1", "every user of this machine can read"),
                ("7:1", "warning: the certificate shown for a.example"),
                ("7:1", "warning: the certificate shown for *.example"),
            ],
        );
    }
}
