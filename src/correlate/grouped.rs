//! Members of groups that are numbers, in one piece of memory: what a map of vectors would be, without an allocation
//! and a hash for each.

/// Members of each group, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Grouped<T = u32> {
    /// Where the members of each group begin, and, last, where they end.
    starts: Vec<u32>,
    members: Vec<T>,
}

impl<T: Copy + Default> Grouped<T> {
    /// Groups `pairs` of group and member; there are `groups` groups.
    pub(super) fn new(groups: usize, pairs: impl Iterator<Item = (u32, T)> + Clone) -> Self {
        let mut starts = vec![0u32; groups + 1];
        for (group, _) in pairs.clone() {
            starts[group as usize + 1] += 1;
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut members = vec![T::default(); sum as usize];
        let mut next = starts.clone();
        for (group, member) in pairs {
            let place = &mut next[group as usize];
            members[*place as usize] = member;
            *place += 1;
        }
        Self { starts, members }
    }

    pub(super) fn of(&self, group: u32) -> &[T] {
        let group = group as usize;
        &self.members[self.starts[group] as usize..self.starts[group + 1] as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::Grouped;

    #[test]
    fn members_keep_their_order_within_their_group() {
        let pairs = [(2, 7), (0, 5), (2, 6), (0, 9)];
        let grouped = Grouped::new(4, pairs.into_iter());
        assert_eq!(grouped.of(0), [5, 9]);
        assert!(grouped.of(1).is_empty());
        assert_eq!(grouped.of(2), [7, 6]);
        assert!(grouped.of(3).is_empty());
    }
}
