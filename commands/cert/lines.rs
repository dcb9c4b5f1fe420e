//! Commands to type next: lines for clients and the gateway.

use std::path::Path;

use dbgate::cert::{HostName, IssuedPair, PairChange, Subject};

/// After an authority was made.
pub(super) fn after_root(made: &IssuedPair) -> String {
    if made.change == PairChange::Unchanged {
        return String::new();
    }
    let address = match made.cert.parent().map(Path::as_os_str) {
        Some(dir) if !dir.is_empty() && dir != "." => {
            format!(" --ca {}", word(&text(Path::new(dir))))
        }
        _ => String::new(),
    };
    format!(
        "\nNext:\n  dbgate cert new NAME{address}\nGive clients {}, and keep {} to yourself.\n",
        made.cert.display(),
        made.key.display()
    )
}

/// After a certificate was made: a line for each client, and the gateway's stanza.
pub(super) fn after_leaf(subject: &Subject, made: &IssuedPair) -> String {
    match subject {
        Subject::Server(names) => for_server(names, made),
        Subject::Client(name) => for_client(name, made),
    }
}

fn for_server(names: &[HostName], made: &IssuedPair) -> String {
    let (host, is_name) = match names.first() {
        Some(HostName::Dns(name)) => (name.to_string(), true),
        Some(HostName::Wildcard(base)) => (format!("db1.{base}"), true),
        Some(HostName::Ip(ip)) => (ip.to_string(), false),
        None => return String::new(),
    };
    let ca = text(&made.trust);
    let bracketed = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.clone()
    };
    let conninfo = format!(
        "host={host} dbname=postgres sslmode=verify-full sslrootcert={}",
        value(&ca)
    );
    // redis-cli sends a server name only when told to.
    let sni = if is_name {
        format!(" --sni {host}")
    } else {
        String::new()
    };
    let file = word(&ca);
    let verify = if made.view.self_signed {
        "Clients trust this very certificate, so they need it anew after each renewal:"
    } else {
        "Clients:"
    };
    format!(
        "
{verify}
  psql       psql {}
  redis-cli  redis-cli -h {host} --tls --cacert {file}{sni}
  mongosh    mongosh \"mongodb://{bracketed}/\" --tls --tlsCAFile {file}
  mysql      mysql -h {host} --ssl-mode=VERIFY_IDENTITY --ssl-ca={file}
  mariadb    mariadb -h {host} --ssl-verify-server-cert --ssl-ca={file}

{}
Where dbgate ends the clients' TLS (dbgate.toml):
  [database.NAME]
  tls = \"terminate\"
  hosts = [{}]
  cert = {}
  key = {}
",
        word(&conninfo),
        for_servers(made),
        hosts(names),
        toml(&text(&made.cert)),
        toml(&text(&made.key)),
    )
}

/// The steps by which each kind of server takes the pair, the first time and after each renewal.
fn for_servers(made: &IssuedPair) -> String {
    let (cert, key) = (text(&made.cert), text(&made.key));
    let (cert_file, key_file) = (word(&cert), word(&key));
    let set = |name: &str, value: &str| {
        let command = format!("ALTER SYSTEM SET {name} = '{}'", value.replace('\'', "''"));
        if command.contains(['$', '`', '"', '\\', '!']) {
            word(&command)
        } else {
            format!("\"{command}\"")
        }
    };
    format!(
        "Next, where the server ends TLS itself, now and after each renewal:
  PostgreSQL  chown postgres {cert_file} {key_file} && chmod 600 {key_file}
              psql -U postgres -c {} -c {} -c {} -c \"SELECT pg_reload_conf()\"
  MySQL       in my.cnf: ssl_cert={cert} and ssl_key={key}, readable for its user; then ALTER INSTANCE RELOAD TLS
  MariaDB     the same in my.cnf; then FLUSH SSL
  Redis       redis-cli CONFIG SET tls-cert-file {cert_file} tls-key-file {key_file}
  MongoDB     cat {cert_file} {key_file} > mongod.pem, which net.tls.certificateKeyFile names; then
              mongosh --eval \"db.adminCommand({{rotateCertificates: 1}})\"
  dbgate      nothing: it notices changed files within half a minute
",
        set("ssl", "on"),
        set("ssl_cert_file", &cert),
        set("ssl_key_file", &key),
    )
}

/// The names that can be routed by.
fn hosts(names: &[HostName]) -> String {
    let names = names.iter().filter(|name| !matches!(name, HostName::Ip(_)));
    names
        .map(|name| format!("\"{name}\""))
        .collect::<Vec<_>>()
        .join(", ")
}

fn for_client(name: &str, made: &IssuedPair) -> String {
    let (cert, key, ca) = (text(&made.cert), text(&made.key), text(&made.trust));
    let conninfo = format!(
        "host=HOST user={} sslmode=verify-full sslrootcert={} sslcert={} sslkey={}",
        value(name),
        value(&ca),
        value(&cert),
        value(&key)
    );
    let (file, cert, key) = (word(&ca), word(&cert), word(&key));
    format!(
        "
Clients (HOST is the server, whose certificate the same authority has signed):
  psql       psql {}
  redis-cli  redis-cli -h HOST --tls --sni HOST --cacert {file} --cert {cert} --key {key}
  mysql      mysql -h HOST --ssl-mode=VERIFY_IDENTITY --ssl-ca={file} --ssl-cert={cert} --ssl-key={key}
  mongosh    cat {cert} {key} > client.pem; mongosh \"mongodb://HOST/\" --tls --tlsCAFile {file} --tlsCertificateKeyFile client.pem

Servers (PostgreSQL: ssl_ca_file, and `hostssl all all all cert` in pg_hba.conf) trust {file}.
Where dbgate asks for it (dbgate.toml):
  [database.NAME]
  client_ca = {}
",
        word(&conninfo),
        toml(&ca),
    )
}

/// A path that is good from everywhere.
fn text(path: &Path) -> String {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    whole.to_string_lossy().into_owned()
}

/// One word for a POSIX shell.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else if text.contains(['\'', '$', '`', '"', '\\', '!']) {
        format!("'{}'", text.replace('\'', "'\\''"))
    } else {
        format!("\"{text}\"")
    }
}

/// One value of a connection string (libpq, "Connection Strings").
fn value(text: &str) -> String {
    if text.is_empty() || text.contains([' ', '\'', '\\']) {
        let text = text.replace('\\', "\\\\").replace('\'', "\\'");
        format!("'{text}'")
    } else {
        text.to_owned()
    }
}

/// A string of TOML.
fn toml(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_where_they_have_to_be() {
        for (text, expected) in [
            ("/etc/ca.crt", "/etc/ca.crt"),
            ("/my keys/ca.crt", "\"/my keys/ca.crt\""),
            ("/a$b/it's", r"'/a$b/it'\''s'"),
        ] {
            assert_eq!(word(text), expected);
        }
        assert_eq!(value("/my keys/it's"), r"'/my keys/it\'s'");
        assert_eq!(toml(r#"a"b\c"#), r#""a\"b\\c""#);
    }
}
