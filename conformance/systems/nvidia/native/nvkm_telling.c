// SPDX-License-Identifier: MIT
/*
 * What the driver's own records say after each operation, as far as that has
 * changed: which parts of the address space are in use and how, and what each
 * software page table counts.
 *
 * What was told last is kept, as a mirror of the driver's records.
 */
#include "nvkm.h"
#include "tree_features.h"

#define NUMBER_SHIFT 48           /* of the number of an area, in a backing word */

/* -- areas ---------------------------------------------------------------------------- */

struct vma {
	struct vma *next;
	mmu_u64 first;
	mmu_u64 last;
	mmu_u64 backing;
};

static struct area *areas;        /* by address */
static struct vma *told;          /* by address */
static mmu_u64 area_count;        /* made so far; numbers are not used again */

/* Their numbers have so many bits. */
bool is_room_for_area(void)
{
	return area_count < 1ULL << (64 - NUMBER_SHIFT);
}

mmu_u64 add_area(mmu_u64 first, mmu_u64 size)
{
	struct area *area = kzalloc(sizeof(*area), GFP_KERNEL);
	struct area **at = &areas;

	area->first = first;
	area->size = size;
	area->number = area_count++;
	while (*at && (*at)->first < first)
		at = &(*at)->next;
	area->next = *at;
	*at = area;
	return area->number;
}

static struct area **find(mmu_u64 number)
{
	struct area **at = &areas;

	while (*at && (*at)->number != number)
		at = &(*at)->next;
	return at;
}

struct area *area_of(mmu_u64 number)
{
	return *find(number);
}

void drop_area(mmu_u64 number)
{
	struct area **at = find(number);
	struct area *area = *at;

	*at = area->next;
	kfree(area);
}

void drop_areas(void)
{
	while (areas)
		drop_area(areas->number);
}

/* -- the VMAs in them ------------------------------------------------------------------ */

static void tell_vma(unsigned int kind, const struct vma *vma)
{
	mmu_emit(kind, vma->first, vma->last, vma->backing, NULL);
}

static bool is_same(const struct vma *left, const struct vma *right)
{
	return left->first == right->first && left->last == right->last &&
	       left->backing == right->backing;
}

static mmu_u64 backing_of(const struct nvkm_vma *vma, const struct area *area)
{
	mmu_u64 number = area ? area->number : 0;

	return number << NUMBER_SHIFT | vma->refd | (vma->mapped ? MMU_AREA_MAPPED : 0) |
	       (vma->part ? MMU_AREA_PART : 0);
}

/* Those that there are now, by address. */
static struct vma *list_vmas(void)
{
	struct vma *list = NULL, **end = &list;
	struct area *area = areas;
	struct nvkm_vma *vma;

	if (!space)
		return NULL;
	list_for_each_entry(vma, &space->list, head) {
		if (!vma->used)
			continue;
		while (area && area->first + area->size <= vma->addr)
			area = area->next;
		*end = kzalloc(sizeof(**end), GFP_KERNEL);
		(*end)->first = vma->addr;
		(*end)->last = vma->addr + vma->size - 1;
		(*end)->backing = backing_of(vma, area);
		end = &(*end)->next;
	}
	return list;
}

/* Tells those of `list` that are not in `other`. */
static void tell_others(unsigned int kind, struct vma *list, struct vma *other)
{
	for (; list; list = list->next) {
		while (other && other->first < list->first)
			other = other->next;
		if (!other || !is_same(list, other))
			tell_vma(kind, list);
	}
}

static void tell_vmas(void)
{
	struct vma *now = list_vmas();

	tell_others(MMU_VMA_REMOVE, told, now);
	tell_others(MMU_VMA_ADD, now, told);
	while (told) {
		struct vma *next = told->next;

		kfree(told);
		told = next;
	}
	told = now;
}

/* -- software page tables --------------------------------------------------------------- */

