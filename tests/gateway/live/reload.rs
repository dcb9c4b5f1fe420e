//! Certificates renewed on disk: in force for new handshakes after a reload, nothing to running
//! sessions; and files that cannot be used change nothing.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use super::Ground;
use crate::certs::{Ca, Leaf};
use crate::clients::{Action, Client, Target};
use crate::gateway::Gateway;
use crate::servers::Redis;
use crate::streams::{Echo, Trust};
use crate::testbed;

/// A certificate and a key at paths that stay while their content changes.
struct Pair(TempDir);

impl Pair {
    fn new(leaf: &Leaf) -> Self {
        let pair = Self(testbed::scratch());
        pair.renew(leaf);
        pair
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn renew(&self, leaf: &Leaf) {
        fs::write(self.path("crt"), &leaf.cert_pem).expect("a certificate file");
        fs::write(self.path("key"), &leaf.key_pem).expect("a key file");
    }

    fn keys(&self) -> String {
        format!(
            "cert = \"{}\"\nkey = \"{}\"\n",
            self.path("crt").display(),
            self.path("key").display()
        )
    }
}

/// Makes a key file unusable.
type Breakage<'a> = &'a dyn Fn(&Path);

/// A gateway that ends the TLS of two databases: `general` shows its own certificate, `special`
/// one of that database.
fn terminating(ca: Ca, general: &Pair, special: &Pair) -> Ground {
    let echo = Echo::plain();
    let database = |name: &str, more: &str| {
        format!(
            "[database.{name}]\nprotocol = \"tls\"\nbackends = [\"{}\"]\ntls = \"terminate\"\nhosts = [\"{name}.example.test\"]\n{more}",
            echo.addr()
        )
    };
    let config = format!(
        "[tls]\n{}{}{}",
        general.keys(),
        database("general", ""),
        database("special", &special.keys())
    );
    Ground {
        gateway: Gateway::start(&config),
        trust: Trust::new(&ca),
        echo,
        ca,
    }
}

#[test]
fn renewed_certificates_are_for_new_handshakes() {
    let ca = Ca::new("Renewal");
    let leaf = || ca.leaf(&["*.example.test"]);
    let (old, new) = ([leaf(), leaf()], [leaf(), leaf()]);
    let pairs = [Pair::new(&old[0]), Pair::new(&old[1])];
    let ground = terminating(ca, &pairs[0], &pairs[1]);
    for (n, name) in ["general", "special"].into_iter().enumerate() {
        let (mut running, id) = ground.open(name);
        assert_eq!(running.certificate(), old[n].der, "{name}");

        pairs[n].renew(&new[n]);
        let answer = ground.gateway.call("reload", &json!({}));
        assert_eq!(answer["sessions"], 0, "{answer}");

        let (late, _) = ground.open(name);
        assert_eq!(late.certificate(), new[n].der, "{name} after the reload");
        running.echo().expect("a session from before the reload");
        assert_eq!(ground.states(&[id]), ["open"]);
    }
}

#[test]
fn files_that_cannot_be_used_change_nothing() {
    let ca = Ca::new("Broken");
    let leaf = ca.leaf(&["*.example.test"]);
    let other = ca.leaf(&["*.example.test"]);
    let pairs = [Pair::new(&leaf), Pair::new(&leaf)];
    let ground = terminating(ca, &pairs[0], &pairs[1]);
    let (mut running, _) = ground.open("general");
    let before = ground.gateway.routes();

    let garbage = |path: &Path| fs::write(path, "no key").expect("a key file");
    let foreign = |path: &Path| fs::write(path, &other.key_pem).expect("a key file");
    let missing = |path: &Path| fs::remove_file(path).expect("a key file");
    let breakages: [(&str, Breakage); 3] = [
        ("garbage", &garbage),
        ("the key of another certificate", &foreign),
        ("no file", &missing),
    ];
    for pair in &pairs {
        for (what, break_it) in breakages {
            let key = pair.path("key");
            break_it(&key);
            // A change that would be seen if anything of this reload took effect.
            fs::write(pair.path("crt"), &leaf.cert_pem).expect("a certificate file");
            let error = ground.gateway.try_call("reload", &json!({})).unwrap_err();
            let error = error.to_string();
            assert!(
                error.contains(&key.display().to_string()),
                "{what}: the file is not named: {error}"
            );
            assert_eq!(before, ground.gateway.routes(), "{what}");
            let (new, _) = ground.open("general");
            assert_eq!(new.certificate(), leaf.der, "{what}");
            ground.open("special");
            running.echo().unwrap_or_else(|e| panic!("{what}: {e}"));
            pair.renew(&leaf);
        }
    }
    ground.gateway.call("reload", &json!({}));
}

#[test]
fn a_real_client_sees_the_new_serial_and_another_goes_on() {
    let ca = Ca::new("Renewal");
    let (old, new) = (ca.leaf(&["*.example.test"]), ca.leaf(&["*.example.test"]));
    let pair = Pair::new(&old);
    let server = Redis::plain("redis");
    let gateway = Gateway::start(&format!(
        "[tls]\n{}[database.redis]\nprotocol = \"redis\"\nbackends = [\"{}\"]\ntls = \"terminate\"\nhosts = [\"redis1.example.test\"]\n",
        pair.keys(),
        server.addr()
    ));
    let target = Target::new("redis1.example.test", gateway.port(), &ca);
    let idle = Client::RedisPy.spawn(Action::Idle, &target).ready();
    let idle = idle.unwrap_or_else(|answer| panic!("{answer:#?}"));

    pair.renew(&new);
    gateway.ctl_ok(&["reload"]);
    let answer = Client::RedisPy.whoami(&target);
    assert_eq!(answer.expect_who(), "redis");
    assert_eq!(answer.json["serial"], new.serial, "{answer:#?}");
    let answer = idle.go_on();
    assert_eq!(answer.expect_who(), "redis");
    assert_eq!(answer.json["serial"], old.serial, "{answer:#?}");
}
