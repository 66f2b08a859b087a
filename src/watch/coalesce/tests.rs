use super::Notice::{Begun, Settled};
use super::*;

/// A script: `at` milliseconds, path, notice. Returns the batches with the time at which each was taken.
fn play(script: &[(u64, &str, Notice)]) -> Vec<(u64, String)> {
    let begin = Instant::now();
    let mut coalescer = Coalescer::default();
    let mut batches = Vec::new();
    let mut take = |coalescer: &mut Coalescer, until: Option<u64>| {
        while let Some(due) = coalescer.due() {
            if until.is_some_and(|until| due >= begin + Duration::from_millis(until)) {
                return;
            }
            let batch = coalescer.take(due).expect("due");
            let names: Vec<String> = batch.paths.iter().map(|path| path.display().to_string()).collect();
            batches.push(((due - begin).as_millis() as u64, names.join(" ")));
        }
    };
    for (at, path, notice) in script {
        take(&mut coalescer, Some(*at));
        coalescer.hear(path.into(), *notice, begin + Duration::from_millis(*at));
    }
    take(&mut coalescer, None);
    batches
}

fn batch(at: u64, paths: &str) -> (u64, String) {
    (at, paths.to_owned())
}

#[test]
fn the_first_change_is_told_at_once() {
    assert_eq!(play(&[(5, "a", Settled)]), [batch(5, "a")]);
    assert_eq!(play(&[(0, "a", Begun), (1, "a", Settled)]), [batch(1, "a")]);
    assert_eq!(play(&[(0, "a", Settled), (100, "a", Settled)]), [batch(0, "a"), batch(100, "a")]);
}

#[test]
fn the_rest_of_a_burst_is_told_together() {
    let script: Vec<_> = (0..50).map(|n| (n, if n % 2 == 0 { "a" } else { "b" }, Settled)).collect();
    assert_eq!(play(&script), [batch(0, "a"), batch(59, "a b")]);
}

#[test]
fn a_burst_without_end_is_told_in_pieces() {
    let script: Vec<_> = (0..1000).map(|n| (n, "a", Settled)).collect();
    let batches = play(&script);
    assert!(batches.len() >= 4, "{batches:?}");
    let gaps = batches.windows(2).map(|two| two[1].0 - two[0].0);
    assert!(gaps.max().expect("gaps") <= 251, "{batches:?}");
}

#[test]
fn what_has_only_begun_waits_for_its_end_or_for_quiet() {
    assert_eq!(play(&[(0, "a", Begun)]), [batch(10, "a")]);
    assert_eq!(play(&[(0, "a", Begun), (8, "a", Begun)]), [batch(18, "a")]);
    // A file that is always written to and never closed.
    let script: Vec<_> = (0..60).map(|n| (n * 5, "a", Begun)).collect();
    assert_eq!(play(&script)[0], batch(250, "a"));
    // Another one's end does not tell of it.
    assert_eq!(play(&[(0, "a", Begun), (2, "b", Settled)]), [batch(2, "b"), batch(12, "a")]);
    assert_eq!(play(&[(0, "a", Settled), (0, "a", Begun)]), [batch(10, "a")]);
}

#[test]
fn while_git_works_nothing_is_told() {
    let begin = Instant::now();
    let at = |ms: u64| begin + Duration::from_millis(ms);
    let mut coalescer = Coalescer::default();
    coalescer.hold(true);
    for n in 0..3000 {
        coalescer.hear(format!("f{n}").into(), Settled, at(n / 3));
    }
    assert_eq!(coalescer.take(at(999)), None);
    coalescer.hold(false);
    let batch = coalescer.take(at(1000)).expect("due");
    assert_eq!((batch.paths.len(), batch.since), (3000, begin));
    assert_eq!(coalescer.due(), None);
    // Who died with the lock in its hands does not stop us for ever.
    coalescer.hold(true);
    coalescer.hear("a".into(), Settled, at(2000));
    assert_eq!(coalescer.due(), Some(at(12_000)));
    assert_eq!(coalescer.take(at(12_000)).expect("due").paths.len(), 1);
}
