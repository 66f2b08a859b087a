//! Runs one health probe inside a container.

use std::os::fd::AsFd;

use super::Machine;
use crate::desired::HealthSpec;
use crate::engine::port::ProbeResult;
use crate::host::container::exec::{self, ExecSpec};
use crate::name::ContainerId;

impl Machine {
    pub(super) async fn run_probe(&self, id: &ContainerId, spec: &HealthSpec) -> ProbeResult {
        let failed = |output: &str| ProbeResult { code: -1, output: output.to_owned() };
        let Some(live) = self.live.read().await.get(id).cloned() else { return failed("its shim is lost") };
        let process = live.running.read().await.as_ref().map(|running| running.process.clone());
        let Some(process) = process else { return failed("it does not run") };
        let cgroup = match self.layout.existing(id) {
            Ok(cgroup) => cgroup,
            Err(error) => return failed(&error.to_string()),
        };
        let mut probe = ExecSpec::new(&live.spec, &process, cgroup);
        probe.argv.clone_from(&spec.argv);
        // What is released meanwhile gives its ports back, to be held again at once: a probe must not keep them.
        drop(live);
        exec::probe(self.executable.as_fd(), probe, spec.timeout).await
    }
}
