// SPDX-License-Identifier: MIT
/*
 * One drm_mm, an allocator of addresses, and somebody who keeps its nodes. What
 * the allocator has is told after each operation from its own ordered list of
 * nodes, and from what each of them says of the hole behind it.
 */
#include <linux/errno.h>
#include <linux/slab.h>
#include <linux/string.h>

#include <drm/drm_mm.h>

#include "harness.h"
#include "operations.h"

#define LISTED 16             /* nodes that are told at most, besides the one below */
#define NOTHING_FOUND (~0ULL)
#define FIRST_ROOM 64         /* nodes that there is room for at first */

static struct drm_mm mm;
static mmu_u64 first_address, last_address;   /* of what it manages */

static struct drm_mm_node **nodes;            /* by number; NULL once they came back */
static mmu_u64 node_count, node_room;

/* -- what is told --------------------------------------------------------------------- */

static mmu_u64 number_of(const struct drm_mm_node *node)
{
	return node->color;
}

static bool is_head(const struct drm_mm_node *node)
{
	return node == &mm.head_node;
}

/* A node and the hole behind it; the head is no node, but has a hole behind it, too. */
static void tell_node(const struct drm_mm_node *node)
{
	if (!is_head(node))
		mmu_emit(MMU_RANGE, node->start, node->start + node->size - 1, number_of(node), NULL);
}

static void tell_hole(const struct drm_mm_node *node)
{
	mmu_u64 start;

	if (!drm_mm_hole_follows(node))
		return;
	start = drm_mm_hole_node_start(node);
	mmu_emit(MMU_RANGE, start, start + node->hole_size - 1, ~0ULL, NULL);
}

/* From the node below the range to the node above it, or to the ends of what there is. */
static void tell_around(mmu_u64 first, mmu_u64 last)
{
	mmu_u64 low = min(max(first, first_address), last_address);
	mmu_u64 high = min(max(last, low), last_address);
	const struct drm_mm_node *node = __drm_mm_interval_first(&mm, low, last_address);
	unsigned int told;

	node = list_prev_entry(node, node_list);
	tell_node(node);
	for (told = 0; told < LISTED; told++) {
		tell_hole(node);
		node = list_next_entry(node, node_list);
		if (is_head(node))
			return;
		tell_node(node);
		if (node->start > high)
			return;
	}
}

/* -- nodes ---------------------------------------------------------------------------- */

static int make_room(void)
{
	mmu_u64 room = node_room ? 2 * node_room : FIRST_ROOM;
	struct drm_mm_node **more;

	if (node_count < node_room)
		return 0;
	more = kmalloc(room * sizeof(*more), GFP_KERNEL);
	if (!more)
		return -ENOMEM;
	if (nodes)
		memcpy(more, nodes, node_count * sizeof(*more));
	kfree(nodes);
	nodes = more;
	node_room = room;
	return 0;
}

/* It is the owner's tag that tells one node from another. */
static struct drm_mm_node *make_node(void)
{
	struct drm_mm_node *node = make_room() ? NULL : kzalloc(sizeof(*node), GFP_KERNEL);

	if (node)
		node->color = node_count;
	return node;
}

static mmu_s64 keep(struct drm_mm_node *node, int result)
{
	if (result)
		kfree(node);
	else
		nodes[node_count++] = node;
	return result;
}

static mmu_s64 allocate(mmu_u64 size, mmu_u64 alignment, enum mmu_alloc_mode mode, mmu_u64 first,
			mmu_u64 last, mmu_u64 *value)
{
	static const enum drm_mm_insert_mode modes[] = {
		[MMU_ALLOC_MODE_BEST] = DRM_MM_INSERT_BEST,
		[MMU_ALLOC_MODE_LOW] = DRM_MM_INSERT_LOW,
		[MMU_ALLOC_MODE_HIGH] = DRM_MM_INSERT_HIGH,
	};
	/* Where a range ends is said by what comes behind it, and all has no end. */
	mmu_u64 end = last == ~0ULL ? last : last + 1;
	struct drm_mm_node *node = make_node();
	mmu_s64 result;

	if (!node)
		return -ENOMEM;
	result = drm_mm_insert_node_in_range(&mm, node, size, alignment, node->color, first, end,
					     modes[mode]);
	if (result) {
		tell_around(first, last);
	} else {
		*value = node->start;
		tell_around(node->start, node->start + node->size - 1);
	}
	return keep(node, result);
}

