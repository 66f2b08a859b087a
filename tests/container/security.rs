//! Ways out of a container that others left open, by their numbers; and what is taken away from it.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use windlass::desired::{ContainerSpec, FileSource, FileSpec, MountSource, MountSpec, Seccomp, Secret};
use windlass::host::cgroup::Cgroup;
use windlass::host::container::exec::{self, ExecSpec};
use windlass::host::container::executable;

use crate::support::{DEFAULT, WINDLASS, World, isolated, spec};

fn tmpfs(target: &str) -> MountSpec {
    let source = MountSource::Tmpfs { size: 0, mode: None, options: Vec::new() };
    MountSpec { target: target.into(), source, read_only: false }
}

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

/// What a container could see of `name` in /proc/self/status.
fn status(name: &str) -> String {
    format!("grep {name} /proc/self/status | tr -d '\\t ' | cut -d: -f2; ")
}

#[test]
fn cve_2019_5736_the_program_cannot_be_overwritten_from_inside() {
    isolated(|| async {
        let before = fs::metadata(WINDLASS).unwrap();
        for program in [executable::seal(Path::new(WINDLASS)), executable::protect(Path::new(WINDLASS))] {
            let mut world = World::new();
            world.program = program.unwrap();
            // All rights, and PID 1 is windlass itself: the worst case. The descriptor outlives the process, so that
            // "text file busy" is not what protects.
            let script = "exec 9< /proc/1/exe; (echo x > /proc/1/exe) 2>&1; (echo x > /proc/self/fd/9) 2>&1";
            let done = world
                .sh(
                    |spec| {
                        spec.init = true;
                        spec.security.privileged = true;
                    },
                    script,
                )
                .await;
            assert_eq!(done.stdout.lines().count(), 2, "{}", done.stdout);
            let done = world.sh(|spec| spec.argv = vec!["/proc/self/exe".into(), "nonesuch".into()], "").await;
            assert_eq!((done.stdout.as_str(), done.exit.exit.code), ("", 1));
        }
        let after = fs::metadata(WINDLASS).unwrap();
        assert_eq!((before.len(), before.modified().unwrap()), (after.len(), after.modified().unwrap()));
    });
}

#[test]
fn cve_2024_21626_no_descriptor_of_the_host_becomes_the_working_directory() {
    isolated(|| async {
        let world = World::new();
        for number in 3..40 {
            let mut escape = spec(&["pwd"]);
            escape.cwd = format!("/proc/self/fd/{number}");
            let error = world.refused(&world.bundle(escape)).await;
            assert_eq!(error.stage, "working directory", "{error}");
        }
        symlink("/proc/self/fd/9", world.layer().join("innocent")).unwrap();
        let mut escape = spec(&["pwd"]);
        escape.cwd = "/innocent/..".into();
        assert_eq!(world.refused(&world.bundle(escape)).await.stage, "working directory");

        let shim = world.shim().await;
        let bundle = world.bundle(spec(&["sleep", "1000"]));
        shim.sandbox(&bundle.spec.namespaces, 1 << 20).await.unwrap();
        let running = shim.start(&bundle, BTreeMap::new()).await.unwrap();
        for number in 0..20 {
            let mut exec = ExecSpec::new(&bundle.spec, &running.process, Cgroup::default());
            exec.argv = vec!["pwd".into()];
            exec.cwd = format!("/proc/self/fd/{number}");
            exec.tty = Some((1, 1));
            assert_eq!(exec::start(world.program.as_fd(), &exec, None).await.unwrap_err().stage, "working directory");
        }
    });
}

#[test]
fn pid_1_of_init_holds_no_descriptor_but_its_streams() {
    isolated(|| async {
        let world = World::new();
        let script = "ls /proc/1/fd | tr '\\n' ' '; for f in /proc/1/fd/*; do readlink $f; done | grep -v '^pipe:'";
        for tty in [false, true] {
            let done = world
                .sh(
                    |spec| {
                        (spec.init, spec.tty) = (true, tty);
                        spec.security.capabilities.push("SYS_PTRACE".into());
                    },
                    script,
                )
                .await;
            let streams = if tty { "/dev/pts/0\r\n".repeat(3) } else { "/dev/null\n".into() };
            assert_eq!(done.stdout, format!("0 1 2 {streams}"), "{}", done.stderr);
        }
    });
}

