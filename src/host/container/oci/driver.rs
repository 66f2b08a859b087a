//! The command line of a runtime, which is runc's.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::super::protocol::StartError;
use crate::desired::RuntimeSpec;
use crate::name::ContainerId;

/// What a runtime finds its own tools by (nvidia's looks for runc).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Flags that a runtime needs here, by its program's name.
///
/// gVisor's own network stack takes the addresses away from the container's link, so that the next process on it has none,
/// and reaches nothing on the link's loopback, where the name server is. With the kernel's stack of the container's own
/// network namespace, names, published ports and restarts work as for everybody else.
const FLAGS: [(&str, &str); 1] = [("runsc", "--network=host")];

/// A container and the runtime that drives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Driver {
    /// The runtime, as the user named it.
    pub name: String,
    /// Its program.
    pub program: PathBuf,
    /// The folder of the bundle and of what the runtime keeps.
    pub folder: PathBuf,
    /// The name of the container in the runtime's words.
    pub id: ContainerId,
    /// The host name that it has, for the environment of who joins it.
    pub hostname: String,
}

impl Driver {
    /// The driver of the container whose run folder is `run`.
    pub fn new(spec: &RuntimeSpec, run: &Path, id: &ContainerId, hostname: &str) -> Driver {
        let RuntimeSpec { name, program } = spec.clone();
        Driver { name, program, folder: run.join("oci"), id: id.clone(), hostname: hostname.to_owned() }
    }

    /// Where the runtime writes the id of the container's process.
    pub fn pid_file(&self) -> PathBuf {
        self.folder.join("pid")
    }

    /// Where the runtime writes its errors.
    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// What the runtime keeps (`--root`).
    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// Its program and arguments up to the verb; its errors go to `log`.
    pub(crate) fn words(&self, verb: &str, log: &Path) -> Vec<OsString> {
        let own = self.program.file_name().unwrap_or_default();
        let mut words: Vec<OsString> = vec![self.program.clone().into()];
        words.extend(FLAGS.iter().filter(|(name, _)| own == *name).map(|(_, flag)| (*flag).into()));
        words.extend(["--root".into(), self.state().into(), "--log".into(), log.into()]);
        words.extend(["--log-format", "json", verb].map(OsString::from));
        words
    }

    /// The whole command line of `create`.
    pub(crate) fn create(&self, console: Option<&Path>) -> Vec<OsString> {
        let mut words = self.words("create", &self.log());
        words.extend(["--bundle".into(), self.folder.clone().into(), "--pid-file".into(), self.pid_file().into()]);
        if let Some(console) = console {
            words.extend(["--console-socket".into(), console.into()]);
        }
        words.push(self.id.as_str().into());
        words
    }

    /// A command about the container, with the words before its name and those after it.
    pub(crate) fn command(&self, verb: &str, flags: &[&str], rest: &[&str]) -> Command {
        let _ = fs::remove_file(self.log());
        let mut command = command(&self.words(verb, &self.log()));
        command.args(flags).arg(self.id.as_str()).args(rest).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Sends a signal and waits until it is sent.
    ///
    /// # Errors
    /// What the runtime said.
    pub fn kill(&self, signal: i32) -> Result<(), StartError> {
        let status = self.command("kill", &[], &[&signal.to_string()]).status();
        let failed = |cause: &dyn std::fmt::Display| self.error(&self.log(), format!("can't be run: {cause}"));
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(failed(&status)),
            Err(cause) => Err(failed(&cause)),
        }
    }

    /// Has it give up all that it keeps of the container, whose processes are killed. What it says does not matter: it may
    /// know nothing of it any more.
    pub fn delete(&self) {
        let _ = self.command("delete", &["--force"], &[]).status();
    }

    /// The last error in `log`, or where there is none, `otherwise`; with the exit code that docker gives it.
    pub(crate) fn error(&self, log: &Path, otherwise: String) -> StartError {
        let message = fs::read_to_string(log).ok().as_deref().and_then(last_error).unwrap_or(otherwise);
        StartError { stage: self.name.clone(), code: code(&message), message }
    }
}

/// A command of these words, in an environment of its own.
pub(crate) fn command(words: &[OsString]) -> Command {
    let mut command = Command::new(words.first().map_or_else(Default::default, |word| word.as_os_str()));
    command.args(words.iter().skip(1)).stdin(Stdio::null()).env_clear().envs(environment()).current_dir("/");
    command
}

/// What a runtime gets of variables.
pub(crate) fn environment() -> [(&'static str, &'static str); 2] {
    [("PATH", PATH), ("HOME", "/root")]
}

/// Of lines like `{"level":"error","msg":"…"}`, the last one's message.
fn last_error(log: &str) -> Option<String> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let errors = lines.filter(|line| matches!(line["level"].as_str(), Some("error" | "fatal")));
    errors.filter_map(|line| Some(line["msg"].as_str()?.trim().to_owned())).next_back()
}

/// 127 where there is no such program in the container, 126 where it can't be executed, else 125; runtimes tell it in words
/// only.
fn code(message: &str) -> i32 {
    let text = message.to_ascii_lowercase();
    let has = |part: &str| text.contains(part);
    let about_program = ["exec:", "exec ", "executable", "failed to load", "chdir"].into_iter().any(has);
    match about_program {
        true if has("not found") || has("no such file") || has("error finding executable") => 127,
        true if has("permission denied") || has("exec format error") || has("is a directory") => 126,
        _ => 125,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_found_and_have_dockers_codes() {
        let log = concat!(
            r#"{"level":"warning","msg":"w"}"#,
            "\n",
            r#"{"level":"error","msg":"exec failed: exec: \"x\": executable file not found in $PATH"}"#,
            "\nno json\n"
        );
        let error = last_error(log).unwrap();
        assert!(error.starts_with("exec failed"), "{error}");
        assert_eq!(code(&error), 127);
        for (message, expected) in [
            ("executable file `x` not found in $PATH: No such file or directory", 127),
            ("open executable: Permission denied", 126),
            ("exec /x: exec format error", 126),
            ("chdir to cwd (\"/none\") set in config.json failed: no such file or directory", 127),
            ("error mounting \"/a\": no such file or directory", 125),
            ("cgroups in hybrid mode not supported", 125),
        ] {
            assert_eq!(code(message), expected, "{message}");
        }
        assert_eq!(last_error(""), None);
    }

    #[test]
    fn gvisor_uses_the_networks_of_the_container() {
        let runtime = |program: &str| RuntimeSpec { name: "n".into(), program: program.into() };
        let words = |program: &str| {
            let driver = Driver::new(&runtime(program), Path::new("/run"), &ContainerId::from("c"), "box");
            let words = driver.create(Some(Path::new("/s")));
            words.iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            words("/usr/sbin/runc"),
            "/usr/sbin/runc --root /run/oci/state --log /run/oci/log --log-format json create --bundle /run/oci \
             --pid-file /run/oci/pid --console-socket /s c"
        );
        assert!(words("/usr/bin/runsc").starts_with("/usr/bin/runsc --network=host --root"));
    }
}
