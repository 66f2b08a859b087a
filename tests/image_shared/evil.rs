//! Hostile images: refused, or harmless.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{Bench, rows};

/// What must come of an evil image.
enum Comes {
    /// It is not taken, and the error says this.
    Refused(&'static str),
    /// It is taken, and refused when it is to run; the error says this.
    NotRun(&'static str),
    /// It runs (its own command, if none is given); with this code it ends, and this it says.
    Runs(&'static [&'static str], i32, &'static str),
}

/// A look inside: the file that would lie on the host lies in the container's own tree.
const fn inside(script: &'static [&'static str]) -> Comes {
    Comes::Runs(script, 0, "")
}

const EVIL: &[(&str, Comes)] = {
    use Comes::{NotRun, Refused, Runs};
    &[
        ("traversal", Refused("`..` in its name")),
        ("traversal-mid", Refused("`..` in its name")),
        ("traversal-dir", Refused("`..` in its name")),
        ("absolute", Runs(&["cat", "/tmp/windlass-evil-absolute"], 0, "escaped")),
        ("symlink-abs", Refused("leads through something that is no folder")),
        ("symlink-rel", Refused("leads through something that is no folder")),
        ("symlink-chain", inside(&["true"])),
        ("symlink-over", Runs(&["sh", "-c", "test -f /x && test ! -L /x && cat /x"], 0, "escaped")),
        ("symlink-layers", inside(&["true"])),
        ("hardlink-out", Refused("`..` in its name")),
        ("hardlink-abs", Refused("which it does not have")),
        ("hardlink-symlink", Refused("leads through something that is no folder")),
        ("hardlink-write", inside(&["sh", "-c", "test ! -e /tmp/windlass-evil-hardlink-write"])),
        ("device", inside(&["sh", "-c", "! head -c1 /dev-mem && ! head -c1 /dev-sda && ! head -c1 /dev-vda"])),
        ("whiteout-out", Refused("`..` in its name")),
        ("whiteout-symlink", Refused("leads through something that is no folder")),
        ("whiteout-dotdot", Refused("whiteout of an impossible name")),
        ("whiteout-dot", Refused("whiteout of an impossible name")),
        ("whiteout-slash", Refused("whiteout of an impossible name")),
        ("opaque-out", Refused("leads through something that is no folder")),
        ("overlay-xattr", Runs(&["ls", "-A", "/o"], 0, "")),
        ("whiteout-device", Runs(&["cat", "/etc/passwd"], 0, "root:")),
        ("digest-mismatch", Refused("is not of the size that the manifest says")),
        ("same-size-mismatch", Refused("is not what its digest says")),
        ("diffid-mismatch", Refused("is not what its digest says")),
        ("truncated", Refused("is not of the size that the manifest says")),
        ("truncated-gzip", Refused("its compressed stream breaks off")),
        ("truncated-tar", Refused("breaks off in a member")),
        ("longer", Refused("is not of the size that the manifest says")),
        ("size-wrong", Refused("is not of the size that the manifest says")),
        ("size-huge", Refused("no space left")),
        ("not-gzip", Refused("its compressed stream is damaged")),
        ("bomb", inside(&["true"])),
        ("bomb-zstd", inside(&["true"])),
        ("bomb-files", inside(&["true"])),
        ("trailing", inside(&["true"])),
        ("pax-size", inside(&["true"])),
        ("pax-huge", Refused("can't be unpacked")),
        ("gnu-longname", Refused("GNU long name")),
        ("negative-size", Refused("size is negative")),
        ("gnu-sparse", Runs(&[], 0, "b9fdf3f67981f20a8e1989eabe206cd41fe78bf2945c1940ae9a30cf633c5fb6")),
        ("deep", Refused("2001 parts")),
        ("nul-name", Refused("a name with a NUL")),
        ("config-mismatch", Refused("is not what its digest says")),
        ("manifest-mismatch", Refused("is not what its digest says")),
        ("index-nested", Refused("indexes in indexes")),
        ("index-self", Refused("is not what its digest says")),
        ("layers-fewer", Refused("it names 0 layers, the manifest 1")),
        ("layers-more", Refused("it names 2 layers, the manifest 1")),
        ("digest-path-layer", Refused("is no digest that can be used")),
        ("media-type", Refused("unknown type")),
        ("digest-path", Refused("is no digest that can be used")),
        ("digest-algo", Refused("is no digest that can be used")),
        ("missing-blob", Refused("404")),
        ("config-huge", Refused("its config has")),
        ("config-types", Refused("no valid image config")),
        ("config-null", Runs(&["echo", "with a command"], 0, "with a command")),
        ("env-evil", Runs(&[], 0, "PATH=")),
        ("cwd-traversal", Runs(&[], 0, "/tmp")),
        ("cwd-fd", NotRun("working directory")),
        ("trap-resolv", Runs(&["sh", "-c", "cat /etc/hosts /etc/resolv.conf"], 0, "localhost")),
        ("trap-proc", inside(&["test", "-e", "/proc/self/status"])),
        ("trap-proc-link", NotRun("/proc is a symlink in the image")),
        ("trap-volume", inside(&["sh", "-c", "touch /vol/here"])),
        ("trap-mount", inside(&["true"])),
        ("trap-passwd-link", NotRun("/etc/passwd can't be used")),
        ("trap-passwd-fifo", NotRun("/etc/passwd is not a plain file")),
        ("trap-passwd-zero", NotRun("no user `daemon`")),
        ("trap-passwd-dir", NotRun("/etc/passwd is not a plain file")),
        ("trap-init", inside(&["true"])),
    ]
};

/// What of the host an image may not touch.
struct Host {
    files: [Option<Vec<u8>>; 3],
}

const CANARY: &str = "/tmp/windlass-evil-canary";
const FOLDER: &str = "/tmp/windlass-evil-canary.d";

impl Host {
    fn new() -> Self {
        fs::write(CANARY, "alive").unwrap();
        fs::create_dir_all(FOLDER).unwrap();
        fs::write(Path::new(FOLDER).join("kept"), "").unwrap();
        Self { files: Self::files() }
    }