#[test]
fn cve_2025_31133_masks_are_made_of_the_hosts_null_device() {
    isolated(|| async {
        let world = World::new();
        fs::create_dir(world.layer().join("dev")).unwrap();
        symlink("/proc/sys/kernel/core_pattern", world.layer().join("dev/null")).unwrap();
        let script = "stat -L -c '%t:%T' /proc/interrupts /proc/timer_list; cat /proc/interrupts; cat /proc/timer_list; ls /sys/firmware; \
                      echo x > /proc/sys/kernel/core_pattern";
        let done = world.sh(|_| {}, script).await;
        assert_eq!(done.stdout, "1:3\n1:3\n");
        assert!(done.stderr.contains("Read-only"), "{}", done.stderr);
    });
}

#[test]
fn cve_2025_52565_the_console_is_the_terminal_itself() {
    isolated(|| async {
        let world = World::new();
        fs::create_dir(world.layer().join("dev")).unwrap();
        symlink("/proc/sys/kernel/core_pattern", world.layer().join("dev/console")).unwrap();
        let done = world.sh(|spec| spec.tty = true, "stat -c '%F %t' /dev/console; readlink /proc/self/fd/0").await;
        assert_eq!(done.stdout, "character special file 88\r\n/dev/pts/0\r\n");
    });
}

#[test]
fn cve_2025_52881_and_2019_16884_a_false_proc_is_refused() {
    isolated(|| async {
        let world = World::new();
        for target in ["/proc", "/proc/self/attr", "/proc/sys"] {
            let mut hidden = spec(&["true"]);
            hidden.mounts = vec![tmpfs(target)];
            let error = world.refused(&world.bundle(hidden)).await;
            assert!(error.message.contains("not allowed"), "{error}");
        }
        // A kernel parameter is written to our own procfs, whatever the container has on /proc/sys.
        let done = world
            .sh(
                |spec| {
                    spec.sysctls.insert("net.ipv4.ip_forward".into(), "1".into());
                    spec.mounts = vec![bind(Path::new("/dev/null"), "/proc/uptime")];
                },
                "cat /proc/sys/net/ipv4/ip_forward; cat /proc/uptime",
            )
            .await;
        assert_eq!(done.stdout, "1\n");
    });
}

#[test]
fn cve_2026_41579_and_2019_19921_links_in_the_image_lead_nowhere_outside() {
    isolated(|| async {
        for name in ["proc", "sys", "dev"] {
            for target in ["/tmp", "..", "/"] {
                let world = World::new();
                symlink(target, world.layer().join(name)).unwrap();
                let error = world.refused(&world.bundle(spec(&["true"]))).await;
                assert!(error.message.contains("symlink"), "{name} -> {target}: {error}");
            }
        }
        let world = World::new();
        let outside = world.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::remove_dir_all(world.layer().join("etc")).unwrap();
        for name in ["etc", "run", "data"] {
            symlink(&outside, world.layer().join(name)).unwrap();
        }
        let done = world
            .sh(
                |spec: &mut ContainerSpec| {
                    spec.mounts = vec![tmpfs("/data/deep")];
                    spec.files = vec![FileSpec {
                        target: "/run/secrets/s".into(),
                        name: "s".into(),
                        source: FileSource::Inline { value: Secret("hidden\n".into()) },
                        content: String::new(),
                        uid: None,
                        gid: None,
                        mode: None,
                    }];
                    spec.cwd = "/data/work".into();
                },
                "cat /run/secrets/s; pwd; cat /etc/hostname",
            )
            .await;
        assert_eq!(done.stdout, format!("hidden\n{}/work\nbox\n", outside.display()));
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    });
}

#[test]
fn cve_2021_30465_and_2024_45310_a_racing_link_leads_no_mount_outside() {
    isolated(|| async {
        let world = World::new();
        let (outside, volume) = (world.path().join("outside"), world.path().join("volume"));
        fs::create_dir_all(volume.join("real")).unwrap();
        fs::create_dir(&outside).unwrap();
        symlink(&outside, volume.join("link")).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let racer = std::thread::spawn({
            let (stop, volume) = (stop.clone(), volume.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    let (a, b) = (volume.join("real"), volume.join("link"));
                    let flags = rustix::fs::RenameFlags::EXCHANGE;
                    rustix::fs::renameat_with(rustix::fs::CWD, &a, rustix::fs::CWD, &b, flags).unwrap();
                }
            }
        });
        let shim = world.shim().await;
        let mut raced = spec(&["true"]);
        raced.mounts = vec![bind(&volume, "/v"), tmpfs("/v/real/a/b"), tmpfs("/v/link/c/d")];
        let bundle = world.bundle(raced);
        for _ in 0..40 {
            // Whether it starts or is refused does not matter: where it goes does.
            let _ = world.complete_in(&shim, &bundle).await;
            assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "something was made on the host");
        }
        stop.store(true, Ordering::Relaxed);
        racer.join().unwrap();
    });
}

