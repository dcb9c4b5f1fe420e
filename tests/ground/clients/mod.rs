//! The real clients of the integration tests, each a small program under `tests/clients` around a real
//! driver or a real command line tool.
//!
//! A client gets a [`Target`] and an action as JSON, and answers with one JSON line: an [`Answer`].

mod target;

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    thread::JoinHandle,
};

use rustix::process::Signal;
use serde_json::{Value, json};
pub(crate) use target::Target;

use crate::testbed;

/// A real client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Psql,
    Psycopg,
    Asyncpg,
    NodePostgres,
    Pgx,
    Pgjdbc,
    RedisCli,
    RedisPy,
    Ioredis,
    Pymongo,
    NodeMongodb,
    /// Debian's command line client, with the library Connector/C.
    MariaDb,
    PyMysql,
    NodeMysql2,
    /// Only by `servers::PgAdmin`, whose web server it drives.
    PgAdmin,
}

/// The action of a client once it is connected; not every client can do all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Asks the server for its name.
    Whoami,
    /// Sends [`Target::mib`] of random data, reads it back, and compares checksums.
    Pump,
    /// Postgres: cancels `pg_sleep(60)` once the server shows it running; see [`Answer::cancelled`].
    SleepCancel,
    /// Connects and waits for [`Running::go_on`]; then as `Whoami`, on the same connection.
    Idle,
    /// asyncpg: 50 connections write into the table `written` from [`Running::ready`] on until
    /// [`Running::go_on`].
    Write,
}

/// The report of a client.
#[derive(Debug)]
pub(crate) struct Answer {
    /// It did what it should.
    pub(crate) ok: bool,
    /// The name of the server that answered.
    pub(crate) who: Option<String>,
    /// The error in the client's own words; empty when `ok`.
    pub(crate) error: String,
    /// Everything in the answer: `tls` (such as `TLSv1.3`) and `serial` (of the server's certificate)
    /// where the client can tell, `cancelled`, versions.
    pub(crate) json: Value,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    /// `SleepCancel`: whether the query was cancelled in time.
    pub(crate) fn cancelled(&self) -> bool {
        self.json["cancelled"] == true
    }

    /// The server that answered.
    ///
    /// # Panics
    /// When the client failed; the message holds all that it printed.
    #[track_caller]
    pub(crate) fn expect_who(&self) -> &str {
        assert!(self.ok, "the client failed: {self:#?}");
        self.who
            .as_deref()
            .unwrap_or_else(|| panic!("no name in the answer: {self:#?}"))
    }
}

impl Client {
    /// Every client of Postgres.
    pub(crate) const POSTGRES: [Self; 6] = [
        Self::Psql,
        Self::Psycopg,
        Self::Asyncpg,
        Self::NodePostgres,
        Self::Pgx,
        Self::Pgjdbc,
    ];
    /// Every client of Redis.
    pub(crate) const REDIS: [Self; 3] = [Self::RedisCli, Self::RedisPy, Self::Ioredis];
    /// Every client of `MongoDB`.
    pub(crate) const MONGODB: [Self; 2] = [Self::Pymongo, Self::NodeMongodb];

    /// Every client of `MariaDB` and MySQL.
    pub(crate) const MYSQL: [Self; 3] = [Self::MariaDb, Self::PyMysql, Self::NodeMysql2];

    /// Connects and asks the server for its name.
    pub(crate) fn whoami(self, target: &Target) -> Answer {
        self.run(Action::Whoami, target)
    }

    /// Runs an action to its end.
    pub(crate) fn run(self, action: Action, target: &Target) -> Answer {
        self.spawn(action, target).finish()
    }

    /// Starts an action; the client is killed when it takes longer than [`testbed::TIMEOUT`].
    pub(crate) fn spawn(self, action: Action, target: &Target) -> Running {
        let name = match action {
            Action::Whoami => "whoami",
            Action::Pump => "pump",
            Action::SleepCancel => "sleep_cancel",
            Action::Idle => "idle",
            Action::Write => "write",
        };
        let mut argument = json!(target);
        argument["action"] = json!(name);
        self.start(&argument)
    }

    /// Gives a fresh server its name, and asks for it; redis-py and pymongo only.
    pub(crate) fn introduce(self, target: &Target, name: &str) -> Answer {
        let mut argument = json!(target);
        argument["action"] = json!("introduce");
        argument["name"] = json!(name);
        self.start(&argument).finish()
    }

    /// `PgAdmin`: connects through the web server at this address, which `key` lets in.
    pub(crate) fn through(self, target: &Target, address: &str, key: &str) -> Answer {
        let mut argument = json!(target);
        argument["action"] = json!("whoami");
        argument["pgadmin"] = json!(address);
        argument["key"] = json!(key);
        self.start(&argument).finish()
    }

