//! Files of certificates and keys that are wrong, in every command that reads them: what each
//! says, that none shows a key, and that none waits for ever.

use std::fs;
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::gate::{EMPTY, Gate, Ran, dbgate};

/// The text of a key that was damaged on its way here.
fn line_ends_lost(key: &str) -> String {
    key.replace('\n', "\\n")
}

/// No eight characters of the key's base64, and no bytes of it in decimal.
fn shows_nothing(told: &str, key: &str) {
    let body: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    for piece in body.as_bytes().windows(8) {
        let text = std::str::from_utf8(piece).unwrap();
        assert!(!told.contains(text), "{told}");
        let numbers: Vec<String> = piece.iter().map(ToString::to_string).collect();
        assert!(!told.contains(&numbers.join(", ")), "{told}");
    }
}

struct Bench {
    gate: Gate,
    key: String,
}

impl Bench {
    /// A gateway without databases; beside its configuration `c.crt` and `c.key`, a pair.
    fn new() -> Self {
        let gate = Gate::new(EMPTY);
        let bench = Self {
            key: String::new(),
            gate,
        };
        let words = ["cert", "new", "c.example", "--self-signed"];
        Ran::of(dbgate().args(words).current_dir(bench.gate.dir()));
        fs::rename(bench.path("c.example.crt"), bench.path("c.crt")).unwrap();
        fs::rename(bench.path("c.example.key"), bench.path("c.key")).unwrap();
        let key = fs::read_to_string(bench.path("c.key")).unwrap();
        Self { key, ..bench }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.gate.dir().join(name)
    }

    /// The output of each command that reads the two files.
    fn told(&self) -> Vec<String> {
        let (cert, key) = (self.path("c.crt"), self.path("c.key"));
        let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
        self.gate.configure(&format!(
            "{EMPTY}[tls]\ncert = \"c.crt\"\nkey = \"c.key\"\n\
             [database.a]\nbackends = [\"127.0.0.1:1\"]\nprotocol = \"tls\"\n\
             tls = \"terminate\"\nhosts = [\"a.example\"]\n"
        ));
        let check = Ran::of(self.gate.serve().arg("--check"));
        assert_eq!(check.code, Some(1), "{check:?}");
        let reload = self.gate.ctl(&["reload"]);
        assert!(reload.code != Some(0), "{reload:?}");
        let expose = self.gate.ctl(&[
            "expose",
            "b",
            "--host",
            "b.example",
            "--to",
            "127.0.0.1:1",
            "--protocol",
            "tls",
            "--tls",
            "terminate",
            "--cert",
            cert,
            "--key",
            key,
        ]);
        assert!(expose.code != Some(0), "{expose:?}");
        let probe = [
            "probe",
            "tls://127.0.0.1:1",
            "--client-cert",
            cert,
            "--client-key",
            key,
        ];
        let probe = Ran::of(dbgate().args(probe));
        assert!(probe.code != Some(0), "{probe:?}");
        [check, reload, expose, probe]
            .into_iter()
            .map(|ran| ran.out + &ran.err)
            .collect()
    }

    fn tells(&self, words: &str) {
        for told in self.told() {
            assert!(told.contains(words), "not \"{words}\" in\n{told}");
            shows_nothing(&told, &self.key);
        }
    }
}

#[test]
fn a_damaged_key_is_never_shown() {
    let bench = Bench::new();
    let key = bench.path("c.key");
    fs::write(&key, line_ends_lost(&bench.key)).unwrap();
    bench.tells("c.key: line 1: the line ends have been turned into the two characters \\n");
    fs::write(&key, bench.key.replace('\n', " ")).unwrap();
    bench.tells("c.key: line 1: the line ends are missing");
    fs::write(&key, bench.key.replacen("MI", "M!", 1)).unwrap();
    bench.tells("c.key: the PEM of the private key on line 1 is damaged: line 2 is not base64");
    fs::write(&key, bench.key.replacen("MI", "MJ", 1)).unwrap();
    bench.tells("c.key: the private key on line 1 is damaged");
}