#[test]
fn cve_2022_24769_and_29162_no_capability_is_inheritable() {
    isolated(|| async {
        let world = World::new();
        let script = status("CapInh") + &status("CapAmb") + &status("CapBnd") + &status("CapEff");
        let bits = "00000000a80425fb";
        let none = "0000000000000000";
        assert_eq!(DEFAULT.len(), 14);
        assert_eq!(world.sh(|_| {}, &script).await.stdout, format!("{none}\n{none}\n{bits}\n{bits}\n"));
        let user = world.sh(|spec| spec.user = "app".into(), &script).await;
        assert_eq!(user.stdout, format!("{none}\n{none}\n{bits}\n{none}\n"));

        let shim = world.shim().await;
        let bundle = world.bundle(spec(&["sleep", "1000"]));
        shim.sandbox(&bundle.spec.namespaces, 1 << 20).await.unwrap();
        let running = shim.start(&bundle, BTreeMap::new()).await.unwrap();
        let mut exec = ExecSpec::new(&bundle.spec, &running.process, Cgroup::default());
        exec.argv = vec!["sh".into(), "-c".into(), script];
        let outcome = exec::probe(world.program.as_fd(), exec, std::time::Duration::from_secs(9)).await;
        assert_eq!(outcome.output, format!("{none}\n{none}\n{bits}\n{bits}\n"));
    });
}

#[test]
fn cve_2022_36109_no_group_of_the_host_stays() {
    isolated(|| async {
        let world = World::new();
        let groups: Vec<_> = [7, 42].iter().map(|id| nix::unistd::Gid::from_raw(*id)).collect();
        nix::unistd::setgroups(&groups).unwrap();
        assert_eq!(world.sh(|_| {}, "id -G").await.stdout, "0\n");
        assert_eq!(world.sh(|spec| spec.user = "99".into(), "id -G").await.stdout, "0\n");
    });
}

#[test]
fn cve_2022_0492_and_2023_25809_the_cgroups_are_out_of_reach() {
    isolated(|| async {
        let world = World::new();
        let script = "for f in /sys/fs/cgroup/*/release_agent /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs; do \
                      [ -e $f ] || continue; (echo 1 > $f) 2>/dev/null && echo wrote $f; done; \
                      mkdir /sys/fs/cgroup/x /sys/fs/cgroup/memory/x 2>/dev/null && echo made; echo done";
        assert_eq!(world.sh(|_| {}, script).await.stdout, "done\n");
    });
}

#[test]
fn cve_2020_15257_the_shim_has_no_abstract_socket() {
    isolated(|| async {
        let world = World::new();
        let shim = world.shim().await;
        let sockets = fs::read_to_string(format!("/proc/{}/net/unix", shim.pid())).unwrap();
        assert!(!sockets.lines().any(|line| line.contains(" @") && line.contains("shim")), "{sockets}");
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(world.run().join("shim.sock")).unwrap().permissions().mode() & 0o777, 0o600);
        shim.shutdown().await.unwrap();
    });
}

#[test]
fn proc_and_sys_are_read_only_where_they_reach_the_host() {
    isolated(|| async {
        let world = World::new();
        let script = "for f in /proc/sysrq-trigger /proc/sys/kernel/hostname /proc/irq/default_smp_affinity \
                      /sys/kernel/mm/ksm/run /proc/acpi /proc/scsi /sys/kernel/uevent_helper; do [ -e $f ] || continue; \
                      (echo 0 > $f) 2>/dev/null && echo wrote $f; done; cat /proc/interrupts | wc -c; echo done";
        assert_eq!(world.sh(|_| {}, script).await.stdout, "0\ndone\n");
        let unmasked = world.sh(|spec| spec.security.unmasked = true, "cat /proc/interrupts | wc -l").await;
        assert_ne!(unmasked.stdout, "0\n");
    });
}

#[test]
fn no_new_privileges_and_the_filter_are_set() {
    isolated(|| async {
        let world = World::new();
        let script = status("NoNewPrivs") + &status("Seccomp:");
        assert_eq!(world.sh(|_| {}, &script).await.stdout, "0\n2\n");
        assert_eq!(world.sh(|spec| spec.security.no_new_privileges = true, &script).await.stdout, "1\n2\n");
        assert_eq!(world.sh(|spec| spec.security.seccomp = Seccomp::Unconfined, &script).await.stdout, "0\n0\n");
        let done = world.sh(|spec| spec.security.privileged = true, &script).await;
        assert_eq!(done.stdout, "0\n0\n");
    });
}

