//! The two commands that the README begins with, and every other script: what they do on machines that lack this or that.
//! The machines are folders of stand-ins, which the scripts find by `PATH` and which write down how they were called.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::text;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Every script of ours, by its first line, and what they source.
fn scripts() -> Vec<PathBuf> {
    let mut scripts = Vec::new();
    let mut directories = vec![root().to_owned(), root().join(".ci"), root().join("deploy")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && directory != root() {
                directories.push(path);
            } else if path.is_file() && is_script(&path) {
                scripts.push(path);
            }
        }
    }
    assert!(scripts.len() >= 8, "only {scripts:?} are scripts");
    scripts
}

fn is_script(path: &Path) -> bool {
    let bytes = std::fs::read(path).unwrap();
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap();
    first.starts_with(b"#!") && first.ends_with(b"sh") || first == b"# shellcheck shell=bash"
}

#[test]
fn every_script_can_be_read() {
    for path in scripts() {
        let parsed = Command::new("bash").arg("-n").arg(&path).output().unwrap();
        assert!(parsed.status.success(), "{}", text(&parsed.stderr));
    }
    let checked = Command::new("shellcheck")
        .args(["--external-sources", "--severity=warning"])
        .args(scripts())
        .current_dir(root())
        .output()
        .expect("shellcheck is installed (./run-tests does it)");
    assert!(checked.status.success(), "{}", text(&checked.stdout));
}

#[test]
fn the_readme_begins_with_two_commands_that_install_what_is_missing() {
    let readme = read("README.md");
    let block = readme.split("```sh\n").nth(1).unwrap();
    let block = block.split("```").next().unwrap();
    let commands: Vec<_> = block
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(commands, ["./demo", "./run-tests"]);
    for command in commands {
        let path = root().join(command);
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{command} is no program");
        let script = read(command);
        assert!(script.contains("\n. deploy/install-missing\n"), "{command}");
        assert!(!script.contains("apt-get install"), "{command}");
    }
}

