use super::*;

fn world() -> (tempfile::TempDir, Paths) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let paths = Paths::new(Some(folder.path().to_owned()), None);
    (folder, paths)
}

fn volume(name: &str) -> VolumeSpec {
    VolumeSpec { name: name.into(), driver: "local".into(), ..VolumeSpec::default() }
}

#[test]
fn a_volume_is_made_listed_and_removed() {
    let (_folder, paths) = world();
    create(&paths, &volume("p_data")).expect("made");
    fs::write(data(&paths, &volume("p_data")).expect("its folder").join("file"), b"x").expect("written");
    create(&paths, &volume("p_data")).expect("again");
    assert_eq!(list(&paths), vec![volume("p_data")]);
    assert!(paths.volume(&"p_data".into()).join("_data/file").exists(), "making it again keeps what is in it");
    assert!(remove(&paths, &"p_data".into()).expect("removed"));
    assert!(list(&paths).is_empty());
    assert!(fs::read_dir(paths.volumes()).expect("there").next().is_none(), "nothing is left");
    assert!(!remove(&paths, &"p_data".into()).expect("one that is gone is no error"));
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let (_folder, paths) = world();
    for name in ["..", "a/b", "", "."] {
        assert!(matches!(create(&paths, &volume(name)), Err(VolumeError::Name { .. })), "{name}");
        assert!(matches!(remove(&paths, &name.into()), Err(VolumeError::Name { .. })), "{name}");
        assert!(read(&paths, &name.into()).expect("no error").is_none());
    }
}

#[test]
fn drivers_and_options_that_are_not_there_are_refused() {
    let (_folder, paths) = world();
    let mut other = volume("v");
    other.driver = "nfs".into();
    assert!(matches!(create(&paths, &other), Err(VolumeError::Driver { .. })));
    let mut odd = volume("v");
    odd.driver_opts.insert("size".into(), "1".into());
    assert!(matches!(create(&paths, &odd), Err(VolumeError::Option { .. })));
}

#[test]
fn a_bind_volume_is_the_folder_that_it_names() {
    let (folder, paths) = world();
    let mut bind = volume("v");
    bind.driver_opts =
        [("type", "none"), ("o", "bind"), ("device", "/srv/x")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    create(&paths, &bind).expect("made");
    assert_eq!(data(&paths, &bind).expect("its folder"), PathBuf::from("/srv/x"));
    drop(folder);
}
