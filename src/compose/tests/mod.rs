//! Whole projects through the pipeline, and tables for the parts that have a grammar of their own.

mod compare;
mod forms;
mod grammar;
mod merging;
mod output;
mod project;
mod remote;
mod syntax;
mod wrong;

use std::collections::BTreeMap;

use super::config::{self, Format};
use super::{LoadOptions, Loaded};
use crate::diag::Diagnostics;

/// Files in a folder of their own, as a project.
pub struct Stage {
    dir: tempfile::TempDir,
    /// How they are loaded.
    pub options: LoadOptions,
}

impl Stage {
    /// Writes files; the first ones named `*.yaml` at the top are the project's, in their order.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let root = dir.path().join("stage");
        for (name, text) in files {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().expect("files have a folder")).expect("folders can be made");
            std::fs::write(path, text).expect("files can be written");
        }
        let mains = files.iter().map(|(name, _)| *name).filter(|n| n.starts_with("compose") && !n.contains('/'));
        let options = LoadOptions {
            files: mains.map(str::to_owned).collect(),
            env: BTreeMap::from([("HOME".to_owned(), "/home/me".to_owned())]),
            cwd: root,
            ..LoadOptions::default()
        };
        Self { dir, options }
    }

    /// Sets a variable of the caller.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.options.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Loads them.
    pub fn load(&self) -> Result<Loaded, Diagnostics> {
        super::load(&self.options)
    }

    /// What `config` prints, with the folder shortened to `@`.
    pub fn config(&self) -> String {
        match self.load() {
            Ok(loaded) => config::print(&loaded, Format::Yaml).replace(&*self.root(), "@"),
            Err(diags) => format!("{diags}").replace(&*self.root(), "@"),
        }
    }

    fn root(&self) -> String {
        self.options.cwd.to_string_lossy().into_owned()
    }

    /// What is wrong with them, as people read it.
    pub fn wrong(&self) -> String {
        match self.load() {
            Ok(_) => "nothing is wrong".to_owned(),
            Err(diags) => diags.to_string().replace(&*self.root(), "@"),
        }
    }

    /// The folder above the project's.
    pub fn above(&self) -> &std::path::Path {
        self.dir.path()
    }
}

/// One service, `s`, with an image and these lines; as `config` prints it, without what every service has.
pub fn service(lines: &str) -> String {
    one(lines, "")
}

/// One service and a top level.
pub fn one(lines: &str, top: &str) -> String {
    let indented: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    let text = format!("services:\n  s:\n    image: i\n{indented}{top}");
    let stage = Stage::new(&[("compose.yaml", &text)]);
    let printed = stage.config();
    let Some(rest) = printed.strip_prefix("name: stage\nservices:\n  s:\n") else { return printed };
    let body: Vec<&str> = rest.lines().take_while(|line| line.starts_with("    ")).collect();
    let keep = body.iter().filter(|l| **l != "    image: i" && **l != "    networks:" && **l != "      default: null");
    keep.map(|line| format!("{}\n", &line[4..])).collect()
}
