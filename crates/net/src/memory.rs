//! The program's memory: mimalloc, asked in the way that costs least.
//!
//! The crate `mimalloc` asks for every block by its alignment. Version 3 then gives a block of the size and
//! the alignment together, unless the size is a power of two: 48 bytes take 64, and the place where free
//! blocks of 48 are looked for first stays empty. Every block is aligned to 16 anyway, if it is as large.

use libmimalloc_sys as mi;
use std::alloc::{GlobalAlloc, Layout};

/// Gives memory; made to be `#[global_allocator]`.
#[derive(Debug)]
pub struct Allocator;

/// What mimalloc aligns every block to that is as large; smaller ones are aligned to 8.
const ALIGNED: usize = 16;

/// Whether a block of the size is aligned as it must be, however it is asked for.
fn is_plain(size: usize, align: usize) -> bool {
    align <= ALIGNED && align <= size
}

// SAFETY: mimalloc is an allocator: blocks do not overlap and stay until they are freed, and nothing here
// unwinds. A plain block is aligned to 16, or to 8 where it is smaller than 16 and so is its alignment
// (`MI_MAX_ALIGN_SIZE`); every other one is asked for by its alignment.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: takes any size, and any power of two for an alignment.
        let block = unsafe {
            if is_plain(size, align) {
                mi::mi_malloc(size)
            } else {
                mi::mi_malloc_aligned(size, align)
            }
        };
        block.cast()
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: as above.
        let block = unsafe {
            if is_plain(size, align) {
                mi::mi_zalloc(size)
            } else {
                mi::mi_zalloc_aligned(size, align)
            }
        };
        block.cast()
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the caller says that the block was given by this allocator, which is always mimalloc.
        unsafe { mi::mi_free(block.cast()) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (block, align) = (block.cast(), layout.align());
        // SAFETY: as for the two above.
        let block = unsafe {
            if is_plain(size, align) {
                mi::mi_realloc(block, size)
            } else {
                mi::mi_realloc_aligned(block, size, align)
            }
        };
        block.cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_aligned_as_asked_and_keeps_its_bytes_when_it_grows() {
        for align in [1, 2, 4, 8, 16, 32, 64, 4096] {
            for size in (1..200).chain([800, 1024, 5000, 70_000, 3 << 20]) {
                let layout = Layout::from_size_align(size, align).expect("a power of two");
                // SAFETY: each block is written within its size and freed once.
                unsafe {
                    let first = Allocator.alloc(layout);
                    first.write_bytes(7, size);
                    let larger = Allocator.realloc(first, layout, 2 * size);
                    let kept = std::slice::from_raw_parts(larger, size);
                    assert!(kept.iter().all(|byte| *byte == 7));
                    let zeroed = Allocator.alloc_zeroed(layout);
                    let zeros = std::slice::from_raw_parts(zeroed, size);
                    assert!(zeros.iter().all(|byte| *byte == 0));
                    for block in [larger, zeroed] {
                        assert_eq!(block.addr() % align, 0, "{size} bytes at {align}");
                    }
                    let grown = Layout::from_size_align(2 * size, align).expect("the same");
                    Allocator.dealloc(larger, grown);
                    Allocator.dealloc(zeroed, layout);
                }
            }
        }
    }
}
