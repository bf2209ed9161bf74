// SPDX-License-Identifier: MIT
/* kmalloc and its kin, over the harness's private heap. */
#include <linux/slab.h>
#include <linux/string.h>

#include "../harness.h"

/* Only indexed by inline functions: the caches in it are never looked into. */
typeof(kmalloc_caches) kmalloc_caches;

static void *take(size_t size, gfp_t flags)
{
	return mmu_heap_take(size, !!(flags & __GFP_ZERO));
}

#ifdef alloc_hooks
void *__kmalloc_noprof(size_t size, gfp_t flags)
{
	return take(size, flags);
}

void *__kmalloc_cache_noprof(struct kmem_cache *cache, gfp_t flags, size_t size)
{
	return take(size, flags);
}

#ifdef DECL_BUCKET_PARAMS
void *__kvmalloc_node_noprof(DECL_BUCKET_PARAMS(size, buckets), gfp_t flags, int node)
{
	return take(size, flags);
}
#endif
#else
void *__kmalloc(size_t size, gfp_t flags)
{
	return take(size, flags);
}

void *kvmalloc_node(size_t size, gfp_t flags, int node)
{
	return take(size, flags);
}

void *kmalloc_trace(struct kmem_cache *cache, gfp_t flags, size_t size)
{
	return take(size, flags);
}
#endif

static void give(const void *object, const void *from)
{
	if (!ZERO_OR_NULL_PTR(object))
		mmu_heap_give(object, from);
}

void kfree(const void *object)
{
	give(object, MMU_CALLER);
}

void kvfree(const void *object)
{
	give(object, MMU_CALLER);
}

/* What is asked for is what there is. */
size_t kmalloc_size_roundup(size_t size)
{
	return size;
}
