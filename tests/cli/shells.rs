//! Completions in the shells themselves, as somebody sees them who presses TAB in a terminal: names
//! come from a running gateway; from anything else comes nothing, and never a word of complaint.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gate::{EMPTY, Gate, LIMIT, Ran, echo};
use crate::terminal::{Seen, Terminal};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Ctrl-G shows the line that is being typed.
const SHOW: &str = "\u{7}";

/// Ctrl-U takes it away.
const CLEAR: &str = "\u{15}";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shell {
    /// bash that reads the script itself.
    Bash,
    /// bash with the package bash-completion, which finds the script by the command's name.
    BashCompletion,
    Zsh,
    Fish,
}

const SHELLS: [Shell; 4] = [Shell::Bash, Shell::BashCompletion, Shell::Zsh, Shell::Fish];

impl Shell {
    /// The path at which packages put the script, and the command that starts the shell; `home` holds both.
    fn start(self, home: &Path) -> String {
        let (script, place, rc, command) = match self {
            Self::Bash => (
                "dbgate.bash",
                "dbgate.bash",
                "source ~/dbgate.bash\n",
                "bash --noprofile --rcfile ~/rc -i",
            ),
            Self::BashCompletion => (
                "dbgate.bash",
                "share/bash-completion/completions/dbgate",
                "source /usr/share/bash-completion/bash_completion\n",
                "bash --noprofile --rcfile ~/rc -i",
            ),
            Self::Zsh => (
                "_dbgate",
                "functions/_dbgate",
                "fpath=(~/functions $fpath); autoload -U compinit; compinit -u -d ~/dump\n\
                 show() { print -r -- \"<line:${BUFFER}:line>\"; zle reset-prompt }\n\
                 zle -N show; bindkey '^G' show; PS1='$ '\n",
                "env ZDOTDIR=\"$HOME\" zsh -i",
            ),
            Self::Fish => (
                "dbgate.fish",
                "share/fish/vendor_completions.d/dbgate.fish",
                "function fish_prompt; echo '$ '; end\n\
                 set -g fish_greeting; set -g fish_autosuggestion_enabled 0\n\
                 bind \\cg 'echo; echo \"<line:\"(commandline)\":line>\"; commandline -f repaint'\n",
                "fish -i -C 'source ~/rc'",
            ),
        };
        let place = home.join(place);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(Path::new(ROOT).join("completions").join(script), place).unwrap();
        let of_bash = "bind -x '\"\\C-g\": echo \"<line:${READLINE_LINE}:line>\"'; PS1='$ '\n";
        let rc = match self {
            Self::Bash | Self::BashCompletion => rc.to_owned() + of_bash,
            Self::Zsh | Self::Fish => rc.to_owned(),
        };
        for name in ["rc", ".zshrc"] {
            fs::write(home.join(name), &rc).unwrap();
        }
        command.to_owned()
    }
}

/// A shell in a terminal, in an empty directory, with `dbgate` on its path.
struct Prompt {
    terminal: Terminal,
    shell: Shell,
    home: TempDir,
}

impl Prompt {
    /// With the binary under test, and this control socket in the environment.
    fn new(shell: Shell, socket: Option<&Path>) -> Self {
        Self::with(shell, socket, |dbgate| {
            symlink(env!("CARGO_BIN_EXE_dbgate"), dbgate).unwrap();
        })
    }

    /// With the program that `place` puts there as `dbgate`.
    fn with(shell: Shell, socket: Option<&Path>, place: impl FnOnce(&Path)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path();
        for dir in ["bin", "here", "run"] {
            fs::create_dir(path.join(dir)).unwrap();
        }
        place(&path.join("bin/dbgate"));
        let start = shell.start(path);
        let socket = socket.map_or(String::new(), |socket| {
            format!("export DBGATE_SOCKET='{}';", socket.display())
        });
        let terminal = Terminal::run(&format!(
            "stty rows 24 cols 100; unset DBGATE_SOCKET; {socket} \
             export HOME='{}'; export PATH=\"$HOME/bin:/usr/bin:/bin\" \
             XDG_DATA_DIRS=\"$HOME/share:/usr/share\" XDG_RUNTIME_DIR=\"$HOME/run\" \
             XDG_CONFIG_HOME=\"$HOME\" XDG_DATA_HOME=\"$HOME\"; \
             cd \"$HOME/here\"; exec {start}",
            path.display(),
        ));
        terminal.shows("$ ");
        Self {
            terminal,
            shell,
            home,
        }
    }

    /// Presses these keys; the line as it is then.
    fn press(&mut self, keys: &str) -> String {
        let before = lines(&self.terminal.seen.0.lock().unwrap()).len();
        self.terminal.type_in(keys);
        self.terminal.type_in(SHOW);
        let line = self
            .terminal
            .wait("the line", |seen| lines(seen).into_iter().nth(before));
        line.trim_end().to_owned()
    }

