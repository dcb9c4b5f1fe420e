//! One drill: the set-up is made, the binary is run as its user runs it, once for text and once for
//! JSON, and both are held against what is true and against the files of this folder.

use std::{env, fs, path::PathBuf};

use serde_json::Value;

use super::{normal, scene::Scene};
use crate::testbed::source;

/// A row of the table.
pub(crate) struct Drill {
    pub(crate) name: &'static str,
    pub(crate) setup: fn() -> Scene,
    /// The arguments, with placeholders such as `{port}`.
    pub(crate) line: &'static str,
    pub(crate) exit: i32,
    pub(crate) code: &'static str,
    /// Words of what happened or what it means.
    pub(crate) cause: &'static str,
    /// Words of what to do.
    pub(crate) remedy: &'static str,
}

impl Drill {
    /// Makes the set-up, and holds what is said of it against the row and the files.
    #[track_caller]
    pub(crate) fn run(&self) {
        let scene = (self.setup)();
        let (reports, text) = self.look(&scene);
        let (words, told) = (scene.words(), normal::versions(&reports));
        let words: Vec<_> = words.iter().chain(&told).cloned().collect();
        self.compare("txt", &normal::text(&text, &words));
        let reports = reports.into_iter().map(|report| {
            let report = normal::report(report, &words);
            serde_json::to_string_pretty(&report).expect("JSON") + "\n"
        });
        self.compare("json", &reports.collect::<String>());
    }

    /// The same, against the row only.
    #[track_caller]
    pub(crate) fn check(&self) {
        self.look(&(self.setup)());
    }

    /// The JSON and the text, once both hold.
    #[track_caller]
    fn look(&self, scene: &Scene) -> (Vec<Value>, String) {
        let told = scene.probe(self.line, "json");
        let stdout = String::from_utf8(told.stdout).expect("UTF-8");
        let all = format!("{stdout}{}", String::from_utf8_lossy(&told.stderr));
        let lines = stdout.lines().map(|line| {
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{}: not JSON: {error}\n{all}", self.name))
        });
        let reports: Vec<Value> = lines.collect();
        // Several looks end with what they come to together.
        let report = reports.last().expect("a line of JSON");
        let shown = serde_json::to_string_pretty(report).expect("JSON");
        assert_eq!(
            (report["code"].as_str(), told.status.code()),
            (Some(self.code), Some(self.exit)),
            "{}\n{shown}",
            self.name
        );
        if let Some(established) = report["established"].as_bool() {
            assert_eq!(established, self.exit < 2, "{shown}");
        }

        let words = scene.probe(self.line, "text");
        assert_eq!(words.status.code(), Some(self.exit), "{words:?}");
        let text = String::from_utf8(words.stdout).expect("UTF-8");
        let explain = format!("dbgate probe explain {}", self.code);
        assert!(
            self.code == "ok" || text.contains(&explain),
            "no {explain:?} in\n{text}"
        );
        self.assert_explained(report, &text);
        (reports, text)
    }

    /// The leading finding, and so the text, says what the cause is and what to do.
    fn assert_explained(&self, report: &Value, text: &str) {
        let lead = &report["findings"][0];
        let of_lead = |keys: &[&str]| -> String {
            let texts = keys.iter().filter_map(|key| lead[*key].as_str());
            texts.collect::<Vec<_>>().join(" ")
        };
        let flat = normal::flat(text);
        let (cause, remedy) = if self.code == "ok" {
            (flat.clone(), String::new())
        } else {
            let cause = of_lead(&["summary", "detail", "meaning"]);
            (cause, of_lead(&["remedy", "command"]))
        };
        for (wanted, said) in [(self.cause, cause), (self.remedy, remedy)] {
            assert!(said.contains(wanted), "no {wanted:?} in {said:?}\n{text}");
            assert!(flat.contains(wanted), "no {wanted:?} in\n{text}");
        }
    }

    /// Holds a file of this folder against what was said; `DBGATE_REFRESH=1` writes it anew.
    fn compare(&self, suffix: &str, said: &str) {
        let path = self.snapshot(suffix);
        let there = fs::read_to_string(&path).unwrap_or_default();
        // Where a line is broken depends on the digits of a port.
        if normal::flat(&there) == normal::flat(said) {
            return;
        }
        if env::var_os("DBGATE_REFRESH").is_some() {
            fs::write(&path, said).expect("a snapshot");
            return;
        }
        panic!(
            "{} is stale; DBGATE_REFRESH=1 tests/run --test probe drills::{}\n--- there\n{there}\n\
             --- said\n{said}",
            path.display(),
            self.name
        );
    }

    fn snapshot(&self, suffix: &str) -> PathBuf {
        let name = self.name.replace('_', "-");
        source(&format!("probe/drills/{name}.{suffix}"))
    }
}

/// No file is left of a drill that is no more.
pub(crate) fn assert_no_stray(drills: &[&str]) {
    let folder = fs::read_dir(source("probe/drills")).expect("the folder of the drills");
    for path in folder.map(|entry| entry.expect("an entry").path()) {
        let is = |suffix: &str| path.extension().is_some_and(|it| it == suffix);
        let name = path.file_stem().expect("a name").to_string_lossy();
        let known = drills.contains(&name.replace('-', "_").as_str());
        assert!(
            is("rs") || known,
            "no drill is called as {}",
            path.display()
        );
    }
}
