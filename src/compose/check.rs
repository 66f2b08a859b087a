//! Whether the things of a project fit together: references, circles, values said twice (spec.md section 1, step 7).

use std::collections::{BTreeMap, BTreeSet};

use super::bind::services;
use super::node::{Kind, Map, Node};
use crate::diag::{Code, Diagnostic};

/// What was found wrong before: what seems to be missing may be there, misspelt.
pub struct Wrong {
    /// Services with anything wrong in them.
    pub services: BTreeSet<String>,
    /// Top-level keys that nobody knows.
    pub sections: Vec<String>,
}

/// Checks the enabled services of a finished tree against each other and against `disabled` ones.
pub fn check(tree: &Node, disabled: &Map, wrong: &Wrong, diags: &mut Vec<Diagnostic>) {
    for (name, service) in services(tree) {
        let mut check = Check { tree, disabled, wrong, name, service, diags };
        if !wrong.services.contains(name) {
            check.image();
        }
        check.networks();
        check.dependencies();
        check.mounts();
        check.grants();
        check.platforms();
        check.build();
        check.health();
        check.twice();
        check.watch();
    }
    circles(tree, diags);
    for (name, secret) in tree.get("secrets").and_then(Node::as_map).into_iter().flatten() {
        let has = |key| secret.get(key).is_some();
        // That all of them are missing may have been told.
        let told = diags.iter().any(|diag| diag.code == Code::MissingKey && diag.span() == Some(secret.place()));
        if !told && !has("external") && !has("file") && !has("environment") {
            let text = format!("the secret `{name}` has neither `file` nor `environment`");
            diags.push(Diagnostic::new(Code::MissingKey, text).at(secret.place(), ""));
        }
    }
}

/// A name belongs to one container.
pub fn container_names(tree: &Node, diags: &mut Vec<Diagnostic>) {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, service) in services(tree) {
        if let Some(node) = service.get("container_name")
            && let Some(text) = node.as_str()
            && let Some(other) = names.insert(text, name)
        {
            diags.push(
                Diagnostic::new(
                    Code::SameContainerName,
                    format!("the services `{other}` and `{name}` have the same container name `{text}`"),
                )
                .at(node.span, "a container's name is unique"),
            );
        }
    }
}

struct Check<'a> {
    tree: &'a Node,
    disabled: &'a Map,
    wrong: &'a Wrong,
    name: &'a str,
    service: &'a Node,
    diags: &'a mut Vec<Diagnostic>,
}

