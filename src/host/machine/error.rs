//! Why this machine could not do a thing.

use std::path::PathBuf;

use crate::engine::port::HostError;
use crate::host::{cdi, cgroup, container, image, ledger, net, record, volume};
use crate::name::{ContainerName, NetworkName, VolumeName};

/// Why this machine could not do a thing.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// Of the images.
    #[error(transparent)]
    Image(#[from] image::ImageError),
    /// Of the networks.
    #[error(transparent)]
    Net(#[from] net::NetError),
    /// Of the volumes.
    #[error(transparent)]
    Volume(#[from] volume::VolumeError),
    /// Of the control groups.
    #[error(transparent)]
    Cgroup(#[from] cgroup::Error),
    /// Of a device that is asked for by name.
    #[error(transparent)]
    Cdi(#[from] cdi::CdiError),
    /// Of the records.
    #[error(transparent)]
    Ledger(#[from] ledger::LedgerError),
    /// Of a single record.
    #[error(transparent)]
    Record(#[from] record::RecordError),
    /// Of a shim.
    #[error(transparent)]
    Shim(#[from] container::ShimError),
    /// Of the parts of a container.
    #[error(transparent)]
    Bundle(#[from] container::BundleError),
    /// There is no safe copy of the program.
    #[error(transparent)]
    Executable(#[from] container::executable::ExecutableError),
    /// The plan of a rehearsal was meant.
    #[error("image {0} is not built yet: `windlass build` builds it")]
    NotBuilt(String),
    /// The container is not there.
    #[error("container {0} is not there any more")]
    Gone(ContainerName),
    /// The container whose namespaces are to be shared does not run.
    #[error("{0} is to share namespaces of {1}, which does not run")]
    NotShared(ContainerName, ContainerName),
    /// A volume of a container is not there.
    #[error("{0} mounts volume {1}, which is not there")]
    NoVolume(ContainerName, VolumeName),
    /// A network of a container is not there.
    #[error("{0} is on network {1}, which is not there")]
    NoNetwork(ContainerName, NetworkName),
    /// A bind source is missing and not to be made.
    #[error("{container} mounts {}, which is not there; make it, or set `bind.create_host_path: true`", path.display())]
    NoBindSource {
        /// The container.
        container: ContainerName,
        /// The path.
        path: PathBuf,
    },
    /// It does not end, not even killed.
    #[error("{0} was killed and does not end: a process of it waits for a device or a network file system")]
    Stuck(ContainerName),
    /// A supervisor was killed while it made its shim, links and ports, or gave them back.
    #[error("what {0} needs to run is not all there")]
    HalfMade(ContainerName),
    /// A file operation failed.
    #[error("cannot {operation} {}", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A hook did not end with 0.
    #[error("its {hook} (`{command}`) {}{}", if *.code < 0 { "could not be run".to_owned() } else { format!("ended with {code}") }, if .output.is_empty() { String::new() } else { format!(": {output}") })]
    Hook {
        /// `post_start[0]`, …
        hook: String,
        /// Its command.
        command: String,
        /// How it ended; negative: it could not be run.
        code: i32,
        /// What it printed.
        output: String,
    },
    /// A task of ours was cut short.
    #[error("a task of the supervisor was cut short")]
    Task(#[from] tokio::task::JoinError),
}

impl MachineError {
    /// For `map_err` of a file operation.
    pub fn file(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { operation, path, source }
    }
}

impl From<MachineError> for HostError {
    fn from(error: MachineError) -> Self {
        let transient = matches!(&error, MachineError::Image(e) if e.transient())
            || matches!(&error, MachineError::Cgroup(e) if e.may_pass())
            || matches!(error, MachineError::Shim(container::ShimError::Lost(..)));
        let code = match &error {
            MachineError::Shim(container::ShimError::Failed(start)) => Some(start.code),
            MachineError::Bundle(_) => Some(125),
            _ => None,
        };
        Self { message: with_causes(&error), transient, code }
    }
}

/// An error and what it came from, in one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        // A transparent error repeats its source's text.
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    text
}
