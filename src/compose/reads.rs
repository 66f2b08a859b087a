//! What a project reads beside its compose files: names of variables, env files. For lock files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::node::{Kind, Map, Node};
use super::{LoadOptions, Loaded, bind, config};
use crate::diag::Diagnostics;

/// Names of the variables that the files read: where they are interpolated, where a bare key (`environment: [KEY]`) takes
/// the caller's value, and where a secret or config is made of one.
///
/// # Errors
/// All that is wrong in the files.
pub fn variables(options: &LoadOptions) -> Result<BTreeSet<String>, Diagnostics> {
    let options = LoadOptions { no_interpolate: true, ..options.clone() };
    let root = config::checked(&options)?.root;
    let mut used = BTreeMap::new();
    config::collect(&root, &mut used);
    let mut names: BTreeSet<String> = used.into_keys().collect();
    for (_, service) in bind::services(&root) {
        let build = service.get("build").and_then(|build| build.get("args"));
        [service.get("environment"), build].into_iter().flatten().for_each(|node| bare_keys(node, &mut names));
    }
    for section in ["secrets", "configs"] {
        let objects = root.get(section).and_then(Node::as_map).into_iter().flat_map(Map::values);
        names.extend(objects.filter_map(|object| object.get_str("environment").map(str::to_owned)));
    }
    Ok(names)
}

/// Keys without a value, in a mapping or in a list of `KEY=value`.
fn bare_keys(node: &Node, names: &mut BTreeSet<String>) {
    match &node.kind {
        Kind::Map(map) => {
            names.extend(map.iter().filter(|(_, value)| value.is_null()).map(|(key, _)| key.clone()));
        }
        Kind::List(list) => {
            let items = list.iter().filter_map(Node::as_str);
            names.extend(items.filter(|item| !item.contains(['=', '$'])).map(str::to_owned));
        }
        _ => {}
    }
}

impl Loaded {
    /// All env files that were read: for variables, by included projects, and by services.
    pub fn all_env_files(&self) -> BTreeSet<PathBuf> {
        let entries = bind::services(&self.tree).filter_map(|(_, service)| service.get("env_file")?.as_list());
        let own = entries.flatten().filter_map(|entry| entry.get_str("path")).map(PathBuf::from);
        let own = own.filter(|path| super::disk::is_file(path));
        own.chain(self.env_files.iter().cloned()).chain(self.included_env_files.iter().cloned()).collect()
    }
}
