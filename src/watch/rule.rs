//! The rules of `develop.watch`: what of which paths concerns which service.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::compose::model::{Build, Hook, Mount, MountKind, Project, Service, WatchRule};
use crate::compose::pattern::{PatternError, Patterns};
use crate::name::ServiceName;

/// What nobody wants to have told: git's own files, and those that editors make beside what is edited.
const NEVER: [&str; 17] = [
    "**/.git",
    "**/*~",
    "**/.*.swp",
    "**/.*.swx",
    "**/.*.swo",
    "**/.*.swn",
    "**/4913",
    "**/.#*",
    "**/#*#",
    "**/.idea",
    "**/*___jb_tmp___",
    "**/*___jb_old___",
    "**/.*.kate-swp",
    "**/.goutputstream-*",
    "**/.~lock.*#",
    "**/.vscode",
    "**/.windlass-*",
];

/// What a change leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// The files are copied.
    Sync,
    /// The image is built, and the containers are made of it anew.
    Rebuild,
    /// The service is restarted.
    Restart,
    /// Copied, then restarted.
    SyncRestart,
    /// Copied, then a command is run.
    SyncExec,
}

impl Action {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "sync" => Self::Sync,
            "rebuild" => Self::Rebuild,
            "restart" => Self::Restart,
            "sync+restart" => Self::SyncRestart,
            "sync+exec" => Self::SyncExec,
            _ => return None,
        })
    }

    /// As it stands in the file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Rebuild => "rebuild",
            Self::Restart => "restart",
            Self::SyncRestart => "sync+restart",
            Self::SyncExec => "sync+exec",
        }
    }

    /// Whether files are copied.
    pub fn syncs(self) -> bool {
        matches!(self, Self::Sync | Self::SyncRestart | Self::SyncExec)
    }
}

/// One rule, ready to be asked.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Whose it is.
    pub service: ServiceName,
    /// What it does.
    pub action: Action,
    /// What it watches: a folder or a file, absolute, without symlinks in its path.
    pub path: PathBuf,
    /// Where that is inside the container; empty where nothing is copied.
    pub target: PathBuf,
    /// Copy what differs at the start.
    pub initial_sync: bool,
    /// What is run, with `sync+exec`.
    pub exec: Option<Hook>,
    /// Each list with the folder that it is relative to.
    ignore: Vec<(PathBuf, Patterns)>,
    include: Patterns,
}

/// The rules of some services.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Them, in the order of the file.
    pub rules: Vec<Rule>,
    /// What is left out, and why.
    pub warnings: Vec<String>,
}

/// A rule that can't be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// Where it stands: `services.web.develop.watch[0].ignore`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// The ignore file of a build context: of its own name beside the Dockerfile, else `.dockerignore`.
pub type ReadIgnore<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// The rules of the services named (none named: of all). `read` reads an ignore file, if it is there.
///
/// # Errors
/// All rules that can't be followed.
pub fn rules(project: &Project, named: &BTreeSet<ServiceName>, read: ReadIgnore<'_>) -> Result<Rules, Vec<RuleError>> {
    let mut found = Rules::default();
    let mut errors = Vec::new();
    for (name, service) in &project.services {
        let Some(develop) = service.develop.as_ref().filter(|_| named.is_empty() || named.contains(name)) else {
            continue;
        };
        for (index, declared) in develop.watch.iter().enumerate() {
            let at = format!("services.{name}.develop.watch[{index}]");
            match rule(name, service, declared, &at, read) {
                Ok(rule) => match bound(&rule, &service.volumes) {
                    Some(warning) => found.warnings.push(warning),
                    None => found.rules.push(rule),
                },
                Err(error) => errors.push(error),
            }
        }
    }
    if errors.is_empty() { Ok(found) } else { Err(errors) }
}

