// SPDX-License-Identifier: MIT
/*
 * What the driver's own records say after each operation, as far as that has
 * changed: which parts of the address space are in use and how, and what each
 * software page table counts.
 *
 * What was told last is kept, as a mirror of the driver's records.
 */
#include "nvkm.h"

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
	mmu_u64 number = area ? area->number : 0xffff;

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
 * table of large pages: it has a byte of state. An entry of a directory has a
 * table below it, or the mark that it is sparse, or nothing.
 */
static struct {
	unsigned int entries;
	unsigned int shift;       /* of the bytes that one entry covers */
} levels[8];

static unsigned int top;

/* What was told of one table. */
struct counts {
	u32 refs[2];
	bool sparse;
	struct counts **below;      /* of a directory */
	u8 *state;                /* for each entry */
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
			 u8 state)
{
	unsigned int shift = levels[level].shift;

	mmu_emit(MMU_PT_STATE, (first + ((mmu_u64)from << shift)) | level,
		 first + ((mmu_u64)to << shift) - 1, state, NULL);
}

static struct counts *make_counts(unsigned int level)
{
	struct counts *counts = kzalloc(sizeof(*counts), GFP_KERNEL);

	counts->state = kvcalloc(levels[level].entries, 1, GFP_KERNEL);
	if (level)
		counts->below = kvcalloc(levels[level].entries, sizeof(*counts->below), GFP_KERNEL);
	return counts;
}

/* It has gone, with all below it. That its entries have no state goes without saying. */
static void end_counts(unsigned int level, mmu_u64 first, struct counts *counts)
{
	unsigned int i;

	for (i = 0; level && i < levels[level].entries; i++)
		if (counts->below[i])
			end_counts(level - 1, first + ((mmu_u64)i << levels[level].shift),
				 counts->below[i]);
	tell_counts(level, first, 0, 0, false);
	kvfree(counts->below);
	kvfree(counts->state);
	kfree(counts);
}

static u8 state_of(const struct nvkm_vmm_pt *table, unsigned int level, unsigned int entry)
{
	if (!level)
		return table->pte[entry];
	return NVKM_VMM_PDE_SPARSED(table->pde[entry]) ? NVKM_VMM_PTE_SPARSE : 0;
}

/* Runs of entries that have changed to the same state. */
static void compare_entries(unsigned int level, mmu_u64 first, struct counts *counts,
			    const struct nvkm_vmm_pt *table)
{
	unsigned int i = 0, from;

	while (i < levels[level].entries) {
		u8 state = state_of(table, level, i);

		for (from = i; i < levels[level].entries; i++) {
			if (state_of(table, level, i) != state || counts->state[i] == state)
				break;
			counts->state[i] = state;
		}
		if (i > from)
			tell_entries(level, first, from, i, state);
		else
			i++;
	}
}

/* `kept` holds what was told of the table, which may be gone, or new. */
static void compare(unsigned int level, mmu_u64 first, struct counts **kept,
		    const struct nvkm_vmm_pt *table)
{
	struct counts *counts = *kept;
	bool is_new = table && !counts;
	unsigned int i;

	if (!table) {
		*kept = NULL;
		if (counts)
			end_counts(level, first, counts);
		return;
	}
	if (is_new)
		*kept = counts = make_counts(level);
	if (is_new || counts->refs[0] != table->refs[0] || counts->refs[1] != table->refs[1] ||
	    counts->sparse != table->sparse)
		tell_counts(level, first, table->refs[0], table->refs[1], table->sparse);
	counts->refs[0] = table->refs[0];
	counts->refs[1] = table->refs[1];
	counts->sparse = table->sparse;
	compare_entries(level, first, counts, table);
	for (i = 0; level && i < levels[level].entries; i++) {
		const struct nvkm_vmm_pt *next = table->pde[i];

		if (NVKM_VMM_PDE_INVALID(next))
			next = NULL;
		if (next || counts->below[i])
			compare(level - 1, first + ((mmu_u64)i << levels[level].shift),
				&counts->below[i], next);
	}
}

/* -- all of it ---------------------------------------------------------------------------- */

void tell_state(void)
{
	tell_vmas();
	if (space)
		measure();
	if (space || root)
		compare(top, 0, &root, space ? space->pd : NULL);
	tell_references();
}
