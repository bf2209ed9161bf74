/* SPDX-License-Identifier: MIT */
/*
 * Turns what kernel code does into events.
 *
 * The compiler calls a __tsan function before each load and store. A store to a
 * table page becomes an event; its new word is read when the next thing
 * happens, because the store itself comes after its announcement. An access to
 * memory that the code does not own ends the call before it is carried out.
 */
#include <string.h>
#include <sys/mman.h>

#include "host.h"

struct mmu_recorder mmu_recorder;

int mmu_recorder_open(void)
{
	void *buffer = mmap(NULL, MMU_CAPACITY * sizeof(struct mmu_event), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (buffer == MAP_FAILED)
		return -1;
	mmu_recorder.events = buffer;
	return 0;
}

void mmu_recorder_begin(unsigned long limit)
{
	size_t capacity = MMU_CALL_EVENTS + MMU_OBJECT_EVENTS * mmu_memory.objects;

	mmu_recorder.count = 0;
	mmu_recorder.capacity = capacity < MMU_CAPACITY ? capacity : MMU_CAPACITY;
	mmu_recorder.pending = 0;
	mmu_recorder.accesses = 0;
	mmu_recorder.limit = limit;
}

/* The table of functions, made by Python from the library's own symbols. */
void mmu_places(const mmu_u32 *numbers, mmu_u64 bytes)
{
	mmu_recorder.places = numbers;
	mmu_recorder.place_bytes = bytes;
}

static mmu_u64 place_of(const void *from)
{
	/* A return address may be the first byte of the next function. */
	uintptr_t offset = (uintptr_t)from - 1 - mmu_memory.image;

	return offset < mmu_recorder.place_bytes ? mmu_recorder.places[offset] : 0;
}

/* -- events -------------------------------------------------------------------------- */

static uintptr_t arena_at(mmu_u64 pa)
{
	return mmu_memory.arena + (uintptr_t)(pa - MMU_ARENA_PA);
}

/* Gives the announced stores their new words: they have happened by now. */
void mmu_settle(void)
{
	struct mmu_event *event = mmu_recorder.events + mmu_recorder.count - mmu_recorder.pending;
	size_t left = mmu_recorder.pending;

	if (MMU_LIKELY(!left))
		return;
	mmu_recorder.pending = 0;
	for (; left; left--, event++)
		event->c = *(volatile mmu_u64 *)arena_at(event->a);
	/* An atomic that left the word alone: a compare-exchange, most likely, that compared unequal. */
	if (mmu_recorder.pending_atomic && event[-1].b == event[-1].c)
		mmu_recorder.count--;
}

static struct mmu_event *put(unsigned int kind, mmu_u64 a, mmu_u64 b, mmu_u64 c, const void *from)
{
	struct mmu_event *event = &mmu_recorder.events[mmu_recorder.count];

	event->head = kind | place_of(from) << 32;
	event->a = a;
	event->b = b;
	event->c = c;
	mmu_recorder.count++;
	return event;
}

void mmu_emit(unsigned int kind, mmu_u64 a, mmu_u64 b, mmu_u64 c, const void *from)
{
	mmu_settle();
	/* One place is kept for the event that says so. */
	if (MMU_UNLIKELY(mmu_recorder.count >= mmu_recorder.capacity - 1))
		mmu_stop(MMU_HANG, 0, 0, 0, from);
	put(kind, a, b, c, from);
}

/* Records a last event and ends the call. */
void mmu_stop(unsigned int kind, mmu_u64 a, mmu_u64 b, mmu_u64 c, const void *from)
{
	mmu_settle();
	if (mmu_recorder.count < mmu_recorder.capacity)
		put(kind, a, b, c, from);
	mmu_leave();
}

/* -- accesses ------------------------------------------------------------------------ */

static void store_word(uintptr_t at, const void *from)
{
	if (MMU_UNLIKELY(mmu_recorder.count >= mmu_recorder.capacity - 1))
		mmu_stop(MMU_HANG, 0, 0, 0, from);
	put(MMU_STORE, at - mmu_memory.arena + MMU_ARENA_PA, *(volatile mmu_u64 *)at, 0, from);
	mmu_recorder.pending++;
}

static void touch_pages(uintptr_t offset, size_t size)
{
	size_t page = offset >> MMU_PAGE_SHIFT;
	size_t last = (offset + size - 1) >> MMU_PAGE_SHIFT;

	for (; page <= last; page++)
		mmu_memory.dirty[page] = 1;
}

/* Announces a store to table pages: one event for each word that it touches. */
static void store_pages(uintptr_t offset, size_t size, int atomic, const void *from)
{
	uintptr_t at = mmu_memory.arena + (offset & ~(uintptr_t)7);
	uintptr_t end = mmu_memory.arena + offset + size;

	touch_pages(offset, size);
	mmu_recorder.pending_atomic = atomic;
	for (; at < end; at += 8)
		store_word(at, from);
}

static int inside(uintptr_t at, size_t size, uintptr_t start, size_t length)
{
	uintptr_t offset = at - start;

	return offset < length && size <= length - offset;
}

static int heap_is_live(uintptr_t offset, size_t size)
{
	size_t granule = offset / MMU_HEAP_GRANULE;
	size_t last = (offset + size - 1) / MMU_HEAP_GRANULE;

	for (; granule <= last; granule++)
		if (!mmu_memory.live[granule])
			return 0;
	return 1;
}

/* Everything but table pages that the code may touch. */
static int is_owned(uintptr_t at, size_t size, int write)
{
	const struct mmu_memory *memory = &mmu_memory;

	if (MMU_LIKELY(inside(at, size, memory->stack, memory->stack_size)))
		return 1;
	if (inside(at, size, memory->heap, MMU_HEAP_SIZE))
		return heap_is_live(at - memory->heap, size);
	if (inside(at, size, memory->state, memory->state_size))
		return 1;
	if (inside(at, size, memory->page_info, memory->page_info_size * memory->pages_seen))
		return 1;
	return !write && inside(at, size, memory->image, memory->image_size);
}

/* One access, before it happens. Returns 1 if it is to table pages. */
static inline int check(uintptr_t at, size_t size, int write, const void *from)
{
	uintptr_t offset = at - mmu_memory.arena;

	mmu_settle();
	if (MMU_UNLIKELY(++mmu_recorder.accesses > mmu_recorder.limit))
		mmu_stop(MMU_HANG, 0, 0, 0, from);
	if (offset < MMU_ARENA_SIZE && size <= MMU_ARENA_SIZE - offset) {
		size_t page = (offset + size - 1) >> MMU_PAGE_SHIFT;

		if (MMU_UNLIKELY(page >= mmu_memory.poisoned))
			mmu_poison_to(page);
		return 1;
	}
	if (MMU_UNLIKELY(!is_owned(at, size, write)))
		mmu_stop(MMU_WILD, mmu_telling_address(at), size, (mmu_u64)write, from);
	return 0;
}

static inline void load(const volatile void *address, size_t size, const void *from)
{
	if (mmu_active)
		check((uintptr_t)address, size, 0, from);
}

static inline void store(const volatile void *address, size_t size, int atomic, const void *from)
{
	uintptr_t at = (uintptr_t)address;

	if (mmu_active && check(at, size, 1, from))
		store_pages(at - mmu_memory.arena, size, atomic, from);
}

/* -- announcements by the compiler ---------------------------------------------------- */

#define ANNOUNCE(name, size)                                                                 \
	void __tsan_read##name(void *at);                                                    \
	void __tsan_read##name(void *at) { load(at, size, MMU_CALLER); }                     \
	void __tsan_write##name(void *at);                                                   \
	void __tsan_write##name(void *at) { store(at, size, 0, MMU_CALLER); }                \
	void __tsan_unaligned_read##name(void *at);                                          \
	void __tsan_unaligned_read##name(void *at) { load(at, size, MMU_CALLER); }           \
	void __tsan_unaligned_write##name(void *at);                                         \
	void __tsan_unaligned_write##name(void *at) { store(at, size, 0, MMU_CALLER); }      \
	void __tsan_volatile_read##name(void *at);                                           \
	void __tsan_volatile_read##name(void *at) { load(at, size, MMU_CALLER); }            \
	void __tsan_volatile_write##name(void *at);                                          \
	void __tsan_volatile_write##name(void *at) { store(at, size, 0, MMU_CALLER); }       \
	void __tsan_unaligned_volatile_read##name(void *at);                                 \
	void __tsan_unaligned_volatile_read##name(void *at) { load(at, size, MMU_CALLER); }  \
	void __tsan_unaligned_volatile_write##name(void *at);                                \
	void __tsan_unaligned_volatile_write##name(void *at) { store(at, size, 0, MMU_CALLER); }

ANNOUNCE(1, 1)
ANNOUNCE(2, 2)
ANNOUNCE(4, 4)
ANNOUNCE(8, 8)
ANNOUNCE(16, 16)

void __tsan_read_range(void *at, unsigned long size);
void __tsan_read_range(void *at, unsigned long size)
{
	if (size)
		load(at, size, MMU_CALLER);
}

void __tsan_write_range(void *at, unsigned long size);
void __tsan_write_range(void *at, unsigned long size)
{
	if (size)
		store(at, size, 0, MMU_CALLER);
}

void __tsan_init(void);
void __tsan_init(void)
{
}

/* -- announcements by inline assembly, through forced.h ------------------------------- */

#define ACCESS_WRITE 1
#define ACCESS_ATOMIC 4

void mmu_access(const volatile void *at, size_t size, int type);
void mmu_access(const volatile void *at, size_t size, int type)
{
	if (type & ACCESS_WRITE)
		store(at, size, (type & ACCESS_ATOMIC) != 0, MMU_CALLER);
	else
		load(at, size, MMU_CALLER);
}

void mmu_barrier(int type);
void mmu_barrier(int type)
{
	if (mmu_active)
		mmu_emit(MMU_BARRIER, (mmu_u64)type, 0, 0, MMU_CALLER);
}

/* -- bulk accesses -------------------------------------------------------------------- */

void mmu_read(const void *source, unsigned long size, const void *from)
{
	if (size)
		load(source, size, from);
}

/* A fill of whole words of table pages is one event. */
void mmu_fill(void *to, int byte, unsigned long size, const void *from)
{
	uintptr_t at = (uintptr_t)to;

	if (!size)
		return;
	if (mmu_active && check(at, size, 1, from)) {
		mmu_u64 pa = at - mmu_memory.arena + MMU_ARENA_PA;

		if (at % 8 || size % 8) {
			store_pages(at - mmu_memory.arena, size, 0, from);
		} else {
			mmu_emit(MMU_FILL, pa, size, (unsigned char)byte * 0x0101010101010101ULL, from);
			touch_pages(at - mmu_memory.arena, size);
		}
	}
	memset(to, byte, size);
}

void mmu_copy(void *to, const void *source, unsigned long size, const void *from)
{
	if (!size)
		return;
	load(source, size, from);
	store(to, size, 0, from);
	memmove(to, source, size);
}
