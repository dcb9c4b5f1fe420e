//! Changes that are kept over a restart, after a crash at any moment, and beside files that are damaged.

use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use super::syscalls::faults::{self, Plan};
use super::*;
use crate::author::Author;
use crate::cert::scratch::Scratch;
use crate::route::admin::Drain;

fn host(text: &str) -> Host {
    text.parse().unwrap()
}

fn entry(text: &str) -> RuntimeEntry {
    serde_json::from_str(text).unwrap()
}

fn runtime() -> RuntimeChanges {
    let mut runtime = RuntimeChanges::default();
    let pg9 = r#"{
        "database": {"protocol": "postgres", "backends": ["10.0.0.9:5432"]},
        "exposed": {"*.example": {}}
    }"#;
    runtime.put("pg9", entry(pg9));
    runtime.put("pg1", entry(r#"{"hidden": ["a.example"]}"#));
    runtime
}

/// Keeps runtime changes that are small enough to be written as a whole.
fn save(dir: &StateDir, runtime: &RuntimeChanges) {
    dir.save(&BTreeMap::new(), runtime).unwrap();
}

/// Runtime changes whose file is large enough for a journal.
fn large() -> RuntimeChanges {
    large_of(1_000)
}

fn large_of(databases: usize) -> RuntimeChanges {
    let mut runtime = RuntimeChanges::default();
    for i in 0..databases {
        let hosts = format!(
            r#"{{"hidden": ["a{i}.example", "{}.example"]}}"#,
            "b".repeat(60)
        );
        runtime.put(&format!("db{i}"), entry(&hosts));
    }
    runtime
}

/// Puts `hidden` on one database and keeps that.
fn change(dir: &StateDir, runtime: &mut RuntimeChanges, name: &str, hidden: &str) {
    let now = entry(&format!(r#"{{"hidden": ["{hidden}"]}}"#));
    runtime.put(name, now.clone());
    dir.save(&BTreeMap::from([(name, now)]), runtime).unwrap();
}

/// A directory with a large file and one change in the journal beside it; the journal, and what is
/// kept.
fn with_journal() -> (Scratch, PathBuf, StateDir, RuntimeChanges) {
    let scratch = Scratch::new();
    let journal = scratch.path().join(JOURNAL);
    let mut now = large();
    let dir = StateDir::open(scratch.path()).unwrap();
    save(&dir, &now);
    change(&dir, &mut now, "db1", "x.example");
    (scratch, journal, dir, now)
}

/// The runtime changes that a process finds after a crash.
fn found(path: &Path) -> RuntimeChanges {
    StateDir::open(path).unwrap().load().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_is_saved_is_there_for_the_next_process() {
    let scratch = Scratch::new();
    let path = scratch.path().join("a/state");
    let dir = StateDir::open(&path).unwrap();
    assert_eq!(dir.load().unwrap(), RuntimeChanges::default());
    save(&dir, &runtime());
    assert_eq!(dir.load().unwrap(), runtime());
    drop(dir);
    assert_eq!(StateDir::open(&path).unwrap().load().unwrap(), runtime());
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join(FILE)), 0o600);
}

#[test]
fn a_directory_has_one_user() {
    let scratch = Scratch::new();
    let dir = StateDir::open(scratch.path()).unwrap();
    let error = StateDir::open(scratch.path()).unwrap_err();
    assert!(matches!(error, StateError::InUse { .. }), "{error}");
    drop(dir);
    StateDir::open(scratch.path()).unwrap();
}

#[test]
fn an_interrupted_save_leaves_the_one_before() {
    let scratch = Scratch::new();
    let dir = StateDir::open(scratch.path()).unwrap();
    save(&dir, &runtime());
    fs::write(scratch.path().join(UNFINISHED), "{\"vers").unwrap();
    assert_eq!(dir.load().unwrap(), runtime());
    save(&dir, &RuntimeChanges::default());
    assert_eq!(dir.load().unwrap(), RuntimeChanges::default());
    assert!(!scratch.path().join(UNFINISHED).exists());
}

#[test]
fn a_damaged_file_is_told_and_left_alone() {
    let scratch = Scratch::new();
    let dir = StateDir::open(scratch.path()).unwrap();
    let file = scratch.path().join(FILE);
    for (text, why) in [
        ("", "incomplete JSON"),
        ("{\"version\":1", "incomplete JSON"),
        ("[]", "expected an object"),
        ("{}", "no version"),
        ("{\"version\":4}", "newer dbgate"),
        ("{\"version\":1,\"hiden\":{}}", "hiden"),
        (
            "{\"version\":1,\"hidden\":{\"a\":[\"10.0.0.1\"]}}",
            "not a host",
        ),
    ] {
        fs::write(&file, text).unwrap();
        let error = dir.load().unwrap_err().to_string();
        let told = [file.to_str().unwrap(), why, "move it away"];
        assert!(told.iter().all(|t| error.contains(t)), "{text}: {error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
}

/// As the gateway wrote both that knew no drains: the file, and more in the journal. The first
/// change writes all of it anew, in a layout that the earlier gateway refuses in words.
#[test]
fn what_was_written_before_there_were_drains_is_read() {
    let scratch = Scratch::new();
    let dir = StateDir::open(scratch.path()).unwrap();
    let text = r#"{
  "version": 2,
  "generation": 5,
  "databases": {
    "pg9": {
      "protocol": "postgres",
      "backends": ["10.0.0.9:5432"],
      "tls": "passthrough"
    }
  },
  "exposed": { "pg9": { "9.example": {} } },
  "hidden": { "pg1": ["a.example"], "gone": ["b.example"] }
}
"#;
    fs::write(scratch.path().join(FILE), text).unwrap();
    let journal = "{\"generation\":5}\n{\"pg8\":{\"database\":{\"protocol\":\"postgres\",\"backends\":[\"10.0.0.8:5432\"],\"tls\":\"passthrough\"},\"exposed\":{\"8.example\":{}}}}\n{\"pg1\":{\"hidden\":[\"c.example\"]}}\n";
    fs::write(scratch.path().join(JOURNAL), journal).unwrap();
    let mut runtime = dir.load().unwrap();
    let names: Vec<_> = runtime
        .record()
        .databases
        .keys()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, ["pg8", "pg9"]);
    let hidden = runtime.record().hidden;
    assert_eq!(hidden["pg1"], [host("c.example")].into());
    assert_eq!(hidden["gone"], [host("b.example")].into());

    let mut entry = runtime.get("pg9").unwrap().clone();
    let by = Author::own("alice").because("update");
    entry.order(|admin| admin.drain = Some(Drain::begin(SystemTime::now(), None, &by)));
    runtime.put("pg9", entry);
    save(&dir, &runtime);
    let written = fs::read_to_string(scratch.path().join(FILE)).unwrap();
    assert!(written.starts_with("{\n  \"version\": 3,"), "{written}");
    assert!(!scratch.path().join(JOURNAL).exists());
    drop(dir);
    assert_eq!(found(scratch.path()), runtime);
}

#[test]
fn what_was_written_before_there_was_a_journal_is_read() {
    let scratch = Scratch::new();
    let dir = StateDir::open(scratch.path()).unwrap();
    let text = r#"{
        "version": 1,
        "databases": {"pg9": {"protocol": "postgres", "backends": ["10.0.0.9:5432"]}},
        "exposed": {"pg9": {"*.example": {}}},
        "hidden": {"pg1": ["a.example"]}
    }"#;
    fs::write(scratch.path().join(FILE), text).unwrap();
    assert_eq!(dir.load().unwrap(), runtime());
}

#[test]
fn changes_of_a_large_file_go_into_a_journal_until_that_is_as_large() {
    let scratch = Scratch::new();
    let (file, journal) = (scratch.path().join(FILE), scratch.path().join(JOURNAL));
    let mut now = large();
    let dir = StateDir::open(scratch.path()).unwrap();
    dir.load().unwrap();
    save(&dir, &now);
    let first = fs::read(&file).unwrap();
    let mut changes = 0_u32;
    while fs::read(&file).unwrap() == first {
        change(
            &dir,
            &mut now,
            &format!("db{changes}"),
            &format!("c{changes}.example"),
        );
        changes += 1;
        if changes % 500 == 2 {
            // What another process finds in the middle, and goes on with.
            assert_eq!(dir.load().unwrap(), now, "after {changes} changes");
            assert_eq!(mode(&journal), 0o600);
        }
    }
    assert!(
        changes > 1_000,
        "the file was written anew after {changes} changes"
    );
    assert!(!journal.exists());
    drop(dir);
    assert_eq!(found(scratch.path()), now);
}

#[test]
fn a_line_that_a_crash_cut_short_was_never_kept() {
    let (scratch, journal, dir, mut now) = with_journal();
    let text = fs::read(&journal).unwrap();
    drop(dir);
    for cut in 0..text.len() {
        fs::write(&journal, &text[..cut]).unwrap();
        assert_eq!(found(scratch.path()), large(), "cut at {cut}");
    }
    let torn = |tail: &[u8]| fs::write(&journal, [text.as_slice(), tail].concat()).unwrap();
    // The end of a line may come to the disk without its beginning.
    for tail in [&[0; 9][..], b"\0\0\0\0\":{}}}\n", b"{\"db2\":{\"hid"] {
        torn(tail);
        assert_eq!(found(scratch.path()), now, "with {tail:?}");
    }
    let dir = StateDir::open(scratch.path()).unwrap();
    dir.load().unwrap();
    // The next change takes the place of what was cut short.
    change(&dir, &mut now, "db3", "y.example");
    drop(dir);
    assert_eq!(found(scratch.path()), now);
}

#[test]
fn a_journal_of_an_earlier_file_is_of_no_use() {
    let (scratch, journal, dir, _) = with_journal();
    let old = fs::read(&journal).unwrap();
    drop(dir);
    // RuntimeRecord anew, and the journal was left behind by a crash.
    let dir = StateDir::open(scratch.path()).unwrap();
    dir.load().unwrap();
    dir.files().size = 0;
    save(&dir, &runtime());
    fs::write(&journal, old).unwrap();
    drop(dir);
    assert_eq!(found(scratch.path()), runtime());
}

#[test]
fn a_damaged_journal_is_told_and_left_alone() {
    let (_scratch, journal, dir, _) = with_journal();
    let text = fs::read_to_string(&journal).unwrap();
    for (bad, line) in [
        (text.replace("generation", "generatoin"), "line 1"),
        (text.replace(":1}", ":2}"), "a later exposures.json"),
        (text.replace("hidden", "hiden"), "line 2"),
        (text.replace("x.example", "10.0.0.1"), "line 2"),
    ] {
        fs::write(&journal, &bad).unwrap();
        let error = dir.load().unwrap_err().to_string();
        let told = [journal.to_str().unwrap(), line, "move it away"];
        assert!(told.iter().all(|t| error.contains(t)), "{bad}: {error}");
        assert_eq!(fs::read_to_string(&journal).unwrap(), bad);
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    fs::write(&file, "").unwrap();
    let error = StateDir::open(&file.join("state")).unwrap_err().to_string();
    assert!(error.contains(file.to_str().unwrap()), "{error}");
}

#[test]
fn what_others_have_put_there_is_not_used() {
    let planted = |name: &str, plant: &dyn Fn(&Path)| {
        let scratch = Scratch::new();
        plant(&scratch.path().join(name));
        let dir = StateDir::open(scratch.path());
        dir.and_then(|dir| dir.load().map(drop))
            .expect_err(name)
            .to_string()
    };
    let link = |path: &Path| std::os::unix::fs::symlink("/etc/hostname", path).unwrap();
    let pipe = |path: &Path| {
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, path, fifo, mode, 0).unwrap();
    };
    let open_to_all = |path: &Path| {
        fs::write(path, "{\"version\": 2}").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
    };
    let huge = |path: &Path| File::create(path).unwrap().set_len(1 << 30).unwrap();
    for name in [LOCK, FILE, JOURNAL] {
        let told = planted(name, &link);
        assert!(told.contains("it is a symbolic link"), "{name}: {told}");
        let told = planted(name, &pipe);
        assert!(told.contains("not a regular file"), "{name}: {told}");
        let told = planted(name, &open_to_all);
        assert!(told.contains("others can write it"), "{name}: {told}");
    }
    for (name, words) in [
        (FILE, "it is larger than 256 MiB"),
        (JOURNAL, "it is larger than 512 MiB"),
    ] {
        let told = planted(name, &huge);
        assert!(told.contains(words), "{name}: {told}");
    }
}

#[test]
fn nothing_is_written_through_a_link() {
    let (scratch, journal, dir, mut now) = with_journal();
    let target = scratch.path().join("target");
    fs::write(&target, "kept").unwrap();
    drop(dir);
    std::os::unix::fs::symlink(&target, scratch.path().join(UNFINISHED)).unwrap();
    let dir = StateDir::open(scratch.path()).unwrap();
    dir.load().unwrap();
    let generation = dir.files().generation;
    // The link is removed by the writing of the whole file, when the journal is as large.
    let hidden = format!("{}.example", "c".repeat(60));
    for name in (0..).take_while(|_| dir.files().generation == generation) {
        change(&dir, &mut now, &format!("db{}", name % 200), &hidden);
    }
    std::os::unix::fs::symlink(&target, &journal).unwrap();
    change(&dir, &mut now, "db1", "y.example");
    assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
    drop(dir);
    assert_eq!(StateDir::open(scratch.path()).unwrap().load().unwrap(), now);
}

#[test]
fn a_directory_that_others_can_write_in_is_refused() {
    let scratch = Scratch::new();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o775)).unwrap();
    let told = StateDir::open(scratch.path()).unwrap_err().to_string();
    assert!(told.contains("others can write in the directory"), "{told}");
    assert!(!scratch.path().join(LOCK).exists());
}