fn rule(
    name: &ServiceName,
    service: &Service,
    declared: &WatchRule,
    at: &str,
    read: ReadIgnore<'_>,
) -> Result<Rule, RuleError> {
    let error = |key: &str, message: String, help: Option<&str>| RuleError {
        path: if key.is_empty() { at.to_owned() } else { format!("{at}.{key}") },
        message,
        help: help.map(str::to_owned),
    };
    let action = Action::parse(&declared.action)
        .ok_or_else(|| error("action", format!("`{}` is no action of watch", declared.action), None))?;
    if action == Action::Rebuild && service.build.is_none() {
        let help = "give the service a `build:`, or use `sync` or `restart`";
        return Err(error("action", format!("service `{name}` can't be rebuilt: it has no `build:`"), Some(help)));
    }
    if action == Action::SyncExec && declared.exec.as_ref().is_none_or(|hook| hook.command.is_empty()) {
        return Err(error("", "`sync+exec` needs a command under `exec`".to_owned(), None));
    }
    let target = declared.target.clone().unwrap_or_default();
    if action.syncs() && !target.starts_with('/') {
        return Err(error("target", format!("`{target}` is no absolute path inside the container"), None));
    }
    let patterns = |key: &str, list: &[String]| {
        Patterns::new(list).map_err(|problem: PatternError| error(key, problem.to_string(), None))
    };
    let mut ignore = vec![(PathBuf::from(&declared.path), patterns("ignore", &declared.ignore)?)];
    if let Some(build) = &service.build {
        let parsed = dockerignore(build, read).map_err(|problem| {
            error("", format!("the ignore file of the build context {} is wrong: {problem}", build.context), None)
        })?;
        ignore.extend(parsed);
    }
    let never = Patterns::new(NEVER).map_err(|problem| error("", problem.to_string(), None))?;
    ignore.push((declared.path.clone().into(), never));
    Ok(Rule {
        service: name.clone(),
        action,
        path: declared.path.clone().into(),
        target: target.into(),
        initial_sync: declared.initial_sync || declared.x_initial_sync,
        exec: declared.exec.clone(),
        ignore,
        include: patterns("include", &declared.include)?,
    })
}

/// The ignore file of a build, if its context is a folder that has one.
fn dockerignore(build: &Build, read: ReadIgnore<'_>) -> Result<Option<(PathBuf, Patterns)>, PatternError> {
    let context = Path::new(&build.context);
    if !context.is_absolute() {
        return Ok(None);
    }
    let own = context.join(format!("{}.dockerignore", build.dockerfile.as_deref().unwrap_or("Dockerfile")));
    let text = read(&own).or_else(|| read(&context.join(".dockerignore")));
    text.map(|text| Ok((context.to_owned(), Patterns::of_file(&text)?))).transpose()
}

/// What is mounted into the container needs no copying: as docker compose does, such a rule is left out.
fn bound(rule: &Rule, volumes: &[Mount]) -> Option<String> {
    let covers = |mount: &&Mount| {
        mount.kind == MountKind::Bind && mount.source.as_ref().is_some_and(|source| rule.path.starts_with(source))
    };
    let mount = volumes.iter().find(covers).filter(|_| rule.action.syncs())?;
    Some(format!(
        "service `{}`: {} is not watched for `{}`: a bind mount shows it at {} already",
        rule.service,
        rule.path.display(),
        rule.action.word(),
        mount.target
    ))
}

impl Rule {
    /// The path relative to the rule's own, if a change of it concerns the rule.
    pub fn takes(&self, path: &Path) -> Option<PathBuf> {
        let relative = path.strip_prefix(&self.path).ok()?;
        let ignored = self.ignore.iter().any(|(base, patterns)| {
            !relative.as_os_str().is_empty() && path.strip_prefix(base).is_ok_and(|path| patterns.matches(path))
        });
        let included = self.include.is_empty() || self.include.matches(relative);
        (!ignored && included).then(|| relative.to_owned())
    }

    /// Whether a folder has to be looked into: it is the rule's own or in it, and not all in it is left out.
    pub fn descends(&self, folder: &Path) -> bool {
        let Ok(relative) = folder.strip_prefix(&self.path) else { return false };
        if relative.as_os_str().is_empty() {
            return true;
        }
        let covered = self
            .ignore
            .iter()
            .any(|(base, patterns)| folder.strip_prefix(base).is_ok_and(|folder| patterns.covers(folder)));
        !covered && (self.include.is_empty() || self.include.may_match_below(relative))
    }
}

#[cfg(test)]
mod tests;