    /// The line that TAB makes of this one. On a busy machine names may come too late for one TAB;
    /// then it is pressed again.
    fn completes(&mut self, typed: &str, wanted: &str) {
        self.press(typed);
        let until = Instant::now() + LIMIT;
        let mut line = self.press("\t");
        while line != wanted && Instant::now() < until {
            line = self.press("\t");
        }
        assert_eq!(line, wanted, "{:?}\n{}", self.shell, self.screen());
        self.press(CLEAR);
    }

    /// TAB makes nothing of these lines, and says nothing.
    fn leaves(&mut self, lines: &[&str]) {
        for line in lines {
            self.press(line);
            for _ in 0..2 {
                assert_eq!(self.press("\t"), *line, "{:?}", self.shell);
            }
            self.press(CLEAR);
        }
        let screen = self.screen();
        let mut rest = screen.replace('$', "");
        for line in lines {
            rest = rest.replace(&format!("<line:{line}:line>"), "");
            rest = rest.replace(line, "");
        }
        assert_eq!(
            rest.replace("<line::line>", "").trim(),
            "",
            "{:?}\n{screen}",
            self.shell
        );
    }

    fn screen(&self) -> String {
        let seen = self.terminal.seen.0.lock().unwrap();
        seen.screen.screen().contents()
    }
}

/// The lines that Ctrl-G has shown.
fn lines(seen: &Seen) -> Vec<String> {
    let text = String::from_utf8_lossy(&seen.bytes);
    text.split("<line:")
        .skip(1)
        .filter_map(|rest| rest.split_once(":line>"))
        .map(|(line, _)| line.to_owned())
        .collect()
}

fn with_databases() -> Gate {
    // A session here never gets beyond its first hello.
    let gate = Gate::new(&format!("{EMPTY}[timeouts]\nhandshake = \"1h\"\n"));
    let to = echo().to_string();
    for (name, host) in [("zebra-1", "stripes.example"), ("other", "other.example")] {
        let expose = ["expose", name, "--host", host, "--to", &to];
        gate.ctl(&[&expose[..], &["--protocol", "tls"]].concat())
            .done();
    }
    gate
}

#[test]
fn each_shell_gets_names_of_the_running_gateway() {
    let gate = with_databases();
    let _session = gate.session("stripes.example");
    let id = gate.json(&["sessions"])["sessions"][0]["id"].to_string();
    let backend = gate.json(&["show", "zebra-1"])["database"]["backends"][0]["address"].clone();
    let backend = backend.as_str().unwrap().to_owned();
    for shell in SHELLS {
        let mut prompt = Prompt::new(shell, Some(gate.socket()));
        fs::write(prompt.home.path().join("here/file.crt"), "").unwrap();
        for (typed, more) in [
            ("dbgate ctl hide ze", "bra-1"),
            ("dbgate ctl show ze", "bra-1"),
            ("dbgate ctl drain --within 5s ze", "bra-1"),
            ("dbgate ctl drain zebra-2 ze", "bra-1"),
            ("dbgate ctl expose ze", "bra-1"),
            ("dbgate ctl kill --database ze", "bra-1"),
            ("dbgate ctl kill --database=ze", "bra-1"),
            ("dbgate ctl sessions -o json --database ze", "bra-1"),
            ("dbgate ctl kill ", &id),
            ("dbgate ctl explain st", "ripes.example"),
            ("dbgate ctl explain x.example --listener ", "main"),
            ("dbgate ctl hide zebra-1 --host ", "stripes.example"),
            ("dbgate ctl drain zebra-1 --backend ", &backend),
            ("dbgate ctl list ze", "bra-1"),
            // What needs no gateway.
            ("dbgate ctl events --kind session cert", "ificate"),
            ("dbgate probe explain cert-wil", "dcard-depth"),
            ("dbgate probe rediss", "://"),
            ("dbgate top --tab rejects --sort cou", "nt"),
            ("dbgate top --filter sn", "i:"),
            ("dbgate top --tab rejects --filter reason:unknown_h", "ost"),
            ("dbgate cert show ./fi", "le.crt"),
            ("dbgate cert check fi", "le.crt"),
            ("dbgate serve --config fi", "le.crt"),
            // What was static before still is.
            ("dbgate ctl hide zebra-1 --if-ex", "ists"),
            ("dbgate ctl rej", "ects"),
        ] {
            prompt.completes(typed, &format!("{typed}{more}"));
        }
    }
}

#[test]
fn each_shell_asks_at_the_socket_that_was_typed() {
    let mut gate = Gate::stopped(EMPTY);
    fs::create_dir(gate.dir().join("a b")).unwrap();
    gate.place_socket("a b/s.sock");
    gate.start();
    let to = echo().to_string();
    let expose = [
        "expose",
        "zebra-1",
        "--host",
        "stripes.example",
        "--to",
        &to,
    ];
    gate.ctl(&[&expose[..], &["--protocol", "tls"]].concat())
        .done();
    let socket = gate.socket().display();
    for shell in SHELLS {
        let mut prompt = Prompt::new(shell, Some(Path::new("/nonexistent/s.sock")));
        for typed in [
            format!("dbgate ctl --socket '{socket}' hide ze"),
            format!("dbgate ctl hide --socket='{socket}' ze"),
            format!(
                "dbgate ctl hide --socket {} ze",
                gate.socket().display().to_string().replace(' ', "\\ ")
            ),
        ] {
            prompt.completes(&typed, &format!("{typed}bra-1"));
        }
    }
}

