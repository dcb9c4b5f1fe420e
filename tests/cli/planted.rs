//! A state directory and a socket's directory in which somebody else has been first.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::gate::{EMPTY, Gate, Ran};

fn refused(gate: &Gate, words: &str) {
    let told = Ran::of(&mut gate.serve()).failed(1);
    assert!(told.contains(words), "not \"{words}\" in\n{told}");
    assert!(!gate.socket().exists());
}

#[test]
fn a_directory_that_others_can_change_is_not_used() {
    let mut gate = Gate::stopped(EMPTY);
    fs::create_dir(gate.state()).unwrap();
    fs::set_permissions(gate.state(), Permissions::from_mode(0o777)).unwrap();
    refused(&gate, "others can write in the directory ");
    fs::set_permissions(gate.state(), Permissions::from_mode(0o700)).unwrap();

    let place = gate.dir().join("open");
    fs::create_dir(&place).unwrap();
    fs::set_permissions(&place, Permissions::from_mode(0o777)).unwrap();
    gate.place_socket("open/s.sock");
    refused(&gate, "others can write in the directory ");
    // As in /tmp, where nobody can take the place of what is another's.
    fs::set_permissions(&place, Permissions::from_mode(0o1777)).unwrap();
    gate.start();

    if rustix::process::geteuid().is_root() {
        let other = Gate::stopped(EMPTY);
        fs::create_dir(other.state()).unwrap();
        chown(other.state(), Some(65534), None).unwrap();
        refused(
            &other,
            "belongs to another user (uid 65534, and dbgate is uid 0)",
        );
    }
}

#[test]
fn a_planted_key_is_not_served() {
    let mut gate = Gate::new(EMPTY);
    gate.kill();
    let key = gate.state().join("gateway.key");
    fs::set_permissions(&key, Permissions::from_mode(0o666)).unwrap();
    let told = Ran::of(&mut gate.serve()).failed(1);
    assert!(
        told.contains("gateway.key: others can write it (mode 666)"),
        "{told}"
    );
    fs::rename(&key, gate.dir().join("theirs")).unwrap();
    symlink(gate.dir().join("theirs"), &key).unwrap();
    let told = Ran::of(&mut gate.serve()).failed(1);
    assert!(
        told.contains("gateway.key: it is a symbolic link"),
        "{told}"
    );
    // Without it there is a new pair.
    fs::remove_file(&key).unwrap();
    gate.start();
}

#[test]
fn a_planted_link_is_not_followed() {
    let gate = Gate::new(EMPTY);
    let target = gate.dir().join("target");
    fs::write(&target, "kept").unwrap();
    symlink(&target, gate.state().join("exposures.json.new")).unwrap();
    let words = [
        "expose",
        "a",
        "--host",
        "a.example",
        "--to",
        "10.0.0.5:5432",
    ];
    gate.ctl(&words).done();
    assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
    let exposures = gate.state().join("exposures.json");
    assert!(fs::symlink_metadata(&exposures).unwrap().is_file());
    assert!(
        fs::read_to_string(&exposures)
            .unwrap()
            .contains("a.example")
    );
}

#[test]
fn a_state_file_that_never_ends_does_not_hold_up_the_start() {
    let gate = Gate::stopped(EMPTY);
    fs::create_dir(gate.state()).unwrap();
    for name in ["lock", "exposures.json", "exposures.journal", "gateway.key"] {
        let path = gate.state().join(name);
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        refused(&gate, "not a regular file");
        fs::remove_file(&path).unwrap();
    }
    let large = fs::File::create(gate.state().join("exposures.json")).unwrap();
    large.set_len(1 << 30).unwrap();
    refused(&gate, "exposures.json: it is larger than 256 MiB");
}
