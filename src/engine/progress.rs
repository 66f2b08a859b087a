//! What the engine tells of what it does.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::name::{ContainerId, ContainerName};
use crate::observed::Health;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Progress {
    /// A step began.
    Began {
        /// Which.
        step: StepName,
    },
    /// A step was done.
    Done {
        /// Which.
        step: StepName,
        /// How long it took.
        millis: u64,
    },
    /// A step failed.
    Failed {
        /// Which.
        step: StepName,
        /// Why.
        reason: String,
        /// docker's code for it, if it was a start: 125, 126, 127.
        code: Option<i32>,
    },
    /// A container's start waits for others.
    Waiting {
        /// The container.
        container: ContainerName,
        /// For whom, and what of them: `db is healthy`.
        waits: Vec<String>,
    },
    /// A container's process has ended, or was found to have.
    Exited {
        /// The container.
        container: ContainerName,
        /// Its id.
        id: ContainerId,
        /// The exit code.
        code: i32,
        /// Killed for want of memory.
        oom: bool,
        /// It was stopped to be made anew or started again.
        #[serde(default)]
        again: bool,
        /// Its restart policy starts it again.
        #[serde(default)]
        policy: bool,
    },
    /// A container's health has changed.
    Health {
        /// The container.
        container: ContainerName,
        /// Its id.
        id: ContainerId,
        /// What it is now.
        health: Health,
    },
    /// Somebody has sent a signal to a container, and nothing else.
    Signalled {
        /// The container.
        container: ContainerName,
        /// Its id.
        id: ContainerId,
        /// Its number.
        signal: i32,
    },
    /// Something to tell.
    Warning {
        /// What.
        text: String,
    },
    /// There is nothing left that can be done at the moment.
    Settled(Settled),
}

/// A step, by what people call it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepName {
    /// `create container`, …
    pub action: String,
    /// On what.
    pub object: String,
    /// The container's id, if it is one.
    pub id: Option<ContainerId>,
    /// Why.
    pub causes: Vec<String>,
    /// Of a stop: the number of its signal; else 0.
    #[serde(default)]
    pub signal: i32,
    /// Of a stop: nothing is waited for (`kill`).
    #[serde(default)]
    pub kill: bool,
    /// Of a stop: the same container is started again afterwards.
    #[serde(default)]
    pub again: bool,
}

/// How things stand when nothing is left to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Of this desired state.
    pub generation: u64,
    /// What could not be reached of what was asked for, and why, a sentence each.
    pub failures: Vec<String>,
    /// Of those asked for, containers that run but are not healthy yet.
    pub unready: Vec<ContainerName>,
    /// Of those asked for, containers that are unhealthy, or ended badly, each with what there is to say.
    pub broken: BTreeMap<ContainerName, String>,
    /// Containers that keep others from starting.
    pub culprits: BTreeSet<ContainerName>,
    /// Nothing of the project is left.
    pub empty: bool,
}
