//! Where things lie: the state folder, which survives a reboot, and the run folder, which does not.

use std::path::{Path, PathBuf};

use crate::desired::ContainerSpec;
use crate::desired::hash::COMPOSE_LABELS;
use crate::name::{ContainerId, ProjectName, VolumeName};

/// The two folders of one world (design.md section 6). Several worlds live side by side, each with folders of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// `/var/lib/windlass`, or `--root`, `WINDLASS_ROOT`.
    pub root: PathBuf,
    /// `/run/windlass`, or `WINDLASS_RUN`; below `root` where only that was moved.
    pub run: PathBuf,
}

impl Paths {
    /// The folders of a world. Where only the state folder was moved, the run folder goes with it.
    pub fn new(root: Option<PathBuf>, run: Option<PathBuf>) -> Self {
        // The supervisor, who is told them too, lives in another folder.
        let whole = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        match (root.map(whole), run.map(whole)) {
            (Some(root), Some(run)) => Self { root, run },
            (Some(root), None) => Self { run: root.join("run"), root },
            (None, run) => Self {
                root: PathBuf::from("/var/lib/windlass"),
                run: run.unwrap_or_else(|| PathBuf::from("/run/windlass")),
            },
        }
    }

    /// All projects' state.
    pub fn projects(&self) -> PathBuf {
        self.root.join("projects")
    }

    /// A project's state.
    pub fn project(&self, project: &ProjectName) -> PathBuf {
        self.root.join("projects").join(project)
    }

    /// A project's run folder: sockets and locks.
    pub fn project_run(&self, project: &ProjectName) -> PathBuf {
        self.run.join("projects").join(project)
    }

    /// The ids of a project's containers, a file each.
    pub fn project_containers(&self, project: &ProjectName) -> PathBuf {
        self.project(project).join("containers")
    }

    /// The folders of log files of a project.
    pub fn project_logs(&self, project: &ProjectName) -> PathBuf {
        self.project(project).join("logs")
    }

    /// The log files of a container. They belong to the replica of its service, or to the step that prepares it: re-creation
    /// keeps them.
    pub fn logs(&self, spec: &ContainerSpec, id: &ContainerId) -> PathBuf {
        let replica = match spec.oneoff {
            false => spec.number.to_string(),
            true => step(spec).unwrap_or_else(|| id.short().to_owned()),
        };
        self.project_logs(&spec.project).join(format!("{}-{replica}", spec.service))
    }

    /// A container's state.
    pub fn container(&self, id: &ContainerId) -> PathBuf {
        self.root.join("containers").join(id)
    }

    /// A container's run folder: the shim's socket, the records of its process.
    pub fn container_run(&self, id: &ContainerId) -> PathBuf {
        self.run.join("containers").join(id)
    }

    /// The socket of a container's shim: there while the shim is, or after it was killed.
    pub fn shim_socket(&self, id: &ContainerId) -> PathBuf {
        self.container_run(id).join(crate::host::container::SOCKET)
    }

    /// All volumes.
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// A volume's folder.
    pub fn volume(&self, name: &VolumeName) -> PathBuf {
        self.root.join("volumes").join(name)
    }
}

/// Whether a name that came from outside is a single path component, so that it can't lead elsewhere.
pub fn is_plain_component(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']) && Path::new(name).is_relative()
}

/// In the name of a log folder, what stands before the number of a step that prepares a service.
pub const STEP: &str = "pre_start.";

/// `pre_start.0`, or where it prepares one replica only, `2.pre_start.0`; `None` for a container of `run`.
fn step(spec: &ContainerSpec) -> Option<String> {
    let label = |key: &str| spec.labels.get(&format!("{COMPOSE_LABELS}{key}"));
    label("hook").filter(|hook| *hook == "pre_start")?;
    let index: usize = label("hook.index")?.parse().ok()?;
    let (owner, _) = spec.name.as_str().rsplit_once("pre_start")?;
    let replica =
        owner.trim_end_matches(['-', '_']).rsplit(['-', '_']).next().filter(|last| last.parse::<u32>().is_ok());
    Some(replica.map_or(format!("{STEP}{index}"), |replica| format!("{replica}.{STEP}{index}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_lie_by_replica_step_or_id() {
        let folder = |name: &str, oneoff: bool, labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(key, value)| (format!("{COMPOSE_LABELS}{key}"), (*value).to_owned()));
            let (name, service, project) = (name.into(), "web".into(), "shop".into());
            let labels = labels.collect();
            let spec = ContainerSpec { name, service, project, oneoff, number: 3, labels, ..ContainerSpec::default() };
            let logs = Paths::new(None, None).logs(&spec, &ContainerId::from("a".repeat(64)));
            logs.file_name().and_then(|name| name.to_str()).map(str::to_owned)
        };
        let step = [("hook", "pre_start"), ("hook.index", "1")];
        assert_eq!(folder("shop-web-3", false, &[]).as_deref(), Some("web-3"));
        assert_eq!(folder("shop-web-run-x", true, &[]).as_deref(), Some("web-aaaaaaaaaaaa"));
        assert_eq!(folder("shop-web-pre_start-1", true, &step).as_deref(), Some("web-pre_start.1"));
        assert_eq!(folder("shop-web-2-pre_start-1", true, &step).as_deref(), Some("web-2.pre_start.1"));
        assert_eq!(folder("shop_web_pre_start_1", true, &step).as_deref(), Some("web-pre_start.1"));
        let bad = [("hook", "pre_start"), ("hook.index", "../1")];
        assert_eq!(folder("shop-web-pre_start-1", true, &bad).as_deref(), Some("web-aaaaaaaaaaaa"));
    }
}
