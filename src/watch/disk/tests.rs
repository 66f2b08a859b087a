//! What the kernel tells, on real folders.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::compose::model::{Develop, Project, Service, WatchRule};
use crate::watch::rule::rules;

mod stress;

/// One rule, for all below a folder.
fn rules_of(root: &Path) -> Vec<Rule> {
    let rule = WatchRule {
        path: root.display().to_string(),
        action: "sync".into(),
        target: Some("/app".into()),
        ignore: vec!["node_modules".into()],
        ..WatchRule::default()
    };
    let service = Service { develop: Some(Develop { watch: vec![rule] }), ..Service::default() };
    let mut project = Project::default();
    project.services.insert("web".into(), service);
    rules(&project, &BTreeSet::new(), &|_| None).expect("rules").rules
}

struct World {
    folder: tempfile::TempDir,
    watch: Watch,
}

impl World {
    fn new(prepare: impl FnOnce(&Path)) -> (Self, Started) {
        let folder = tempfile::tempdir().expect("a folder");
        let root = fs::canonicalize(folder.path()).expect("there").join("src");
        fs::create_dir(&root).expect("made");
        prepare(&root);
        let rules = rules_of(&root);
        let (started, watch) = start(Scope { rules, files: BTreeSet::new() }).expect("watching");
        (Self { folder, watch }, started)
    }

    fn root(&self) -> PathBuf {
        fs::canonicalize(self.folder.path()).expect("there").join("src")
    }

    /// All that is told until these paths were, relative to the root; the number of batches.
    async fn hear(&mut self, wanted: &[&str]) -> (BTreeSet<String>, usize) {
        let wanted: BTreeSet<String> = wanted.iter().map(|path| (*path).to_owned()).collect();
        let (root, mut heard, mut batches) = (self.root(), BTreeSet::new(), 0);
        while !wanted.is_subset(&heard) {
            let told = tokio::time::timeout(Duration::from_secs(30), self.watch.next()).await;
            let batch = match told {
                Ok(Some(Told::Batch(batch))) => batch,
                // Another test may have set the limit low for the whole machine.
                Ok(Some(Told::Note(Note::Overflow { .. }))) => continue,
                told => panic!("{told:?} after {heard:?}, not {wanted:?}"),
            };
            batches += 1;
            heard.extend(
                batch.paths.iter().map(|path| path.strip_prefix(&root).expect("below the root").display().to_string()),
            );
        }
        (heard, batches)
    }
}

#[tokio::test]
async fn saves_renames_modes_and_removals_are_told() {
    let (mut world, started) = World::new(|root| {
        fs::write(root.join("a"), "").expect("written");
        fs::create_dir_all(root.join("node_modules/x")).expect("made");
        fs::create_dir_all(root.join("d/e")).expect("made");
    });
    let root = world.root();
    assert_eq!(started.paths.len(), 4, "{:?}", started.paths);
    // The root, its parent, d, d/e; nothing of what is ignored.
    assert_eq!(started.folders, 4);
    fs::write(root.join("a"), "saved").expect("written");
    world.hear(&["a"]).await;
    fs::write(root.join(".a.swp"), "").expect("written");
    fs::write(root.join("d/e/new"), "").expect("written");
    fs::rename(root.join("d/e/new"), root.join("a")).expect("renamed");
    world.hear(&["a", "d/e/new"]).await;
    fs::set_permissions(root.join("a"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
    world.hear(&["a"]).await;
    fs::remove_file(root.join("a")).expect("removed");
    world.hear(&["a"]).await;
    std::os::unix::fs::symlink("x", root.join("link")).expect("linked");
    let (heard, _) = world.hear(&["link"]).await;
    assert_eq!(heard.len(), 1, "{heard:?}");
}

#[tokio::test]
async fn folders_that_come_and_go_are_told_with_all_that_is_in_them() {
    let (mut world, _) = World::new(|root| fs::create_dir_all(root.join("d/e/f")).expect("made"));
    let root = world.root();
    let outside = world.folder.path().join("outside");
    fs::create_dir_all(outside.join("deep")).expect("made");
    fs::write(outside.join("deep/file"), "").expect("written");
    fs::rename(&outside, root.join("moved")).expect("renamed");
    world.hear(&["moved", "moved/deep", "moved/deep/file"]).await;
    fs::write(root.join("moved/deep/other"), "").expect("written");
    world.hear(&["moved/deep/other"]).await;
    fs::rename(root.join("moved"), root.join("renamed")).expect("renamed");
    world.hear(&["moved", "moved/deep/file", "renamed/deep/file"]).await;
    fs::write(root.join("renamed/deep/file"), "x").expect("written");
    world.hear(&["renamed/deep/file"]).await;
    fs::remove_dir_all(&root).expect("removed");
    world.hear(&["renamed/deep/file", "d/e/f"]).await;
    fs::create_dir_all(root.join("again")).expect("made");
    fs::write(root.join("again/file"), "").expect("written");
    world.hear(&["again/file"]).await;
}

#[tokio::test]
async fn a_hard_link_is_told_with_the_other_names_of_the_file() {
    let (mut world, _) = World::new(|root| {
        fs::write(root.join("a"), "").expect("written");
        fs::hard_link(root.join("a"), root.join("b")).expect("linked");
    });
    fs::write(world.root().join("a"), "x").expect("written");
    world.hear(&["a", "b"]).await;
}

#[tokio::test]
async fn a_checkout_of_thousands_of_files_is_one_batch() {
    let (mut world, _) = World::new(|root| {
        fs::create_dir(root.join(".git")).expect("made");
    });
    let root = world.root();
    fs::write(root.join(".git/index.lock"), "").expect("written");
    let names: Vec<String> = (0..2000).map(|n| format!("d{}/f{n}", n % 50)).collect();
    for name in &names {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("above")).expect("made");
        fs::write(path, name).expect("written");
    }
    fs::rename(root.join(".git/index.lock"), root.join(".git/index")).expect("renamed");
    let (heard, batches) = world.hear(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(batches, 1);
    assert_eq!(heard.len(), 2050, "no file of git's is among them");
}

#[tokio::test]
async fn what_is_written_by_a_name_that_is_gone_again_is_found() {
    let (mut world, _) = World::new(|root| fs::write(root.join("a"), "").expect("written"));
    let root = world.root();
    fs::hard_link(root.join("a"), root.join("b")).expect("linked");
    fs::write(root.join("b"), "x").expect("written");
    fs::remove_file(root.join("b")).expect("removed");
    world.hear(&["a"]).await;
}
