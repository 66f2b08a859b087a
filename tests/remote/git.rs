//! Repositories.

use std::fs;
use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::world::{Ran, WINDLASS, World};

pub const GIT: &str = "git://127.0.0.1:9418";

/// A world with repositories that a daemon serves.
pub struct Forge {
    pub world: World,
}

impl Forge {
    pub fn new() -> Self {
        let mut world = World::new();
        fs::create_dir(world.path().join("repos")).unwrap();
        let path = world.sh("git --exec-path").ok().stdout;
        let repos = world.path().join("repos");
        let mut daemon = world.command(Path::new(path.trim()).join("git-daemon"), &repos);
        let base = format!("--base-path={}", repos.display());
        daemon.args(["--export-all", "--reuseaddr", "--listen=127.0.0.1", "--port=9418", &base]).arg(&repos);
        world.start(&mut daemon);
        world.wait_for("the daemon", || TcpStream::connect("127.0.0.1:9418").is_ok());
        Self { world }
    }

    /// Commits files to the branch `main` of a repository; the commit.
    pub fn commit(&self, name: &str, files: &[(&str, &str)]) -> String {
        self.world.project(&format!("repos/{name}"), files);
        self.script(name, "true")
    }

    /// Runs a script in a repository, and commits what it did.
    fn script(&self, name: &str, script: &str) -> String {
        let folder = self.world.path().join("repos").join(name);
        let who = "-c user.name=test -c user.email=test@test";
        let text = format!(
            "[ -d .git ] || git init -q -b main . && {{ {script}; }} && git add -A . && \
             git {who} commit -qm change --allow-empty && git rev-parse HEAD"
        );
        self.world.sh_in(&folder, &text).ok().stdout.trim().to_owned()
    }

    fn cache(&self) -> PathBuf {
        self.world.path().join("home/.cache/windlass/remote")
    }

    pub fn project(&self, text: &str) -> PathBuf {
        self.world.project("shop", &[("compose.yaml", text)])
    }

    fn with(&self, folder: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
        crate::with(&self.world, folder, variables, arguments)
    }

    fn config(&self, folder: &Path) -> Ran {
        self.world.windlass(folder, &["config"])
    }

    /// From now on nobody answers.
    pub fn close(&mut self) {
        self.world.end_children();
    }
}

const APP: &str = "services:\n  app: {image: test, volumes: ['./data:/data']}\n";

#[test]
fn a_repository_is_named_by_each_way_that_a_file_is() {
    let forge = Forge::new();
    let commit =
        forge.commit("app.git", &[("compose.yaml", APP), ("deploy/docker-compose.yml", APP), ("other.yaml", APP)]);
    let at = |path: &str| format!("source: {}/git/{commit}/{path}", forge.cache().display());
    let empty = forge.world.project("empty", &[("x", "")]);
    let top = format!("{GIT}/app.git");
    let named = |address: &str| forge.world.windlass(&empty, &["-f", address, "config"]);
    named(&top).ok().says(&at("data")).says("name: empty\n");
    named(&format!("{top}#main:deploy")).ok().says(&at("deploy/data"));
    named(&format!("{top}#:other.yaml")).ok().says(&at("data"));
    named(&format!("{top}#{commit}")).ok().says(&at("data"));
    forge.with(&empty, &[("COMPOSE_FILE", &format!("{top}#main:deploy"))], &["config"]).ok().says(&at("deploy/data"));
    let several = [("COMPOSE_PATH_SEPARATOR", ","), ("COMPOSE_FILE", &format!("{top}#main,over.yaml"))];
    fs::write(empty.join("over.yaml"), "name: own\nservices: {app: {user: me}}\n").unwrap();
    forge.with(&empty, &several, &["config"]).ok().says(&at("data")).says("user: me").says("name: own\n");
    assert_eq!(fs::read_dir(forge.cache().join("git")).unwrap().count(), 1, "one commit is here once");

    for (include, source) in [
        (format!("include: ['{top}#:deploy']\n"), at("deploy/data")),
        (format!("include:\n  - path: '{top}'\n"), at("data")),
        (format!("include:\n  - path: ['{top}#:deploy', over.yaml]\n"), at("deploy/data")),
        (format!("include:\n  - {{path: '{top}', project_directory: ./here}}\n"), "/shop/here/data\n".to_owned()),
        (format!("services: {{web: {{extends: {{file: '{top}#main:deploy', service: app}}}}}}\n"), at("deploy/data")),
    ] {
        let folder = forge.project(&include);
        fs::write(folder.join("over.yaml"), "services: {app: {user: me}}\n").unwrap();
        fs::create_dir_all(folder.join("here")).unwrap();
        forge.config(&folder).ok().says(&source).says("name: shop\n");
    }
    let folder = forge.project("include: ['git://127.0.0.1:9418/app.git#${REF:-main}:deploy']\n");
    forge.config(&folder).ok().says(&at("deploy/data"));
    forge.world.windlass(&folder, &["config", "--no-interpolate"]).ok().says(&at("deploy/data"));
    forge.world.assert_clean();
}

