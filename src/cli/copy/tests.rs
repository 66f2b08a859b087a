//! Copies between folders of this machine, one of them taken for a container's root.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;
use crate::host::container::Root;

struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("root/etc")).expect("made");
        fs::create_dir_all(folder.path().join("host/sub")).expect("made");
        fs::write(folder.path().join("host/a.txt"), "A").expect("written");
        fs::write(folder.path().join("host/sub/b.txt"), "B").expect("written");
        fs::write(folder.path().join("secret"), "host only").expect("written");
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn container(&self) -> Tree {
        Tree::Container(Root::standing_for(fs::File::open(self.path("root")).expect("opened").into()))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn copy_in(&self, source: &str, target: &str) -> Result<(), CliError> {
        copy(&Tree::Machine, &self.path(source), &self.container(), target, false, Keep::Content)
    }

    fn copy_out(&self, source: &str, target: &str) -> Result<(), CliError> {
        copy(&self.container(), source, &Tree::Machine, &self.path(target), false, Keep::Content)
    }
}

#[test]
fn files_and_folders_land_where_docker_puts_them() {
    let world = World::new();
    world.copy_in("host/a.txt", "/etc").expect("file into a folder");
    world.copy_in("host/a.txt", "/etc/new.txt").expect("file to a new name");
    world.copy_in("host", "/etc").expect("folder into a folder");
    world.copy_in("host", "/other").expect("folder to a new name");
    world.copy_in("host/.", "/etc/in").expect("content to a new name");
    world.copy_in("host/.", "/etc").expect("content into a folder");
    for name in ["etc/a.txt", "etc/new.txt", "etc/host/a.txt", "other/a.txt", "etc/in/a.txt"] {
        assert_eq!(world.read(&format!("root/{name}")), "A");
    }
    for name in ["etc/host/sub/b.txt", "other/sub/b.txt", "etc/in/sub/b.txt", "etc/sub/b.txt"] {
        assert_eq!(world.read(&format!("root/{name}")), "B");
    }
    world.copy_out("/other/sub", "out").expect("folder out");
    assert_eq!(world.read("out/b.txt"), "B");
    let names: Vec<_> = fs::read_dir(world.path("root/etc")).expect("read").flatten().map(|e| e.file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().starts_with(".windlass")), "{names:?}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let world = World::new();
    world.copy_in("host/a.txt", "/etc/file").expect("copied");
    for (source, target, message) in [
        ("host", "/etc/file", "onto the file"),
        ("host/a.txt", "/nowhere/", "is not there"),
        ("host/a.txt", "/nowhere/a", "is not there"),
        ("nosuch", "/etc", "No such file"),
        ("host/a.txt/", "/etc", "Not a directory"),
    ] {
        let error = world.copy_in(source, target).expect_err(target).to_string();
        assert!(error.contains(message), "{source} to {target}: {error}");
    }
}

#[test]
fn no_symlink_leads_out_of_the_container() {
    let world = World::new();
    symlink(world.path("secret"), world.path("root/etc/leak")).expect("linked");
    symlink("/../../..", world.path("root/up")).expect("linked");
    symlink(world.path("host"), world.path("root/out")).expect("linked");
    // The link itself is copied, never what it would name on this machine.
    world.copy_out("/etc/leak", "copied").expect("copied");
    assert!(fs::symlink_metadata(world.path("copied")).expect("there").is_symlink());
    let follow = copy(&world.container(), "/etc/leak", &Tree::Machine, &world.path("x"), true, Keep::Content);
    assert!(follow.is_err());
    world.copy_in("host/a.txt", "/up/a.txt").expect("stays at the root");
    assert_eq!(world.read("root/a.txt"), "A");
    assert!(world.copy_in("secret", "/out/stolen").is_err());
    assert!(!fs::exists(world.path("host/stolen")).expect("looked"));
    // Onto a symlink: what it names in the container counts, never what it would name here.
    assert!(world.copy_in("host/a.txt", "/etc/leak").is_err());
    let here = format!("root/{}", world.folder.path().display());
    fs::create_dir_all(world.path(&here)).expect("made");
    world.copy_in("host/a.txt", "/etc/leak").expect("stays at the root");
    assert_eq!((world.read("secret").as_str(), world.read(&format!("{here}/secret")).as_str()), ("host only", "A"));
}

#[test]
fn a_file_copied_onto_a_symlink_goes_to_what_that_names() {
    let world = World::new();
    fs::write(world.path("root/etc/real"), "old").expect("written");
    let links = [
        ("/etc/real", "good", "etc/real"),
        ("../etc/./real", "etc/relative", "etc/real"),
        ("good", "twice", "etc/real"),
        ("etc/new", "dangling", "etc/new"),
        ("../../../../etc/up", "above", "etc/up"),
    ];
    for (target, link, file) in links {
        symlink(target, world.path(&format!("root/{link}"))).expect("linked");
        world.copy_in("host/a.txt", &format!("/{link}")).unwrap_or_else(|error| panic!("{link}: {error}"));
        assert!(fs::symlink_metadata(world.path(&format!("root/{link}"))).expect("there").is_symlink(), "{link}");
        assert_eq!(world.read(&format!("root/{file}")), "A", "{link}");
        fs::write(world.path("root/etc/real"), "old").expect("written");
    }
    symlink("loop", world.path("root/loop")).expect("linked");
    assert!(world.copy_in("host/a.txt", "/loop").is_err());
    symlink("/nowhere/x", world.path("root/lost")).expect("linked");
    let error = world.copy_in("host/a.txt", "/lost").expect_err("refused").to_string();
    assert!(error.contains("the folder /nowhere is not there"), "{error}");
}

