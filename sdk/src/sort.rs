//! A sort that is small.

/// Sorts in place, not stably, in O(n log n). A heap sort, because the standard
/// library's sorts cost a module 5 to 9 KB for every type that is sorted.
pub fn sort<T: Ord>(items: &mut [T]) {
    for root in (0..items.len() / 2).rev() {
        sift_down(items, root);
    }
    for end in (1..items.len()).rev() {
        items.swap(0, end);
        if let Some(heap) = items.get_mut(..end) {
            sift_down(heap, 0);
        }
    }
}

/// Moves the item at `root` down until no child is larger.
fn sift_down<T: Ord>(heap: &mut [T], mut root: usize) {
    loop {
        let (left, right) = (2 * root + 1, 2 * root + 2);
        let child = if heap.get(right) > heap.get(left) {
            right
        } else {
            left
        };
        // What is not there is `None`, which is less than any item.
        if heap.get(child) <= heap.get(root) {
            return;
        }
        heap.swap(root, child);
        root = child;
    }
}

/// Sorts and drops what is repeated.
pub fn sort_and_dedup<T: Ord>(items: &mut Vec<T>) {
    sort(items);
    items.dedup();
}

#[cfg(test)]
mod tests {
    use super::sort;

    proptest::proptest! {
        #[test]
        fn sorts_as_the_standard_library_does(mut items: Vec<u8>) {
            let mut expected = items.clone();
            expected.sort_unstable();
            sort(&mut items);
            proptest::prop_assert_eq!(items, expected);
        }
    }
}
