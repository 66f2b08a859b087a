//! Images made by the tests: a busybox (Debian's, static), as a docker archive that `windlass image load` takes in.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::world::World;

/// The commands that the test image has.
const LINKS: &[&str] = &[
    "sh", "true", "false", "sleep", "cat", "echo", "env", "id", "ls", "mkdir", "rm", "touch", "nc", "wget", "httpd",
    "nslookup", "ping", "ip", "mount", "ps", "kill", "hostname", "stat", "seq", "dd", "tty", "stty", "head", "tail",
    "grep", "chmod", "chown", "test", "date", "df", "readlink", "getopt", "printf", "pwd", "ulimit", "sync", "mknod",
];

/// Loads the image `test:latest` into a world: busybox, an empty /data of user 1234, /etc/passwd and /etc/group.
pub fn load(world: &World) {
    load_as(world, "test:latest", &json!({ "Cmd": ["sleep", "100000"], "Env": ["PATH=/bin"] }));
}

/// Loads an image that has nothing but one static program, as one built `FROM scratch` has.
pub fn load_bare(world: &World, name: &str) {
    let mut layer = tar::Builder::new(Vec::new());
    file(&mut layer, "sleep", &fs::read(busybox()).unwrap(), 0o755);
    let config = json!({ "Cmd": ["/sleep", "100000"] });
    load_archive(world, &archive(name, &config, &layer.into_inner().unwrap()));
}

/// Loads the test image under a name, with a config (`Cmd`, `Env`, `User`, …) of its own.
pub fn load_as(world: &World, name: &str, config: &Value) {
    load_archive(world, &archive(name, config, &layer(&[])));
}

/// Loads the test image with more symlinks: names, and what they say.
pub fn load_with_links(world: &World, name: &str, links: &[(&str, &Path)]) {
    let config = json!({ "Cmd": ["sleep", "100000"], "Env": ["PATH=/bin"] });
    load_archive(world, &archive(name, &config, &layer(links)));
}

fn load_archive(world: &World, archive: &[u8]) {
    let path = world.path().join("test-image.tar");
    fs::write(&path, archive).unwrap();
    world.windlass(world.path(), &["image", "load", "-i", path.to_str().unwrap()]).ok();
}

/// A busybox without libraries, as Debian has it.
pub fn busybox() -> PathBuf {
    ["/bin/busybox", "/usr/bin/busybox"].iter().map(PathBuf::from).find(|p| p.exists()).expect("busybox-static")
}

fn archive(name: &str, config: &Value, layer: &[u8]) -> Vec<u8> {
    let diff = format!("sha256:{}", windlass::host::record::hex(&Sha256::digest(layer)));
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({
        "architecture": architecture, "os": "linux", "config": config,
        "rootfs": { "type": "layers", "diff_ids": [diff] },
    });
    let manifest = json!([{ "Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"] }]);
    let mut tar = tar::Builder::new(Vec::new());
    file(&mut tar, "config.json", config.to_string().as_bytes(), 0o644);
    file(&mut tar, "layer.tar", layer, 0o644);
    file(&mut tar, "manifest.json", manifest.to_string().as_bytes(), 0o644);
    tar.into_inner().unwrap()
}

fn layer(links: &[(&str, &Path)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, mode, owner) in
        [("bin", 0o755, 0), ("etc", 0o755, 0), ("tmp", 0o1777, 0), ("data", 0o750, 1234), ("home", 0o755, 0)]
    {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_size(0);
        tar.append_data(&mut header, path, &[][..]).unwrap();
    }
    file(&mut tar, "bin/busybox", &fs::read(busybox()).unwrap(), 0o755);
    let programs = LINKS.iter().map(|link| (format!("bin/{link}"), Path::new("busybox")));
    for (name, to) in programs.chain(links.iter().map(|(name, to)| ((*name).to_owned(), *to))) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        tar.append_link(&mut header, name, to).unwrap();
    }
    file(&mut tar, "data/content", b"from the image\n", 0o640);
    file(&mut tar, "etc/passwd", b"root:x:0:0:root:/:/bin/sh\nann:x:1234:2345:Ann:/home:/bin/sh\n", 0o644);
    file(&mut tar, "etc/group", b"root:x:0:\nstaff:x:2345:\nextra:x:2000:ann\n", 0o644);
    tar.into_inner().unwrap()
}

fn file(tar: &mut tar::Builder<Vec<u8>>, path: &str, content: &[u8], mode: u32) {
    let mut header = tar::Header::new_ustar();
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, path, content).unwrap();
}

/// The folder of a project with one compose file.
pub fn project(world: &World, name: &str, compose: &str) -> PathBuf {
    world.project(name, &[("compose.yaml", compose)])
}

/// Whether a path is there, for tests that read better so.
pub fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Writes to a file, for tests that change one.
pub fn append(path: &Path, text: &str) {
    fs::OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}