#[test]
fn a_branch_is_asked_for_each_time_and_a_tag_means_its_commit() {
    let forge = Forge::new();
    forge.commit("app.git", &[("compose.yaml", "services: {app: {image: one}}\n")]);
    forge.script("app.git", "git -c user.name=t -c user.email=t@t tag -a -m first v1; git branch feature/main");
    let branch = forge.project(&format!("include: ['{GIT}/app.git#main']\n"));
    forge.config(&branch).ok().says("image: one");
    forge.commit("app.git", &[("compose.yaml", "services: {app: {image: two}}\n")]);
    forge.config(&branch).ok().says("image: two");
    let tag = forge.project(&format!("include: ['{GIT}/app.git#v1']\n"));
    forge.config(&tag).ok().says("image: one");
    forge.world.assert_clean();
}

#[test]
fn a_remote_file_names_files_of_its_own_and_other_addresses() {
    let forge = Forge::new();
    forge.commit("base.git", &[("compose.yaml", "services: {base: {image: base}}\n")]);
    let files = [
        ("compose.yaml", "include: [parts/one.yaml, 'git://127.0.0.1:9418/base.git']\nservices: {top: {image: top}}\n"),
        (
            "parts/one.yaml",
            "services:\n  one:\n    extends: {file: ../common.yaml, service: common}\n    env_file: one.env\n",
        ),
        ("parts/one.env", "FROM=env\n"),
        ("parts/.env", "TAG=7\n"),
        ("common.yaml", "services: {common: {image: 'common:${TAG}'}}\n"),
    ];
    forge.commit("app.git", &files);
    let folder = forge.project(&format!("include: ['{GIT}/app.git#main']\n"));
    let first = forge.config(&folder).ok().says("image: common:7").says("FROM: env").says("image: base");
    assert!(first.stderr.contains("W0109"), "{}", first.stderr);
    assert!(first.stderr.contains("git://127.0.0.1:9418/app.git#main:compose.yaml:1:"), "{}", first.stderr);
    assert!(!forge.config(&folder).ok().stderr.contains("W0109"), "it is told once");
    let folder = forge.project(&format!(
        "services:\n  a: {{extends: {{file: '{GIT}/app.git#:parts/one.yaml', service: one}}, environment: {{TAG: x}}}}\n"
    ));
    forge.with(&folder, &[("TAG", "8")], &["config"]).ok().says("image: common:8").says("FROM: env");

    // A wrong file is told by its address.
    let broken = [("bad.yaml", "services: {a: {image: a, env_file: bad.env}}\n"), ("bad.env", "A=1\nB=\"x\n")];
    forge.commit("app.git", &broken);
    let folder = forge.project(&format!("include: ['{GIT}/app.git#main:bad.yaml']\n"));
    forge.config(&folder).code(1).says("git://127.0.0.1:9418/app.git#main:bad.env:2:3").says("#main:bad.yaml:1:36");
    forge.commit("app.git", &[("compose.yaml", "services:\n  top: {imagee: top}\n")]);
    let folder = forge.project(&format!("include: ['{GIT}/app.git#main']\n"));
    forge.config(&folder).code(1).says("git://127.0.0.1:9418/app.git#main:compose.yaml:2:9").says("image");
    forge.commit("app.git", &[("compose.yaml", &format!("include: ['{GIT}/app.git#main']\n"))]);
    forge.config(&folder).code(1).says("E0404").says("in a circle");
    forge.world.assert_clean();
}