#[test]
fn a_privileged_container_has_the_hosts_devices_and_rights() {
    isolated(|| async {
        let world = World::new();
        let script = status("CapEff")
            + "ls /dev/kmsg; touch /sys/fs/cgroup/x 2>/dev/null; mount -t tmpfs none /bin && echo mounted";
        let done = world.sh(|spec| spec.security.privileged = true, &script).await;
        let own = fs::read_to_string("/proc/self/status").unwrap();
        let own = own.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap().trim();
        assert_eq!(done.stdout, format!("{own}\n/dev/kmsg\nmounted\n"));
    });
}

#[test]
fn an_image_without_good_user_files_is_refused_in_time() {
    isolated(|| async {
        let world = World::new();
        let passwd = world.layer().join("etc/passwd");
        let mut user = spec(&["true"]);
        user.user = "app".into();
        for make in [
            (|path: &Path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap()) as fn(&Path),
            |path| symlink("/dev/zero", path).unwrap(),
            |path| fs::create_dir(path).unwrap(),
        ] {
            let _ = fs::remove_file(&passwd);
            make(&passwd);
            let error = world.refused(&world.bundle(user.clone())).await;
            assert_eq!((error.stage.as_str(), error.code), ("user", 125), "{error}");
        }
    });
}

#[test]
fn labels_are_refused_where_the_machine_has_none() {
    isolated(|| async {
        let world = World::new();
        if Path::new("/sys/module/apparmor").exists() || Path::new("/sys/fs/selinux/enforce").exists() {
            return;
        }
        let mut labelled = spec(&["true"]);
        labelled.security.apparmor = Some("some-profile".into());
        let error = world.refused(&world.bundle(labelled.clone())).await;
        assert!(error.message.contains("AppArmor"), "{error}");
        labelled.security.apparmor = Some("unconfined".into());
        labelled.security.label = vec!["type:x_t".into()];
        assert!(world.refused(&world.bundle(labelled.clone())).await.message.contains("SELinux"));
        labelled.security.label = vec!["disable".into()];
        world.complete(&world.bundle(labelled)).await.unwrap();
    });
}

/// Says whether a key of this name can be found or read by its number.
const KEYS: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv) {
  char secret[64] = "";
  long found = syscall(SYS_keyctl, 10 /* SEARCH */, -3 /* session */, "user", "neighbour", 0);
  long asked = syscall(SYS_request_key, "user", "neighbour", (char *)0, 0);
  long read = syscall(SYS_keyctl, 11 /* READ */, atol(argv[1]), secret, sizeof secret);
  puts(found > 0 || asked > 0 || read > 0 ? "found" : "nothing");
  return 0;
}
"#;

#[test]
fn a_neighbours_key_is_neither_found_nor_read() {
    isolated(|| async {
        let world = World::new();
        let (source, program) = (world.path().join("keys.c"), world.layer().join("bin/keys"));
        fs::write(&source, KEYS).unwrap();
        let compiled = std::process::Command::new("gcc").args(["-static", "-o"]).arg(&program).arg(&source).status();
        assert!(compiled.unwrap().success());
        // A session keyring of this thread, which all that it starts would share: shims, and what they start.
        // SAFETY: a null name asks for a new anonymous keyring; the strings live over the calls.
        let key = unsafe {
            if libc::syscall(libc::SYS_keyctl, 1, std::ptr::null::<libc::c_char>()) < 0 {
                // Without keyrings in the kernel there is nothing to share.
                return;
            }
            let secret = b"s3cret";
            libc::syscall(libc::SYS_add_key, c"user".as_ptr(), c"neighbour".as_ptr(), secret.as_ptr(), secret.len(), -3)
        };
        assert!(key > 0, "{}", std::io::Error::last_os_error());
        let outside = std::process::Command::new(&program).arg(key.to_string()).output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&outside.stdout),
            "found\n",
            "the attack works where nothing stands against it"
        );
        let script = format!("keys {key}; cat /proc/keys | wc -l");
        let open = |spec: &mut ContainerSpec| spec.security.seccomp = Seccomp::Unconfined;
        assert_eq!(world.sh(open, &script).await.stdout, "nothing\n0\n");
    });
}