/// A change, before and after: with no file, a small one, a large one, a journal
/// beside it, one that is as large.
fn stages() -> Vec<Stage> {
    fn journal(path: &Path, full: bool) -> RuntimeChanges {
        let dir = StateDir::open(path).unwrap();
        let mut now = large_of(700);
        save(&dir, &now);
        change(&dir, &mut now, "db1", "x.example");
        if full {
            let long = "y".repeat(60);
            let has_room = || {
                let files = dir.files();
                files.journal.as_ref().unwrap().len() <= files.size
            };
            while has_room() {
                let hidden = (0..2_000).map(|i| format!("{i}.{long}.example").parse().unwrap());
                let entry = RuntimeEntry {
                    hidden: hidden.collect(),
                    ..RuntimeEntry::default()
                };
                now.put("db2", entry.clone());
                dir.save(&BTreeMap::from([("db2", entry)]), &now).unwrap();
            }
        }
        now
    }
    fn written(path: &Path, runtime: RuntimeChanges) -> RuntimeChanges {
        save(&StateDir::open(path).unwrap(), &runtime);
        runtime
    }
    type Way = fn(&Path) -> RuntimeChanges;
    let ways: [(&str, Way); 5] = [
        ("no file", |_| RuntimeChanges::default()),
        ("a small file", |path| written(path, runtime())),
        ("a large file", |path| written(path, large_of(700))),
        ("a journal", |path| journal(path, false)),
        ("a full journal", |path| journal(path, true)),
    ];
    ways.into_iter()
        .map(|(name, way)| {
            let scratch = Scratch::new();
            let runtime = way(scratch.path());
            Stage {
                name,
                scratch,
                runtime,
            }
        })
        .collect()
}