#[test]
fn nothing_hostile_leads_out_of_what_was_fetched() {
    let forge = Forge::new();
    let secret = forge
        .world
        .project("secret", &[("compose.yaml", "services: {stolen: {image: stolen}}\n"), (".env", "STOLEN=1\n")]);
    let secret = secret.display().to_string();
    forge.commit("app.git", &[("compose.yaml", APP)]);
    let script = format!(
        "ln -s {secret} out; ln -s {secret}/compose.yaml link.yaml; mkdir file env; ln -s {secret}/compose.yaml file/compose.yaml; \
         ln -s {secret}/.env env/.env; cp compose.yaml env; ln -s {secret}/.env app.env; \
         echo 'include: [../../../../../../../{secret}/compose.yaml]' >up.yaml; \
         echo 'include: [{secret}/compose.yaml]' >absolute.yaml; \
         echo 'include: [out/compose.yaml]' >linked.yaml; \
         echo 'include: [{{path: compose.yaml, env_file: {secret}/.env}}]' >env.yaml; \
         echo 'services: {{a: {{extends: {{file: {secret}/compose.yaml, service: stolen}}}}}}' >extends.yaml; \
         echo 'services: {{a: {{image: x, env_file: app.env}}}}' >envfile.yaml; \
         echo 'include: [\"git://127.0.0.1:9418/app.git#$PASSWORD\"]' >tell.yaml"
    );
    forge.script("app.git", &script);
    for (path, why) in [
        ("out", "leads out"),
        ("link.yaml", "leads out"),
        ("file", "leads out"),
        ("up.yaml", "outside of it"),
        ("absolute.yaml", "outside of it"),
        ("linked.yaml", "leads out"),
        ("env.yaml", "outside of it"),
        ("extends.yaml", "outside of it"),
        ("envfile.yaml", "leads out"),
        ("env", "leads out"),
        ("tell.yaml", "has variables"),
        ("../secret", "no folder of the repository"),
        ("/etc", "no folder of the repository"),
    ] {
        let folder = forge.project(&format!("include: ['{GIT}/app.git#main:{path}']\n"));
        let ran = forge.with(&folder, &[("PASSWORD", "hunter2")], &["config"]).code(1).says(why);
        assert!(
            !ran.stdout.contains("stolen") && !ran.stderr.contains("STOLEN"),
            "{path}: {}{}",
            ran.stdout,
            ran.stderr
        );
        forge.world.windlass(&folder, &["-f", &format!("{GIT}/app.git#main:{path}"), "config"]).code(1);
    }
    forge.world.assert_clean();
}

#[test]
fn neither_an_address_nor_a_hook_runs_a_program() {
    let forge = Forge::new();
    forge.commit("app.git", &[("compose.yaml", APP)]);
    let mark = forge.world.path().join("mark");
    let touch = format!("--upload-pack=touch {}", mark.display());
    for address in [
        format!("{GIT}/app.git#{touch}"),
        format!("{GIT}/app.git#{}", touch.replace(' ', "${IFS}")),
        format!("ssh://-oProxyCommand=touch%20{}/x", mark.display()),
    ] {
        let folder = forge.project(&format!("include: ['{}']\n", address.replace('$', "$$")));
        forge.config(&folder).code(1).says("E0105").says("compose.yaml:1:11");
    }
    assert!(!mark.exists());
    // A hook of the user's templates is no part of it either.
    forge.world.project("home/template/hooks", &[("post-checkout", &format!("#!/bin/sh\ntouch {}\n", mark.display()))]);
    forge
        .world
        .sh("chmod +x home/template/hooks/post-checkout; git config --global init.templateDir $HOME/template")
        .ok();
    forge.commit("app.git", &[("more", "")]);
    forge.config(&forge.project(&format!("include: ['{GIT}/app.git']\n"))).ok();
    assert!(!mark.exists());
    forge.world.assert_clean();
}