#[test]
fn a_start_and_the_cert_commands_show_no_key_either() {
    let bench = Bench::new();
    let damaged = line_ends_lost(&bench.key);
    fs::write(bench.path("c.key"), &damaged).unwrap();
    fs::write(bench.path("ca.key"), &damaged).unwrap();
    fs::copy(bench.path("c.crt"), bench.path("ca.crt")).unwrap();
    let words = "the two characters \\n";
    for command in ["show c.key", "check c.key", "new x.example", "ca"] {
        let mut cert = dbgate();
        cert.arg("cert").args(command.split(' '));
        let told = Ran::of(cert.current_dir(bench.gate.dir()));
        assert!(told.err.contains(words), "{command}: {told:?}");
        shows_nothing(&(told.out + &told.err), &bench.key);
    }
    // Its key is of no use, but the certificate is to be seen.
    let mut cert = dbgate();
    cert.args(["cert", "show", "c.crt"]);
    let told = Ran::of(cert.current_dir(bench.gate.dir())).out;
    assert!(told.contains("c.example"), "{told}");
    shows_nothing(&told, &bench.key);

    let other = Gate::stopped(&format!(
        "{EMPTY}[tls]\ncert = \"{}\"\nkey = \"{}\"\n\
         [database.a]\nbackends = [\"127.0.0.1:6379\"]\ntls = \"terminate\"\nhosts = [\"a.example\"]\n",
        bench.path("c.crt").display(),
        bench.path("c.key").display()
    ));
    let told = Ran::of(&mut other.serve()).failed(1);
    assert!(told.contains(words), "{told}");
    shows_nothing(&told, &bench.key);
}

#[test]
fn a_key_that_cannot_be_used_is_named_with_its_file_and_line() {
    let bench = Bench::new();
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/keys");
    for (name, words) in [
        (
            "encrypted",
            "is encrypted, and the gateway cannot ask for its passphrase: `openssl pkey -in ",
        ),
        (
            "encrypted-traditional",
            "is encrypted, and the gateway cannot ask for its passphrase: `openssl pkey -in ",
        ),
        (
            "rsa-1024",
            "is RSA of 1024 bits, and 2048 to 8192 can be used",
        ),
        (
            "secp256k1",
            "is of a kind that cannot be used (EC on secp256k1)",
        ),
        ("ed448", "is of a kind that cannot be used (Ed448)"),
        ("rsa-pss", "is of a kind that cannot be used (RSA-PSS)"),
    ] {
        let key = fs::read_to_string(format!("{keys}/{name}.pem")).unwrap();
        fs::write(bench.path("c.key"), format!("a remark\n{key}")).unwrap();
        bench.tells(&format!("c.key: the private key on line 2 {words}"));
    }
    // The line of the configuration is that of the key.
    let told = Ran::of(bench.gate.serve().arg("--check")).out;
    assert!(told.contains(":5:1: error: "), "{told}");
}

#[test]
fn files_that_do_not_belong_together_are_told_apart() {
    let bench = Bench::new();
    let (cert, key) = (bench.path("c.crt"), bench.path("c.key"));
    let chain = fs::read_to_string(&cert).unwrap();
    let words = ["cert", "new", "d.example", "--self-signed"];
    Ran::of(dbgate().args(words).current_dir(bench.gate.dir()));
    let other = fs::read_to_string(bench.path("d.example.crt")).unwrap();
    let other_key = fs::read_to_string(bench.path("d.example.key")).unwrap();
    let second = other.lines().count() + 1;

    fs::write(&cert, format!("{other}{chain}")).unwrap();
    bench.tells("c.crt: the certificates are in the wrong order: that of the key ");
    bench.tells(&format!(
        "c.key begins on line {second}, and has to be the first"
    ));
    fs::write(&cert, &other).unwrap();
    bench.tells("c.key does not belong to the certificate ");
    fs::write(&cert, &chain).unwrap();
    fs::write(&key, format!("{}{other_key}", bench.key)).unwrap();
    bench.tells("c.key: holds 2 private keys, on lines 1 and 6");
    fs::write(&key, &chain).unwrap();
    bench.tells("c.key: holds no private key that can be used, but a certificate on line 1");
    fs::write(&key, "").unwrap();
    bench.tells("c.key: holds no certificate and no key: it is empty");
    fs::write(&key, &bench.key).unwrap();
    fs::write(&cert, &bench.key).unwrap();
    bench.tells("c.crt: holds no certificate, but a private key on line 1");
}

#[test]
fn what_has_no_end_or_never_begins_is_not_read() {
    let bench = Bench::new();
    let key = bench.path("c.key");
    fs::remove_file(&key).unwrap();
    mknodat(CWD, &key, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    bench.tells("c.key: it is a pipe, not a regular file");
    fs::remove_file(&key).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &key).unwrap();
    bench.tells("c.key: it is a device, not a regular file");
    fs::remove_file(&key).unwrap();
    fs::create_dir(&key).unwrap();
    bench.tells("c.key: it is a directory, not a regular file");
    fs::remove_dir(&key).unwrap();
    fs::File::create(&key).unwrap().set_len(1 << 40).unwrap();
    bench.tells("c.key: it is larger than 1 MiB");
    fs::remove_file(&key).unwrap();
    bench.tells("c.key: No such file");
    // Authorities are read in the same way.
    let probe = ["probe", "tls://127.0.0.1:1", "--ca", "/dev/zero"];
    let told = Ran::of(dbgate().args(probe)).err;
    assert!(told.contains("it is a device"), "{told}");
    assert_eq!(bench.gate.revision(), 1, "nothing changed");
}
