//! What a layer's members become on disk, and what none of them may do.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    dead_code,
    reason = "a test fails by panicking; each binary uses its own part of what is shared"
)]

#[path = "support/registry/mod.rs"]
mod registry;
#[path = "support/store.rs"]
mod world;

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use registry::{Image, Packing, Registry, TarFile, file, folder, hardlink, named, symlink, tar};
use windlass::desired::ResolvedImage;
use windlass::host::image::ImageError;
use world::World;

async fn pull(image: &Image) -> (World, Result<ResolvedImage, ImageError>) {
    let (world, registry) = (World::new(), Registry::start().await);
    registry.push("app", "1", image);
    let result = world.pull(&format!("{}/app:1", registry.host())).await;
    (world, result)
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = [0u8; 256];
    let count = rustix::fs::lgetxattr(path, name, &mut value).ok()?;
    Some(value[..count].to_vec())
}

#[tokio::test]
async fn owners_modes_times_links_and_attributes_are_kept() {
    let capability = b"\x01\x00\x00\x02\x00\x24\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    let long = format!("d/{}/{}", "a".repeat(200), "b".repeat(255));
    let members = tar(&[
        folder("./").mode(0o751),
        folder("d/").mode(0o1777).owner(5, 6),
        file("d/suid", b"x").mode(0o4755).owner(7, 8),
        hardlink("d/second", "/d/suid"),
        symlink("d/link", "../../outside").owner(9, 9),
        named("d/pipe", b'6').mode(0o622),
        file("d/caps", b"x").pax("SCHILY.xattr.security.capability", capability),
        file("d/user", b"x").pax("SCHILY.xattr.user.k", b"v\0\nw"),
        file("short", b"long").pax("path", long.as_bytes()),
        file("ids", b"").pax("uid", b"3000000000").pax("mtime", b"12.5"),
    ]);
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        let (world, pulled) = pull(&Image::new().raw_layer(&members, packing)).await;
        let pulled = pulled.unwrap_or_else(|error| panic!("{packing:?}: {error}"));
        let at = |path: &str| world.in_layer(&pulled, 0, path);
        let stat = |path: &str| std::fs::symlink_metadata(at(path)).unwrap();
        assert_eq!(stat("").mode() & 0o7777, 0o751);
        let d = stat("d");
        assert_eq!((d.mode() & 0o7777, d.uid(), d.gid(), d.mtime()), (0o1777, 5, 6, 1_700_000_000));
        let suid = stat("d/suid");
        assert_eq!((suid.mode() & 0o7777, suid.uid(), suid.gid(), suid.nlink()), (0o4755, 7, 8, 2));
        assert_eq!(suid.ino(), stat("d/second").ino());
        assert_eq!(std::fs::read_link(at("d/link")).unwrap(), Path::new("../../outside"));
        assert_eq!((stat("d/link").uid(), stat("d/link").mtime()), (9, 1_700_000_000));
        assert!(stat("d/pipe").file_type().is_fifo() && stat("d/pipe").mode() & 0o777 == 0o622);
        assert_eq!(xattr(&at("d/caps"), "security.capability").unwrap(), capability);
        assert_eq!(xattr(&at("d/user"), "user.k").unwrap(), b"v\0\nw");
        assert_eq!(std::fs::read(at(&long)).unwrap(), b"long");
        assert_eq!(
            (stat("ids").uid(), stat("ids").mtime(), stat("ids").mtime_nsec()),
            (3_000_000_000, 12, 500_000_000)
        );
    }
}

#[tokio::test]
async fn whiteouts_become_what_overlayfs_knows() {
    let image = Image::new().layer(vec![folder("a/"), file("a/x", b"")]).layer(vec![
        folder("a/"),
        file("a/.wh.x", b""),
        folder("b/"),
        file("b/.wh..wh..opq", b""),
        file(".wh.c", b""),
        folder("c/"),
        folder("e/"),
        file(".wh.e", b""),
        file(".wh.f", b""),
        file("f/g", b"g"),
        file(".wh..wh.plnk/9.9", b""),
        file("h", b"h"),
        file(".wh.h", b""),
    ]);
    let (world, pulled) = pull(&image).await;
    let pulled = pulled.unwrap();
    let at = |path: &str| world.in_layer(&pulled, 1, path);
    let hidden = std::fs::symlink_metadata(at("a/x")).unwrap();
    assert!(hidden.file_type().is_char_device() && hidden.rdev() == 0);
    let opaque = |path: &str| xattr(&at(path), "trusted.overlay.opaque").is_some_and(|value| value == b"y");
    assert!(!opaque("a") && opaque("b"));
    assert!(opaque("c") && opaque("e") && opaque("f"), "a whiteout and a folder of one name");
    assert_eq!(std::fs::read(at("f/g")).unwrap(), b"g");
    assert_eq!(std::fs::read(at("h")).unwrap(), b"h");
    assert!(!at(".wh..wh.plnk").exists());
}