#[test]
fn an_archive_goes_into_a_folder_that_is_there_only() {
    let world = World::new();
    let mut archive = Vec::new();
    let top = Tree::Machine.source(&world.path("host"), false).expect("opened");
    pack(top.fd, &top.name, &mut archive).expect("packed");
    fs::write(world.path("root/file"), "old").expect("written");
    for (target, message) in [("/nowhere", "the folder /nowhere is not there"), ("/file", "/file is no folder")] {
        let error = extract(&archive[..], &world.container(), target, Keep::Content).expect_err("refused");
        assert!(error.to_string().contains(message), "{error}");
    }
    assert!(!fs::exists(world.path("root/nowhere")).expect("looked"));
    extract(&archive[..], &world.container(), "/etc", Keep::Content).expect("unpacked");
    assert_eq!(world.read("root/etc/host/a.txt"), "A");
}

#[test]
fn modes_stay_and_set_user_id_only_with_archive() {
    let world = World::new();
    fs::set_permissions(world.path("host/a.txt"), fs::Permissions::from_mode(0o4751)).expect("set");
    let mode = |name: &str| fs::metadata(world.path(name)).expect("there").mode() & 0o7777;
    world.copy_in("host/a.txt", "/plain").expect("copied");
    copy(&Tree::Machine, &world.path("host/a.txt"), &world.container(), "/kept", false, Keep::All).expect("copied");
    assert_eq!((mode("root/plain"), mode("root/kept")), (0o751, 0o4751));
    assert_eq!(
        fs::metadata(world.path("root/plain")).expect("there").mtime(),
        fs::metadata(world.path("host/a.txt")).expect("there").mtime()
    );
}

#[test]
fn an_archive_that_leads_out_is_refused() {
    let world = World::new();
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    header.as_mut_bytes()[..9].copy_from_slice(b"../escape");
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend([b'x'; 512]);
    bytes.extend([0; 1024]);
    let error = unpack(&bytes[..], &world.container(), Path::new("/etc"), Keep::Content).expect_err("refused");
    assert!(error.to_string().contains("leads out"), "{error}");
    assert!(
        unpack(&b"no archive at all, but longer than nothing"[..], &world.container(), Path::new("/"), Keep::Content)
            .is_err()
    );
}

#[test]
fn made_up_file_systems_are_left_alone() {
    let error = copy(&Tree::Machine, "/proc/self/status", &Tree::Machine, "/nowhere", false, Keep::Content);
    assert!(error.is_err());
    let world = World::new();
    let error = copy(&Tree::Machine, "/proc/sys/kernel", &world.container(), "/etc", false, Keep::Content);
    assert!(error.expect_err("refused").to_string().contains("makes it up"));
}

/// Exchanges two names for as long as it lives.
struct Racer(std::sync::Arc<std::sync::atomic::AtomicBool>, Option<std::thread::JoinHandle<()>>);

impl Racer {
    fn start(one: String, other: String) -> Self {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = stop.clone();
        let racer = std::thread::spawn(move || {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).expect("exchanged");
            }
        });
        Self(stop, Some(racer))
    }
}

impl Drop for Racer {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        let _ = self.1.take().map(std::thread::JoinHandle::join);
    }
}

#[test]
fn cve_2018_15664_a_path_that_is_swapped_while_it_is_copied_leads_nowhere_outside() {
    let world = World::new();
    let outside = world.path("outside");
    fs::create_dir_all(&outside).expect("made");
    fs::write(format!("{outside}/file"), "host only").expect("written");
    fs::create_dir_all(world.path("root/data/real")).expect("made");
    fs::write(world.path("root/data/real/file"), "container").expect("written");
    symlink(&outside, world.path("root/data/link")).expect("linked");
    fs::write(world.path("root/data/plain"), "container").expect("written");
    symlink(world.path("secret"), world.path("root/data/leak")).expect("linked");
    let _folders = Racer::start(world.path("root/data/real"), world.path("root/data/link"));
    let _files = Racer::start(world.path("root/data/plain"), world.path("root/data/leak"));
    let mut copied = 0;
    for round in 0..600 {
        // Whether it is copied or refused does not matter: where it goes to and comes from does.
        let _ = world.copy_in("host/a.txt", &format!("/data/real/new{round}"));
        let _ = world.copy_in("host/sub", "/data/real/folder");
        let (to, follow) = (world.path(&format!("out{round}")), round % 2 == 0);
        for from in ["/data/real/file", "/data/plain"] {
            let _ = copy(&world.container(), from, &Tree::Machine, &to, follow, Keep::Content);
            match fs::symlink_metadata(&to) {
                Ok(there) if there.is_symlink() => fs::remove_file(&to).expect("removed"),
                Ok(_) => {
                    assert_eq!(fs::read_to_string(&to).expect("read"), "container", "{from}");
                    fs::remove_file(&to).expect("removed");
                    copied += 1;
                }
                Err(_) => {}
            }
        }
    }
    assert!(copied > 0, "the race was never won by the right file");
    let left: Vec<_> = fs::read_dir(&outside).expect("read").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["file"]);
    assert_eq!(world.read("outside/file"), "host only");
    assert_eq!(world.read("secret"), "host only");
}
