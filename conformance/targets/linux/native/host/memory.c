/* SPDX-License-Identifier: MIT */
/*
 * The memory that kernel code owns: pages for tables, and a private heap.
 *
 * Pages have made-up physical addresses, the same in every run. They are handed
 * out from the bottom; a block that was given back is handed out again only
 * when a number of others were given back after it, oldest first, so that the
 * use of a freed table shows. A page that nobody owns is full of poison.
 */
#include <string.h>
#include <sys/mman.h>

#include "host.h"

#define ORDERS 11
#define QUARANTINE 16
#define CLASSES 64

/* Free blocks of one size, first in, first out. */
struct ring {
	uint32_t first;
	uint32_t count;
	uint32_t page[MMU_ARENA_PAGES];
};

/* In front of each heap object; its granule is never live. */
struct object {
	uint32_t size;
	uint32_t kind;         /* 0: bigger than all classes, never used again */
	struct object *next;   /* in the queue of free ones */
};

struct queue {
	struct object *first;
	struct object *last;
	size_t count;
};

struct mmu_memory mmu_memory;

static struct ring rings[ORDERS];
static unsigned char block[MMU_ARENA_PAGES]; /* order + 1 at the first page of a block in use */
static struct queue queues[CLASSES];
static size_t heap_used;
static mmu_u64 fail_pages, fail_heap, fail_any, pages_asked, heap_asked;
static int pages_failed;
static unsigned char *state_copy;

extern char __ehdr_start[] MMU_HIDDEN;
extern char _end[] MMU_HIDDEN;
extern char __start_mmu_state[] MMU_HIDDEN;
extern char __stop_mmu_state[] MMU_HIDDEN;

_Static_assert(sizeof(struct object) == MMU_HEAP_GRANULE, "an object's header is one granule");

static void *map(size_t size)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		    -1, 0);
}

/*
 * The arena lies inside a much larger reservation, which begins where physical
 * address 0 would be: an address made from a wrong table entry then hits
 * nothing that we own, wherever the system put our other memory.
 */
static uintptr_t reserve(void)
{
	size_t size;

	/* Dozens of libraries in one process have room for theirs. */
	for (size = 1UL << 42; size >= 1UL << 33; size >>= 1) {
		void *base = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
				  -1, 0);

		if (base == MAP_FAILED)
			continue;
		if (mprotect((char *)base + MMU_ARENA_PA, MMU_ARENA_SIZE, PROT_READ | PROT_WRITE))
			return 0;
		return (uintptr_t)base;
	}
	return 0;
}