impl Check<'_> {
    fn error(&mut self, code: Code, text: String, at: &Node, label: &str) {
        self.diags.push(Diagnostic::new(code, text).at(at.place(), label));
    }

    fn image(&mut self) {
        let has = |key| self.service.get(key).is_some();
        if !has("image") && !has("build") && !has("provider") {
            let text = format!("service `{}` has neither `image` nor `build`", self.name);
            self.error(Code::MissingKey, text, self.service, "an image or a build is needed here");
        }
    }

    /// Two values that must be equal and are not.
    fn contradiction(&mut self, text: String, one: &Node, other: &Node, help: &str) {
        let diag = Diagnostic::new(Code::Contradiction, text).at(one.span, "here").at(other.span, "and here");
        self.diags.push(diag.help(help));
    }

    /// There is one Dockerfile, and a build context that is another service must be one that is built.
    fn build(&mut self) {
        let Some(build) = self.service.get("build") else { return };
        if let (Some(file), Some(inline)) = (build.get("dockerfile"), build.get("dockerfile_inline")) {
            let text = format!("service `{}` has both `dockerfile` and `dockerfile_inline`", self.name);
            let diag = Diagnostic::new(Code::Exclusive, text).at(inline.place(), "only one of them");
            self.diags.push(diag.at(file.place(), "and this one"));
        }
        let contexts = build.get("additional_contexts");
        for (key, node) in contexts.and_then(Node::as_map).into_iter().flatten() {
            let Some(name) = node.as_str().and_then(|text| text.strip_prefix("service:")) else { continue };
            match self.tree.get("services").and_then(|services| services.get(name)) {
                None => self.unknown("services", "service", name, node),
                Some(other) if other.get("build").is_none() => {
                    let text = format!("service `{}` has `{name}` as the build context `{key}`", self.name);
                    self.error(Code::NotBuilt, text, node, "this service has no `build`");
                }
                Some(_) => {}
            }
        }
    }

    /// A list says first what the rest of it is.
    fn health(&mut self) {
        let test = self.service.get("healthcheck").map_or(&[][..], |check| items(check, "test"));
        if let Some(first) = test.first().filter(|first| !matches!(first.as_str(), Some("CMD" | "CMD-SHELL" | "NONE")))
        {
            let word = first.as_str().unwrap_or_default();
            let text = format!("the health check of service `{}` begins with `{word}`", self.name);
            let diag = Diagnostic::new(Code::HealthTest, text).at(first.span, "`CMD`, `CMD-SHELL` or `NONE` goes here");
            self.diags.push(diag.help(format!("write `[\"CMD\", \"{word}\", …]`, or one text for a shell")));
        }
    }

    /// Tells that a name of a section is not known there.
    fn unknown(&mut self, section: &str, what: &str, name: &str, at: &Node) {
        let known: Vec<&str> =
            self.tree.get(section).and_then(Node::as_map).into_iter().flat_map(Map::keys).map(String::as_str).collect();
        let diag = Diagnostic::new(
            Code::UnknownReference,
            format!("service `{}` uses the unknown {what} `{name}`", self.name),
        )
        .at(at.place(), format!("no {what} has this name"));
        let diag = match crate::diag::nearest(name, known.iter().copied()) {
            Some(near) => diag.help(format!("did you mean `{near}`?")),
            None => diag.help(format!("declare it at the top level, under `{section}`")),
        };
        self.diags.push(diag);
    }

    fn known(&self, section: &str, name: &str) -> bool {
        match self.tree.get(section) {
            Some(Node { kind: Kind::Map(map), .. }) if map.contains_key(name) => true,
            // What is no mapping was told; what is misspelt (`volume:`) is meant.
            Some(node) if node.as_map().is_none() && !node.is_null() => true,
            _ => self.wrong.sections.iter().any(|key| crate::diag::nearest(key, [section]).is_some()),
        }
    }

    fn networks(&mut self) {
        let networks = self.service.get("networks").and_then(Node::as_map);
        if let (Some(mode), Some(networks)) = (self.service.get("network_mode"), networks)
            && !networks.is_empty()
        {
            let text = format!("service `{}` has both `network_mode` and `networks`", self.name);
            self.error(Code::Exclusive, text, mode, "only one of them");
        }
        for (network, node) in networks.into_iter().flatten() {
            if !self.known("networks", network) {
                self.unknown("networks", "network", network, node);
            }
        }
    }

    fn dependencies(&mut self) {
        for (other, node) in self.service.get("depends_on").and_then(Node::as_map).into_iter().flatten() {
            if self.known("services", other) {
                continue;
            }
            let required = node.get("required").is_none_or(|r| r.kind != Kind::Bool(false));
            if self.disabled.contains_key(other) {
                if required {
                    let text = format!("service `{}` depends on `{other}`, whose profile is off", self.name);
                    self.error(Code::DependencyOff, text, node, "enable the profile, or say `required: false`");
                } else {
                    let text = format!("service `{}` does not wait for `{other}`, whose profile is off", self.name);
                    self.diags.push(Diagnostic::new(Code::OptionalOff, text).at(node.place(), ""));
                }
            } else {
                let known = services(self.tree).map(|(name, _)| name.as_str());
                let diag = Diagnostic::new(
                    Code::UnknownReference,
                    format!("service `{}` depends on unknown service `{other}`", self.name),
                )
                .at(node.place(), "no service has this name")
                .did_you_mean(other, known);
                self.diags.push(diag);
            }
        }
    }

    fn mounts(&mut self) {
        // Paths of `tmpfs` are as they are written: `/a/` is another than `/a`.
        let mut targets: BTreeMap<&str, &Node> = BTreeMap::new();
        for tmpfs in items(self.service, "tmpfs") {
            let target = tmpfs.as_str().unwrap_or_default().split(':').next().unwrap_or_default();
            self.mount(&mut targets, target, tmpfs);
        }
        for mount in items(self.service, "volumes") {
            if let (Some("volume"), Some(source)) = (mount.get_str("type"), mount.get("source"))
                && let Some(name) = source.as_str()
                && !name.is_empty()
                && !self.known("volumes", name)
            {
                self.unknown("volumes", "volume", name, source);
            }
            if let Some(target) = mount.get("target") {
                self.mount(&mut targets, target.as_str().unwrap_or_default(), target);
            }
        }
    }

    fn mount<'a>(&mut self, targets: &mut BTreeMap<&'a str, &'a Node>, target: &'a str, node: &'a Node) {
        let Some(first) = targets.insert(target, node) else { return };
        self.diags.push(two_mounts(self.name, target, node, first));
    }

    /// One of the platforms that are built must be the one that is run.
    fn platforms(&mut self) {
        let (Some(platform), Some(build)) = (self.service.get("platform"), self.service.get("build")) else { return };
        let platforms = items(build, "platforms");
        if !platforms.is_empty() && !platforms.contains(platform) {
            let text = format!("service `{}` runs on a platform that it is not built for", self.name);
            let shown = platform.as_str().unwrap_or_default();
            self.diags.push(
                Diagnostic::new(Code::Contradiction, text)
                    .at(platform.span, "is run")
                    .at(build.get("platforms").unwrap_or(build).place(), "are built")
                    .help(format!("add `{shown}` to `build.platforms`")),
            );
        }
    }

    fn grants(&mut self) {
        for section in ["secrets", "configs"] {
            let what = section.trim_end_matches('s');
            let of_build = self.service.get("build").map_or(&[][..], |build| items(build, section));
            for grant in items(self.service, section).iter().chain(of_build) {
                match grant.get("source") {
                    None => {
                        let text = format!("service `{}` uses a {what} without a name", self.name);
                        self.error(Code::MissingKey, text, grant, "`source` is missing here");
                    }
                    Some(source) => {
                        let name = source.as_str().unwrap_or_default();
                        if !self.known(section, name) {
                            self.unknown(section, what, name, source);
                        }
                    }
                }
            }
        }
        for (model, node) in self.service.get("models").and_then(Node::as_map).into_iter().flatten() {
            if !self.known("models", model) {
                self.unknown("models", "model", model, node);
            }
        }
    }

    /// Values that can be said in two places must be the same in both.
    fn twice(&mut self) {
        let Some(deploy) = self.service.get("deploy") else { return self.scale(None) };
        let side = |side: &str| deploy.get("resources").and_then(|resources| resources.get(side));
        let rules = [
            ("cpus", side("limits"), "cpus"),
            ("mem_limit", side("limits"), "memory"),
            ("mem_reservation", side("reservations"), "memory"),
            ("pids_limit", side("limits"), "pids"),
        ];
        for (key, there, other) in rules {
            let (Some(here), Some(there)) = (self.service.get(key), there) else { continue };
            match there.get(other) {
                Some(there) if there == here => {}
                Some(there) => {
                    let text = format!("service `{}` says `{key}` and `deploy.resources` differently", self.name);
                    self.contradiction(text, here, there, "keep one of them, or make them equal");
                }
                None => {
                    let text =
                        format!("service `{}` has `{key}`, but its `deploy.resources` say nothing of it", self.name);
                    let help = format!("move it there, as `{other}`");
                    self.diags.push(
                        Diagnostic::new(Code::Contradiction, text)
                            .at(here.span, "here")
                            .at(there.place(), format!("no `{other}` here"))
                            .help(help),
                    );
                }
            }
        }
        self.scale(deploy.get("replicas"));
    }

    fn scale(&mut self, replicas: Option<&Node>) {
        let scale = self.service.get("scale");
        if let (Some(scale), Some(replicas)) = (scale, replicas)
            && scale != replicas
        {
            let text = format!("service `{}` says `scale` and `deploy.replicas` differently", self.name);
            self.contradiction(text, scale, replicas, "keep one of them, or make them equal");
        }
        let Some((node, Kind::Int(count))) = scale.or(replicas).map(|node| (node, &node.kind)) else { return };
        if *count < 0 {
            self.error(Code::OutOfRange, format!("service `{}` cannot have {count} replicas", self.name), node, "");
        }
        if *count > 1
            && let Some(name) = self.service.get("container_name")
        {
            let text = format!("service `{}` cannot have {count} replicas with one `container_name`", self.name);
            self.diags.push(
                Diagnostic::new(Code::SameContainerName, text).at(node.span, "replicas").at(name.span, "one name"),
            );
        }
    }

    fn watch(&mut self) {
        let rules = self.service.get("develop").map_or(&[][..], |develop| items(develop, "watch"));
        for rule in rules {
            let action = rule.get_str("action").unwrap_or_default();
            if rule.get("target").is_none() && action.starts_with("sync") {
                self.error(Code::MissingKey, format!("the watch action `{action}` needs a `target`"), rule, "");
            }
        }
    }
}