/*
 * The levels of the tree, from the leaves up. An entry of a leaf is one of the
 * table of large pages: it has a note of its state. An entry of a directory has a
 * table below it, or the mark that it is sparse, or nothing.
 */
#if HAS_NVKM_PTE_TRACKER
typedef union nvkm_pte_tracker note;

/*
 * A large page that is referenced after small ones takes its entry over, although
 * they are still counted: as far as they go, it is left to them until it is written.
 */
static mmu_u64 state_of(note note)
{
	bool small = note.s.spte_valid || (note.s.lpte_valid && note.s.sptes);

	return (note.s.sptes & (MMU_STATE_SMALL - 1)) | (small ? MMU_STATE_SMALL : 0) |
	       (note.s.sparse ? MMU_STATE_SPARSE : 0) |
	       (mmu_u64)(note.s.sptes / MMU_STATE_SMALL) << MMU_STATE_MORE_SHIFT;
}
#else
typedef u8 note;

static mmu_u64 state_of(note note)
{
	return note;
}
#endif

static struct {
	unsigned int entries;
	unsigned int shift;       /* of the bytes that one entry covers */
} levels[8];

static unsigned int top;

/* What was told of one table. */
struct counts {
	u32 refs[2];
	bool sparse;
	note *state;              /* of a leaf: for each entry, as the driver has it */
	void **seen;              /* of a directory: just so */
	struct counts *below;     /* tables below it, by address ... */
	struct counts *next;
	unsigned int entry;       /* ... and the entry that leads to each */
};

static struct counts *root;

static void measure(void)
{
	const struct nvkm_vmm_page *page = space->func->page;
	unsigned int shift;

	while (page[1].shift)
		page++;
	levels[0].entries = 1U << page[-1].desc->bits;
	levels[0].shift = page[-1].shift;
	shift = page->shift + page->desc->bits;
	for (top = 1;; top++) {
		levels[top].entries = 1U << page->desc[top].bits;
		levels[top].shift = shift;
		shift += page->desc[top].bits;
		if (!page->desc[top + 1].bits)
			return;
	}
}

static void tell_counts(unsigned int level, mmu_u64 first, u32 large, u32 small, bool sparse)
{
	mmu_emit(MMU_PT_REFS, first | (sparse ? MMU_TABLE_SPARSE : 0) | level, large, small, NULL);
}

/* Entries `from` up to `to`, which is none of them. */
static void tell_entries(unsigned int level, mmu_u64 first, unsigned int from, unsigned int to,
			 mmu_u64 state)
{
	unsigned int shift = levels[level].shift;

	mmu_emit(MMU_PT_STATE, (first + ((mmu_u64)from << shift)) | level,
		 first + ((mmu_u64)to << shift) - 1, state, NULL);
}

static bool is_equal(const void *left, const void *right, size_t size)
{
	const u64 *a = left, *b = right;

	for (; size >= sizeof(*a); size -= sizeof(*a))
		if (*a++ != *b++)
			return false;
	return true;
}

static struct counts *make_counts(unsigned int level)
{
	struct counts *counts = kzalloc(sizeof(*counts), GFP_KERNEL);

	if (level)
		counts->seen = kvcalloc(levels[level].entries, sizeof(*counts->seen), GFP_KERNEL);
	else
		counts->state = kvcalloc(levels[level].entries, sizeof(note), GFP_KERNEL);
	return counts;
}

/* Where what an entry of a directory leads to begins. */
static mmu_u64 start_of(unsigned int level, mmu_u64 first, unsigned int entry)
{
	return first + ((mmu_u64)entry << levels[level].shift);
}

/* It has gone, with all below it. That its entries have no state goes without saying. */
static void end_counts(unsigned int level, mmu_u64 first, struct counts *counts)
{
	while (counts->below) {
		struct counts *below = counts->below;

		counts->below = below->next;
		end_counts(level - 1, start_of(level, first, below->entry), below);
	}
	tell_counts(level, first, 0, 0, false);
	kvfree(counts->seen);
	kvfree(counts->state);
	kfree(counts);
}