static mmu_s64 reserve(mmu_u64 start, mmu_u64 size)
{
	mmu_u64 last = start + (size ? size - 1 : 0);
	struct drm_mm_node *node = make_node();
	mmu_s64 result;

	if (!node)
		return -ENOMEM;
	node->start = start;
	node->size = size;
	result = drm_mm_reserve_node(&mm, node);
	tell_around(start, last < start ? ~0ULL : last);
	return keep(node, result);
}

static void give_back(mmu_u64 number)
{
	drm_mm_remove_node(nodes[number]);
	kfree(nodes[number]);
	nodes[number] = NULL;
}

static mmu_s64 free_node(mmu_u64 number)
{
	mmu_u64 start, last;

	if (number >= node_count || !nodes[number]) {
		tell_around(first_address, first_address);
		return -EINVAL;
	}
	start = nodes[number]->start;
	last = start + nodes[number]->size - 1;
	give_back(number);
	tell_around(start, last);
	return 0;
}

static mmu_u64 find(mmu_u64 first, mmu_u64 last)
{
	struct drm_mm_node *node;

	first = max(first, first_address);
	last = min(last, last_address);
	if (first > last)
		return NOTHING_FOUND;
	drm_mm_for_each_node_in_range(node, &mm, first, last + 1)
		return node->start;
	return NOTHING_FOUND;
}

static void destroy(void)
{
	mmu_u64 number;

	for (number = 0; number < node_count; number++)
		if (nodes[number])
			give_back(number);
	tell_around(first_address, last_address);
	drm_mm_takedown(&mm);
	kfree(nodes);
	nodes = NULL;
	node_count = node_room = 0;
}

static void create(mmu_u64 start, mmu_u64 size)
{
	first_address = start;
	last_address = start + size - 1;
	memset(&mm, 0, sizeof(mm));
	drm_mm_init(&mm, start, size);
	tell_around(first_address, last_address);
}

static void run(const struct mmu_call *call, struct mmu_result *result)
{
	const mmu_u64 *argument = call->argument;

	switch ((enum mmu_operation)call->operation) {
	case MMU_OP_CREATE:
		create(argument[MMU_ARG_CREATE_START], argument[MMU_ARG_CREATE_SIZE]);
		break;
	case MMU_OP_ALLOC:
		result->result = allocate(argument[MMU_ARG_ALLOC_SIZE], argument[MMU_ARG_ALLOC_ALIGN],
					  argument[MMU_ARG_ALLOC_MODE], argument[MMU_ARG_ALLOC_FIRST],
					  argument[MMU_ARG_ALLOC_LAST], &result->value);
		break;
	case MMU_OP_RESERVE:
		result->result = reserve(argument[MMU_ARG_RESERVE_VA], argument[MMU_ARG_RESERVE_SIZE]);
		break;
	case MMU_OP_FREE:
		result->result = free_node(argument[MMU_ARG_FREE_NODE]);
		break;
	case MMU_OP_FIND:
		result->value = find(argument[MMU_ARG_FIND_FIRST], argument[MMU_ARG_FIND_LAST]);
		break;
	case MMU_OP_DESTROY:
		destroy();
		break;
	}
}

MMU_EXPORT void mmu_drm_mm_call(const struct mmu_call *call, struct mmu_result *result);
void mmu_drm_mm_call(const struct mmu_call *call, struct mmu_result *result)
{
	mmu_guard(run, call, result);
}
