//! Lists as streams of steps: what turns the list a reader has into the list there is.

/// One step. Steps are applied in order; each index counts in the list as the steps before it left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListDiff<T> {
    /// The whole list anew.
    Reset(Vec<T>),
    /// What stood at `index` and below it stands one further down.
    Insert {
        index: usize,
        value: T,
    },
    /// Another value in the same place.
    Set {
        index: usize,
        value: T,
    },
    Remove {
        index: usize,
    },
}

impl<T> ListDiff<T> {
    /// Takes the step.
    ///
    /// ```
    /// use tertulia_client::ListDiff;
    ///
    /// let mut list = vec!['a', 'b'];
    /// for step in [ListDiff::Remove { index: 0 }, ListDiff::Insert { index: 1, value: 'c' }] {
    ///     step.apply(&mut list);
    /// }
    /// assert_eq!(list, ['b', 'c']);
    /// ```
    ///
    /// # Panics
    /// Where the step belongs to another list.
    pub fn apply(self, list: &mut Vec<T>) {
        match self {
            Self::Reset(values) => *list = values,
            Self::Insert { index, value } => list.insert(index, value),
            Self::Set { index, value } => list[index] = value,
            Self::Remove { index } => drop(list.remove(index)),
        }
    }
}

/// A list that has changed more than this many times is told anew.
const STEPS_MAX: usize = 200;

/// The steps from `old` to `new`, few of them: what keeps its place among the others is not moved. Two values of one key are one thing at two times.
pub(crate) fn diff<T: Clone + PartialEq, K: Ord>(old: &[T], new: &[T], key: impl Fn(&T) -> K) -> Vec<ListDiff<T>> {
    let Some(stays) = staying(old, new, &key) else { return vec![ListDiff::Reset(new.to_vec())] };
    let mut steps = Vec::new();
    let mut kept = stays.iter().rev().peekable();
    for index in (0..old.len()).rev() {
        if kept.next_if(|(from, _)| *from == index).is_none() {
            steps.push(ListDiff::Remove { index });
        }
    }
    let mut kept = stays.iter().peekable();
    for (index, value) in new.iter().enumerate() {
        match kept.next_if(|(_, to)| *to == index) {
            Some((from, _)) if old[*from] == *value => {}
            Some(_) => steps.push(ListDiff::Set { index, value: value.clone() }),
            None => steps.push(ListDiff::Insert { index, value: value.clone() }),
        }
    }
    if steps.len() > STEPS_MAX { vec![ListDiff::Reset(new.to_vec())] } else { steps }
}

/// Places in `old` and in `new` of what need not be moved: a longest run in the same order in both. `None` where a key is there twice.
fn staying<T, K: Ord>(old: &[T], new: &[T], key: &impl Fn(&T) -> K) -> Option<Vec<(usize, usize)>> {
    let mut places: Vec<(K, usize)> = new.iter().enumerate().map(|(index, value)| (key(value), index)).collect();
    places.sort();
    if places.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return None;
    }
    let place = |value: &T| {
        let wanted = key(value);
        places.binary_search_by(|(key, _)| key.cmp(&wanted)).ok().map(|at| places[at].1)
    };
    let both: Vec<(usize, usize)> =
        old.iter().enumerate().filter_map(|(from, value)| Some((from, place(value)?))).collect();
    Some(longest_rising(&both))
}

/// Patience sorting: the longest subsequence whose second halves rise.
fn longest_rising(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    // For each length: the pair with the smallest end, and for each pair the one before it.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    for (at, (_, to)) in pairs.iter().enumerate() {
        let length = ends.partition_point(|end| pairs[*end].1 < *to);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() {
            ends.push(at);
        } else {
            ends[length] = at;
        }
    }
    let mut run = Vec::with_capacity(ends.len());
    let mut next = ends.last().copied();
    while let Some(at) = next {
        run.push(pairs[at]);
        next = before[at];
    }
    run.reverse();
    run
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Row = (u8, u8);

    fn distinct(rows: Vec<Row>) -> Vec<Row> {
        let mut seen = std::collections::BTreeSet::new();
        rows.into_iter().filter(|(key, _)| seen.insert(*key)).collect()
    }

    fn applied(old: &[Row], steps: Vec<ListDiff<Row>>) -> Vec<Row> {
        let mut list = old.to_vec();
        steps.into_iter().for_each(|step| step.apply(&mut list));
        list
    }

    proptest! {
        #[test]
        fn the_steps_lead_from_one_list_to_the_other(
            old in proptest::collection::vec((0..40_u8, 0..3_u8), 0..40),
            new in proptest::collection::vec((0..40_u8, 0..3_u8), 0..40),
        ) {
            let (old, new) = (distinct(old), distinct(new));
            prop_assert_eq!(applied(&old, diff(&old, &new, |row| row.0)), new);
        }

        #[test]
        fn a_list_that_holds_a_key_twice_is_told_anew(
            old in proptest::collection::vec((0..4_u8, 0..3_u8), 0..12),
            new in proptest::collection::vec((0..4_u8, 0..3_u8), 0..12),
        ) {
            prop_assert_eq!(applied(&distinct(old.clone()), diff(&distinct(old), &new, |row| row.0)), new);
        }

        #[test]
        fn one_row_that_moves_is_two_steps(from in 0..50_usize, to in 0..50_usize) {
            let old: Vec<Row> = (0..50).map(|key| (key, 0)).collect();
            let mut new = old.clone();
            let row = new.remove(from);
            new.insert(to, row);
            let steps = diff(&old, &new, |row| row.0);
            prop_assert_eq!(steps.len(), if from == to { 0 } else { 2 });
        }
    }

    #[test]
    fn nothing_new_is_no_step_and_one_new_row_is_one() {
        let list = [(1, 0), (2, 0)];
        assert_eq!(diff(&list, &list, |row| row.0), []);
        let more = [(1, 0), (2, 0), (3, 0)];
        assert_eq!(diff(&list, &more, |row| row.0), [ListDiff::Insert { index: 2, value: (3, 0) }]);
        assert_eq!(diff(&more, &[(1, 0), (2, 9)], |row| row.0).len(), 2);
    }

    #[test]
    fn a_list_that_is_all_new_is_told_anew() {
        let old: Vec<(u32, u32)> = (0..300).map(|key| (key, 0)).collect();
        let new: Vec<(u32, u32)> = (0..300).map(|key| (key, 1)).collect();
        assert_eq!(diff(&old, &new, |row| row.0), [ListDiff::Reset(new)]);
    }
}