/* Runs of entries of a leaf that have changed to the same state. */
static void compare_leaf(mmu_u64 first, struct counts *counts, const note *state)
{
	unsigned int entries = levels[0].entries, from, to;

	for (from = 0; from < entries; from = to) {
		to = from + 1;
		if (state_of(counts->state[from]) == state_of(state[from]))
			continue;
		while (to < entries && state_of(state[to]) == state_of(state[from]) &&
		       state_of(counts->state[to]) != state_of(state[to]))
			to++;
		tell_entries(0, first, from, to, state_of(state[from]));
	}
	memcpy(counts->state, state, entries * sizeof(note));
}

/* The same for marks of a directory. */
static void compare_marks(unsigned int level, mmu_u64 first, void *const *seen, void *const *now)
{
	unsigned int entries = levels[level].entries, from, to;

	for (from = 0; from < entries; from = to) {
		bool mark = NVKM_VMM_PDE_SPARSED(now[from]);

		to = from + 1;
		if (mark == NVKM_VMM_PDE_SPARSED(seen[from]))
			continue;
		while (to < entries && NVKM_VMM_PDE_SPARSED(now[to]) == mark &&
		       NVKM_VMM_PDE_SPARSED(seen[to]) != mark)
			to++;
		tell_entries(level, first, from, to, mark ? MMU_STATE_SPARSE : 0);
	}
}

/* Which tables are below a directory: those that have gone are told. */
static void find_tables(unsigned int level, mmu_u64 first, struct counts *counts, void *const *now)
{
	struct counts **at = &counts->below;
	unsigned int entry;

	for (entry = 0; entry < levels[level].entries; entry++) {
		bool is_there = !NVKM_VMM_PDE_INVALID(now[entry]);
		bool was_there = *at && (*at)->entry == entry;
		struct counts *one = *at;

		if (is_there && !was_there) {
			one = make_counts(level - 1);
			one->entry = entry;
			one->refs[0] = one->refs[1] = ~0U; /* so that they are told */
			one->next = *at;
			*at = one;
		} else if (was_there && !is_there) {
			*at = one->next;
			end_counts(level - 1, start_of(level, first, entry), one);
		}
		if (is_there)
			at = &one->next;
	}
}

/* `counts` is what was told of the table. */
static void compare(unsigned int level, mmu_u64 first, struct counts *counts,
		    const struct nvkm_vmm_pt *table)
{
	struct counts *below;
	size_t size;

	if (counts->refs[0] != table->refs[0] || counts->refs[1] != table->refs[1] ||
	    counts->sparse != table->sparse)
		tell_counts(level, first, table->refs[0], table->refs[1], table->sparse);
	counts->refs[0] = table->refs[0];
	counts->refs[1] = table->refs[1];
	counts->sparse = table->sparse;
	if (!level) {
		if (!is_equal(counts->state, table->pte, levels[0].entries * sizeof(note)))
			compare_leaf(first, counts, table->pte);
		return;
	}
	size = levels[level].entries * sizeof(*counts->seen);
	if (!is_equal(counts->seen, table->pde, size)) {
		compare_marks(level, first, counts->seen, (void **)table->pde);
		find_tables(level, first, counts, (void **)table->pde);
		memcpy(counts->seen, table->pde, size);
	}
	for (below = counts->below; below; below = below->next)
		compare(level - 1, start_of(level, first, below->entry), below,
			table->pde[below->entry]);
}

/* -- all of it ---------------------------------------------------------------------------- */

void tell_state(void)
{
	tell_vmas();
	if (space) {
		if (!root) {
			measure();
			root = make_counts(top);
		}
		compare(top, 0, root, space->pd);
	} else if (root) {
		end_counts(top, 0, root);
		root = NULL;
	}
	tell_references();
}
