/* SPDX-License-Identifier: MIT */
/*
 * What the two halves of the harness say to each other, and to Python.
 *
 * The host half (host/) is an ordinary program: it sees libc, and no kernel
 * header. The kernel half (kernel/, and what each system has in a folder
 * native/ of its own) is compiled like a kernel file: it sees kernel headers,
 * and no libc. This file is seen by both, so it includes only the event kinds,
 * which the build generates from reference/trace.py. From the system's table of
 * operations it generates operations.h, with the numbers in a struct mmu_call.
 */
#ifndef MMU_HARNESS_H
#define MMU_HARNESS_H

#include "vocabulary.h"

typedef unsigned long long mmu_u64;
typedef long long mmu_s64;
typedef unsigned int mmu_u32;

#define MMU_EXPORT __attribute__((visibility("default")))
#define MMU_HIDDEN __attribute__((visibility("hidden")))
#define MMU_NORETURN __attribute__((noreturn))
#define MMU_CALLER __builtin_return_address(0)

/* -- shared with Python ------------------------------------------------------------- */

/* One event: kind in bits 15:0 of head, cpu in 31:16, place in 63:32. */
struct mmu_event {
	mmu_u64 head;
	mmu_u64 a;
	mmu_u64 b;
	mmu_u64 c;
};

/* One guarded call: an MMU_OP_ of operations.h, and its arguments, each at its MMU_ARG_. */
struct mmu_call {
	mmu_u64 operation;
	mmu_u64 argument[11];
};

/* What a guarded call left behind; its events are in the event buffer. */
struct mmu_result {
	mmu_s64 result;   /* 0 or a negative errno */
	mmu_u64 value;
	mmu_u64 finished; /* 0: stopped by an event CRASH, HANG, BUG or WILD, or a missing function */
	mmu_u64 events;   /* how many events it left */
	mmu_u64 missing;  /* address of the name of a missing function, or 0 */
};

/* Filled by mmu_open: where things are. Addresses are of this process. */
struct mmu_layout {
	mmu_u64 image;        /* address of the library's first byte; places are offsets from it */
	mmu_u64 events;       /* the event buffer */
	mmu_u64 capacity;     /* how many events it holds */
	mmu_u64 arena;        /* the page arena ... */
	mmu_u64 arena_pa;     /* ... the physical address that the driver sees for it ... */
	mmu_u64 arena_size;   /* ... and its bytes */
	mmu_u64 poison;       /* the word that fills pages that nobody owns */
};

MMU_EXPORT extern const char mmu_operations[]; /* the table that operations.h was made from */
MMU_EXPORT int mmu_open(struct mmu_layout *layout);
MMU_EXPORT void mmu_places(const mmu_u32 *numbers, mmu_u64 bytes);
MMU_EXPORT void mmu_reset(void);
MMU_EXPORT void mmu_close(void);

/* -- host half, called by the kernel half ------------------------------------------- */

/* Records. `from` is the address to which the place is traced: MMU_CALLER, mostly. */
void mmu_emit(unsigned int kind, mmu_u64 a, mmu_u64 b, mmu_u64 c, const void *from);
void mmu_stop(unsigned int kind, mmu_u64 a, mmu_u64 b, mmu_u64 c, const void *from) MMU_NORETURN;
void mmu_missing(const char *name) MMU_NORETURN;

/* Accesses that the compiler does not report: bulk ones, and those of inline assembly. */
void mmu_fill(void *to, int byte, unsigned long size, const void *from);
void mmu_copy(void *to, const void *source, unsigned long size, const void *from);
void mmu_read(const void *source, unsigned long size, const void *from);

/* Page arena. Blocks of 2^order pages, named by the physical address of their first byte. */
mmu_u64 mmu_pages_take(unsigned int order, int zero, const void *from); /* 0: none left */
void mmu_pages_give(mmu_u64 pa, unsigned int order, const void *from);
int mmu_is_page(mmu_u64 pa);

/*
 * The same for a unit whose driver manages tables and writes their entries
 * through functions of the unit: it is the unit that tells what happens.
 */
mmu_u64 mmu_pages_take_untold(unsigned int order); /* 0: none left */
void mmu_pages_give_untold(mmu_u64 pa, unsigned int order);
mmu_u64 mmu_word(mmu_u64 pa);                      /* pa: a multiple of 8 in the arena */
void mmu_set_word(mmu_u64 pa, mmu_u64 word);
void mmu_set_bytes(mmu_u64 pa, int byte, unsigned long size);

/* Private heap. */
void *mmu_heap_take(unsigned long size, int zero);
void mmu_heap_give(const void *object, const void *from);
unsigned long mmu_heap_size(const void *object);

/* Failures to inject: the k-th request since the call began gets none; 0 is never. */
void mmu_fail_pages(mmu_u64 k);
void mmu_fail_heap(mmu_u64 k);
void mmu_fail_any(mmu_u64 k); /* the k-th of both together */
void mmu_fail_from_here(mmu_u64 k); /* as that, but counted from here; and no other fails */
int mmu_pages_failed(void); /* requests that got none since the call began */

/* Runs `run` on the kernel stack; comes back whatever it does. */
void mmu_guard(void (*run)(const struct mmu_call *, struct mmu_result *),
	       const struct mmu_call *call, struct mmu_result *result);

/* -- kernel half, called by the host half ------------------------------------------- */

struct mmu_kernel {
	unsigned long stack_size;      /* bytes, a power of two */
	unsigned long page_info_size;  /* bytes of bookkeeping for each page */
};

MMU_HIDDEN void mmu_kernel_facts(struct mmu_kernel *facts);
MMU_HIDDEN void mmu_kernel_start(void *stack, void *page_info, unsigned long arena,
				 mmu_u64 arena_pa, mmu_u64 arena_size);

/* -- fake kernel, called by units ------------------------------------------------------ */

int mmu_run_work(void);      /* one item of deferred work; false: none waits */
int mmu_run_callbacks(void); /* those that wait for a grace period; false: there were none */
int mmu_interrupt(void);     /* both halves of the handler; false: not the driver's */
extern const unsigned int mmu_unmade_cache_size; /* see slabs.c */

/* -- numbers that both sides of a call know ------------------------------------------ */

#define MMU_PAGE_SHIFT 12
#define MMU_PAGE_SIZE (1UL << MMU_PAGE_SHIFT)
#define MMU_FULL_BARRIER 0
#define MMU_ORDER_BARRIER 1
#define MMU_READ_BARRIER 2

#endif
