//! `!reset` and `!override` (spec.md 9.3).

use super::node::{Kind, Node, Tag};

/// Removes from `base` whatever `over` resets or overrides.
pub fn apply(base: &mut Node, over: &Node) {
    let (Kind::Map(base), Kind::Map(over)) = (&mut base.kind, &over.kind) else { return };
    for (key, value) in over {
        if value.tag != Tag::None {
            base.remove(key);
        } else if let Some(base) = base.get_mut(key) {
            apply(base, value);
        }
    }
}

/// Removes the reset values and the marks.
pub fn strip(node: &mut Node) {
    node.tag = Tag::None;
    match &mut node.kind {
        Kind::Map(map) => {
            map.retain(|_, value| value.tag != Tag::Reset);
            map.values_mut().for_each(strip);
        }
        Kind::List(list) => {
            list.retain(|value| value.tag != Tag::Reset);
            list.iter_mut().for_each(strip);
        }
        _ => {}
    }
}