#[tokio::test]
async fn folders_without_a_member_look_like_those_below() {
    let image = Image::new()
        .layer(vec![folder("srv/").mode(0o2770).owner(33, 34), folder("srv/in/").mode(0o700)])
        .layer(vec![file("srv/in/x", b"x"), file("new/y", b"y")])
        .layer(vec![file("srv/z", b"z")]);
    let (world, pulled) = pull(&image).await;
    let pulled = pulled.unwrap();
    let stat = |layer, path: &str| std::fs::metadata(world.in_layer(&pulled, layer, path)).unwrap();
    for layer in 0..3 {
        let srv = stat(layer, "srv");
        assert_eq!(
            (srv.mode() & 0o7777, srv.uid(), srv.gid(), srv.mtime()),
            (0o2770, 33, 34, 1_700_000_000),
            "{layer}"
        );
    }
    assert_eq!(stat(1, "srv/in").mode() & 0o7777, 0o700);
    assert_eq!(stat(1, "new").mode() & 0o7777, 0o755);
}

#[tokio::test]
async fn sparse_files_keep_their_holes() {
    let size = 64 << 20;
    let map = format!("2\n0\n4\n{}\n4\n", size - 4);
    let mut data = map.into_bytes();
    data.resize(512, 0);
    data.extend_from_slice(b"headtail");
    let one = file("one", &data)
        .pax("GNU.sparse.major", b"1")
        .pax("GNU.sparse.minor", b"0")
        .pax("GNU.sparse.name", b"dir/one")
        .pax("GNU.sparse.realsize", size.to_string().as_bytes());
    let zero = file("zero", b"headtail")
        .pax("GNU.sparse.size", size.to_string().as_bytes())
        .pax("GNU.sparse.map", format!("0,4,{},4", size - 4).as_bytes());
    let (world, pulled) = pull(&Image::new().layer(vec![one, zero])).await;
    let pulled = pulled.unwrap();
    for name in ["dir/one", "zero"] {
        let path = world.in_layer(&pulled, 0, name);
        let meta = std::fs::metadata(&path).unwrap();
        assert!(meta.len() == size && meta.blocks() < 1000, "{name}: {} blocks", meta.blocks());
        let bytes = std::fs::read(&path).unwrap();
        assert!(bytes.starts_with(b"head\0") && bytes.ends_with(b"\0tail"));
    }
}

#[tokio::test]
async fn what_belongs_to_the_machine_is_left_out() {
    let image = Image::new().layer(vec![
        named("null", b'3'),
        named("disk", b'4'),
        folder("o/").pax("SCHILY.xattr.trusted.overlay.opaque", b"y").pax("SCHILY.xattr.trusted.x", b"y"),
        folder("u/").pax("SCHILY.xattr.user.overlay.opaque", b"y"),
    ]);
    let (world, pulled) = pull(&image).await;
    let pulled = pulled.unwrap();
    let at = |path: &str| world.in_layer(&pulled, 0, path);
    assert!(!at("null").exists() && !at("disk").exists());
    assert!(xattr(&at("o"), "trusted.overlay.opaque").is_none() && xattr(&at("o"), "trusted.x").is_none());
    assert!(xattr(&at("u"), "user.overlay.opaque").is_none());
    assert_eq!(world.store.inspect(&pulled.spec.id).unwrap().devices_left_out, 2);
}

