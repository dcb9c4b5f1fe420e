//! The units of `config/` under a real systemd: verified, started, reloaded, stopped, activated by
//! their socket, as `tests/systemd/service` tells step by step.
//!
//! Not here: what systemd is told in detail (`tests/cli/service.rs`), and the package
//! (`tests/package`).

use std::path::Path;
use std::process::Command;

/// The exposure that `systemd-analyze security` may find at most, in tenths; ten of ten is the
/// worst. What is left is what a gateway is for: the network and privileged ports.
const EXPOSURE: &str = "THRESHOLD=15";

fn on(suite: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut boot = Command::new(root.join("tests/systemd/boot"));
    boot.args(["--suite", suite]);
    for (file, inside) in [
        (env!("CARGO_BIN_EXE_dbgate"), "/usr/bin/dbgate"),
        (
            "config/dbgate.service",
            "/etc/systemd/system/dbgate.service",
        ),
        ("config/dbgate.socket", "/etc/systemd/system/dbgate.socket"),
        ("tests/systemd/service", "/test/service"),
    ] {
        boot.arg("--bind")
            .arg(format!("{}:{inside}", root.join(file).display()));
    }
    let ran = boot
        .args(["env", EXPOSURE, "bash", "/test/service"])
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{}\n{}{}",
        ran.status,
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr),
    );
}

#[test]
fn the_units_work_on_debian_13() {
    on("trixie");
}

#[test]
fn the_units_work_on_debian_12_without_notify_reload() {
    on("bookworm");
}
