use std::time::Duration;

use super::super::Stream;
use super::super::queue::{Batch, Found, LIMIT, Queue};
use super::readable;

#[test]
fn a_full_queue_refuses_and_tells_of_room() {
    let queue = Queue::new().expect("a queue");
    let bytes = vec![b'x'; LIMIT + 1];
    let taken = queue.put(1, Stream::Stdout, &bytes);
    assert!(taken < LIMIT && taken > LIMIT - 100, "{taken}");
    assert_eq!((queue.room(), queue.put(2, Stream::Stdout, b"y")), (0, 0));
    let mut batch = Batch::default();
    assert_eq!(queue.take(&mut batch, None), Found::Some);
    assert!(readable(queue.room_fd()));
    assert_eq!(batch.bytes.len(), taken);
    assert_eq!(queue.put(3, Stream::Stdout, b"y"), 1);
}

#[test]
fn single_bytes_are_bounded_too() {
    let queue = Queue::new().expect("a queue");
    // Further apart than what is stamped as one.
    let taken = (0u64..).take_while(|second| queue.put(second * 1_000_000_000, Stream::Stdout, b"x") == 1).count();
    assert!(taken < LIMIT / 20, "{taken}");
}

#[test]
fn a_closed_queue_gives_what_it_has_first() {
    let queue = Queue::new().expect("a queue");
    let mut batch = Batch::default();
    assert_eq!(queue.take(&mut batch, Some(Duration::ZERO)), Found::Nothing);
    queue.put(1, Stream::Stderr, b"last");
    queue.close();
    assert_eq!(queue.take(&mut batch, None), Found::Some);
    assert_eq!(queue.take(&mut batch, None), Found::Closed);
}
