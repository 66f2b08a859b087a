//! Binds, volumes, tmpfs, images, secrets; the root itself.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use windlass::desired::{ContainerSpec, FileSource, FileSpec, ImageSpec, MountSource, MountSpec, Secret};

use crate::support::{World, isolated, spec};

fn bind(path: &Path, target: &str) -> MountSpec {
    let source = MountSource::Bind {
        path: path.into(),
        create: false,
        propagation: String::new(),
        recursive: true,
        recursive_read_only: false,
    };
    MountSpec { target: target.into(), source, read_only: false }
}

#[test]
fn binds_show_the_hosts_files_and_read_only_holds() {
    isolated(|| async {
        let world = World::new();
        let host = world.path().join("host");
        fs::create_dir(&host).unwrap();
        fs::write(host.join("file"), "hello\n").unwrap();
        let mut locked = bind(&host, "/locked");
        locked.read_only = true;
        let mounts = vec![bind(&host, "/a/b/data"), bind(&host.join("file"), "/etc/file"), locked];
        let script =
            "cat /a/b/data/file /etc/file; echo new > /a/b/data/new; echo x > /locked/x; ls /locked | tr '\\n' ' '";
        let done = world.sh(|spec| spec.mounts = mounts, script).await;
        assert_eq!(done.stdout, "hello\nhello\nfile new ");
        assert!(done.stderr.contains("Read-only"), "{}", done.stderr);
        assert_eq!(fs::read_to_string(host.join("new")).unwrap(), "new\n");
    });
}

#[test]
fn a_missing_bind_source_is_made_or_refused() {
    isolated(|| async {
        let world = World::new();
        let missing = world.path().join("not/there");
        let mut made = bind(&missing, "/data");
        let mut refused = spec(&["true"]);
        refused.mounts = vec![made.clone()];
        let error = world.refused(&world.bundle(refused)).await;
        assert_eq!((error.stage.as_str(), error.code), ("mounts", 125), "{error}");
        if let MountSource::Bind { create, .. } = &mut made.source {
            *create = true;
        }
        world.sh(|spec| spec.mounts = vec![made], "touch /data/x").await;
        assert!(missing.join("x").exists());
    });
}

#[test]
fn a_new_volume_takes_over_the_images_content_once() {
    isolated(|| async {
        let world = World::new();
        let content = world.layer().join("data");
        fs::create_dir_all(content.join("sub")).unwrap();
        fs::write(content.join("sub/file"), "from the image").unwrap();
        fs::hard_link(content.join("sub/file"), content.join("again")).unwrap();
        symlink("sub/file", content.join("link")).unwrap();
        std::os::unix::fs::chown(content.join("sub"), Some(7), Some(8)).unwrap();
        fs::set_permissions(content.join("sub/file"), fs::Permissions::from_mode(0o4711)).unwrap();
        fs::set_permissions(&content, fs::Permissions::from_mode(0o750)).unwrap();
        let volume = world.path().join("volumes/v/_data");
        fs::create_dir_all(&volume).unwrap();
        let source = MountSource::Volume { name: "v".into(), subpath: String::new(), copy: true };
        let mount = MountSpec { target: "/data".into(), source, read_only: false };
        for round in 0..2 {
            let mut reader = spec(&["sh", "-c", "cat /data/link; rm -f /data/again"]);
            reader.mounts = vec![mount.clone()];
            let mut bundle = world.bundle(spec(&["true"]));
            bundle.spec = reader;
            bundle.host.volumes.insert("v".into(), volume.clone());
            assert_eq!(world.complete(&bundle).await.unwrap().stdout, "from the image", "{round}");
        }
        let file = fs::metadata(volume.join("sub/file")).unwrap();
        assert_eq!(file.mode() & 0o7777, 0o4711);
        let folder = fs::metadata(volume.join("sub")).unwrap();
        assert_eq!((folder.uid(), folder.gid()), (7, 8));
        assert_eq!(fs::metadata(&volume).unwrap().mode() & 0o7777, 0o750);
        assert!(!world.path().join("volumes/v/filling").exists());
    });
}

#[test]
fn a_tmpfs_has_its_size_mode_and_options() {
    isolated(|| async {
        let world = World::new();
        let tmpfs = |target: &str, options: &[&str]| MountSpec {
            target: target.into(),
            source: MountSource::Tmpfs {
                size: 1 << 20,
                mode: Some(0o700),
                options: options.iter().map(|option| (*option).to_owned()).collect(),
            },
            read_only: false,
        };
        let mounts = vec![tmpfs("/t1", &[]), tmpfs("/t2", &["exec", "uid=5"])];
        let script = "grep -E ' /t[12] ' /proc/mounts; stat -c '%a %u' /t2";
        let done = world.sh(|spec| spec.mounts = mounts, script).await;
        let lines: Vec<_> = done.stdout.lines().collect();
        assert!(lines[0].contains("noexec") && lines[0].contains("size=1024k"), "{}", lines[0]);
        assert!(!lines[1].contains("noexec") && lines[1].contains("nosuid"), "{}", lines[1]);
        assert_eq!(lines[2], "700 5");
        let mut wrong = spec(&["true"]);
        wrong.mounts = vec![tmpfs("/t", &["nonesuch=1"])];
        let error = world.refused(&world.bundle(wrong)).await;
        assert!(error.message.contains("nonesuch"), "{error}");
    });
}

