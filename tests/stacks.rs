//! Real stacks that others wrote, on real servers: each comes up from the local registry, answers on its published
//! ports, and leaves nothing.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test fails by panicking; each binary uses its own part of what is shared"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use support::world::World;

/// Brings up a stack of `shared/stacks`, runs its check, takes it down, and looks at what is left.
fn stack(name: &str) {
    stack_by(name, None);
}

/// As [`stack`], with an OCI runtime for each service.
fn stack_by(name: &str, runtime: Option<&str>) {
    let Some(shared) = support::shared(&format!("stacks::{name}")) else { return };
    let upstream = shared.join("stacks").join(name);
    let mut world = World::new();
    world.serve(&shared);
    let folder = world.path().join(name);
    copy(&upstream, &folder);
    let over = world.sh(&format!("{} {name}", shared.join("stacks/override").display())).ok().stdout;
    fs::write(world.path().join("over.yaml"), over).unwrap();
    let file = if folder.join("file").exists() {
        fs::read_to_string(folder.join("file")).unwrap().trim().to_owned()
    } else {
        let names = ["compose.yaml", "docker-compose.yml"];
        names.iter().find(|n| folder.join(n).exists()).unwrap().to_string()
    };
    let mut files = vec!["-f", &file, "-f", "../over.yaml"];
    if let Some(runtime) = runtime {
        let services = world.windlass(&folder, &[&files[..], &["config", "--services"]].concat()).ok().stdout;
        let lines: Vec<String> = services.lines().map(|name| format!("  {name}: {{ runtime: {runtime} }}\n")).collect();
        fs::write(world.path().join("runtime.yaml"), format!("services:\n{}", lines.concat())).unwrap();
        files.extend(["-f", "../runtime.yaml"]);
    }
    world.windlass(&folder, &[&files[..], &["up", "-d"]].concat()).ok();
    let check = world.sh_in(&folder, ". ./check");
    if check.code != 0 {
        let logs = world.windlass(&folder, &[&files[..], &["logs"]].concat());
        let ps = world.windlass(&folder, &[&files[..], &["ps", "-a"]].concat());
        panic!(
            "the stack's check failed: {}\n{}\n--- ps\n{}\n--- logs\n{}",
            check.stdout, check.stderr, ps.stdout, logs.stdout
        );
    }
    let plan = world.windlass(&folder, &[&files[..], &["plan", "--detailed-exitcode"]].concat()).ok();
    assert!(plan.stdout.contains("nothing to do"), "a second `up` would change something:\n{}", plan.stdout);
    world.windlass(&folder, &[&files[..], &["down", "-v"]].concat()).ok();
    world.assert_clean();
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").args(["-a", "--"]).args([from, to]).status().unwrap().success());
}

macro_rules! stacks {
    ($($test:ident $name:literal)*) => {
        const STACKS: &[&str] = &[$($name),*];
        $(#[test] fn $test() { stack($name); })*
    };
}

stacks! {
    angular "angular"
    apache_php "apache-php"
    django "django"
    example_voting_app "example-voting-app"
    fastapi "fastapi"
    fastapi_celery "fastapi-celery"
    flask "flask"
    flask_on_docker "flask-on-docker"
    flask_redis "flask-redis"
    library_adminer "library-adminer"
    library_mariadb "library-mariadb"
    library_phpmyadmin "library-phpmyadmin"
    library_postgres "library-postgres"
    library_wordpress "library-wordpress"
    nginx_flask_mysql "nginx-flask-mysql"
    nginx_wsgi_flask "nginx-wsgi-flask"
    postgresql_pgadmin "postgresql-pgadmin"
    react_express_mysql "react-express-mysql"
    react_nginx "react-nginx"
    wordpress_mysql "wordpress-mysql"
}

#[test]
fn a_stack_whose_services_run_under_runc() {
    stack_by("nginx-flask-mysql", Some("runc"));
}

#[test]
fn every_stack_has_its_test() {
    let Some(shared) = support::shared("stacks::every_stack_has_its_test") else { return };
    let there: BTreeSet<String> = fs::read_dir(shared.join("stacks"))
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    let tested: BTreeSet<String> = STACKS.iter().map(ToString::to_string).collect();
    assert_eq!(there, tested);
}