/// A machine with nothing but what every Debian has.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn bare() -> Self {
        let machine = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        for dir in ["bin", "home"] {
            std::fs::create_dir(machine.dir.path().join(dir)).unwrap();
        }
        for tool in [
            "bash", "cat", "dirname", "env", "ln", "mkdir", "mktemp", "rm", "sed", "sh", "sort",
        ] {
            let path = ["/usr/bin", "/bin"].map(|dir| Path::new(dir).join(tool));
            let path = path.iter().find(|path| path.exists()).expect(tool);
            symlink(path, machine.bin(tool)).unwrap();
        }
        // What keeps services from being started lies outside of the folder.
        machine
            .has("tee", "cat >/dev/null")
            .has("chmod", "")
            .has("sudo", "exec \"$@\"")
    }

    fn bin(&self, tool: &str) -> PathBuf {
        self.dir.path().join("bin").join(tool)
    }

    /// With a tool that writes down how it was called, and then does this.
    fn has(self, tool: &str, does: &str) -> Self {
        let script = format!(
            "#!/bin/sh\ncase $0 in */tee|*/chmod|*/sudo|*/apt-cache) ;; *) echo \"${{0##*/}} $*\" >>\"$MACHINE/calls\" ;; esac\n{does}\n"
        );
        std::fs::write(self.bin(tool), script).unwrap();
        std::fs::set_permissions(self.bin(tool), std::fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// With Debian's packages: what is installed of them is there afterwards.
    fn debian(self, rustup: bool, install: &str) -> Self {
        let known = if rustup {
            "echo 'rustup | 1.27.1-3 | trixie'"
        } else {
            ""
        };
        let cargo = self.shell_of_cargo("1.95.0");
        self.has("apt-cache", known).has(
            "apt-get",
            &format!(
                "make() {{ echo '#!/bin/sh' >\"$MACHINE/bin/$1\"; cat >>\"$MACHINE/bin/$1\"; /bin/chmod +x \"$MACHINE/bin/$1\"; }}\n\
                 case $1 in install) {install} ;; *) exit 0 ;; esac\n\
                 for package; do case $package in\n\
                 gcc) make cc </dev/null ;;\n\
                 curl) make curl <<'END'\n{CURL}\nEND\n;;\n\
                 rustup) make rustup </dev/null; make cargo <<'END'\n{cargo}\nEND\n;;\n\
                 esac; done"
            ),
        )
    }

    fn shell_of_cargo(&self, version: &str) -> String {
        format!(
            "if [ \"$1\" = --version ]; then echo 'cargo {version} (abc 2026-01-01)'; else echo \"cargo $*\" >>\"$MACHINE/calls\"; fi"
        )
    }

    fn cargo(self, version: &str) -> Self {
        let script = format!("#!/bin/sh\n{}\n", self.shell_of_cargo(version));
        std::fs::write(self.bin("cargo"), script).unwrap();
        std::fs::set_permissions(self.bin("cargo"), std::fs::Permissions::from_mode(0o755))
            .unwrap();
        self
    }

    /// Calls `./demo --for 20s`; gives how it ended and which calls it made.
    fn demo(&self) -> (Output, Vec<String>) {
        let output = Command::new(root().join("demo"))
            .args(["--for", "20s"])
            .env_clear()
            .env("PATH", self.dir.path().join("bin"))
            .env("HOME", self.dir.path().join("home"))
            .env("MACHINE", self.dir.path())
            .output()
            .unwrap();
        let calls = std::fs::read_to_string(self.dir.path().join("calls")).unwrap_or_default();
        (output, calls.lines().map(str::to_owned).collect())
    }
}

/// Fetches what rustup.rs offers: a script that installs a cargo.
const CURL: &str = r#"echo "curl $*" >>"$MACHINE/calls"
while [ "$1" != -o ]; do shift; done
cat >"$2" <<'SCRIPT'
echo "rustup-init $*" >>"$MACHINE/calls"
mkdir -p "$HOME/.cargo/bin"
cat >"$HOME/.cargo/bin/cargo" <<'CARGO'
#!/bin/sh
if [ "$1" = --version ]; then echo "cargo 1.95.0 (abc 2026-01-01)"; else echo "cargo $*" >>"$MACHINE/calls"; fi
CARGO
/bin/chmod +x "$HOME/.cargo/bin/cargo"
ln -s cargo "$HOME/.cargo/bin/rustup"
SCRIPT"#;

const RUN: &str = "cargo run --release --locked -- demo --for 20s";

fn has_call(calls: &[String], parts: &[&str]) -> bool {
    calls
        .iter()
        .any(|call| parts.iter().all(|part| call.contains(part)))
}

#[test]
fn what_is_there_is_used_as_it_is() {
    let machine = Machine::bare()
        .has("cc", "")
        .has("curl", "")
        .cargo("1.96.1");
    let (output, calls) = machine.demo();
    assert!(output.status.success(), "{}", text(&output.stderr));
    // But for certificates, where the machine of the test has none, nothing is asked.
    assert_eq!(calls, [RUN]);
}

#[test]
fn debian_12_gets_rustup_from_its_site() {
    let machine = Machine::bare().debian(false, ":");
    let (output, calls) = machine.demo();
    assert!(
        output.status.success(),
        "{}\n{calls:?}",
        text(&output.stderr)
    );
    assert!(
        has_call(
            &calls,
            &["apt-get install", "--no-remove", " gcc libc6-dev curl"]
        ),
        "{calls:?}"
    );
    assert!(
        has_call(&calls, &["curl", "--proto =https", "https://sh.rustup.rs"]),
        "{calls:?}"
    );
    assert!(
        has_call(&calls, &["rustup-init -y --no-modify-path"]),
        "{calls:?}"
    );
    assert_eq!(calls.last().unwrap(), RUN);
    assert!(
        !has_call(&calls, &["install", "rustup", "apt-get"]),
        "{calls:?}"
    );
}

#[test]
fn debian_13_has_rustup() {
    let machine = Machine::bare().debian(true, ":");
    let (output, calls) = machine.demo();
    assert!(
        output.status.success(),
        "{}\n{calls:?}",
        text(&output.stderr)
    );
    assert!(
        has_call(&calls, &["apt-get install", "rustup"]),
        "{calls:?}"
    );
    assert!(
        !has_call(&calls, &["curl"]) || !has_call(&calls, &["sh.rustup.rs"]),
        "{calls:?}"
    );
    assert_eq!(calls.last().unwrap(), RUN);
}

#[test]
fn an_old_cargo_stays_and_is_not_used() {
    // Debian's rustup would take the place of Debian's cargo, which --no-remove forbids.
    let machine = Machine::bare()
        .debian(
            true,
            "case $* in *rustup*) echo 'E: Packages need to be removed' >&2; exit 100 ;; esac",
        )
        .cargo("1.85.0");
    let (output, calls) = machine.demo();
    assert!(
        output.status.success(),
        "{}\n{calls:?}",
        text(&output.stderr)
    );
    assert!(has_call(&calls, &["rustup-init -y"]), "{calls:?}");
    assert_eq!(calls.last().unwrap(), RUN);
    let kept = std::fs::read_to_string(machine.bin("cargo")).unwrap();
    assert!(kept.contains("1.85.0"));
}

#[test]
fn what_cannot_be_had_is_said() {
    let toolchain = read("rust-toolchain.toml");
    let version = toolchain.split('"').nth(1).unwrap();
    let offline = Machine::bare()
        .debian(false, ":")
        .has("cc", "")
        .has("curl", "exit 6");
    let (output, calls) = offline.demo();
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for part in [version, "https://rustup.rs"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(!has_call(&calls, &["cargo run"]), "{calls:?}");

    // No Debian, and no compiler.
    let (output, _) = Machine::bare().cargo("1.95.0").demo();
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for part in ["gcc", "libc6-dev", "C compiler"] {
        assert!(told.contains(part), "{told}");
    }
}