/// A state directory, and what it holds.
struct Stage {
    name: &'static str,
    scratch: Scratch,
    runtime: RuntimeChanges,
}

impl Stage {
    /// A copy of the directory.
    fn copy(&self) -> Scratch {
        let copy = Scratch::new();
        for entry in fs::read_dir(self.scratch.path()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        copy
    }
}

/// Whatever call fails, alone or with those that follow: what was refused is gone for the next
/// process, what was not is there, and this process and the next go on as before.
#[test]
fn an_answer_holds_whatever_call_fails() {
    const EIO: i32 = 5;
    const ENOSPC: i32 = 28;
    for stage in stages() {
        let (mut refused, mut unsynced) = (0, 0);
        for (errno, more, restart) in [(EIO, 0, false), (ENOSPC, 1, true), (EIO, 99, true)] {
            for first in 0.. {
                let scratch = stage.copy();
                let mut dir = StateDir::open(scratch.path()).unwrap();
                assert_eq!(dir.load().unwrap(), stage.runtime);
                let now = entry(r#"{"hidden": ["new.example"]}"#);
                let mut after = stage.runtime.clone();
                after.put("new", now.clone());
                let last = first + more;
                let plan = Plan { first, last, errno };
                let changed = BTreeMap::from([("new", now)]);
                let (done, calls) = faults::with(plan, || dir.save(&changed, &after));
                let failed = calls > first;
                let what = format!("{}, {plan:?}, {done:?}", stage.name);
                assert!(failed || done.is_ok(), "{what}");
                refused += u32::from(done.is_err());
                unsynced += u32::from(done.is_ok() && failed);
                let mut expected = if done.is_ok() {
                    after
                } else {
                    stage.runtime.clone()
                };
                if restart {
                    drop(dir);
                    dir = StateDir::open(scratch.path()).unwrap();
                    assert_eq!(dir.load().unwrap(), expected, "{what}");
                }
                change(&dir, &mut expected, "more", "more.example");
                drop(dir);
                assert_eq!(found(scratch.path()), expected, "{what}");
                if !failed {
                    break;
                }
            }
        }
        assert!(
            refused > 0 && unsynced > 0,
            "{}: {refused}, {unsynced}",
            stage.name
        );
    }
}