/// Of two mounts at one place only one is seen.
pub fn two_mounts(service: &str, target: &str, one: &Node, other: &Node) -> Diagnostic {
    Diagnostic::new(Code::TwoMounts, format!("service `{service}` has two mounts on `{target}`"))
        .at(one.span, "here")
        .at(other.span, "and here")
        .help("take one of them out: it would be hidden by the other")
}

fn items<'a>(node: &'a Node, key: &str) -> &'a [Node] {
    node.get(key).and_then(Node::as_list).unwrap_or_default()
}

/// Services that wait for each other in a circle.
fn circles(tree: &Node, diags: &mut Vec<Diagnostic>) {
    let edges: BTreeMap<&str, &Map> = services(tree)
        .filter_map(|(name, service)| Some((name.as_str(), service.get("depends_on")?.as_map()?)))
        .collect();
    let mut done: BTreeMap<&str, bool> = BTreeMap::new();
    for start in edges.keys() {
        if let Some(circle) = circle_from(start, &edges, &mut done) {
            let place = edges.get(circle[0]).and_then(|map| map.get(circle[1])).map(Node::place).unwrap_or_default();
            diags.push(
                Diagnostic::new(
                    Code::DependencyCircle,
                    format!("services depend on each other in a circle: {}", circle.join(" → ")),
                )
                .at(place, ""),
            );
            return;
        }
    }
}

/// Walks without recursion; `done` is `false` while a service is on the way.
fn circle_from<'a>(
    start: &'a str,
    edges: &BTreeMap<&'a str, &'a Map>,
    done: &mut BTreeMap<&'a str, bool>,
) -> Option<Vec<&'a str>> {
    if done.contains_key(start) {
        return None;
    }
    let next = |name: &str| edges.get(name).map(|map| map.keys());
    let mut way = vec![(start, next(start))];
    done.insert(start, false);
    while let Some((name, rest)) = way.last_mut() {
        match rest.as_mut().and_then(Iterator::next) {
            None => {
                done.insert(name, true);
                way.pop();
            }
            Some(to) => match done.get(to.as_str()) {
                Some(true) => {}
                Some(false) => {
                    let from = way.iter().position(|(name, _)| *name == to)?;
                    let mut circle: Vec<&str> = way[from..].iter().map(|(name, _)| *name).collect();
                    circle.push(to);
                    return Some(circle);
                }
                None => {
                    done.insert(to, false);
                    way.push((to, next(to)));
                }
            },
        }
    }
    None
}
