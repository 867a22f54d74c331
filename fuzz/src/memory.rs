//! How much memory a target holds, counted by the allocator: hostile bytes must not take much more
//! than their own length.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What any input may take: two filters with all the regular expressions they may have, and one that is just
/// being compiled; `MAX_PATTERNS_BYTES` bounds those, and not their text. Nothing else comes near it.
const BASE: i64 = 16 << 20;

/// What each byte of an input may take beside that: two of them are a value in a list of a tree.
const PER_BYTE: i64 = 1024;

struct Counting;

thread_local! {
    static HELD: Cell<i64> = const { Cell::new(0) };
    static MOST: Cell<i64> = const { Cell::new(0) };
}

fn note(bytes: i64) {
    // A thread that is ending has no counter any more; its memory is nobody's.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// SAFETY: passes everything on to the system's allocator and counts in thread-local cells that are
// initialised without allocating.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(-(layout.size() as i64));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size as i64 - layout.size() as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Does the work on an input of this length; panics if it took too much memory at any time.
///
/// What a first call makes and keeps (a world of its own) belongs to the base.
pub fn bounded(length: usize, work: impl FnOnce()) {
    let before = HELD.get();
    MOST.set(before);
    work();
    let took = MOST.get() - before;
    let most = BASE + PER_BYTE * length as i64;
    assert!(took <= most, "{length} bytes took {took} bytes of memory, {most} are allowed");
}
