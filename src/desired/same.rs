//! Whether a state that is declared anew asks for anything that the one before did not.

use super::{Desired, DesiredContainer};

impl Desired {
    /// Whether this one asks for what `held` does: they differ in their numbers and in the moments at most when they were
    /// declared. Those matter where something has ended since, which a plan then shows.
    pub fn asks_the_same(&self, held: &Self) -> bool {
        let Self {
            schema,
            project,
            generation: _,
            made_by: _,
            applied: _,
            source,
            services,
            off,
            remove_orphans,
            ignore_orphans,
            grace,
            networks,
            volumes,
            remove_volumes,
            remove_containers,
            leaving,
            containers,
            providers,
            asked,
        } = self;
        let same_containers = || {
            let mut pairs = containers.iter().zip(&held.containers);
            containers.len() == held.containers.len() && pairs.all(|(a, b)| a.0 == b.0 && a.1.asks_the_same(b.1))
        };
        (*schema, project, source) == (held.schema, &held.project, &held.source)
            && (services, off) == (&held.services, &held.off)
            && (*remove_orphans, *ignore_orphans, grace) == (held.remove_orphans, held.ignore_orphans, &held.grace)
            && (networks, volumes, remove_volumes) == (&held.networks, &held.volumes, &held.remove_volumes)
            && (remove_containers, leaving) == (&held.remove_containers, &held.leaving)
            && (providers, asked) == (&held.providers, &held.asked)
            && same_containers()
    }
}

impl Desired {
    /// Whether this one makes nothing that `held` has not, and has fewer containers (`scale web=0`).
    pub fn only_takes_from(&self, held: &Self) -> bool {
        let is_held = |(name, next): (_, &DesiredContainer)| {
            held.containers.get(name).is_some_and(|one| {
                (&next.hash, next.target, &next.recreate_before, &next.restart_before)
                    == (&one.hash, one.target, &one.recreate_before, &one.restart_before)
            })
        };
        self.applied == held.applied
            && self.containers.len() < held.containers.len()
            && self.containers.iter().all(is_held)
            && self.networks.iter().all(|(name, spec)| held.networks.get(name) == Some(spec))
            && self.volumes.iter().all(|(name, spec)| held.volumes.get(name) == Some(spec))
    }
}

impl DesiredContainer {
    fn asks_the_same(&self, held: &Self) -> bool {
        let Self {
            spec,
            hash,
            target,
            depends_on,
            restart,
            health,
            stop,
            recreate_before,
            restart_before: _,
            start_before: _,
            keep_different,
            auto_remove,
            pre_start,
            prepares,
            restart_pace,
        } = self;
        (hash, *target, depends_on, restart) == (&held.hash, held.target, &held.depends_on, &held.restart)
            && (health, stop, recreate_before) == (&held.health, &held.stop, &held.recreate_before)
            && (*keep_different, *auto_remove) == (held.keep_different, held.auto_remove)
            && (pre_start, *prepares, restart_pace) == (&held.pre_start, held.prepares, &held.restart_pace)
            && *spec == held.spec
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::desired::{ContainerSpec, Desired, Source, Stamp, StopSpec, Target};

    /// One container, declared for the `generation`th time.
    fn declared(generation: u64, target: Target) -> Desired {
        let moment = Stamp { boot: "b".into(), nanos: generation, wall: generation };
        let container = json!({
            "spec": ContainerSpec::default(), "hash": "", "target": target, "depends_on": [], "restart": "no",
            "stop": StopSpec::default(), "start_before": moment, "keep_different": false, "auto_remove": false,
        });
        let desired = json!({
            "schema": 1, "project": "shop", "generation": generation, "applied": moment, "source": Source::default(),
            "services": ["web"], "remove_orphans": false, "networks": {}, "volumes": {}, "remove_volumes": [],
            "containers": { "shop-web-1": container },
        });
        serde_json::from_value(desired).expect("a desired state")
    }

    #[test]
    fn the_moment_of_a_declaration_asks_for_nothing() {
        assert!(declared(2, Target::Running).asks_the_same(&declared(1, Target::Running)));
    }

    #[test]
    fn fewer_containers_of_the_same_only_take_away() {
        let held = declared(1, Target::Running);
        let (mut none, mut other) = (held.clone(), held.clone());
        none.containers.clear();
        assert!(none.only_takes_from(&held) && !held.only_takes_from(&none));
        assert!(!held.only_takes_from(&held), "what has ended would be started");
        none.applied = declared(2, Target::Running).applied;
        assert!(!none.only_takes_from(&held), "a whole `up`");
        let one = other.containers.values().next().expect("one").clone();
        other.containers.insert("shop-web-2".into(), one);
        assert!(held.only_takes_from(&other));
        for container in other.containers.values_mut() {
            container.target = Target::Stopped;
        }
        assert!(!held.only_takes_from(&other), "what was stopped would be started");
    }

    #[test]
    fn all_else_does() {
        let held = declared(1, Target::Stopped);
        assert!(!declared(2, Target::Running).asks_the_same(&held));
        let mut other = declared(2, Target::Stopped);
        other.containers.clear();
        assert!(!other.asks_the_same(&held) && !held.asks_the_same(&other));
        let mut other = declared(2, Target::Stopped);
        other.remove_orphans = true;
        assert!(!other.asks_the_same(&held));
    }
}
