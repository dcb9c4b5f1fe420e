//! Postgres: the system's own, and version 18, from data directories that `tests/setup` prepared.
//!
//! Sources: `PostgreSQL` documentation, chapters "Server Configuration" and "Client Authentication".

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::Path,
    process::Command,
};

use rustix::process::Signal;

use super::{Recipe, Server, install, install_leaf, named};
use crate::{
    certs::{Ca, Leaf},
    clients::{Client, Target},
    testbed::{self, part},
};

/// A Postgres server to start. Its name is `cluster_name`; user `app` with password `secret` owns the
/// database `app`; `certuser` enters by client certificate.
pub(crate) struct Postgres<'a> {
    name: &'a str,
    v18: bool,
    leaf: Option<&'a Leaf>,
    client_ca: Option<&'a Ca>,
    plain: bool,
    password: &'a str,
    hba: Option<&'a str>,
    settings: &'a [&'a str],
    replicates: bool,
    standby_of: Option<u16>,
}

impl<'a> Postgres<'a> {
    /// The system's own Postgres, with TLS only.
    pub(crate) fn debian(name: &str, leaf: &Leaf) -> Server {
        Postgres::named(name).tls(leaf).start()
    }

    /// Postgres 18, with TLS only; it also speaks TLS from the first byte.
    pub(crate) fn v18(name: &str, leaf: &Leaf) -> Server {
        Postgres::named(name).version_18().tls(leaf).start()
    }

    /// The system's own Postgres, which as yet lets nobody in.
    pub(crate) fn named(name: &'a str) -> Self {
        Self {
            name,
            v18: false,
            leaf: None,
            client_ca: None,
            plain: false,
            password: "scram-sha-256",
            hba: None,
            settings: &[],
            replicates: false,
            standby_of: None,
        }
    }

    /// Postgres 18.
    pub(crate) fn version_18(self) -> Self {
        Self { v18: true, ..self }
    }

    /// Accepts TLS, and shows this certificate.
    pub(crate) fn tls(self, leaf: &'a Leaf) -> Self {
        Self {
            leaf: Some(leaf),
            ..self
        }
    }

    /// Asks for client certificates of this authority; `certuser` needs one, nobody else.
    pub(crate) fn client_ca(self, ca: &'a Ca) -> Self {
        Self {
            client_ca: Some(ca),
            ..self
        }
    }

    /// Accepts connections without TLS too.
    pub(crate) fn plain(self) -> Self {
        Self {
            plain: true,
            ..self
        }
    }

    /// Asks for passwords in another way than by SCRAM, as `pg_hba.conf` names it.
    pub(crate) fn password(self, method: &'a str) -> Self {
        Self {
            password: method,
            ..self
        }
    }

    /// Lets in by these lines of `pg_hba.conf` and no others, but for the user `postgres`: as that one
    /// the test ground sees that it is up.
    pub(crate) fn hba(self, lines: &'a str) -> Self {
        Self {
            hba: Some(lines),
            ..self
        }
    }