#[test]
fn what_fails_says_what_git_said_and_shows_no_password() {
    let mut forge = Forge::new();
    forge.commit("app.git", &[("deploy/readme", "")]);
    let told = |address: &str| forge.config(&forge.project(&format!("include:\n  - '{address}'\n"))).code(1);
    told(&format!("{GIT}/app.git")).says("has no compose.yaml").says("compose.yaml:2:5");
    told(&format!("{GIT}/app.git#:deploy")).says("app.git#:deploy` has no compose.yaml");
    told(&format!("{GIT}/app.git#:deploy/none.yaml"))
        .says("there is no `git://127.0.0.1:9418/app.git#:deploy/none.yaml`");
    told(&format!("{GIT}/app.git#nothing"))
        .says("no branch and no tag `nothing`")
        .says("compose.yaml:2:5")
        .says("E0105");
    told(&format!("{GIT}/app.git#{}", "0".repeat(40))).says("git says: ");
    told(&format!("{GIT}/other.git")).says("git says: ").says("git://127.0.0.1:9418/other.git");
    let ran = told("http://me:hunter2@127.0.0.1:1/app.git").says("http://**:*******@127.0.0.1:1/app.git");
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    assert!(!forge.cache().join("git").exists() || fs::read_dir(forge.cache().join("git")).unwrap().count() == 1);
    let folder = forge.project(&format!("include: ['{GIT}/app.git']\n"));
    forge
        .with(&folder, &[("PATH", "/nowhere")], &["config"])
        .code(1)
        .says("no program `git`")
        .says("compose.yaml:1:11");
    let switch = "COMPOSE_EXPERIMENTAL_GIT_REMOTE";
    forge.with(&folder, &[(switch, "false")], &["config"]).code(1).says(switch);
    forge.with(&folder, &[(switch, "maybe")], &["config"]).code(1).says(switch);
    forge.close();
    forge.config(&folder).code(1).says("git says: ");
    forge.world.assert_clean();
}

#[test]
fn two_at_once_and_a_fetch_that_broke_off_do_no_harm() {
    let forge = Forge::new();
    let commit = forge.commit("app.git", &[("compose.yaml", APP)]);
    let folder = forge.project(&format!("include: ['{GIT}/app.git']\n"));
    let start = || forge.world.command(WINDLASS, &folder).args(["config", "-q"]).spawn().unwrap();
    let started: Vec<_> = (0..4).map(|_| start()).collect();
    for mut one in started {
        assert!(one.wait().unwrap().success());
    }
    let names = |folder: &str| -> Vec<String> {
        let entries = fs::read_dir(forge.cache().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(names("git"), std::slice::from_ref(&commit));
    assert!(!forge.cache().join("git").join(&commit).join(".git").exists());
    assert_eq!(names("last").len(), 1);
    fs::remove_dir_all(forge.cache().join("git").join(&commit)).unwrap();
    fs::create_dir(forge.cache().join("git/unfinished-old")).unwrap();
    forge.world.sh("touch -d '2 days ago' home/.cache/windlass/remote/git/unfinished-old").ok();
    forge.config(&folder).ok();
    assert_eq!(names("git"), [commit]);
    forge.world.assert_clean();
}

#[test]
fn a_name_is_no_reason_to_ask_anybody() {
    let mut forge = Forge::new();
    forge.commit("app.git", &[("compose.yaml", APP)]);
    let folder = forge.project(&format!("include: ['{GIT}/app.git']\n"));
    forge
        .world
        .windlass(&folder, &["ps"])
        .code(1)
        .says("nobody is asked")
        .says("windlass config")
        .says("compose.yaml:1:11");
    assert!(!forge.cache().join("git").exists());
    forge.config(&folder).ok();
    forge.close();
    forge.world.windlass(&folder, &["ps"]).ok();
    forge.config(&folder).code(1);
    forge.world.assert_clean();
}

#[test]
fn ctrl_c_ends_what_asks_a_silent_server_and_leaves_nothing() {
    let world = World::new();
    let silent = TcpListener::bind("127.0.0.1:9418").unwrap();
    silent.set_nonblocking(true).unwrap();
    let folder =
        world.project("shop", &[("compose.yaml", &format!("include: ['{GIT}/app.git', '{GIT}/other.git']\n"))]);
    for verb in [&["config"][..], &["up", "-d"]] {
        let child = world.command(WINDLASS, &folder).args(verb).stderr(Stdio::piped()).spawn().unwrap();
        let mut asked = None;
        world.wait_for("git", || {
            asked = silent.accept().ok();
            asked.is_some()
        });
        kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{verb:?}: {}", String::from_utf8_lossy(&output.stderr));
        // The connection ends, for git has gone too.
        let (mut connection, _) = asked.unwrap();
        connection.set_nonblocking(false).unwrap();
        let end = connection.read_to_end(&mut Vec::new());
        assert!(end.is_ok() || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    }
    assert!(!world.path().join("home/.cache").exists());
    world.assert_clean();
}