    fn files() -> [Option<Vec<u8>>; 3] {
        ["passwd", "shadow", "hostname"].map(|name| fs::read(Path::new("/etc").join(name)).ok())
    }

    #[track_caller]
    fn untouched(&self, by: &str) {
        let names = |folder: &str| -> BTreeSet<String> {
            let names = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
            names.collect()
        };
        let mut left = names("/tmp");
        left.retain(|name| name.starts_with("windlass-evil-"));
        assert_eq!(left.into_iter().collect::<Vec<_>>(), ["windlass-evil-canary", "windlass-evil-canary.d"], "{by}");
        assert_eq!(names(FOLDER).into_iter().collect::<Vec<_>>(), ["kept"], "{by}");
        assert_eq!(fs::read_to_string(CANARY).unwrap(), "alive", "{by}");
        assert!(self.files == Self::files(), "{by} changed the host's files");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = fs::remove_file(CANARY);
        let _ = fs::remove_dir_all(FOLDER);
    }
}

/// Most memory that windlass may need for one of them: the bombs hold 200 MiB, some headers ask for more.
const MEMORY: i64 = 300 << 20;

#[test]
fn evil_images_do_no_harm() {
    let Some(bench) = Bench::new("evil_images_do_no_harm", "evil") else { return };
    let host = Host::new();
    for (name, comes) in EVIL {
        let command: &[&str] = match comes {
            Comes::Runs(command, ..) => command,
            _ => &[],
        };
        let ran = bench.run(name, command);
        assert!(!ran.stderr.contains("panicked"), "{name}: {}", ran.stderr);
        match comes {
            Comes::Refused(says) => ran.code(1).says(says),
            Comes::NotRun(says) => ran.code(125).says(says),
            Comes::Runs(_, code, says) => ran.code(*code).says(says),
        };
        host.untouched(name);
    }
    // Secrets and binds land inside, too, where the image has links in their place.
    let more = "    command: [sh, -c, 'cat /secrets/s /data/sub/canary; exec true']\n    volumes: ['./in:/data/sub:ro']\n    secrets: [{source: s, target: /secrets/s}]\nsecrets: {s: {file: ./in/secret}}\n";
    fs::create_dir_all(bench.folder.join("in")).unwrap();
    fs::write(bench.folder.join("in/canary"), "bound").unwrap();
    fs::write(bench.folder.join("in/secret"), "hush").unwrap();
    bench.service("trap-mount", more);
    bench.windlass(&["run", "--rm", "-T", "x"]).ok().says("hush").says("bound");
    host.untouched("trap-mount with mounts");
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN).unwrap();
    assert!(usage.max_rss() * 1024 < MEMORY, "one of them needed {} kiB", usage.max_rss());
    // And the next good one is not the worse for it.
    fs::write(bench.folder.join("compose.yaml"), "services: {x: {image: fixtures/layers}}\n").unwrap();
    bench.windlass(&["run", "--rm", "-T", "x"]).ok().says("PASS 44");
    bench.end();
}

#[test]
fn every_evil_image_is_tried() {
    let Some(rows) = rows("Evil") else { return };
    assert_eq!(rows, EVIL.iter().map(|(name, _)| (*name).to_owned()).collect());
}
