//! The one text of a plan: what `plan` and `--dry-run` print, what prompts show, what goldens hold. And its JSON form,
//! which names things and shows no values: environments and secrets stay out of both.

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::action::{Action, HookKind, Plan, Step};
use crate::desired::Condition;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.steps.iter().map(|step| step.action.verb().len()).max().unwrap_or_default();
        let object = self.steps.iter().map(|step| step.action.object().chars().count()).max().unwrap_or_default();
        for step in &self.steps {
            let (verb, name) = (step.action.verb(), step.action.object());
            writeln!(f, "{verb:width$}  {name:object$}  {}", reasons(step))?;
        }
        for failure in &self.failures {
            match failure.container.as_str() {
                "" => writeln!(f, "error: {}", failure.reason)?,
                name => writeln!(f, "error: {name} can't be started: {}", failure.reason)?,
            }
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        if self.steps.is_empty() && self.failures.is_empty() {
            writeln!(f, "nothing to do")?;
        }
        Ok(())
    }
}

/// Causes, and what the step waits for.
fn reasons(step: &Step) -> String {
    let mut text = step.causes.iter().map(|c| c.0.as_str()).collect::<Vec<_>>().join(", ");
    if !step.waits.is_empty() {
        let mut seen: Vec<String> =
            step.waits.iter().map(|w| format!("{} {}", w.service, state(w.condition))).collect();
        seen.dedup();
        // Writing to a String cannot fail.
        let _ = write!(text, "; when {}", seen.join(" and "));
    }
    text
}

fn state(condition: Condition) -> &'static str {
    match condition {
        Condition::ServiceStarted => "has started",
        Condition::ServiceHealthy => "is healthy",
        Condition::ServiceCompletedSuccessfully => "has ended with 0",
    }
}

impl Action {
    /// What it does, for people: `create container`.
    pub fn verb(&self) -> &'static str {
        match self {
            Action::PullImage { .. } => "pull image",
            Action::BuildImage { .. } => "build image",
            Action::CreateNetwork { .. } => "create network",
            Action::RemoveNetwork { .. } => "remove network",
            Action::CreateVolume { .. } => "create volume",
            Action::RemoveVolume { .. } => "remove volume",
            Action::CreateContainer { .. } => "create container",
            Action::StartContainer { .. } => "start container",
            Action::StopContainer { .. } => "stop container",
            Action::RunHooks { kind: HookKind::PostStart, .. } => "run post_start",
            Action::RunHooks { kind: HookKind::PreStop, .. } => "run pre_stop",
            Action::PauseContainer { .. } => "pause container",
            Action::UnpauseContainer { .. } => "unpause container",
            Action::ReleaseContainer { .. } => "release container",
            Action::MendContainer { .. } => "mend container",
            Action::RemoveContainer { .. } => "remove container",
        }
    }

    /// What it acts on, by the name that people use.
    pub fn object(&self) -> &str {
        match self {
            Action::PullImage { name, .. } | Action::BuildImage { name } => name,
            Action::CreateNetwork { spec } => &spec.name,
            Action::RemoveNetwork { name } => name,
            Action::CreateVolume { spec } => &spec.name,
            Action::RemoveVolume { name } => name,
            Action::CreateContainer { spec, .. } => &spec.name,
            Action::StartContainer { name, .. }
            | Action::StopContainer { name, .. }
            | Action::RunHooks { name, .. }
            | Action::PauseContainer { name, .. }
            | Action::UnpauseContainer { name, .. }
            | Action::ReleaseContainer { name, .. }
            | Action::MendContainer { name, .. }
            | Action::RemoveContainer { name, .. } => name,
        }
    }
}

/// A plan as JSON shows it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct View<'a> {
    /// The steps.
    pub steps: Vec<StepView<'a>>,
    /// Containers that can't reach their target.
    pub failures: &'a [super::Failure],
    /// Things to tell.
    pub warnings: &'a [String],
}

/// A step as JSON shows it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StepView<'a> {
    /// Its number.
    pub id: usize,
    /// What is done: `create container`.
    pub action: &'static str,
    /// To what.
    pub name: &'a str,
    /// Why.
    pub causes: Vec<&'a str>,
    /// Numbers of the steps before it.
    pub after: Vec<usize>,
    /// Conditions of other containers before it.
    pub waits: &'a [super::Wait],
}

impl Plan {
    /// What JSON shows of it.
    pub fn view(&self) -> View<'_> {
        let steps = self.steps.iter().map(|step| StepView {
            id: step.id.0,
            action: step.action.verb(),
            name: step.action.object(),
            causes: step.causes.iter().map(|c| c.0.as_str()).collect(),
            after: step.after.iter().map(|id| id.0).collect(),
            waits: &step.waits,
        });
        View { steps: steps.collect(), failures: &self.failures, warnings: &self.warnings }
    }
}
