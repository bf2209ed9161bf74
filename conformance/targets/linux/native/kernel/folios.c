// SPDX-License-Identifier: MIT
/*
 * Folios, which newer trees allocate tables as: a block of pages that knows its
 * own size. They are asked for by a helper of the kernel; the place of the event
 * is the function that called that helper (every frame has a frame pointer).
 */
#include <linux/gfp.h>
#include <linux/mm.h>

#include "tree_features.h"
#include "../harness.h"

#if HAS_PROFILED_ALLOCATORS
#include <../mm/internal.h>

#define ASKED_BY __builtin_return_address(1)

struct folio *__folio_alloc_noprof(gfp_t gfp, unsigned int order, int node, nodemask_t *mask)
{
	mmu_u64 pa = mmu_pages_take(order, !!(gfp & __GFP_ZERO), ASKED_BY);
	struct page *page;

	if (!pa)
		return NULL;
	page = pfn_to_page(pa >> PAGE_SHIFT);
	memset(page, 0, sizeof(*page) << order);
	set_page_count(page, 1);
	if (order) {
		__SetPageHead(page);
		prep_compound_head(page, order);
	}
	return page_folio(page);
}

/* Trees whose table pages know whether the walker snoops free them by a helper of the helper. */
#if HAS_INCOHERENT_PAGES
#define FREED_BY __builtin_return_address(2)
#else
#define FREED_BY __builtin_return_address(1)
#endif

/* The last reference went. */
void __folio_put(struct folio *folio)
{
	mmu_pages_give((mmu_u64)folio_pfn(folio) << PAGE_SHIFT, folio_order(folio), FREED_BY);
}
#endif
