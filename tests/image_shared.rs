//! The fixtures and the evil images of `shared/images`: each is pulled from the registry there, run, and does what its row
//! of FIXTURES.md says. What is evil touches nothing of the host.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test fails by panicking; each binary uses its own part of what is shared"
)]

mod support;

#[path = "image_shared/evil.rs"]
mod evil;
#[path = "image_shared/fixtures.rs"]
mod fixtures;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use support::world::{Ran, World};

/// A world with the registry of `shared/images`, and a project with one service.
struct Bench {
    world: World,
    folder: PathBuf,
    /// `fixtures` or `evil`.
    kind: &'static str,
}

impl Bench {
    /// `None`: `shared` is missing, and the test `name` is counted as left out.
    fn new(name: &str, kind: &'static str) -> Option<Self> {
        let shared = support::shared(&format!("image_shared::{name}"))?;
        let mut world = World::new();
        world.serve(&shared);
        let folder = world.project("p", &[("compose.yaml", "services: {}\n")]);
        Some(Self { world, folder, kind })
    }

    /// Writes the compose file: one service `x` of an image, and what else it has.
    fn service(&self, image: &str, more: &str) {
        let text = format!("services:\n  x:\n    image: {}/{image}\n{more}", self.kind);
        fs::write(self.folder.join("compose.yaml"), text).unwrap();
    }

    /// `windlass …` in the project.
    fn windlass(&self, arguments: &[&str]) -> Ran {
        self.world.windlass(&self.folder, arguments)
    }

    /// `windlass run` of an image as it is, with its own command where none is given.
    fn run(&self, image: &str, command: &[&str]) -> Ran {
        self.service(image, "");
        self.windlass(&[&["run", "--rm", "-T", "--quiet-pull", "x"], command].concat())
    }

    /// The process id of the only container's first process.
    fn main_pid(&self) -> i32 {
        let folder = fs::read_dir(self.world.path().join("run/containers")).unwrap().next().unwrap().unwrap().path();
        let text = fs::read_to_string(folder.join("process.json")).unwrap();
        let body: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        i32::try_from(body["pid"].as_i64().unwrap()).unwrap()
    }

    /// Takes all down, and looks at what is left.
    fn end(&self) {
        self.windlass(&["down", "-v", "-t", "0"]).ok();
        self.world.assert_clean();
    }
}

/// The names in the tables of FIXTURES.md below a heading.
fn rows(heading: &str) -> Option<BTreeSet<String>> {
    let shared = support::shared(&format!("image_shared::every_row_of_{heading}_is_tried"))?;
    let text = fs::read_to_string(shared.join("images/FIXTURES.md")).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let names = section.lines().filter(|l| l.starts_with("| ") && !l.starts_with("| name") && !l.starts_with("| ---"));
    Some(names.map(|line| line.split('|').nth(1).unwrap().trim().to_owned()).collect())
}
