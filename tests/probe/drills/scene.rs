//! The scene of a drill: servers that run, and the words of the command line that only they know.

use std::{
    any::Any,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::{
    certs::{Ca, Leaf, Validity},
    gateway,
    servers::Server,
    testbed,
};

/// The name that most drills dial; it leads to this machine.
pub(crate) const NAME: &str = "pg1.example.test";

/// A set-up, for as long as it is kept.
pub(crate) struct Scene {
    kept: Vec<Box<dyn Any>>,
    words: Vec<(String, String)>,
    wrapper: Vec<String>,
    folder: TempDir,
}

impl Scene {
    /// Nothing at all.
    pub(crate) fn empty() -> Self {
        Self {
            kept: Vec::new(),
            words: Vec::new(),
            wrapper: Vec::new(),
            folder: testbed::scratch(),
        }
    }

    /// A server; `{port}` is its port.
    pub(crate) fn of(server: Server) -> Self {
        let port = server.port();
        Self::empty().keep(server).port(port)
    }

    /// `{port}` is this one.
    pub(crate) fn port(self, port: u16) -> Self {
        self.word("port", &port.to_string())
    }

    /// Something that must go on to exist.
    pub(crate) fn keep(mut self, thing: impl Any) -> Self {
        self.kept.push(Box::new(thing));
        self
    }

    /// A further server, which is not dialled; its port is hidden in what is printed.
    pub(crate) fn behind(self, server: Server) -> Self {
        let port = server.port();
        self.keep(server).word("behind", &port.to_string())
    }

    /// `{ca}` is the file of this authority.
    pub(crate) fn ca(self, ca: Ca) -> Self {
        let path = text(ca.path());
        self.keep(ca).word("ca", &path)
    }

    /// `{cert}` and `{key}` are the files of this client certificate.
    pub(crate) fn identity(self, leaf: Leaf) -> Self {
        let (cert, key) = (text(&leaf.cert_path), text(&leaf.key_path));
        self.keep(leaf).word("cert", &cert).word("key", &key)
    }

    /// `{name}` is this.
    pub(crate) fn word(mut self, name: &str, value: &str) -> Self {
        self.words.push((format!("{{{name}}}"), value.to_owned()));
        self
    }

    /// The probe sees this text in the place of a file of the system, such as `/etc/hosts`.
    ///
    /// A mount namespace of its own does it; nobody else sees it.
    pub(crate) fn instead_of(mut self, path: &str, text: &str) -> Self {
        let own = self.file(&path.replace('/', "_"), text);
        let script = r#"mount --bind "$1" "$2" && shift 2 && exec "$@""#;
        self.apart(&[
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
            self::text(&own).as_str(),
            path,
        ]);
        self
    }

    /// The probe runs where there is no network, not even this machine's own.
    pub(crate) fn without_network(mut self) -> Self {
        self.apart(&["--net"]);
        self
    }

    fn apart(&mut self, words: &[&str]) {
        // A user who may not do it is root in a namespace of the own.
        let root = rustix::process::geteuid().is_root();
        let first = ["unshare", "--map-root-user"];
        let first = if root { &first[..1] } else { &first[..] };
        let words = first.iter().chain(words);
        self.wrapper.extend(words.map(|word| (*word).to_owned()));
    }

    /// Writes a file that lives as long as the scene.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("a file of the drill");
        path
    }

    /// The values of the placeholders, in the order in which they were set.
    pub(crate) fn words(&self) -> &[(String, String)] {
        &self.words
    }

    /// Runs `dbgate probe` with this line of arguments.
    pub(crate) fn probe(&self, line: &str, format: &str) -> Output {
        let mut words = self.wrapper.clone();
        words.push(text(gateway::binary()));
        words.push("probe".to_owned());
        words.extend(line.split_whitespace().map(|word| self.fill(word)));
        words.extend(["--output", format].map(str::to_owned));
        let mut command = Command::new(&words[0]);
        testbed::undisturbed(&mut command);
        command
            .args(&words[1..])
            .env("HOME", self.folder.path())
            .env_remove("SSL_CERT_FILE")
            .env_remove("SSL_CERT_DIR");
        command.output().expect("dbgate probe")
    }

    fn fill(&self, word: &str) -> String {
        let mut word = word.to_owned();
        for (name, value) in &self.words {
            word = word.replace(name, value);
        }
        assert!(!word.contains('{'), "nothing was set up for {word}");
        word
    }
}

/// A certificate without any fault.
pub(crate) fn good(ca: &Ca, names: &[&str]) -> Leaf {
    ca.prepare(names).validity(Validity::Days(90)).sign()
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path in ASCII").to_owned()
}