#[test]
fn without_a_gateway_nothing_comes_and_nothing_is_said() {
    let mut gate = with_databases();
    gate.kill();
    let absent = gate.dir().join("absent.sock");
    for shell in SHELLS {
        for socket in [gate.socket(), &absent, Path::new("/etc/passwd")] {
            let mut prompt = Prompt::new(shell, Some(socket));
            prompt.leaves(&["dbgate ctl hide ze", "dbgate ctl kill --database ze"]);
        }
        let mut nowhere = Prompt::with(shell, None, |_| {});
        nowhere.leaves(&["dbgate ctl hide ze"]);
    }
}

/// A gateway that takes connections and never answers, longer than `ctl` would wait.
#[test]
fn a_gateway_that_hangs_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s.sock");
    let _hanging = UnixListener::bind(&socket).unwrap();
    for shell in SHELLS {
        let mut prompt = Prompt::new(shell, Some(&socket));
        prompt.leaves(&["dbgate ctl hide ze"]);
    }
    // `ctl` itself would wait for 30 s; 124 is what `timeout` says when it has ended something.
    let mut asked = Command::new("timeout");
    asked
        .args(["20", env!("CARGO_BIN_EXE_dbgate"), "__complete", "dbgate"])
        .args(["ctl", "--socket"])
        .arg(&socket)
        .args(["hide", ""]);
    // No names, nor files in their place.
    assert_eq!(Ran::of(&mut asked).done(), "\t\n");
}

/// One that answers with what a shell would obey.
#[test]
fn hostile_names_are_not_offered() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut request = String::new();
            // A caller that has left is no matter here.
            let _ = BufReader::new(&stream).read_line(&mut request);
            let request: Value = serde_json::from_str(&request).unwrap_or_default();
            let named = |name: &str| json!({ "name": name, "protocol": "\u{1b}]0;owned\u{7}" });
            let answer = json!({ "id": request["id"], "ok": true, "databases": [
                named("ze$(touch owned)"), named("ze`touch owned`"), named("ze;touch owned"),
                named("ze\ntouch owned"), named("ze\u{1b}[2J"), named("--kill"), named("zebra-1"),
            ]});
            let _ = writeln!(&stream, "{answer}");
        }
    });
    for shell in SHELLS {
        let mut prompt = Prompt::new(shell, Some(&socket));
        prompt.completes("dbgate ctl hide ze", "dbgate ctl hide zebra-1");
        assert!(!prompt.home.path().join("here/owned").exists(), "{shell:?}");
    }
}

/// Another program of the same name, which gives the shell something to expand.
#[test]
fn the_shells_expand_nothing() {
    let hostile = "#!/bin/sh\n\
        : >\"$HOME/ran\"; echo loud >&2\n\
        printf 'ze$(touch owned)`touch owned`${x:=y}\\tremark\\n'\n";
    for shell in SHELLS {
        let mut prompt = Prompt::with(shell, None, |dbgate| {
            fs::write(dbgate, hostile).unwrap();
            fs::set_permissions(dbgate, Permissions::from_mode(0o755)).unwrap();
        });
        prompt.press("dbgate ctl hide ze");
        let ran = prompt.home.path().join("ran");
        assert!(!ran.exists(), "{shell:?} has run it before TAB");
        let line = prompt.press("\t");
        assert!(ran.exists(), "{shell:?}");
        assert!(line.contains("owned"), "{shell:?}: {line:?}");
        // What was put into the line is quoted: a word, and nothing else.
        prompt.press("\u{1}: \u{5}\n");
        let here = prompt.home.path().join("here/owned");
        assert!(!here.exists(), "{shell:?}\n{}", prompt.screen());
        assert!(!prompt.screen().contains("loud"), "{}", prompt.screen());
    }
}

/// There is a file, but nowhere here can its name be meant.
#[test]
fn names_of_files_are_not_offered_where_none_can_be_meant() {
    let gate = with_databases();
    for shell in SHELLS {
        let mut prompt = Prompt::new(shell, Some(gate.socket()));
        fs::write(prompt.home.path().join("here/qqfile.crt"), "").unwrap();
        prompt.leaves(&[
            "dbgate qq",
            "dbgate ctl qq",
            "dbgate ctl hide qq",
            "dbgate ctl hide zebra-1 --reason qq",
            "dbgate ctl hide zebra-1 --drain qq",
            "dbgate ctl expose zebra-1 --to qq",
            "dbgate ctl kill qq",
            "dbgate ctl status qq",
            "dbgate ctl events --kind qq",
            "dbgate probe qq",
            "dbgate probe explain qq",
            "dbgate cert new qq",
            "dbgate top --sort qq",
            "dbgate serve --user qq",
        ]);
    }
}
