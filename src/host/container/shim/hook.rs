//! Runs the hooks of a bundle: programs of the host that change the container's root before its program starts.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::json;

use super::super::bundle::OciHook;
use super::super::protocol::StartError;
use super::super::sys;
use super::super::wire::Packet;

/// What the hooks find the container's root by.
const BUNDLE: &str = "config.json";
/// What a hook prints goes here, and into the message where it fails.
const OUTPUT: &str = "hook.out";

/// Runs `hooks` in their order for the container whose process `pid` waits, and tells it to go on. Where one fails, the
/// process is killed.
pub(super) fn run(hooks: &[OciHook], run: &Path, pid: i32, status: &OwnedFd) -> Result<(), StartError> {
    let failed = |cause: io::Error| StartError::new("hooks", cause);
    let result = all(hooks, run, pid);
    for name in [BUNDLE, OUTPUT] {
        // The run folder goes with the container anyway.
        let _ = fs::remove_file(run.join(name));
    }
    match result {
        Ok(()) => Packet::message(&(), Vec::new()).and_then(|packet| packet.send(status.as_fd())).map_err(failed),
        Err(error) => {
            let process = nix::unistd::Pid::from_raw(pid);
            nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL).map_err(|e| failed(e.into()))?;
            Err(error)
        }
    }
}

fn all(hooks: &[OciHook], run: &Path, pid: i32) -> Result<(), StartError> {
    let failed = |cause: io::Error| StartError::new("hooks", cause);
    let root = format!("/proc/{pid}/root");
    let config = json!({ "ociVersion": "1.0.2", "root": { "path": root } });
    fs::write(run.join(BUNDLE), config.to_string()).map_err(failed)?;
    let id = run.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let state = json!({ "ociVersion": "1.0.2", "id": id, "status": "creating", "pid": pid, "bundle": run });
    for hook in hooks {
        one(hook, run, &state.to_string()).map_err(|why| {
            let output = fs::read_to_string(run.join(OUTPUT)).unwrap_or_default();
            StartError::new("hooks", format!("{} {why}: {}", hook.path.display(), output.trim()))
        })?;
    }
    Ok(())
}

fn one(hook: &OciHook, run: &Path, state: &str) -> Result<(), String> {
    let told = |error: io::Error| format!("can't be run: {error}");
    let output = File::create(run.join(OUTPUT)).map_err(told)?;
    let mut command = Command::new(&hook.path);
    if let Some((name, rest)) = hook.args.split_first() {
        command.arg0(name).args(rest);
    }
    command.env_clear().envs(hook.env.iter().filter_map(|entry| entry.split_once('=')));
    command.current_dir(run).stdin(Stdio::piped());
    command.stdout(output.try_clone().map_err(told)?).stderr(output);
    let mut child = command.spawn().map_err(told)?;
    if let Some(mut input) = child.stdin.take() {
        // One that does not read its input is no failure.
        let _ = input.write_all(state.as_bytes());
    }
    wait(&mut child, hook.timeout)
}

fn wait(child: &mut Child, timeout: Option<u64>) -> Result<(), String> {
    let told = |error: io::Error| format!("can't be waited for: {error}");
    let pidfd = i32::try_from(child.id()).map_err(io::Error::other).and_then(sys::pidfd_open).map_err(told)?;
    let limit = timeout.map_or(PollTimeout::NONE, |seconds| {
        PollTimeout::try_from(Duration::from_secs(seconds)).unwrap_or(PollTimeout::MAX)
    });
    let ended = poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], limit).map_err(|e| told(e.into()))?;
    if ended == 0 {
        child.kill().and_then(|()| child.wait()).map_err(told)?;
        return Err(format!("took longer than {} s", timeout.unwrap_or_default()));
    }
    let status = child.wait().map_err(told)?;
    if status.success() { Ok(()) } else { Err(format!("ended with {status}")) }
}