/* A stack aligned to its own size, with a page below it that faults. */
static uintptr_t map_stack(size_t size)
{
	char *base = mmap(NULL, 3 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uintptr_t stack;

	if (base == MAP_FAILED)
		return 0;
	stack = ((uintptr_t)base + size + size - 1) & ~(size - 1);
	if (mprotect((void *)stack, size, PROT_READ | PROT_WRITE))
		return 0;
	return stack;
}

int mmu_memory_open(void)
{
	struct mmu_memory *memory = &mmu_memory;
	struct mmu_kernel facts;
	void *heap, *page_info;

	mmu_kernel_facts(&facts);
	memory->stack_size = facts.stack_size;
	memory->page_info_size = facts.page_info_size;
	memory->image = (uintptr_t)__ehdr_start;
	memory->image_size = (size_t)(_end - __ehdr_start);
	memory->state = (uintptr_t)__start_mmu_state;
	memory->state_size = (size_t)(__stop_mmu_state - __start_mmu_state);
	memory->zero = reserve();
	memory->arena = memory->zero + MMU_ARENA_PA;
	memory->stack = map_stack(memory->stack_size);
	heap = map(MMU_HEAP_SIZE);
	page_info = map(memory->page_info_size * MMU_ARENA_PAGES);
	state_copy = map(memory->state_size);
	if (!memory->zero || !memory->stack || heap == MAP_FAILED || page_info == MAP_FAILED ||
	    state_copy == MAP_FAILED)
		return -1;
	memory->heap = (uintptr_t)heap;
	memory->page_info = (uintptr_t)page_info;
	mmu_kernel_start((void *)memory->stack, page_info, memory->arena, MMU_ARENA_PA,
			 MMU_ARENA_SIZE);
	memcpy(state_copy, (void *)memory->state, memory->state_size);
	return 0;
}

/* Back to what mmu_memory_open left: costs what was used, not what there is. */
void mmu_memory_reset(void)
{
	size_t page;

	memcpy((void *)mmu_memory.state, state_copy, mmu_memory.state_size);
	memset((void *)mmu_memory.page_info, 0, mmu_memory.pages_seen * mmu_memory.page_info_size);
	for (page = 0; page < mmu_memory.poisoned; page++)
		if (mmu_memory.dirty[page]) {
			memset((void *)(mmu_memory.arena + (page << MMU_PAGE_SHIFT)), MMU_POISON_BYTE,
			       MMU_PAGE_SIZE);
			mmu_memory.dirty[page] = 0;
		}
	memset(block, 0, mmu_memory.pages_seen);
	mmu_memory.pages_seen = 0;
	mmu_memory.pages_in_use = 0;
	for (page = 0; page < ORDERS; page++)
		rings[page].first = rings[page].count = 0;
	memset(mmu_memory.live, 0, heap_used / MMU_HEAP_GRANULE);
	memset(queues, 0, sizeof(queues));
	heap_used = 0;
	mmu_memory.objects = 0;
	mmu_memory_begin();
}

/*
 * An address as it goes into an event: the same in every run, wherever the
 * system put our memory. What was made from a physical address is told as that;
 * stack, heap and image are told as if they lay where a kernel has them.
 */
mmu_u64 mmu_telling_address(uintptr_t address)
{
	const struct mmu_memory *memory = &mmu_memory;

	if (address - (memory->stack - memory->stack_size) < 2 * memory->stack_size)
		return 0xffffc90000100000ULL + (address - memory->stack);
	if (address - memory->heap < MMU_HEAP_SIZE)
		return 0xffff888000000000ULL + (address - memory->heap);
	if (address - memory->page_info < memory->page_info_size * MMU_ARENA_PAGES)
		return 0xffffea0000000000ULL + (address - memory->page_info);
	if (address - memory->image < memory->image_size)
		return 0xffffffff80000000ULL + (address - memory->image);
	if (address - memory->zero < 1ULL << 52)
		return address - memory->zero;
	return address;
}

void mmu_memory_begin(void)
{
	fail_pages = fail_heap = fail_any = pages_asked = heap_asked = 0;
	pages_failed = 0;
}

void mmu_fail_pages(mmu_u64 k)
{
	fail_pages = k;
}

void mmu_fail_heap(mmu_u64 k)
{
	fail_heap = k;
}

void mmu_fail_any(mmu_u64 k)
{
	fail_any = k;
}

void mmu_fail_from_here(mmu_u64 k)
{
	fail_pages = fail_heap = 0;
	fail_any = k ? pages_asked + heap_asked + k : 0;
}

/* Whether the request that was just counted is one of those that get nothing. */
static int is_refused(mmu_u64 asked, mmu_u64 failing)
{
	return asked == failing || pages_asked + heap_asked == fail_any;
}

int mmu_pages_failed(void)
{
	return pages_failed;
}

/* -- pages ---------------------------------------------------------------------------- */

/* Makes sure that pages up to and including `page` hold poison unless they were used. */
void mmu_poison_to(size_t page)
{
	memset((void *)(mmu_memory.arena + (mmu_memory.poisoned << MMU_PAGE_SHIFT)), MMU_POISON_BYTE,
	       (page + 1 - mmu_memory.poisoned) << MMU_PAGE_SHIFT);
	mmu_memory.poisoned = page + 1;
}

int mmu_is_page(mmu_u64 pa)
{
	return pa - MMU_ARENA_PA < MMU_ARENA_SIZE;
}

static long oldest(struct ring *ring)
{
	long page = ring->page[ring->first];

	ring->first = (ring->first + 1) % MMU_ARENA_PAGES;
	ring->count--;
	return page;
}

/* The first page of a block, or -1. */
static long take_block(unsigned int order)
{
	struct ring *ring = &rings[order];
	size_t pages = 1UL << order;
	size_t page = (mmu_memory.pages_seen + pages - 1) & ~(pages - 1);

	if (ring->count > QUARANTINE)
		return oldest(ring);
	if (page + pages <= MMU_ARENA_PAGES) {
		mmu_memory.pages_seen = page + pages;
		return (long)page;
	}
	return ring->count ? oldest(ring) : -1;
}

mmu_u64 mmu_pages_take_untold(unsigned int order)
{
	long page = -1;

	if (!is_refused(++pages_asked, fail_pages) && order < ORDERS)
		page = take_block(order);
	if (page < 0) {
		pages_failed++;
		return 0;
	}
	if (page + (1UL << order) > mmu_memory.poisoned)
		mmu_poison_to((size_t)page + (1UL << order) - 1);
	block[page] = (unsigned char)(order + 1);
	mmu_memory.pages_in_use += 1UL << order;
	return MMU_ARENA_PA + ((mmu_u64)page << MMU_PAGE_SHIFT);
}

mmu_u64 mmu_pages_take(unsigned int order, int zero, const void *from)
{
	size_t size = MMU_PAGE_SIZE << order;
	mmu_u64 pa = mmu_pages_take_untold(order);

	if (!pa) {
		mmu_emit(MMU_ALLOC_FAILED, size, 0, 0, from);
		return 0;
	}
	mmu_emit(MMU_ALLOC, pa, size, 0, from);
	if (zero) {
		size_t page = (size_t)((pa - MMU_ARENA_PA) >> MMU_PAGE_SHIFT);

		memset((void *)(mmu_memory.arena + (page << MMU_PAGE_SHIFT)), 0, size);
		memset(mmu_memory.dirty + page, 1, 1UL << order);
		mmu_emit(MMU_FILL, pa, size, 0, from);
	}
	return pa;
}

/* What is not a block in use is left alone. */
static void give_block(size_t page, unsigned int order)
{
	struct ring *ring = &rings[order];

	if (block[page] != order + 1)
		return;
	block[page] = 0;
	mmu_memory.pages_in_use -= 1UL << order;
	memset((void *)(mmu_memory.arena + (page << MMU_PAGE_SHIFT)), MMU_POISON_BYTE,
	       MMU_PAGE_SIZE << order);
	memset(mmu_memory.dirty + page, 0, 1UL << order);
	ring->page[(ring->first + ring->count) % MMU_ARENA_PAGES] = (uint32_t)page;
	ring->count++;
}

void mmu_pages_give_untold(mmu_u64 pa, unsigned int order)
{
	if (mmu_is_page(pa) && order < ORDERS)
		give_block((size_t)((pa - MMU_ARENA_PA) >> MMU_PAGE_SHIFT), order);
}

/* What is not a block in use is only reported: whether that is wrong is for others to say. */
void mmu_pages_give(mmu_u64 pa, unsigned int order, const void *from)
{
	size_t size = MMU_PAGE_SIZE << order;

	if (!mmu_is_page(pa) || order >= ORDERS)
		mmu_stop(MMU_WILD, pa, size, 1, from);
	mmu_emit(MMU_FREE, pa, size, 0, from);
	give_block((size_t)((pa - MMU_ARENA_PA) >> MMU_PAGE_SHIFT), order);
}

mmu_u64 mmu_word(mmu_u64 pa)
{
	return *(volatile mmu_u64 *)(mmu_memory.arena + (uintptr_t)(pa - MMU_ARENA_PA));
}

void mmu_set_word(mmu_u64 pa, mmu_u64 word)
{
	mmu_memory.dirty[(pa - MMU_ARENA_PA) >> MMU_PAGE_SHIFT] = 1;
	*(volatile mmu_u64 *)(mmu_memory.arena + (uintptr_t)(pa - MMU_ARENA_PA)) = word;
}

void mmu_set_bytes(mmu_u64 pa, int byte, unsigned long size)
{
	uintptr_t offset = (uintptr_t)(pa - MMU_ARENA_PA);
	size_t page;

	if (!size)
		return;
	for (page = offset >> MMU_PAGE_SHIFT; page <= (offset + size - 1) >> MMU_PAGE_SHIFT; page++)
		mmu_memory.dirty[page] = 1;
	memset((void *)(mmu_memory.arena + offset), byte, size);
}

/* -- heap ----------------------------------------------------------------------------- */

static struct object *header_of(const void *address)
{
	return (struct object *)((uintptr_t)address - sizeof(struct object));
}

/* Sizes are rounded up to granules; a class is one such size. */
static struct object *take_object(size_t size, size_t kind)
{
	struct queue *queue = &queues[kind];
	struct object *object;
	size_t align = (size & (size - 1)) || size > MMU_PAGE_SIZE ? MMU_HEAP_GRANULE : size;
	size_t at = (heap_used + sizeof(struct object) + align - 1) & ~(align - 1);

	if (kind && queue->count > QUARANTINE) {
		object = queue->first;
		queue->first = object->next;
		queue->count--;
		return object;
	}
	/* The granule after the object is the next one's header, or stays unused. */
	if (at + size + MMU_HEAP_GRANULE > MMU_HEAP_SIZE)
		return NULL;
	heap_used = at + size;
	return header_of((void *)(mmu_memory.heap + at));
}

void *mmu_heap_take(unsigned long wanted, int zero)
{
	size_t size = wanted ? (wanted + MMU_HEAP_GRANULE - 1) & ~(MMU_HEAP_GRANULE - 1)
			     : MMU_HEAP_GRANULE;
	size_t kind = size / MMU_HEAP_GRANULE < CLASSES ? size / MMU_HEAP_GRANULE : 0;
	struct object *object;
	uintptr_t at;

	if (is_refused(++heap_asked, fail_heap) || wanted > MMU_HEAP_SIZE)
		return NULL;
	object = take_object(size, kind);
	if (!object)
		return NULL;
	object->size = (uint32_t)size;
	object->kind = (uint32_t)kind;
	object->next = NULL;
	mmu_memory.objects++;
	at = (uintptr_t)object + sizeof(*object);
	memset((void *)at, zero ? 0 : MMU_POISON_BYTE, size);
	memset(mmu_memory.live + (at - mmu_memory.heap) / MMU_HEAP_GRANULE, 1, size / MMU_HEAP_GRANULE);
	return (void *)at;
}

static int is_object(const void *address)
{
	uintptr_t offset = (uintptr_t)address - mmu_memory.heap;

	return offset < heap_used && offset % MMU_HEAP_GRANULE == 0 && offset &&
	       mmu_memory.live[offset / MMU_HEAP_GRANULE] &&
	       !mmu_memory.live[offset / MMU_HEAP_GRANULE - 1];
}

void mmu_heap_give(const void *address, const void *from)
{
	struct object *object = header_of(address);
	struct queue *queue;

	if (!address)
		return;
	if (!is_object(address))
		mmu_stop(MMU_WILD, mmu_telling_address((uintptr_t)address), 0, 1, from);
	memset(mmu_memory.live + ((uintptr_t)address - mmu_memory.heap) / MMU_HEAP_GRANULE, 0,
	       object->size / MMU_HEAP_GRANULE);
	mmu_memory.objects--;
	queue = &queues[object->kind];
	if (queue->count)
		queue->last->next = object;
	else
		queue->first = object;
	queue->last = object;
	queue->count++;
}

unsigned long mmu_heap_size(const void *address)
{
	return is_object(address) ? header_of(address)->size : 0;
}
