use proptest::prelude::*;

use super::*;

/// Objects with ranks and namespaces, and needs of which each leads to an earlier object.
fn sets() -> impl Strategy<Value = (Vec<(Phase, Option<String>)>, Vec<Need>)> {
    let object = (0..Phase::ALL.len(), proptest::option::of("[ab]"));
    let need = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..3_u8);
    (proptest::collection::vec(object, 1..24), proptest::collection::vec(need, 0..24)).prop_map(|(objects, picks)| {
        let ranked: Vec<_> = objects.into_iter().map(|(phase, namespace)| (Phase::ALL[phase], namespace)).collect();
        let mut needs: Vec<Need> = picks
            .iter()
            .filter_map(|(who, whom, until)| {
                let who = who.index(ranked.len());
                let whom = (who > 0).then(|| whom.index(who))?;
                let until = [Until::Applied, Until::Served, Until::Ready][usize::from(*until)];
                Some(Need { who, whom, until })
            })
            .collect();
        needs.sort_unstable();
        needs.dedup();
        (ranked, needs)
    })
}

/// Goes through the graph, one thing at a time as `picks` say, except after `failing`. Gives back
/// what was reached, in its order.
fn walked(graph: &Graph, picks: &[prop::sample::Index], failing: Option<usize>) -> Vec<Point> {
    let mut walk = graph.walk();
    let mut reached = Vec::new();
    let mut begun: Vec<Point> = Vec::new();
    for pick in picks.iter().cycle() {
        while let Some(object) = walk.object() {
            begun.push(Point::Applied(object));
        }
        while let Some(other) = walk.other() {
            begun.push(other);
        }
        while let Some(object) = walk.object() {
            begun.push(Point::Applied(object));
        }
        if begun.is_empty() {
            break;
        }
        let point = begun.swap_remove(pick.index(begun.len()));
        if Some(point) != failing.map(Point::Applied) {
            walk.reached(point);
            reached.push(point);
        }
    }
    reached
}

fn place(reached: &[Point], point: Point) -> Option<usize> {
    reached.iter().position(|other| *other == point)
}

proptest! {
    #[test]
    fn every_object_is_applied_once_and_after_all_that_it_needs(
        (ranked, needs) in sets(), picks in proptest::collection::vec(any::<prop::sample::Index>(), 1..40)
    ) {
        let graph = Graph::new(&ranked, needs.clone());
        let reached = walked(&graph, &picks, None);
        let mut applied: Vec<_> = reached.iter().filter_map(|point| match point { Point::Applied(index) => Some(*index), _ => None }).collect();
        applied.sort_unstable();
        prop_assert_eq!(applied, (0..ranked.len()).collect::<Vec<_>>());
        for need in needs {
            let before = match need.until {
                Until::Applied => Point::Applied(need.whom),
                Until::Served => Point::Served(need.whom),
                Until::Ready => Point::Ready(need.whom),
            };
            prop_assert!(place(&reached, before) < place(&reached, Point::Applied(need.who)), "{need:?} in {reached:?}");
            prop_assert!(place(&reached, before).is_some());
        }
    }

    #[test]
    fn without_needs_ranks_hold(
        (ranked, _) in sets(), picks in proptest::collection::vec(any::<prop::sample::Index>(), 1..40)
    ) {
        let reached = walked(&Graph::new(&ranked, Vec::new()), &picks, None);
        let at = |index: usize| place(&reached, Point::Applied(index));
        for (one, (phase, namespace)) in ranked.iter().enumerate() {
            for (other, (later, elsewhere)) in ranked.iter().enumerate() {
                let configures = namespace.is_some()
                    && namespace == elsewhere && matches!(phase, Phase::Configuration | Phase::Services);
                let first = match later {
                    Phase::Workloads => configures || (namespace.is_none() && matches!(phase, Phase::Definitions | Phase::Configuration)),
                    Phase::Webhooks => *phase < Phase::Webhooks,
                    _ => false,
                };
                prop_assert!(!first || at(one) < at(other), "{one} before {other} in {reached:?}");
            }
        }
    }

    #[test]
    fn what_needs_one_that_failed_does_not_begin(
        (ranked, needs) in sets(), picks in proptest::collection::vec(any::<prop::sample::Index>(), 1..40), failing in any::<prop::sample::Index>()
    ) {
        let failing = failing.index(ranked.len());
        let reached = walked(&Graph::new(&ranked, needs.clone()), &picks, Some(failing));
        for need in needs.iter().filter(|need| need.whom == failing) {
            prop_assert_eq!(place(&reached, Point::Applied(need.who)), None);
        }
    }
}

#[test]
fn namespaces_are_branches_of_their_own() {
    let ranked = [
        (Phase::Configuration, Some("a".to_owned())),
        (Phase::Workloads, Some("a".to_owned())),
        (Phase::Workloads, Some("b".to_owned())),
    ];
    let graph = Graph::new(&ranked, Vec::new());
    let mut walk = graph.walk();
    // The workload of the other namespace need not wait for the configuration of this one.
    assert_eq!((walk.object(), walk.object(), walk.object()), (Some(0), Some(2), None));
    walk.reached(Point::Applied(0));
    assert_eq!((walk.other(), walk.object()), (None, Some(1)));
}

#[test]
fn one_that_rose_holds_up_nothing_of_its_rank() {
    let ranked = [(Phase::Workloads, Some("a".to_owned())), (Phase::Configuration, Some("a".to_owned()))];
    // The configuration waits until the workload is ready; the workload must not wait for it in turn.
    let graph = Graph::new(&ranked, vec![Need { who: 1, whom: 0, until: Until::Ready }]);
    let mut walk = graph.walk();
    assert_eq!((walk.object(), walk.object()), (Some(0), None));
    walk.reached(Point::Applied(0));
    assert_eq!(walk.other(), Some(Point::Ready(0)));
    assert_eq!(graph.followers(Point::Ready(0)).collect::<Vec<_>>(), [1]);
    walk.reached(Point::Ready(0));
    assert_eq!(walk.object(), Some(1));
}
