//! Finds the program and becomes it.

use std::ffi::CString;
use std::io;
use std::os::unix::fs::PermissionsExt;

use super::problem::{Problem, Step};

/// What programs are looked for in, where the environment does not say (docker's).
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program with its arguments and environment, ready for exec.
pub(crate) struct Program {
    path: CString,
    argv: Vec<CString>,
    env: Vec<CString>,
}

/// Completes an environment as docker does: PATH, HOSTNAME, HOME, and TERM on a terminal, where they are missing.
pub(crate) fn complete_env(env: &[String], home: &str, hostname: &str, tty: bool) -> Vec<String> {
    let mut all = env.to_vec();
    let mut add = |key: &str, value: &str| {
        let has = all.iter().any(|entry| entry.split_once('=').is_some_and(|(known, _)| known == key));
        if !has {
            all.push(format!("{key}={value}"));
        }
    };
    add("PATH", PATH);
    add("HOSTNAME", hostname);
    add("HOME", home);
    if tty {
        add("TERM", "xterm");
    }
    all
}

/// Looks for `argv[0]`, in PATH if it has no slash. To be called as the user and in the root and folder of the process.
///
/// 127 if there is none, 126 if it can't be executed.
pub(crate) fn find(argv: &[String], env: &[String]) -> Step<Program> {
    let name = argv.first().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Problem::with_code("there is no command to run", 127))?;
    let path = if name.contains('/') { name.clone() } else { search(name, env)? };
    Ok(Program { path: text(&path)?, argv: texts(argv)?, env: texts(env)? })
}

fn search(name: &str, env: &[String]) -> Step<String> {
    let path = env.iter().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(PATH);
    let mut forbidden = None;
    for folder in path.split(':') {
        let candidate = if folder.is_empty() { format!("./{name}") } else { format!("{folder}/{name}") };
        match std::fs::metadata(&candidate) {
            Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => return Ok(candidate),
            Ok(meta) if meta.is_file() => forbidden = Some(candidate),
            Err(cause) if cause.kind() == io::ErrorKind::PermissionDenied => forbidden = Some(candidate),
            _ => {}
        }
    }
    Err(match forbidden {
        Some(path) => Problem::with_code(format!("`{path}` can't be executed: permission denied"), 126),
        None => Problem::with_code(format!("`{name}` is not in the container's PATH ({path})"), 127),
    })
}

fn text(text: &str) -> Step<CString> {
    CString::new(text).map_err(|_| Problem::new(format!("`{}` holds a NUL byte", text.replace('\0', "\\0"))))
}

fn texts(list: &[String]) -> Step<Vec<CString>> {
    // An entry of the environment may be a secret: the error does not repeat it.
    list.iter()
        .map(|entry| CString::new(entry.as_str()).map_err(|_| Problem::new("an argument or variable holds a NUL byte")))
        .collect()
}

/// Becomes the program; returns only if that fails.
pub(crate) fn execute(program: &Program) -> Problem {
    let cause = match nix::unistd::execve(&program.path, &program.argv, &program.env) {
        Ok(never) => match never {},
        Err(cause) => cause,
    };
    let path = program.path.to_string_lossy();
    let exists = std::fs::metadata(&*path).is_ok();
    match cause {
        nix::Error::ENOENT if exists => {
            Problem::with_code(format!("`{path}` needs an interpreter or loader that is not in the image"), 127)
        }
        nix::Error::ENOENT | nix::Error::ENOTDIR => {
            Problem::with_code(format!("there is no `{path}` in the container"), 127)
        }
        nix::Error::ENOEXEC => Problem::with_code(
            format!("`{path}` can't be executed: it is for another processor, or a script without `#!` line"),
            126,
        ),
        cause => Problem::with_code(format!("`{path}` can't be executed: {}", cause.desc()), 126),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_completed_not_overridden() {
        let env = complete_env(&["HOME=/x".into(), "A=b=c".into()], "/root", "box", true);
        let path = format!("PATH={PATH}");
        assert_eq!(env, ["HOME=/x", "A=b=c", path.as_str(), "HOSTNAME=box", "TERM=xterm"]);
    }

    #[test]
    fn a_missing_program_is_127_and_one_without_permission_126() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plain"), "x").unwrap();
        let env = [format!("PATH={}", folder.path().display())];
        assert_eq!(find(&["none".into()], &env).err().unwrap().code, 127);
        assert_eq!(find(&["plain".into()], &env).err().unwrap().code, 126);
        assert_eq!(find(&[], &env).err().unwrap().code, 127);
    }
}
