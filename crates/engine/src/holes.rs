//! Which messages of a conversation are not here, or perhaps not as they are now.

use tertulia_proto::Seq;

/// Ranges kept for one conversation; beyond them the two closest become one, which costs a fetch and loses nothing.
pub const RANGES_MAX: usize = 64;

/// Ranges of `seq`, both ends included, in order and apart from each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holes(Vec<(Seq, Seq)>);

impl Holes {
    /// From ranges in any order; empty ones are left out.
    pub fn new(ranges: impl IntoIterator<Item = (Seq, Seq)>) -> Self {
        let mut holes = Self::default();
        ranges.into_iter().for_each(|(from, to)| holes.add(from, to));
        holes
    }

    pub fn ranges(&self) -> &[(Seq, Seq)] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, seq: Seq) -> bool {
        self.0.iter().any(|(from, to)| (*from..=*to).contains(&seq))
    }

    /// The newest range that begins at or below `seq`, cut at `seq`.
    pub fn at_or_below(&self, seq: Seq) -> Option<(Seq, Seq)> {
        self.0.iter().rev().find(|(from, _)| *from <= seq).map(|(from, to)| (*from, (*to).min(seq)))
    }

    pub fn reach_above(&self, seq: Seq) -> bool {
        self.0.last().is_some_and(|(_, to)| *to > seq)
    }

    pub fn add(&mut self, from: Seq, to: Seq) {
        if from > to {
            return;
        }
        let (mut from, mut to) = (from, to);
        self.0.retain(|(a, b)| {
            let touches = *a <= to.saturating_add(1) && from <= b.saturating_add(1);
            if touches {
                (from, to) = (from.min(*a), to.max(*b));
            }
            !touches
        });
        let at = self.0.partition_point(|(a, _)| *a < from);
        self.0.insert(at, (from, to));
        while self.0.len() > RANGES_MAX {
            self.join_closest();
        }
    }

    pub fn remove(&mut self, from: Seq, to: Seq) {
        if from > to {
            return;
        }
        let rest = self.0.iter().flat_map(|(a, b)| {
            let below = (*a, (*b).min(from.saturating_sub(1)));
            let above = ((*a).max(to.saturating_add(1)), *b);
            [below, above]
        });
        let mut rest: Vec<(Seq, Seq)> = rest.filter(|(a, b)| a <= b).collect();
        rest.dedup();
        self.0 = rest;
    }

    fn join_closest(&mut self) {
        let gap = |pair: &[(Seq, Seq)]| pair[1].0 - pair[0].1;
        let Some((at, _)) = self.0.windows(2).enumerate().min_by_key(|(_, pair)| gap(pair)) else { return };
        let (_, end) = self.0.remove(at + 1);
        self.0[at].1 = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A plain set beside it, under the same changes.
    #[test]
    fn ranges_are_what_a_set_of_numbers_would_be() {
        let mut state = 7_u64;
        let mut draw = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            i64::try_from((state >> 33) % below).unwrap()
        };
        for _ in 0..200 {
            let (mut holes, mut model) = (Holes::default(), BTreeSet::new());
            for _ in 0..30 {
                let from = draw(60) + 1;
                let to = from + draw(8) - 1;
                if draw(2) == 0 {
                    holes.add(from, to);
                    model.extend(from..=to);
                } else {
                    holes.remove(from, to);
                    model.retain(|seq| !(from..=to).contains(seq));
                }
                let listed: Vec<Seq> = holes.ranges().iter().flat_map(|(a, b)| *a..=*b).collect();
                assert_eq!(listed, model.iter().copied().collect::<Vec<_>>());
                assert!(holes.ranges().windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{holes:?}");
                for seq in 0..70 {
                    assert_eq!(holes.contains(seq), model.contains(&seq));
                }
            }
        }
    }

    #[test]
    fn too_many_ranges_become_fewer_and_lose_nothing() {
        let holes = Holes::new((0..500).map(|n| (n * 10, n * 10 + 1)));
        assert_eq!(holes.ranges().len(), RANGES_MAX);
        assert!((0..500).all(|n| holes.contains(n * 10) && holes.contains(n * 10 + 1)));
    }

    #[test]
    fn the_range_below_is_found_and_cut() {
        let holes = Holes::new([(3, 5), (10, 20)]);
        assert_eq!(holes.at_or_below(15), Some((10, 15)));
        assert_eq!(holes.at_or_below(9), Some((3, 5)));
        assert_eq!(holes.at_or_below(2), None);
        assert!(holes.reach_above(19) && !holes.reach_above(20));
    }
}
