//! Git repositories, by the `git` that is installed: its configuration, its logins, its rules about protocols.

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::{Output, Stdio};

use tokio::process::Command;

use crate::compose::remote::{RemoteError, Source};

/// The longest that is shown of what git said.
const LONGEST: usize = 1000;

/// What would lead git to another repository than the one named: set where windlass runs inside a hook.
const ELSEWHERE: [&str; 9] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_SHALLOW_FILE",
    "GIT_PREFIX",
];

/// Nothing of a repository, and no template of the user, runs a program here; submodules are left alone; files are as they
/// were committed.
const SETTINGS: [&str; 5] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.autocrlf=false",
    "submodule.recurse=false",
    "maintenance.auto=false",
];

/// A repository at a branch, tag or commit.
pub struct Repository<'a> {
    /// As which it was named, for messages.
    pub source: &'a Source,
    /// Its address.
    pub url: &'a str,
    /// Branch, tag or commit.
    pub reference: &'a str,
}

impl Repository<'_> {
    /// The commit that is meant now. A whole commit id means itself, and nobody is asked.
    ///
    /// # Errors
    /// What git said; no such branch or tag.
    pub async fn resolve(&self) -> Result<String, RemoteError> {
        if is_commit(self.reference) {
            return Ok(self.reference.to_owned());
        }
        let peeled = format!("{}^{{}}", self.reference);
        let output = self.run(None, &["ls-remote", "--exit-code", "--", self.url, self.reference, &peeled]).await?;
        let text = String::from_utf8_lossy(&output.stdout);
        match (output.status.code(), pick(&text, self.reference)) {
            (Some(0), Some(commit)) => Ok(commit),
            // So `--exit-code` says that nothing has this name; where only others end in it, it is the same.
            (Some(0 | 2), _) => Err(RemoteError::with_help(
                format!("it has no branch and no tag `{}`", self.reference),
                "look at its branches with `git ls-remote`; a commit is written with all its digits",
            )),
            _ => Err(self.failed(&output)),
        }
    }

    /// Fills an empty folder with the files of a commit.
    ///
    /// # Errors
    /// What git said.
    pub async fn fetch(&self, commit: &str, into: &Path) -> Result<(), RemoteError> {
        let init = ["init", "--quiet", "--template=", "--object-format=sha256"];
        for words in [
            // Older ones know no format but the usual one.
            if commit.len() == 64 { &init[..] } else { &init[..3] },
            &["fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--", self.url, commit],
            &["checkout", "--quiet", "--force", "--detach", commit],
        ] {
            let output = self.run(Some(into), words).await?;
            if !output.status.success() {
                return Err(self.failed(&output));
            }
        }
        // The files are all that is wanted of it, and it may have the address with its password.
        std::fs::remove_dir_all(into.join(".git"))
            .map_err(|error| RemoteError::new(format!("can't remove {}: {error}", into.join(".git").display())))
    }

    async fn run(&self, folder: Option<&Path>, words: &[&str]) -> Result<Output, RemoteError> {
        let mut command = Command::new("git");
        ELSEWHERE.iter().for_each(|name| {
            command.env_remove(name);
        });
        // Who has a terminal may be asked for a password.
        let asks = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if !asks && std::env::var_os("GIT_TERMINAL_PROMPT").is_none() {
            command.env("GIT_TERMINAL_PROMPT", "0");
        }
        command.stdin(if asks { Stdio::inherit() } else { Stdio::null() });
        if let Some(folder) = folder {
            command.arg("-C").arg(folder);
        }
        command.args(SETTINGS.iter().flat_map(|setting| ["-c", setting])).args(words);
        // Whoever does not wait for it any more leaves nothing behind.
        command.kill_on_drop(true);
        command.output().await.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => RemoteError::with_help(
                "there is no program `git` on PATH",
                "install git, or fetch the files yourself and name them",
            ),
            _ => RemoteError::new(format!("can't run git: {error}")),
        })
    }

    fn failed(&self, output: &Output) -> RemoteError {
        let text = self.source.mask(&String::from_utf8_lossy(&output.stderr));
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("hint:"));
        // The server's own words are among them: they steer no terminal.
        let said: String =
            lines.collect::<Vec<_>>().join("; ").chars().filter(|c| !c.is_control()).take(LONGEST).collect();
        let said =
            if said.is_empty() { format!("git ended with {}", output.status) } else { format!("git says: {said}") };
        RemoteError::with_help(said, "check the address, and whether `git ls-remote` of it works in this terminal")
    }
}

/// A whole commit id, of SHA-1 or SHA-256.
pub fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The commit of a name among lines of `ls-remote`, which has all names that end in it: by git's own order, and of a tag with
/// a message the commit that it is of.
fn pick(lines: &str, name: &str) -> Option<String> {
    let of = |wanted: &str| {
        let mut found = lines.lines().filter_map(|line| line.split_once('\t'));
        found.find(|(_, name)| *name == wanted).map(|(commit, _)| commit.to_owned())
    };
    ["", "refs/", "refs/tags/", "refs/heads/"]
        .into_iter()
        .map(|prefix| format!("{prefix}{name}"))
        .find_map(|full| of(&format!("{full}^{{}}")).or_else(|| of(&full)))
        .filter(|commit| is_commit(commit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_itself_is_taken_and_not_one_that_ends_in_it() {
        let [a, b, c] = ["a", "b", "c"].map(|digit| digit.repeat(40));
        let lines = format!("{a}\trefs/heads/feature/main\n{b}\trefs/heads/main\n");
        assert_eq!(pick(&lines, "main"), Some(b.clone()));
        assert_eq!(pick(&format!("{a}\trefs/heads/feature/main\n"), "main"), None);
        let lines = format!("{a}\trefs/heads/v1\n{b}\trefs/tags/v1\n{c}\trefs/tags/v1^{{}}\n");
        assert_eq!(pick(&lines, "v1"), Some(c), "of a tag, what it is of");
        assert_eq!(pick(&format!("{a}\tHEAD\n"), "HEAD"), Some(a));
        assert_eq!(pick("--upload-pack=x\tHEAD\n", "HEAD"), None);
    }
}
