// SPDX-License-Identifier: MIT
/* kmalloc and its kin, over the harness's private heap. */
#include <linux/slab.h>
#include <linux/string.h>

#include "tree_features.h"
#include "../harness.h"

/* Only indexed by inline functions: the caches in it are never looked into. */
typeof(kmalloc_caches) kmalloc_caches;

static void *take(size_t size, gfp_t flags)
{
	return mmu_heap_take(size, !!(flags & __GFP_ZERO));
}

static void give(const void *object, const void *from)
{
	if (!ZERO_OR_NULL_PTR(object))
		mmu_heap_give(object, from);
}

#if HAS_PROFILED_ALLOCATORS
#if HAS_KMALLOC_PARAMS
void *__kmalloc_noprof(DECL_TOKEN_PARAMS(size, token), gfp_t flags)
#else
void *__kmalloc_noprof(size_t size, gfp_t flags)
#endif
{
	return take(size, flags);
}

void *__kmalloc_cache_noprof(struct kmem_cache *cache, gfp_t flags, size_t size)
{
	return take(size, flags);
}

void *__kmalloc_large_noprof(size_t size, gfp_t flags)
{
	return take(size, flags);
}

#if HAS_KMALLOC_PARAMS
void *__kvmalloc_node_noprof(DECL_KMALLOC_PARAMS(size, buckets, token), unsigned long align,
			     gfp_t flags, int node)
{
	return take(size, flags);
}

/* Room for more, at a new place: what was there is copied. */
static void *take_again(const void *object, size_t size, gfp_t flags, const void *from)
{
	unsigned long old = object ? mmu_heap_size(object) : 0;
	void *made = take(size, flags);

	if (!made)
		return NULL;
	memcpy(made, object, min_t(size_t, old, size));
	give(object, from);
	return made;
}

void *krealloc_node_align_noprof(const void *object, DECL_TOKEN_PARAMS(size, token),
				 unsigned long align, gfp_t flags, int node)
{
	return take_again(object, size, flags, MMU_CALLER);
}

void *kvrealloc_node_align_noprof(const void *object, DECL_TOKEN_PARAMS(size, token),
				  unsigned long align, gfp_t flags, int node)
{
	return take_again(object, size, flags, MMU_CALLER);
}
#elif HAS_BUCKET_PARAMS
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
