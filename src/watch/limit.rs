//! What to tell when the kernel has no more watches: which folder costs most.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The folder below one of the roots that most of these folders are in, and how many: as deep as it still has at least
/// half of those of the folder above it.
pub fn most_costly<'a>(roots: &[PathBuf], folders: impl Iterator<Item = &'a PathBuf>) -> Option<(PathBuf, usize)> {
    let mut counts: BTreeMap<&Path, usize> = BTreeMap::new();
    let mut children: BTreeMap<&Path, std::collections::BTreeSet<&Path>> = BTreeMap::new();
    for folder in folders {
        let Some(root) = roots.iter().find(|root| folder.starts_with(root)) else { continue };
        for above in folder.ancestors().take_while(|above| above.starts_with(root)) {
            *counts.entry(above).or_default() += 1;
            if above != root.as_path()
                && let Some(parent) = above.parent()
            {
                children.entry(parent).or_default().insert(above);
            }
        }
    }
    let largest = |folders: &mut dyn Iterator<Item = &'a Path>| {
        folders.map(|folder| (folder, counts[folder])).max_by_key(|(_, count)| *count)
    };
    let (mut folder, mut count) =
        largest(&mut roots.iter().filter_map(|root| counts.get_key_value(root.as_path())).map(|(root, _)| *root))?;
    while let Some((child, of_child)) = children.get(folder).and_then(|children| largest(&mut children.iter().copied()))
    {
        if of_child * 2 < count {
            break;
        }
        (folder, count) = (child, of_child);
    }
    Some((folder.to_owned(), count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_that_costs_most_is_named_as_deep_as_it_helps() {
        let mut folders: Vec<PathBuf> = vec!["/p".into(), "/p/src".into(), "/p/src/a".into(), "/p/node_modules".into()];
        folders.extend((0..100).map(|n| format!("/p/node_modules/m{n}").into()));
        folders.extend((0..100).map(|n| format!("/elsewhere/m{n}").into()));
        let most = most_costly(&["/p".into()], folders.iter());
        assert_eq!(most, Some(("/p/node_modules".into(), 101)));
        assert_eq!(most_costly(&["/q".into()], folders.iter()), None);
    }
}