#[tokio::test]
async fn later_members_replace_earlier_ones() {
    let image = Image::new().layer(vec![
        symlink("x", "/etc/passwd"),
        file("x", b"own"),
        folder("d/"),
        folder("d/e/"),
        file("d/e/f", b""),
        file("d", b"file now"),
        file("y", b""),
        folder("y/"),
        file("z", b"z"),
        hardlink("z", "z"),
    ]);
    let (world, pulled) = pull(&image).await;
    let pulled = pulled.unwrap();
    let at = |path: &str| world.in_layer(&pulled, 0, path);
    assert_eq!(std::fs::read(at("x")).unwrap(), b"own");
    assert!(std::fs::symlink_metadata(at("x")).unwrap().is_file());
    assert_eq!(std::fs::read(at("d")).unwrap(), b"file now");
    assert!(at("y").is_dir());
    assert_eq!(std::fs::read(at("z")).unwrap(), b"z");
}

/// Layers that must be refused, each for what it tries.
fn hostile(canary: &str) -> Vec<(&'static str, Vec<TarFile>)> {
    let up = "../".repeat(8);
    let deep = "d/".repeat(2000);
    vec![
        ("traversal", vec![file(&format!("{up}x"), b"")]),
        ("in the middle", vec![file("a/../../x", b"")]),
        ("folder", vec![folder("../x/")]),
        ("through a symlink", vec![symlink("s", canary), file("s/inside", b"evil")]),
        ("through a chain", vec![symlink("a", "b"), symlink("b", &format!("{up}{canary}")), file("a/inside", b"evil")]),
        ("hard link out", vec![hardlink("p", "/etc/passwd")]),
        ("hard link up", vec![hardlink("p", "../../etc/passwd")]),
        ("hard link through a symlink", vec![symlink("s", "/etc"), hardlink("p", "s/passwd")]),
        ("hard link to a folder", vec![folder("d/"), hardlink("p", "d")]),
        ("whiteout of ..", vec![file("a/.wh...", b"")]),
        ("whiteout of .", vec![file("a/.wh..", b"")]),
        ("whiteout of nothing", vec![file("a/.wh.", b"")]),
        ("whiteout through a symlink", vec![symlink("s", canary), file("s/.wh.inside", b"")]),
        ("opaque through a symlink", vec![symlink("s", canary), file("s/.wh..wh..opq", b"")]),
        ("below a file", vec![file("f", b""), file("f/x", b"")]),
        ("NUL", vec![file("x", b"").pax("path", b"a\0b")]),
        ("deep", vec![file("x", b"").pax("path", deep.as_bytes())]),
        ("long name", vec![file(&"n".repeat(99), b"").pax("path", "n".repeat(300).as_bytes())]),
        ("uid", vec![file("x", b"").pax("uid", b"4294967295")]),
        ("size", vec![file("x", b"").pax("size", b"18446744073709551615")]),
        ("negative size", vec![file("x", b"").pax("size", b"-1")]),
        ("unknown type", vec![named("x", b'V')]),
        ("no name", vec![file("./", b"").pax("path", b"."), named(".", b'2')]),
        ("sparse overlap", vec![file("x", b"abcd").pax("GNU.sparse.size", b"9").pax("GNU.sparse.map", b"0,2,1,2")]),
        ("sparse outside", vec![file("x", b"abcd").pax("GNU.sparse.size", b"3").pax("GNU.sparse.map", b"0,4")]),
        (
            "sparse overflow",
            vec![file("x", b"abcd").pax("GNU.sparse.size", b"9").pax("GNU.sparse.map", b"18446744073709551615,4")],
        ),
    ]
}

#[tokio::test]
async fn hostile_layers_are_refused_and_touch_nothing() {
    let outside = tempfile::TempDir::new().unwrap();
    let canary = outside.path().join("canary");
    std::fs::create_dir(&canary).unwrap();
    std::fs::write(canary.join("kept"), "kept").unwrap();
    let passwd = std::fs::read("/etc/passwd").unwrap();
    for (what, members) in hostile(canary.to_str().unwrap()) {
        let (world, result) = pull(&Image::new().layer(members)).await;
        match result {
            Err(ImageError::BadLayer { .. }) => {}
            other => panic!("{what}: {other:?}"),
        }
        assert!(world::names(&world.path("images/layers")).is_empty(), "{what}");
        world.assert_tidy();
        assert_eq!(world::names(&canary), ["kept"], "{what}");
        assert_eq!(std::fs::read("/etc/passwd").unwrap(), passwd, "{what}");
    }
}

