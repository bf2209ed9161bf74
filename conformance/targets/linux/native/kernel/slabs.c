// SPDX-License-Identifier: MIT
/*
 * Caches of objects. A cache of whole pages is one of page tables: its objects
 * are pages of the arena, so that all that happens to them is seen. Each object
 * is built anew when it is handed out.
 */
#include <linux/mm.h>
#include <linux/radix-tree.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/xarray.h>

#include "tree_features.h"
#include "../harness.h"

struct kmem_cache {
	unsigned int size;
	bool pages;
	void (*build)(void *object);
};

/*
 * The size of objects of a cache that its module makes when it is loaded, which
 * nothing does here. A unit with such a module has its own in place of this.
 */
const unsigned int mmu_unmade_cache_size;

#if HAS_PROFILED_ALLOCATORS
static void *take(struct kmem_cache *cache, gfp_t flags, const void *from)
{
	bool zero = flags & __GFP_ZERO;
	void *object;

	if (!cache)
		return mmu_heap_take(mmu_unmade_cache_size, zero);
	if (cache->pages) {
		mmu_u64 pa = mmu_pages_take(0, zero, from);

		return pa ? __va(pa) : NULL;
	}
	object = mmu_heap_take(cache->size, zero);
	if (object && cache->build)
		cache->build(object);
	return object;
}

void *kmem_cache_alloc_noprof(struct kmem_cache *cache, gfp_t flags)
{
	return take(cache, flags, MMU_CALLER);
}

void *kmem_cache_alloc_lru_noprof(struct kmem_cache *cache, struct list_lru *lru, gfp_t flags)
{
	return take(cache, flags, MMU_CALLER);
}
#endif

static void give(void *object, const void *from)
{
	if (!object)
		return;
	if (mmu_is_page(__pa(object)))
		mmu_pages_give(__pa(object), 0, from);
	else
		mmu_heap_give(object, from);
}

void kmem_cache_free(struct kmem_cache *cache, void *object)
{
	give(object, MMU_CALLER);
}

#if HAS_PROFILED_ALLOCATORS
/* All or nothing. */
typeof(kmem_cache_alloc_bulk_noprof(NULL, 0, 0, NULL))
kmem_cache_alloc_bulk_noprof(struct kmem_cache *cache, gfp_t flags, size_t count, void **objects)
{
	size_t i;

	for (i = 0; i < count; i++) {
		objects[i] = take(cache, flags, MMU_CALLER);
		if (objects[i])
			continue;
		while (i)
			give(objects[--i], MMU_CALLER);
		return 0;
	}
	return count;
}
#endif

void kmem_cache_free_bulk(struct kmem_cache *cache, size_t count, void **objects)
{
	size_t i;

	for (i = 0; i < count; i++)
		give(objects[i], MMU_CALLER);
}

#ifdef KMEM_CACHE_USERCOPY
#ifdef kmem_cache_create
struct kmem_cache *__kmem_cache_create_args(const char *name, unsigned int size,
					    struct kmem_cache_args *args, slab_flags_t flags)
{
	struct kmem_cache *cache = kzalloc(sizeof(*cache), GFP_KERNEL);

	if (!cache)
		return NULL;
	cache->size = size;
	cache->pages = size == PAGE_SIZE && args->align == PAGE_SIZE;
	cache->build = args->ctor;
	return cache;
}
#endif
#endif

void kmem_cache_destroy(struct kmem_cache *cache)
{
	kfree(cache);
}

/* -- nodes of xarrays ----------------------------------------------------------------- */

static void build_node(void *object)
{
	struct radix_tree_node *node = object;

	memset(node, 0, sizeof(*node));
	INIT_LIST_HEAD(&node->private_list);
}

static struct kmem_cache nodes = {
	.size = sizeof(struct radix_tree_node),
	.build = build_node,
};
struct kmem_cache *radix_tree_node_cachep = &nodes;

void radix_tree_node_rcu_free(struct rcu_head *head);
void radix_tree_node_rcu_free(struct rcu_head *head)
{
	give(container_of(head, struct radix_tree_node, rcu_head), MMU_CALLER);
}