#[test]
fn another_image_is_mounted_read_only() {
    isolated(|| async {
        let world = World::new();
        let layers: Vec<_> = ["one", "two"].iter().map(|name| world.path().join(name)).collect();
        for layer in &layers {
            fs::create_dir_all(layer.join("sub")).unwrap();
            fs::write(layer.join("sub").join(layer.file_name().unwrap()), "x").unwrap();
        }
        let image = ImageSpec { name: "other".into(), id: "sha256:1".into(), ..ImageSpec::default() };
        let mount = |target: &str, subpath: &str| MountSpec {
            target: target.into(),
            source: MountSource::Image { image: image.clone(), subpath: subpath.into() },
            read_only: true,
        };
        let mut bundle = world.bundle(spec(&["sh", "-c", "ls /whole/sub /part; touch /whole/x || touch /part/x"]));
        bundle.spec.mounts = vec![mount("/whole", ""), mount("/part", "sub")];
        for count in [2, 1] {
            bundle.host.images.insert(image.id.clone(), layers[..count].to_vec());
            let done = world.complete(&bundle).await.unwrap();
            let expected = if count == 2 {
                "/part:\none\ntwo\n\n/whole/sub:\none\ntwo\n"
            } else {
                "/part:\none\n\n/whole/sub:\none\n"
            };
            assert_eq!(done.stdout, expected);
            assert_eq!(done.stderr.matches("Read-only").count(), 2, "{}", done.stderr);
        }
    });
}

#[test]
fn secrets_have_their_owner_and_mode_and_are_on_no_disk() {
    isolated(|| async {
        let world = World::new();
        let host = world.path().join("host-secret");
        fs::write(&host, "from a file\n").unwrap();
        let file = |target: &str, source: FileSource, mode: Option<u32>| FileSpec {
            target: target.into(),
            name: "s".into(),
            source,
            content: String::new(),
            uid: mode.map(|_| 12),
            gid: mode.map(|_| 34),
            mode,
        };
        let inline = || FileSource::Inline { value: Secret("canary-4711\n".into()) };
        let files = vec![
            file("/run/secrets/inline", inline(), None),
            file("/run/secrets/owned", inline(), Some(0o440)),
            file("/run/secrets/host", FileSource::Host { path: host.clone() }, None),
            file("/config", FileSource::Host { path: host }, Some(0o400)),
        ];
        let script =
            "cd /run/secrets; stat -c '%n %u:%g %a' inline owned /config; cat inline host /config; echo x > inline";
        let done = world
            .sh(
                |spec: &mut ContainerSpec| {
                    spec.files = files;
                    spec.read_only = true;
                },
                script,
            )
            .await;
        let expected = "inline 0:0 444\nowned 12:34 440\n/config 12:34 400\ncanary-4711\nfrom a file\nfrom a file\n";
        assert_eq!(done.stdout, expected);
        assert!(done.stderr.contains("Read-only"), "{}", done.stderr);
        let found = std::process::Command::new("grep").args(["-rl", "canary-4711"]).arg(world.path()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    });
}

#[test]
fn an_image_of_127_layers_with_long_paths_works() {
    isolated(|| async {
        let world = World::new();
        let mut bundle = world.bundle(spec(&["sh", "-c", "ls /layers | wc -l; cat /top"]));
        for number in 0..126 {
            let layer = world.path().join(format!("{number:0>200}"));
            fs::create_dir_all(layer.join("layers")).unwrap();
            fs::write(layer.join("layers").join(number.to_string()), "").unwrap();
            fs::write(layer.join("top"), format!("{number}\n")).unwrap();
            bundle.host.layers.push(layer);
        }
        assert_eq!(world.complete(&bundle).await.unwrap().stdout, "126\n125\n");
    });
}

#[test]
fn a_volatile_layer_can_be_mounted_again_after_a_crash() {
    isolated(|| async {
        let world = World::new();
        let mut bundle =
            world.bundle(spec(&["sh", "-c", "grep -c volatile /proc/mounts; cat /kept; echo kept > /kept"]));
        bundle.host.volatile = true;
        assert_eq!(world.complete(&bundle).await.unwrap().stdout, "1\n");
        assert!(world.state().join("work/work/incompat/volatile").exists(), "the kernel's mark is gone: drop the step");
        assert_eq!(world.complete(&bundle).await.unwrap().stdout, "1\nkept\n");
    });
}

#[test]
fn nothing_of_a_container_is_seen_in_the_hosts_mounts() {
    isolated(|| async {
        let world = World::new();
        let mounts = || fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let before = mounts();
        let done = world.sh(|_| {}, "cat /proc/self/mountinfo").await;
        assert_eq!(mounts(), before);
        let host = world.path().display().to_string();
        assert!(!done.stdout.contains("/old"), "{}", done.stdout);
        assert_eq!(done.stdout.lines().filter(|line| line.split(' ').nth(4) == Some(&host)).count(), 0);
    });
}
