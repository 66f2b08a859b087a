//! Images, volumes, and what containers use.

use super::*;

#[tokio::test]
async fn images_of_containers_and_of_the_store() {
    let mut fake = Fake::shop();
    fake.images.push(StoredImage {
        id: "sha256:0123456789abcdef".into(),
        names: vec!["web:1".into(), "localhost:5000/web:2".into()],
        digest: None,
        size: 130_400_000,
        created: Some(400_000_000_000),
        platform: "linux/amd64".into(),
    });
    insta::assert_snapshot!(run(&fake, &["images", "db"]).await.out, @r"
    CONTAINER   REPOSITORY   TAG   PLATFORM      IMAGE ID       SIZE    CREATED
    shop-db-1   db           1     linux/amd64   0123456789ab   130MB   10 minutes ago
    ");
    insta::assert_snapshot!(run(&fake, &["image", "ls"]).await.out, @r"
    REPOSITORY           TAG   IMAGE ID       CREATED          SIZE
    web                  1     0123456789ab   10 minutes ago   130MB
    localhost:5000/web   2     0123456789ab   10 minutes ago   130MB
    ");
    assert_eq!(run(&fake, &["images", "-q", "web"]).await.out.find("sha256:"), None);
    assert_eq!(run(&fake, &["image", "ls", "-a", "-q", "other"]).await.out, "");
    assert_eq!(run(&fake, &["image", "ls", "web"]).await.out.lines().count(), 2);
    assert_eq!(run(&fake, &["image", "tag", "web:1", "web:old"]).await.code(), 0);
    assert_eq!(run(&fake, &["volume", "create", "v", "--label", "a=b", "-o", "type=tmpfs"]).await.out, "v\n");
    let asked = fake.asked.borrow().clone();
    let made = r#"create volume v {"a": "b"} {"type": "tmpfs"}"#;
    assert!(
        asked.iter().any(|asked| asked == "tag web:1 web:old") && asked.iter().any(|asked| asked == made),
        "{asked:?}"
    );
    assert_eq!(run(&fake, &["volume", "create", "../v"]).await.code(), 1);
    assert_eq!(run(&fake, &["volume", "ls", "-q", "--filter", "label=none"]).await.out, "");
    assert_eq!(run(&fake, &["volume", "ls", "--filter", "colour=red"]).await.code(), 1);
    assert_eq!(run(&fake, &["image", "prune", "-f"]).await.out, "sha256:aa\nTotal reclaimed space: 1.5kB\n");
    assert_eq!(run(&fake, &["image", "inspect", "x", "-f", "{{.Id}}"]).await.out, "sha256:aa\n");
    assert_eq!(run(&fake, &["image", "load", "-i", "/a.tar"]).await.out, "Loaded image: loaded:latest\n");
    let ran = run(&fake, &["image", "pull", "good", "bad"]).await;
    assert_eq!((ran.code(), ran.err.as_str()), (1, "error: bad: no such image\n"));
}

#[tokio::test]
async fn volumes_of_the_project_and_of_the_machine() {
    let mut fake = Fake::shop();
    let volume = |name: &str, project: Option<&str>, anonymous| StoredVolume {
        spec: VolumeSpec {
            name: name.into(),
            project: project.map(Into::into),
            driver: "local".into(),
            anonymous,
            ..VolumeSpec::default()
        },
        created: None,
        mountpoint: format!("/v/{name}").into(),
        users: Default::default(),
    };
    fake.volumes =
        vec![volume("shop_data", Some("shop"), false), volume("other", None, false), volume("anon", None, true)];
    let mounted = MountSource::Volume { name: "other".into(), subpath: String::new(), copy: true };
    for container in fake.observed.containers.values_mut().filter(|c| c.spec.service.as_str() == "db") {
        container.spec.mounts.push(MountSpec { target: "/d".into(), source: mounted.clone(), read_only: false });
    }
    assert_eq!(run(&fake, &["volumes", "-q"]).await.out, "shop_data\nother\n");
    assert_eq!(run(&fake, &["volumes", "-q", "db"]).await.out, "other\n");
    insta::assert_snapshot!(run(&fake, &["volume", "ls"]).await.out, @r"
    DRIVER   VOLUME NAME
    local    shop_data
    local    other
    local    anon
    ");
    assert_eq!(run(&fake, &["volume", "prune", "-f"]).await.out, "anon\n");
    assert_eq!(run(&fake, &["volume", "inspect", "anon", "-f", "{{.Mountpoint}}"]).await.out, "/v/anon\n");
    assert!(run(&fake, &["volume", "inspect", "none"]).await.err.contains("no such volume: none"));
}

#[tokio::test]
async fn pull_takes_each_image_once_and_tells_which_failed() {
    let mut fake = Fake::shop();
    for (name, image) in [("a", "good:1"), ("b", "good:1"), ("c", "bad:1")] {
        let service = crate::compose::model::Service { image: Some(image.into()), ..Default::default() };
        fake.project.services.insert(name.into(), service);
    }
    let ran = run(&fake, &["pull"]).await;
    assert_eq!((ran.code(), ran.err.as_str()), (1, "error: bad:1: no such image\n"));
    assert_eq!(fake.asked.borrow()[1..], ["pull good:1 always=true", "pull bad:1 always=true"]);
    assert_eq!(run(&fake, &["pull", "--ignore-pull-failures"]).await.code(), 0);
}

#[tokio::test(start_paused = true)]
async fn stats_measure_over_a_second() {
    let mut fake = Fake::shop();
    for container in fake.observed.containers.values().filter(|container| container.is_running()) {
        let usage =
            Usage { memory: 50 << 20, memory_limit: 100 << 20, pids: 3, network: (1_500, 20), ..Usage::default() };
        fake.usage.insert(container.id.clone(), usage);
    }
    let ran = run(&fake, &["stats", "--no-stream"]).await;
    insta::assert_snapshot!(ran.out, @r"
    CONTAINER ID   NAME         CPU %   MEM USAGE / LIMIT   MEM %    NET I/O       BLOCK I/O   PIDS
    000000000000   shop-db-1    0.00%   50MiB / 100MiB      50.00%   1.5kB / 20B   0B / 0B     3
    000000000000   shop-web-1   0.00%   50MiB / 100MiB      50.00%   1.5kB / 20B   0B / 0B     3
    ");
}

#[tokio::test]
async fn top_shows_processes() {
    let fake = Fake::shop();
    let out = run(&fake, &["top", "db"]).await.out;
    assert!(out.starts_with("SERVICE   #   UID"), "{out}");
    assert!(out.contains(&std::process::id().to_string()));
}
