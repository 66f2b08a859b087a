//! windlass.lock holds what lies elsewhere.

use std::fs;

use crate::git::{Forge, GIT};
use crate::oci::{Shop, file};
use crate::support::image::load;
use crate::support::world::World;

const APP: &str = "services:\n  app: {image: test, pull_policy: never, stop_signal: SIGKILL, network_mode: none, environment: {WHAT: one}}\n";

fn second() -> String {
    APP.replace("WHAT: one", "WHAT: two")
}

/// What the container was made of.
fn runs(world: &World, folder: &std::path::Path) -> String {
    world.windlass(folder, &["exec", "-T", "app", "sh", "-c", "echo $WHAT"]).ok().stdout.trim().to_owned()
}

#[test]
fn a_branch_stays_what_it_was_locked_as_until_the_lock_is_updated() {
    let forge = Forge::new();
    load(&forge.world);
    let one = forge.commit("app.git", &[("compose.yaml", APP)]);
    let address = format!("{GIT}/app.git#main");
    let folder = forge.project(&format!("include: ['{address}']\n"));
    let windlass = |arguments: &[&str]| forge.world.windlass(&folder, arguments);
    let text = || fs::read_to_string(folder.join("windlass.lock")).unwrap();
    windlass(&["lock"]).ok().says(&format!("+ remote {address} {one}")).says("1 remote");
    assert!(text().contains(&format!("\"{address}\" = \"{one}\"")), "{}", text());
    windlass(&["lock"]).ok().says("up to date");
    windlass(&["lock", "--check"]).ok();
    windlass(&["up", "-d", "--locked"]).ok();
    assert_eq!(runs(&forge.world, &folder), "one");

    let two = forge.commit("app.git", &[("compose.yaml", &second())]);
    let moved = format!("remote {address} has moved: {one} → {two}");
    windlass(&["lock", "--check"]).code(1).says(&moved);
    windlass(&["up", "-d", "--locked"]).code(1).says(&moved).says("`windlass lock --update`");
    windlass(&["lock"]).ok().says("up to date");
    windlass(&["config"]).ok().says("WHAT: one");
    windlass(&["plan", "--detailed-exitcode"])
        .code(0)
        .says("nothing to do")
        .says(&format!("{moved}; `windlass lock --update`"));
    windlass(&["plan", "--detailed-exitcode", "--no-lock"]).code(2);
    windlass(&["up", "-d"]).ok();
    assert_eq!(runs(&forge.world, &folder), "one");
    windlass(&["up", "-d", "--no-lock"]).ok();
    assert_eq!(runs(&forge.world, &folder), "two");

    windlass(&["--dry-run", "lock", "--update"]).ok().says("would have");
    windlass(&["lock", "--update", "app"]).ok().says("up to date");
    assert!(text().contains(&one));
    windlass(&["lock", "--update"]).ok().says(&format!("~ remote {address} {one} → {two}"));
    windlass(&["up", "-d", "--locked"]).ok();
    assert_eq!(runs(&forge.world, &folder), "two");
    // One that the lock lacks is asked for as ever, and told.
    fs::write(folder.join("windlass.lock"), "schema = 1\nwindlass = \"0\"\n").unwrap();
    windlass(&["up", "-d"]).ok().says(&format!("{address}; `windlass lock` adds what is missing"));
    windlass(&["up", "-d", "--locked"]).code(1).says(&format!("remote {address} is not in the lock file"));
    windlass(&["down"]).ok();
    forge.world.assert_clean();
}

#[test]
fn frozen_asks_nobody_and_says_what_it_lacks() {
    let mut forge = Forge::new();
    load(&forge.world);
    let one = forge.commit("app.git", &[("compose.yaml", APP), (".env", "A=b\n")]);
    let folder = forge.project(&format!("include: ['{GIT}/app.git#main']\n"));
    forge.world.windlass(&folder, &["lock"]).ok();
    let locked = fs::read_to_string(folder.join("windlass.lock")).unwrap();
    assert!(!locked.contains("env_files"), "the commit holds all that was fetched: {locked}");
    forge.commit("app.git", &[("compose.yaml", &second())]);
    forge.world.sh("mv home/.cache home/kept").ok();
    let frozen = |forge: &Forge| forge.world.windlass(&folder, &["up", "-d", "--frozen"]);
    frozen(&forge).code(1).says(&format!("{one} is not in the cache")).says("compose.yaml:1:11");
    // On an empty machine, the old commit comes by its name.
    forge.world.windlass(&folder, &["config"]).ok().says("WHAT: one");
    forge.close();
    frozen(&forge).ok();
    assert_eq!(runs(&forge.world, &folder), "one");
    forge.world.windlass(&folder, &["up", "-d"]).ok();
    forge.world.windlass(&folder, &["up", "-d", "--locked"]).code(1).says("git says: ").says("up --frozen");
    fs::write(folder.join("windlass.lock"), locked.replace("#main", "#other")).unwrap();
    frozen(&forge)
        .code(1)
        .says("app.git#main is not in the lock file")
        .says("app.git#other is in the lock file and not used");
    fs::write(folder.join("windlass.lock"), "broken").unwrap();
    forge.world.windlass(&folder, &["config"]).code(1).says("windlass.lock:1:7");
    forge.world.windlass(&folder, &["lock", "--check"]).code(1).says("windlass.lock:1:");
    forge.world.windlass(&folder, &["down"]).ok();
    forge.world.assert_clean();
}

#[test]
fn a_password_is_not_locked_and_the_lock_lies_in_the_callers_folder() {
    let forge = Forge::new();
    let one = forge.commit("app.git", &[("compose.yaml", APP)]);
    forge.world.sh(&format!("git config --global url.{GIT}/.insteadOf https://me:hunter2@forge.example/")).ok();
    let folder = forge.world.project("empty", &[("x", "")]);
    let address = "https://me:hunter2@forge.example/app.git";
    let ran = forge.world.windlass(&folder, &["-f", address, "lock"]).ok();
    let text = fs::read_to_string(folder.join("windlass.lock")).unwrap();
    assert!(text.contains(&format!("\"https://forge.example/app.git\" = \"{one}\"")), "{text}");
    forge.commit("app.git", &[("compose.yaml", &second())]);
    let refused = forge.world.windlass(&folder, &["-f", address, "up", "-d", "--locked"]).code(1);
    let refused = refused.says("`windlass -f https://forge.example/app.git lock --update`");
    for text in [text, ran.stdout, ran.stderr, refused.stdout, refused.stderr] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    let left = forge.world.sh("grep -rl hunter2 home/.cache root run").stdout;
    assert_eq!(left, "");
    forge.world.assert_clean();
}

#[test]
fn an_artifact_stays_what_it_was_locked_as() {
    let mut shop = Shop::new();
    let one = shop.publish("1", &[file(APP)]);
    let folder = shop.include("team/app:1");
    let check = |shop: &Shop| shop.world.windlass(&folder, &["lock", "--check"]);
    shop.world.windlass(&folder, &["lock"]).ok().says(&format!("team/app:1 {one}"));
    check(&shop).ok();
    let two = shop.publish("1", &[file(&second())]);
    check(&shop).code(1).says(&format!("team/app:1 has moved: {one} → {two}"));
    shop.world.windlass(&folder, &["config"]).ok().says("WHAT: one");
    shop.close();
    shop.world.windlass(&folder, &["config"]).ok().says("WHAT: one");
    check(&shop).code(1).says("can't be reached");
    shop.world.assert_clean();
}
