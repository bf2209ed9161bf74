/* SPDX-License-Identifier: MIT */
/* What the files of the host half share among themselves. */
#ifndef MMU_HOST_H
#define MMU_HOST_H

#include <signal.h>
#include <stdint.h>
#include <stddef.h>

#include "../harness.h"

#define MMU_POISON_BYTE 0xa7
#define MMU_POISON_WORD 0xa7a7a7a7a7a7a7a7ULL
/* Looks valid to every format (bits 1:0 are set) and points outside of everything. */

#define MMU_LIKELY(x) __builtin_expect(!!(x), 1)
#define MMU_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* -- memory.c ------------------------------------------------------------------------ */

#define MMU_ARENA_PAGES 16384UL
#define MMU_ARENA_SIZE (MMU_ARENA_PAGES << MMU_PAGE_SHIFT)
#define MMU_ARENA_PA 0x80000000ULL
/* Holds 100000 mappings and more. Only what a run touches of it becomes memory. */
#define MMU_HEAP_SIZE (64UL << 20)
#define MMU_HEAP_GRANULE 16UL

struct mmu_memory {
	uintptr_t zero;        /* where physical address 0 would be */
	uintptr_t arena;       /* first byte of the page arena */
	uintptr_t heap;        /* first byte of the private heap */
	uintptr_t page_info;   /* the kernel's bookkeeping, page_info_size for each page */
	size_t page_info_size;
	uintptr_t stack;       /* lowest byte of the kernel stack */
	size_t stack_size;
	uintptr_t image;       /* the library itself */
	size_t image_size;
	uintptr_t state;       /* the part of it that kernel code may change */
	size_t state_size;
	size_t poisoned;       /* arena pages that have been filled with poison or used */
	size_t pages_in_use;
	size_t pages_seen;     /* pages from here on were never handed out */
	size_t objects;        /* live ones in the heap */
	unsigned char dirty[MMU_ARENA_PAGES];         /* a free page no longer all poison */
	unsigned char live[MMU_HEAP_SIZE / MMU_HEAP_GRANULE]; /* granules of live objects */
};

extern struct mmu_memory mmu_memory;

int mmu_memory_open(void);
mmu_u64 mmu_telling_address(uintptr_t address);
void mmu_memory_reset(void);
void mmu_memory_begin(void);
void mmu_poison_to(size_t page);

/* -- recorder.c ---------------------------------------------------------------------- */

/*
 * A call that leaves more events than these is a loop that stores: the largest
 * honest ones free all 16384 pages and clear the 512 entries of one table, or make
 * all 32768 entries of a table sparse and then map them. Or it goes through all
 * that there is in the heap, as the end of a VM does.
 */
#define MMU_CALL_EVENTS (1UL << 18)
#define MMU_OBJECT_EVENTS 16UL /* and so many more for each object in the heap */
#define MMU_CAPACITY (1UL << 21) /* but never more than there is room for */

struct mmu_recorder {
	struct mmu_event *events;
	size_t count;
	size_t capacity;        /* how many this call may leave */
	size_t pending;         /* stores at the end whose new word is not known yet */
	int pending_atomic;     /* they may turn out not to happen */
	unsigned long accesses; /* hooks called since the call began */
	unsigned long limit;    /* and how many are one too many */
	const uint32_t *places;
	size_t place_bytes;
};

extern struct mmu_recorder mmu_recorder;

int mmu_recorder_open(void);
void mmu_recorder_begin(unsigned long limit);
void mmu_settle(void);

/* -- guard.c ------------------------------------------------------------------------- */

extern volatile sig_atomic_t mmu_active; /* a guarded call is running */

int mmu_guard_open(void);
void mmu_guard_check(void);
void mmu_guard_close(void);
void mmu_leave(void) MMU_NORETURN;

#endif
