//! A world for one test: own namespaces, a folder for state and run, a layer with busybox, a shim.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;
use windlass::desired::ContainerSpec;
use windlass::host::container::client::{Attached, Output, Running, attach};
use windlass::host::container::executable;
use windlass::host::container::record::{self, ExitRecord};
use windlass::host::container::{Bundle, Event, Resolved, Sandbox, Shim, ShimError, SpawnRequest};
use windlass::name::ContainerId;

/// The real program.
pub const WINDLASS: &str = env!("CARGO_BIN_EXE_windlass");
const BUSYBOX: &str = "/bin/busybox";

/// Runs `test` on a thread of its own that has left the machine's network and mounts.
pub fn isolated<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let thread = std::thread::spawn(move || {
        use nix::mount::{MsFlags, mount};
        use nix::sched::{CloneFlags, unshare};
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).expect("unshare: run the tests as root");
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(20), test()).await.expect("the test hangs");
        });
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// One container's place.
pub struct World {
    folder: TempDir,
    /// What shims are started from.
    pub program: OwnedFd,
    /// Those that were started: process id, run folder.
    shims: Mutex<Vec<(i32, PathBuf)>>,
}

/// Whatever a test did, nothing of it goes on.
impl Drop for World {
    fn drop(&mut self) {
        use nix::sys::signal::{Signal, kill};
        use nix::unistd::Pid;
        for (shim, run) in self.shims.lock().unwrap().iter() {
            if let Ok(Some(process)) = record::living(run) {
                let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
            }
            // Ours until it is waited for, which only the runtime of this thread does, and that stands still now.
            let _ = kill(Pid::from_raw(*shim), Signal::SIGKILL);
        }
        // The folder that is removed next would be busy.
        let _ = nix::mount::umount2(&self.state(), nix::mount::MntFlags::MNT_DETACH);
    }
}

impl World {
    pub fn new() -> World {
        assert!(Path::new(BUSYBOX).exists(), "install busybox-static");
        let folder = tempfile::tempdir().unwrap();
        let world =
            World { folder, program: executable::protect(Path::new(WINDLASS)).unwrap(), shims: Mutex::default() };
        for path in [world.state(), world.layer().join("bin"), world.layer().join("etc")] {
            fs::create_dir_all(path).unwrap();
        }
        mount_tmpfs(&world.state());
        fs::copy(BUSYBOX, world.layer().join("bin/busybox")).unwrap();
        for name in [
            "sh", "cat", "ls", "id", "true", "sleep", "env", "mount", "grep", "stat", "echo", "ps", "hostname", "head",
            "stty", "mkdir", "touch", "chmod", "ip", "pwd", "readlink", "wc", "kill", "tr", "cut",
        ] {
            symlink("busybox", world.layer().join("bin").join(name)).unwrap();
        }
        let passwd = "root:x:0:0::/root:/bin/sh\napp:x:1234:2345::/home/app:/bin/sh\n";
        fs::write(world.layer().join("etc/passwd"), passwd).unwrap();
        fs::write(world.layer().join("etc/group"), "root:x:0:\nweb:x:2000:app\n").unwrap();
        world
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn layer(&self) -> PathBuf {
        self.path().join("layer")
    }

    pub fn run(&self) -> PathBuf {
        self.path().join("run/containers/c1")
    }

    pub fn state(&self) -> PathBuf {
        self.path().join("root/containers/c1")
    }

    pub async fn shim(&self) -> Shim {
        self.shim_of(&self.run(), &self.state()).await
    }

    pub async fn shim_of(&self, run: &Path, state: &Path) -> Shim {
        fs::create_dir_all(run).unwrap();
        fs::create_dir_all(state).unwrap();
        let request = SpawnRequest {
            program: self.program.as_fd(),
            run,
            state,
            project: "test",
            world_root: &self.path().join("root"),
            world_run: &self.path().join("run"),
        };
        let shim = Shim::spawn(&request).await.unwrap();
        self.shims.lock().unwrap().push((shim.pid(), run.to_path_buf()));
        shim
    }

    pub fn bundle(&self, spec: ContainerSpec) -> Bundle {
        let host = Resolved {
            hooks: Vec::new(),
            state: self.state(),
            run: self.run(),
            layers: vec![self.layer()],
            hosts: Some("127.0.0.1\tlocalhost\n".into()),
            resolv_conf: Some("nameserver 127.0.0.11\n".into()),
            hostname: spec.hostname.clone().unwrap_or_else(|| "box".into()),
            ..Resolved::default()
        };
        Bundle::new(ContainerId::new("c1"), spec, host).unwrap()
    }

    /// Runs a container to its end.
    pub async fn complete(&self, bundle: &Bundle) -> Result<Done, ShimError> {
        let shim = self.shim().await;
        let result = self.complete_in(&shim, bundle).await;
        shim.shutdown().await.unwrap();
        result
    }

    pub async fn complete_in(&self, shim: &Shim, bundle: &Bundle) -> Result<Done, ShimError> {
        let sandbox = shim.sandbox(&bundle.spec.namespaces, bundle.spec.shm_size).await?;
        let attached = attach(&self.run(), true).await.unwrap();
        let running = shim.start(bundle, BTreeMap::new()).await?;
        let (stdout, stderr, exit) = drain(&attached).await;
        assert_eq!(shim.event().await, Some(Event::Exited(exit.clone())));
        Ok(Done { stdout, stderr, exit, running, sandbox })
    }

    /// Runs a shell script to its end with a plain container and returns what it printed.
    pub async fn sh(&self, change: impl FnOnce(&mut ContainerSpec), script: &str) -> Done {
        let mut spec = spec(&["sh", "-c", script]);
        change(&mut spec);
        self.complete(&self.bundle(spec)).await.unwrap()
    }

    /// Why a container does not start.
    pub async fn refused(&self, bundle: &Bundle) -> windlass::host::container::StartError {
        match self.complete(bundle).await {
            Err(ShimError::Failed(error)) => error,
            Err(other) => panic!("{other}"),
            Ok(done) => panic!("it ran: {} {}", done.stdout, done.stderr),
        }
    }

    pub fn exit(&self) -> ExitRecord {
        record::ended(&self.run(), &self.state()).unwrap().unwrap()
    }
}

/// An overlay's upper must not be on an overlay, which the machine's own /tmp may be.
fn mount_tmpfs(path: &Path) {
    use nix::mount::{MsFlags, mount};
    mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
}

/// A container that has ended.
pub struct Done {
    pub stdout: String,
    pub stderr: String,
    pub exit: ExitRecord,
    pub running: Running,
    #[allow(dead_code, reason = "keeps the sandbox's descriptors until the test has looked")]
    pub sandbox: Sandbox,
}

/// Reads an attached container to its end.
pub async fn drain(attached: &Attached) -> (String, String, ExitRecord) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    loop {
        match attached.next().await.unwrap().expect("the shim is gone") {
            Output::Stdout(bytes) => stdout.extend(bytes),
            Output::Stderr(bytes) => stderr.extend(bytes),
            Output::Exited(exit) => {
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                return (text(stdout), text(stderr), exit);
            }
        }
    }
}

/// A plain container that runs `argv`.
pub fn spec(argv: &[&str]) -> ContainerSpec {
    ContainerSpec {
        name: "test".into(),
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        shm_size: 1 << 20,
        security: windlass::desired::SecuritySpec {
            capabilities: DEFAULT.iter().map(|name| (*name).to_owned()).collect(),
            ..Default::default()
        },
        ..ContainerSpec::default()
    }
}

/// Docker's default capabilities.
pub const DEFAULT: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
