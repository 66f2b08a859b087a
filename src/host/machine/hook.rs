//! Runs hooks inside a container.

use std::os::fd::AsFd;

use super::{Machine, MachineError};
use crate::desired::HookSpec;
use crate::engine::port::ProbeResult;
use crate::host::container::exec::{self, ExecSpec};
use crate::host::container::record::{self, ProcessRecord};
use crate::host::ledger::container as ledger;
use crate::name::ContainerId;
use crate::observed::Hooks;
use crate::plan::HookKind;

impl Machine {
    /// Runs the hooks of a kind after the first `done`. Of `pre_stop`, what fails is returned to be told.
    pub(super) async fn run_hooks(
        &self,
        id: &ContainerId,
        kind: HookKind,
        hooks: &[HookSpec],
        done: usize,
    ) -> Result<Vec<String>, MachineError> {
        // One that has ended meanwhile has no hooks any more: what becomes of it is the next plan's affair.
        let Some(process) = self.process(id).await else { return Ok(Vec::new()) };
        let started = Some(&process.started);
        let mut state = ledger::hooks(&self.paths, id, started)?;
        let mut warnings = Vec::new();
        for (index, hook) in hooks.iter().enumerate().skip(done) {
            let ended = self.run_hook(id, &process, hook).await?;
            if ended.code != 0 && !record::is_same(process.pid, process.ticks) {
                return Ok(warnings);
            }
            match (kind, ended.code) {
                (HookKind::PostStart, 0) => state.post_start = index + 1,
                (HookKind::PostStart, _) => return Err(failed(kind, index, hook, &ended)),
                (HookKind::PreStop, 0) => {}
                (HookKind::PreStop, _) => {
                    warnings.push(format!("{}; it is stopped all the same", failed(kind, index, hook, &ended)));
                    break;
                }
            }
            ledger::set_hooks(&self.paths, id, started, state)?;
        }
        if kind == HookKind::PreStop {
            ledger::set_hooks(&self.paths, id, started, Hooks { pre_stop: true, ..state })?;
        }
        Ok(warnings)
    }

    async fn process(&self, id: &ContainerId) -> Option<ProcessRecord> {
        let live = self.live.read().await.get(id).cloned()?;
        let running = live.running.read().await;
        running.as_ref().map(|running| running.process.clone())
    }

    async fn run_hook(
        &self,
        id: &ContainerId,
        process: &ProcessRecord,
        hook: &HookSpec,
    ) -> Result<ProbeResult, MachineError> {
        let Some(live) = self.live.read().await.get(id).cloned() else {
            return Ok(ProbeResult { code: -1, output: "its shim is lost".to_owned() });
        };
        let mut spec = ExecSpec::new(&live.spec, process, self.layout.existing(id)?);
        spec.argv.clone_from(&hook.argv);
        if !hook.user.is_empty() {
            spec.user.clone_from(&hook.user);
        }
        if !hook.cwd.is_empty() {
            spec.cwd.clone_from(&hook.cwd);
        }
        if hook.privileged {
            spec.privileged();
        }
        spec.set_env(hook.env.iter().cloned());
        Ok(exec::captured(self.executable.as_fd(), &spec).await)
    }
}

fn failed(kind: HookKind, index: usize, hook: &HookSpec, ended: &ProbeResult) -> MachineError {
    let kind = if kind == HookKind::PostStart { "post_start" } else { "pre_stop" };
    MachineError::Hook {
        hook: format!("{kind}[{index}]"),
        command: hook.argv.join(" "),
        code: ended.code,
        output: ended.output.trim().to_owned(),
    }
}
