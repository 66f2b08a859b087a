//! One project of one compose file, in a world of its own.

use std::fs;
use std::path::PathBuf;

use crate::support::image;
use crate::support::world::{Ran, World};

/// A project in a world.
pub struct Stack {
    pub world: World,
    pub folder: PathBuf,
}

impl Stack {
    /// A world with the test image and a project of this compose file.
    pub fn new(compose: &str) -> Self {
        let world = World::new();
        image::load(&world);
        let folder = image::project(&world, "app", compose);
        Self { world, folder }
    }

    /// As [`Stack::new`], and it is up.
    #[track_caller]
    pub fn up(compose: &str) -> Self {
        let stack = Self::new(compose);
        stack.run(&["up", "-d"]).ok();
        stack
    }

    /// Runs windlass in the project.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.world.windlass(&self.folder, arguments)
    }

    /// Runs a shell script in a service's container.
    pub fn inside(&self, service: &str, script: &str) -> Ran {
        self.run(&["exec", "-T", service, "sh", "-c", script])
    }

    /// Writes a file of the project.
    pub fn write(&self, file: &str, text: &str) {
        fs::write(self.folder.join(file), text).unwrap();
    }

    /// What a file of the project says; empty if there is none.
    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file)).unwrap_or_default()
    }

    /// The main process of a service's only container, on the host.
    pub fn pid(&self, service: &str) -> i32 {
        let id = self.run(&["ps", "-q", "--no-trunc", service]).ok().stdout;
        let record = self.world.path().join("run/containers").join(id.trim()).join("process.json");
        let text = fs::read_to_string(record).unwrap();
        let body: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        i32::try_from(body["pid"].as_i64().unwrap()).unwrap()
    }

    /// Takes everything down, and looks at what is left.
    #[track_caller]
    pub fn down(&self) {
        self.run(&["down", "-v", "-t", "0"]).ok();
        self.world.assert_clean();
    }

    /// Runs a shell script in a service's container; one line, without its end.
    #[track_caller]
    pub fn line(&self, service: &str, script: &str) -> String {
        self.inside(service, script).ok().stdout.trim().to_owned()
    }
}

/// `up` of this file fails and says so; then nothing is left.
#[track_caller]
pub fn refused(compose: &str, says: &[&str]) {
    let stack = Stack::new(compose);
    let mut ran = stack.run(&["up", "-d"]).code(1);
    for text in says {
        ran = ran.says(text);
    }
    stack.down();
}
