//! Memory for what the host returns during one callback.
//!
//! Every call that returns bytes makes the host call back into the module for
//! memory. A bump pointer that is reset when the next callback starts makes that
//! a handful of instructions, and nothing has to be freed. All slices handed out
//! carry the lifetime of the callback's context, so none can outlive the reset.

#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ptr::NonNull;

/// First block; holds the headers and attributes of nearly every request.
const FIRST_BLOCK: usize = 16 * 1024;
/// A block larger than this is given back after the callback.
const KEEP_BLOCK: usize = 256 * 1024;

/// One block, kept as a raw pointer: a reference to the whole would claim that
/// nobody else looks at the parts handed out before.
#[derive(Debug)]
struct Block {
    start: NonNull<u8>,
    length: usize,
}

impl Block {
    fn new(length: usize) -> Option<Self> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).ok()?;
        bytes.resize(length, 0_u8);
        let bytes = Box::leak(bytes.into_boxed_slice());
        let start = NonNull::new(bytes.as_mut_ptr())?;
        Some(Self { start, length })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let bytes = std::ptr::slice_from_raw_parts_mut(self.start.as_ptr(), self.length);
        // SAFETY: `new` leaked exactly this box, and nothing handed out from it
        // is alive when the arena drops a block.
        drop(unsafe { Box::from_raw(bytes) });
    }
}

#[derive(Debug)]
struct Arena {
    /// The block in use is the last one.
    blocks: Vec<Block>,
    used: usize,
}

thread_local! {
    static ARENA: RefCell<Arena> = const { RefCell::new(Arena { blocks: Vec::new(), used: 0 }) };
}

impl Arena {
    fn allocate(&mut self, size: usize) -> *mut u8 {
        if let Some(block) = self.blocks.last()
            && let Some(end) = self.used.checked_add(size)
            && end <= block.length
        {
            // SAFETY: `used <= end <= length`, inside of the block.
            let pointer = unsafe { block.start.as_ptr().add(self.used) };
            self.used = end;
            return pointer;
        }
        let last = self.blocks.last().map_or(0, |block| block.length);
        let length = size.max(FIRST_BLOCK).max((last * 2).min(KEEP_BLOCK));
        let Some(block) = Block::new(length) else {
            return std::ptr::null_mut();
        };
        let pointer = block.start.as_ptr();
        self.blocks.push(block);
        self.used = size;
        pointer
    }

    fn reset(&mut self) {
        self.used = 0;
        let one_small = self.blocks.len() == 1
            && self
                .blocks
                .first()
                .is_some_and(|block| block.length <= KEEP_BLOCK);
        if !one_small {
            self.blocks.retain(|block| block.length <= KEEP_BLOCK);
            let largest = self.blocks.pop();
            self.blocks.clear();
            self.blocks.extend(largest);
        }
    }
}

/// What the host calls for memory (`proxy_on_memory_allocate`). Null when there
/// is none, which the host reports as an error of the call.
#[must_use]
pub fn allocate(size: usize) -> *mut u8 {
    ARENA.with(|arena| {
        arena
            .try_borrow_mut()
            .map_or(std::ptr::null_mut(), |mut arena| arena.allocate(size))
    })
}

/// Forgets everything handed out; only called between callbacks.
pub(crate) fn reset() {
    ARENA.with(|arena| {
        if let Ok(mut arena) = arena.try_borrow_mut() {
            arena.reset();
        }
    });
}

/// Copies bytes into the arena, where they live as long as what the host
/// returned in this callback. The caller shortens the lifetime.
pub(crate) fn copy(bytes: &[u8]) -> &'static [u8] {
    let pointer = allocate(bytes.len());
    if pointer.is_null() {
        return &[];
    }
    // SAFETY: `pointer` is valid for `bytes.len()` bytes of a fresh allocation
    // that does not overlap `bytes` and stays until the next reset.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), pointer, bytes.len());
        std::slice::from_raw_parts(pointer, bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_grow_and_a_huge_one_is_given_back() {
        let mut arena = Arena {
            blocks: Vec::new(),
            used: 0,
        };
        let first = arena.allocate(100);
        let second = arena.allocate(100);
        assert_eq!(second as usize - first as usize, 100);
        assert!(!arena.allocate(FIRST_BLOCK).is_null());
        assert!(!arena.allocate(KEEP_BLOCK * 4).is_null());
        assert_eq!(arena.blocks.len(), 3);
        arena.reset();
        assert_eq!(arena.blocks.len(), 1);
        assert!(arena.blocks[0].length <= KEEP_BLOCK);
        arena.reset();
        assert_eq!(arena.used, 0);
        assert_eq!(
            arena.allocate(1) as usize,
            arena.blocks[0].start.as_ptr() as usize
        );
    }
}