#[tokio::test]
async fn damaged_streams_are_refused_and_trailing_zeros_are_not() {
    let good = tar(&[file("x", &[1; 3000])]);
    let cut = Image::new().raw_layer(&good[..2000], Packing::Gzip);
    let packed = registry::gzip(&good);
    let half = Image::new().blob_layer(packed[..packed.len() / 2].to_vec(), Packing::Gzip, registry::digest(&good));
    let not_gzip = Image::new().blob_layer(b"hello".to_vec(), Packing::Gzip, registry::digest(b"hello"));
    let not_zstd = Image::new().blob_layer(b"hello".to_vec(), Packing::Zstd, registry::digest(b"hello"));
    let other_diff = Image::new().blob_layer(packed.clone(), Packing::Gzip, registry::digest(b"other"));
    let mut header = good.clone();
    header[0] ^= 1;
    let checksum = Image::new().raw_layer(&header, Packing::Plain);
    for (what, image) in
        [("cut", cut), ("half", half), ("gzip", not_gzip), ("zstd", not_zstd), ("diff", other_diff), ("sum", checksum)]
    {
        let (world, result) = pull(&image).await;
        assert!(
            matches!(result, Err(ImageError::BadLayer { .. } | ImageError::WrongDigest { .. })),
            "{what}: {result:?}"
        );
        assert!(world::names(&world.path("images/layers")).is_empty(), "{what}");
    }
    let mut trailing = good;
    trailing.resize(trailing.len() + 5_000_000, 0);
    pull(&Image::new().raw_layer(&trailing, Packing::Zstd)).await.1.unwrap();
}

#[tokio::test]
async fn a_bomb_meets_its_limit() {
    // 2 GiB of zeros in some 200 kB of zstd: more than the whole gibibyte and 256 times the packed size.
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    let mut header = tar(&[file("zeros", b"").pax("size", (2u64 << 30).to_string().as_bytes())]);
    header.truncate(1536);
    std::io::Write::write_all(&mut encoder, &header).unwrap();
    for _ in 0..2048 {
        std::io::Write::write_all(&mut encoder, &vec![0; 1 << 20]).unwrap();
    }
    let packed = encoder.finish().unwrap();
    let image = Image::new().blob_layer(packed, Packing::Zstd, registry::digest(b""));
    let (world, result) = pull(&image).await;
    let error = result.unwrap_err().to_string();
    assert!(error.contains("unpacks to more than"), "{error}");
    world.assert_tidy();
}

/// Processor time that this process has used, in seconds.
fn processor_time() -> f64 {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).unwrap();
    [usage.user_time(), usage.system_time()].iter().map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6).sum()
}

/// `count` members that cost an unpacker with lists, or one that goes over what it has again, more with each of them.
fn laborious(kind: &str, count: usize) -> Vec<TarFile> {
    let one = |n: usize| match kind {
        "files of one folder" => vec![file(&format!("d/{n}"), b"x")],
        "links to one file" => vec![hardlink(&format!("d/{n}"), "first")],
        "the same folder again" => vec![folder("d/"), file("d/same", b"x")],
        "whiteouts" => vec![file(&format!("d/.wh.{n}"), b"")],
        "opaque folders" => vec![file(&format!("e{n}/x"), b""), file(&format!("e{n}/.wh..wh..opq"), b"")],
        _ => vec![file(&format!("a/b/c/d/e/f/g/h/{n}/i/j"), b"")],
    };
    [vec![file("first", b"x"), folder("d/")], (0..count).flat_map(one).collect()].concat()
}

#[tokio::test]
async fn unpacking_costs_as_much_a_member_however_many_there_are() {
    for kind in
        ["files of one folder", "links to one file", "the same folder again", "whiteouts", "opaque folders", "deep"]
    {
        let mut costs = Vec::new();
        for count in [500, 4000] {
            let image = Image::new().raw_layer(&tar(&laborious(kind, count)), Packing::Plain);
            // In memory: what a disk's file system costs is none of the unpacker's doing.
            let (world, registry) = (World::new_in(Path::new("/dev/shm")), Registry::start().await);
            registry.push("app", "1", &image);
            let before = processor_time();
            let pulled = world.pull(&format!("{}/app:1", registry.host())).await;
            costs.push(processor_time() - before);
            pulled.unwrap_or_else(|error| panic!("{kind}: {error}"));
        }
        // Eight times as many: eight times the cost where it is one pass, sixty-four times where each goes over all others.
        assert!(costs[1] < costs[0] * 24.0, "{kind}: {costs:?} s");
    }
}