    /// More settings, such as `ssl_min_protocol_version=TLSv1.3`; the last one of a name counts.
    pub(crate) fn settings(self, settings: &'a [&'a str]) -> Self {
        Self { settings, ..self }
    }

    /// Lets standbys stream from it.
    pub(crate) fn replicates(self) -> Self {
        Self {
            replicates: true,
            ..self
        }
    }

    /// Becomes a standby that streams from this server, which [replicates](Self::replicates); both
    /// are the system's own Postgres. [`promote`] makes it a primary.
    pub(crate) fn standby_of(self, primary: &Server) -> Self {
        Self {
            replicates: true,
            standby_of: Some(primary.port()),
            ..self
        }
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Panics
    /// When it does not come up, with its log.
    pub(crate) fn start(self) -> Server {
        assert!(
            self.leaf.is_some() || self.plain || self.hba.is_some(),
            "{} would let nobody in",
            self.name
        );
        let (template, programs) = if self.v18 {
            ("data18/data", "postgres18/bin")
        } else {
            ("data/data", "postgres")
        };
        let (template, program) = (part(template), part(programs).join("postgres"));
        let owner = fs::metadata(&template).expect("the template's owner");
        let own = |path: &Path| {
            chown(path, Some(owner.uid()), Some(owner.gid())).expect("a file for the server");
        };

        let folder = testbed::scratch();
        let data = folder.path().join("data");
        if let Some(primary) = self.standby_of {
            own(folder.path());
            let mut copy = testbed::mortal_as("KILL", &owner, part(programs).join("pg_basebackup"));
            testbed::undisturbed(&mut copy);
            copy.args(["-h", "127.0.0.1", "-U", "postgres", "--checkpoint=fast"])
                .args(["-p", &primary.to_string(), "--write-recovery-conf", "-D"])
                .arg(&data)
                .current_dir("/");
            let copied = copy.output().expect("pg_basebackup");
            assert!(copied.status.success(), "pg_basebackup: {copied:?}");
        } else {
            let copied = Command::new("cp")
                .arg("-a")
                .args([&template, &data])
                .status()
                .expect("cp");
            assert!(copied.success(), "cannot copy {}", template.display());
        }

        let mut hba = String::new();
        let mut settings = vec![
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            format!("cluster_name={}", self.name),
            "log_connections=on".to_owned(),
            "log_disconnections=on".to_owned(),
            "fsync=off".to_owned(),
            "shared_buffers=16MB".to_owned(),
            // Nothing must stay in /dev/shm.
            "dynamic_shared_memory_type=mmap".to_owned(),
        ];
        if let Some(leaf) = self.leaf {
            install_leaf(&data, leaf, &own);
            settings.push("ssl=on".to_owned());
            if let Some(ca) = self.client_ca {
                install(&data, "clients.crt", ca.pem(), &own);
                settings.push("ssl_ca_file=clients.crt".to_owned());
                hba.push_str("hostssl all certuser all cert\n");
            }
            hba.extend(["hostssl all all all ", self.password, "\n"]);
        }
        if self.plain {
            hba.extend(["hostnossl all all all ", self.password, "\n"]);
        }
        if let Some(lines) = self.hba {
            hba = format!("host all postgres 127.0.0.1/32 trust\n{lines}\n");
        }
        if self.replicates {
            hba.insert_str(0, "host replication,all postgres 127.0.0.1/32 trust\n");
        }
        install(&data, "pg_hba.conf", &hba, &own);
        settings.extend(self.settings.iter().map(ToString::to_string));

        let command = move |folder: &Path, port: u16| {
            // SIGQUIT is its immediate shutdown: it takes its own processes with it.
            let mut command = testbed::mortal_as("QUIT", &owner, &program);
            command
                .arg("-D")
                .arg(folder.join("data"))
                .arg("-p")
                .arg(port.to_string());
            for setting in &settings {
                command.args(["-c", setting]);
            }
            command
        };
        let sslmode = if self.leaf.is_some() {
            "require"
        } else {
            "disable"
        };
        let by_trust = self.hba.is_some();
        let question = move |port| {
            let mut target = Target::unverified("127.0.0.1", port).app().sslmode(sslmode);
            if by_trust {
                [target.user, target.dbname] = ["postgres"; 2].map(|it| Some(it.to_owned()));
            }
            Client::Psql.whoami(&target)
        };
        let recipe = Recipe {
            command: Box::new(command),
            ready: named(self.name, question),
            stop: Signal::QUIT,
        };
        Server::start(self.name, folder, recipe)
    }
}

/// Makes a standby a primary, and waits until it takes writes.
///
/// # Panics
/// When it does not become one, with its log.
pub(crate) fn promote(standby: &Server) {
    let promoted = query(standby, "select pg_promote()");
    assert_eq!(promoted.as_deref(), Ok("t"), "{}", standby.log());
}

/// Runs SQL in the database `app` of a server that [replicates](Postgres::replicates), as its
/// superuser and without a gateway: rows by line, columns by `|`.
///
/// # Errors
/// It fails; the text is that of psql.
pub(crate) fn query(server: &Server, sql: &str) -> Result<String, String> {
    let mut psql = Command::new("psql");
    testbed::undisturbed(&mut psql);
    psql.args([
        "-XAtq",
        "-h",
        "127.0.0.1",
        "-U",
        "postgres",
        "-c",
        sql,
        "app",
    ])
    .args(["-p", &server.port().to_string()])
    .env("PGCONNECT_TIMEOUT", "20");
    let output = psql.output().expect("psql");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}
