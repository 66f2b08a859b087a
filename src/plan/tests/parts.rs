//! What containers are made of: images, volumes, external things.

use super::*;

fn volume(project: Option<&str>) -> VolumeSpec {
    VolumeSpec {
        name: "data".into(),
        project: project.map(Into::into),
        driver: "local".into(),
        ..VolumeSpec::default()
    }
}

fn mounted(source: MountSource) -> MountSpec {
    MountSpec { target: "/data".into(), source, read_only: false }
}

fn data() -> MountSpec {
    mounted(MountSource::Volume { name: "data".into(), subpath: String::new(), copy: true })
}

#[test]
fn the_old_one_runs_until_the_new_image_is_there() {
    let mut desired = desired([replica("web", 1)]);
    let observed = reached(&desired);
    change(&mut desired, "web", |spec| {
        spec.image = ImageSpec { name: "app:2".into(), id: "sha256:next".into(), ..ImageSpec::default() };
    });
    let plan = plan(&desired, &observed, &at(100));
    let after: Vec<Vec<usize>> = plan.steps.iter().map(|s| s.after.iter().map(|id| id.0).collect()).collect();
    assert!(plan.to_string().starts_with("pull image        app:2    layers are missing\nstop container"), "{plan}");
    assert_eq!(after[..2], [vec![], vec![0]], "{plan}");
}

#[test]
fn an_image_that_is_not_built_yet_is_built_first() {
    let mut desired = desired([replica("web", 1)]);
    let mut observed = reached(&desired);
    observed.containers.clear();
    observed.networks.values_mut().for_each(|n| n.endpoints.clear());
    change(&mut desired, "web", |spec| spec.image = ResolvedImage::unbuilt("p-web").spec);
    observed.images.extend(desired.containers["p-web-1"].spec.images().map(|image| image.id.clone()));
    let steps = [
        "build image       p-web    not built yet",
        "create container  p-web-1  missing",
        "start container   p-web-1  missing",
    ];
    check(&desired, &observed, &steps);
}

#[test]
fn an_image_that_is_mounted_is_fetched_too() {
    let mut desired = desired([replica("web", 1)]);
    let mut observed = reached(&desired);
    observed.containers.clear();
    observed.networks.values_mut().for_each(|n| n.endpoints.clear());
    let image = ImageSpec { name: "files:1".into(), id: "sha256:files".into(), ..ImageSpec::default() };
    change(&mut desired, "web", |spec| {
        spec.mounts = vec![mounted(MountSource::Image { image: image.clone(), subpath: String::new() })];
    });
    check(
        &desired,
        &observed,
        &[
            "pull image        files:1  layers are missing",
            "create container  p-web-1  missing",
            "start container   p-web-1  missing",
        ],
    );
}

#[test]
fn what_is_external_and_not_there_keeps_its_users_down_and_an_old_one_up() {
    let mut desired = desired([replica("web", 1)]);
    let mut observed = reached(&desired);
    desired.volumes.insert("data".into(), volume(None));
    change(&mut desired, "web", |spec| spec.mounts = vec![data()]);
    let error = "error: p-web-1 can't be started: volume data is declared as external, but there is none: make it, or \
                 take `external` out";
    check(&desired, &observed, &[error]);
    observed.containers.clear();
    check(&desired, &observed, &[error]);
}

#[test]
fn a_volume_that_an_orphan_uses_stays() {
    let mut before = desired([replica("old", 1)]);
    change(&mut before, "old", |spec| spec.mounts = vec![data()]);
    before.volumes.insert("data".into(), volume(Some("p")));
    let observed = reached(&before);
    let mut desired = desired([]);
    desired.remove_volumes = ["data".into()].into();
    let plan = plan(&desired, &observed, &at(100));
    assert!(plan.steps.is_empty(), "{plan}");
    assert!(plan.to_string().contains("warning: volume data is still used by p-old-1, and stays"), "{plan}");
}
