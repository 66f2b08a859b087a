//! Images that are asked for again when they have grown old.

use std::time::{SystemTime, UNIX_EPOCH};

use super::*;

/// Makes the store's records say that its images were pulled so many seconds ago.
fn grow_old(world: &World, seconds: u64) {
    let then = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - seconds;
    for path in fs::read_dir(world.path().join("root/images/refs")).unwrap().map(|entry| entry.unwrap().path()) {
        let text = fs::read_to_string(&path).unwrap();
        // What the checksum is of: the record itself, which stands behind it.
        let (head, rest) = text.split_once(r#""checksum":""#).unwrap();
        let record = format!("{{{}", rest.split_once(r#"","#).unwrap().1);
        let (before, after) = record.split_once(r#""pulled_at":"#).unwrap();
        let record = format!(r#"{before}"pulled_at":{then}{}"#, after.trim_start_matches(|c: char| c.is_ascii_digit()));
        let checksum = registry::digest(&record.as_bytes()[..record.trim_end().len()]);
        fs::write(&path, format!(r#"{head}"checksum":"{checksum}",{}"#, &record[1..])).unwrap();
    }
}

#[test]
fn an_image_is_asked_for_again_when_the_file_says_so() {
    let shop = Shop::new();
    let (_, one) = shop.push("team/app", "1", "one");
    let folder = shop.project(&APP.replace("stop_signal", "pull_policy: refresh, pull_refresh_after: 1h, stop_signal"));
    let windlass = |arguments: &[&str]| shop.world.windlass(&folder, arguments);
    windlass(&["up", "-d"]).ok();
    let (_, two) = shop.push("team/app", "1", "two");
    grow_old(&shop.world, 3000);
    windlass(&["up", "-d"]).ok();
    assert_eq!(shop.runs(&folder), format!("{one} one"), "50 minutes are no hour");
    grow_old(&shop.world, 3700);
    windlass(&["up", "-d"]).ok();
    assert_eq!(shop.runs(&folder), format!("{two} two"));
    let told = |policy: &str| {
        fs::write(folder.join("compose.yaml"), APP.replace("stop_signal", policy).replace("HOST", &shop.host)).unwrap();
        windlass(&["up", "-d"]).ok();
        shop.runs(&folder)
    };
    let (_, three) = shop.push("team/app", "1", "three");
    assert_eq!(told("pull_policy: missing, stop_signal"), format!("{two} two"));
    assert_eq!(told("pull_policy: always, stop_signal"), format!("{three} three"));
    assert!(!shop.world.sh("find root/images -name '*.bad*'").ok().stdout.contains("bad"), "the records are good");
    windlass(&["down"]).ok();
    shop.world.assert_clean();
}
