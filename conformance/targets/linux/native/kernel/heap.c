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
#else
void *__kmalloc(size_t size, gfp_t flags)
{
	return take(size, flags);
}

void *kmalloc_trace(struct kmem_cache *cache, gfp_t flags, size_t size)
{
	return take(size, flags);
}
#endif

void kfree(const void *object)
{
	if (!ZERO_OR_NULL_PTR(object))
		mmu_heap_give(object, MMU_CALLER);
}
