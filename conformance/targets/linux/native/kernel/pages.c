// SPDX-License-Identifier: MIT
/* The kernel's page allocator, over the harness's arena. */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/vmstat.h>

#include "tree_features.h"
#include "../harness.h"

/* Data of the kernel that inline functions use. */
unsigned long uml_physmem;
struct page *mem_map;
typeof(contig_page_data) contig_page_data;
typeof(vm_node_stat) vm_node_stat;
typeof(vm_zone_stat) vm_zone_stat;

static struct page *take(gfp_t gfp, unsigned int order, const void *from)
{
	mmu_u64 pa = mmu_pages_take(order, !!(gfp & __GFP_ZERO), from);

	return pa ? pfn_to_page(pa >> PAGE_SHIFT) : NULL;
}

static unsigned long address(struct page *page)
{
	return page ? (unsigned long)page_address(page) : 0;
}

static void give(struct page *page, unsigned int order, const void *from)
{
	mmu_pages_give((mmu_u64)page_to_pfn(page) << PAGE_SHIFT, order, from);
}

#if HAS_PROFILED_ALLOCATORS
#if HAS_PAGES_BY_NODE
struct page *alloc_pages_node_noprof(int node, gfp_t gfp, unsigned int order)
#else
struct page *__alloc_pages_noprof(gfp_t gfp, unsigned int order, int node, nodemask_t *mask)
#endif
{
	return take(gfp, order, MMU_CALLER);
}

unsigned long get_free_pages_noprof(gfp_t gfp, unsigned int order)
{
	return address(take(gfp, order, MMU_CALLER));
}

unsigned long get_zeroed_page_noprof(gfp_t gfp)
{
	return address(take(gfp | __GFP_ZERO, 0, MMU_CALLER));
}
#else
struct page *__alloc_pages(gfp_t gfp, unsigned int order, int node, nodemask_t *mask)
{
	return take(gfp, order, MMU_CALLER);
}

unsigned long __get_free_pages(gfp_t gfp, unsigned int order)
{
	return address(take(gfp, order, MMU_CALLER));
}

unsigned long get_zeroed_page(gfp_t gfp)
{
	return address(take(gfp | __GFP_ZERO, 0, MMU_CALLER));
}
#endif

void __free_pages(struct page *page, unsigned int order)
{
	give(page, order, MMU_CALLER);
}

void free_pages(unsigned long start, unsigned int order)
{
	if (start)
		give(virt_to_page((void *)start), order, MMU_CALLER);
}

bool is_vmalloc_addr(const void *at)
{
	return false;
}