    fn start(self, argument: &Value) -> Running {
        // `timeout` leads a process group, so that what the program starts ends with it.
        let mut command = testbed::mortal("KILL", "timeout");
        command.args(["--signal=KILL", &testbed::TIMEOUT.as_secs().to_string()]);
        command.args(["setpriv", "--pdeathsig", "KILL"]);
        self.program(&mut command);
        command.arg(argument.to_string());
        // Nothing of the user's own settings: no ~/.postgresql, no PGHOST.
        command.env("HOME", "/nonexistent");
        testbed::undisturbed(&mut command);
        command.env("NODE_PATH", testbed::part("node/node_modules"));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Running::new(self, testbed::spawn(command))
    }

    fn program(self, command: &mut Command) {
        let python = |command: &mut Command, file: &str| {
            command
                .arg(testbed::part("python/bin/python"))
                .arg("-B")
                .arg(testbed::source("clients/python").join(file));
        };
        let node = |command: &mut Command, file: &str| {
            command
                .arg(testbed::part("node-binary"))
                .arg(testbed::source("clients/node").join(file));
        };
        match self {
            Self::Psql => python(command, "client_psql.py"),
            Self::Psycopg => python(command, "client_psycopg.py"),
            Self::Asyncpg => python(command, "client_asyncpg.py"),
            Self::NodePostgres => node(command, "client_pg.cjs"),
            Self::Pgx => drop(command.arg(testbed::part("pgx/pgx"))),
            Self::Pgjdbc => {
                // Quick to start: it lives for a moment.
                let options = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"];
                let part = testbed::part("pgjdbc");
                let path = format!("{0}:{0}/*", part.display());
                command.arg("java").args(options).arg(path).arg("Pgjdbc");
            }
            Self::RedisCli => python(command, "client_redis_cli.py"),
            Self::RedisPy => python(command, "client_redis.py"),
            Self::Ioredis => node(command, "client_ioredis.cjs"),
            Self::Pymongo => python(command, "client_pymongo.py"),
            Self::NodeMongodb => node(command, "client_mongodb.cjs"),
            Self::MariaDb => python(command, "client_mariadb.py"),
            Self::PyMysql => python(command, "client_pymysql.py"),
            Self::NodeMysql2 => node(command, "client_mysql2.cjs"),
            Self::PgAdmin => python(command, "client_pgadmin.py"),
        }
    }
}

/// A client that is at work; dropped, it is killed.
pub(crate) struct Running {
    client: Client,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<std::process::ChildStdout>>,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    fn new(client: Client, mut child: Child) -> Self {
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().map(BufReader::new);
        let stderr = child.stderr.take().map(|mut pipe| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                let _ = pipe.read_to_end(&mut bytes);
                String::from_utf8_lossy(&bytes).into_owned()
            })
        });
        Self {
            client,
            child,
            stdin,
            stdout,
            stderr,
        }
    }

    /// `Idle`, `Write`: waits until the client is connected, and has written.
    ///
    /// # Errors
    /// The answer of a client that failed instead.
    pub(crate) fn ready(mut self) -> Result<Self, Box<Answer>> {
        let mut line = String::new();
        let stdout = self.stdout.as_mut().expect("the client's output");
        stdout.read_line(&mut line).expect("the client's output");
        if line == "ready\n" {
            Ok(self)
        } else {
            Err(Box::new(self.collect(line)))
        }
    }

    /// `Idle`, `Write`: lets the client ask its question or stop, and takes the answer.
    pub(crate) fn go_on(mut self) -> Answer {
        if let Some(stdin) = &mut self.stdin {
            // A client that has died meanwhile says why in its answer.
            let _ = stdin.write_all(b"\n");
        }
        self.collect(String::new())
    }

    /// Waits for the answer.
    pub(crate) fn finish(self) -> Answer {
        self.collect(String::new())
    }

    /// Kills the client in the middle of its work, with what it started itself.
    pub(crate) fn kill(self) {
        drop(self);
    }

    fn collect(mut self, mut stdout: String) -> Answer {
        drop(self.stdin.take());
        let mut bytes = Vec::new();
        let _ = self
            .stdout
            .take()
            .expect("the client's output")
            .read_to_end(&mut bytes);
        stdout.push_str(&String::from_utf8_lossy(&bytes));
        let stderr = self
            .stderr
            .take()
            .and_then(|reader| reader.join().ok())
            .unwrap_or_default();
        let status = self.child.wait().expect("the client's exit status");
        let json: Value = stdout
            .lines()
            .last()
            .and_then(|line| serde_json::from_str(line).ok())
            .unwrap_or(Value::Null);
        let error = match &json["error"] {
            Value::String(text) => text.clone(),
            _ if json["ok"] == true => String::new(),
            _ => format!(
                "{:?} gave no answer within {:?}: {status}",
                self.client,
                testbed::TIMEOUT
            ),
        };
        let who = json["who"].as_str().map(str::to_owned);
        Answer {
            ok: json["ok"] == true,
            who,
            error,
            json,
            stdout,
            stderr,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = rustix::process::kill_process_group(testbed::pid(&self.child), Signal::KILL);
            // `timeout` may not have become the leader of its group yet.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
