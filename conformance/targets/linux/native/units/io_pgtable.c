// SPDX-License-Identifier: MIT
/*
 * One page table of io-pgtable, and the two around it: the device, which
 * flushes, and the caller, who gathers pages to be flushed.
 *
 * The device behaves like one with range invalidations: a flush makes earlier
 * stores visible, is issued, and has completed when it returns.
 */
#include <linux/device.h>
#include <linux/errno.h>
#include <linux/io-pgtable.h>
#include <linux/iommu.h>

#include "../harness.h"

enum operation { CREATE, MAP, UNMAP, TRANSLATE, SYNC, FLUSH, DESTROY };
enum format { LPAE_S1, LPAE_MALI, DART1, DART2 };

#define ROOTS 4
#define PAGE_MASK_4K 0xfffULL

static struct device device;

static struct {
	struct io_pgtable_ops *ops;
	struct io_pgtable_cfg cfg;
	struct iommu_domain domain;
	struct iommu_iotlb_gather gather; /* the caller's, of all its unmaps since its last sync */
	mmu_u64 root[ROOTS];
	unsigned int roots;
	mmu_u64 ticket;
	unsigned int cause; /* why the gather is flushed, if it is */
	const void *from;   /* who asked for that */
} table;

/* -- the device ----------------------------------------------------------------------- */

static void invalidate(mmu_u64 first, mmu_u64 last, unsigned int scope, unsigned int cause,
		       const void *from)
{
	mmu_u64 ticket = ++table.ticket;

	mmu_emit(MMU_BARRIER, MMU_FULL_BARRIER, 0, 0, from);
	mmu_emit(MMU_INVALIDATE, first, last, scope | cause << 8 | ticket << 16, from);
	mmu_emit(MMU_COMPLETE, ticket, 0, 0, from);
}

static void flush_all(void *cookie)
{
	invalidate(0, ~0ULL, MMU_SCOPE_LEAF | MMU_SCOPE_WALK, MMU_CAUSE_ALL, MMU_CALLER);
}

static void flush_walk(unsigned long iova, size_t size, size_t granule, void *cookie)
{
	invalidate(iova, iova + size - 1, MMU_SCOPE_LEAF | MMU_SCOPE_WALK, MMU_CAUSE_WALK,
		   MMU_CALLER);
}

static void add_page(struct iommu_iotlb_gather *gather, unsigned long iova, size_t granule,
		     void *cookie)
{
	mmu_emit(MMU_GATHER, iova, granule, 0, MMU_CALLER);
	table.cause = MMU_CAUSE_GATHER;
	table.from = MMU_CALLER;
	iommu_iotlb_gather_add_page(&table.domain, gather, iova, granule);
}

static void sync_gather(struct iommu_domain *domain, struct iommu_iotlb_gather *gather)
{
	if (gather->pgsize)
		invalidate(gather->start, gather->end, MMU_SCOPE_LEAF, table.cause, table.from);
}

static const struct iommu_flush_ops flush_ops = {
	.tlb_flush_all = flush_all,
	.tlb_flush_walk = flush_walk,
	.tlb_add_page = add_page,
};

static const struct iommu_domain_ops domain_ops = {
	.iotlb_sync = sync_gather,
};

/* -- the operations ------------------------------------------------------------------- */

/* Where each format says that its root tables are. */
static void find_roots(enum format format)
{
	unsigned int i;

	table.roots = 1;
	if (format == LPAE_S1) {
		table.root[0] = table.cfg.arm_lpae_s1_cfg.ttbr;
	} else if (format == LPAE_MALI) {
		table.root[0] = table.cfg.arm_mali_lpae_cfg.transtab & ~PAGE_MASK_4K;
	} else {
		table.roots = table.cfg.apple_dart_cfg.n_ttbrs;
		for (i = 0; i < table.roots; i++)
			table.root[i] = table.cfg.apple_dart_cfg.ttbr[i];
	}
}

static mmu_s64 create(const mmu_u64 *argument)
{
	static const enum io_pgtable_fmt formats[] = {
		[LPAE_S1] = ARM_64_LPAE_S1,
		[LPAE_MALI] = ARM_MALI_LPAE,
		[DART1] = APPLE_DART,
		[DART2] = APPLE_DART2,
	};
	enum format format = argument[0];
	unsigned int i;

	memset(&table, 0, sizeof(table));
	table.cfg.ias = argument[1];
	table.cfg.oas = argument[2];
	table.cfg.pgsize_bitmap = argument[3];
	table.cfg.coherent_walk = argument[4];
	table.cfg.tlb = &flush_ops;
	table.cfg.iommu_dev = &device;
	table.domain.ops = &domain_ops;
	iommu_iotlb_gather_init(&table.gather);
	mmu_fail_pages(argument[5]);
	table.ops = alloc_io_pgtable_ops(formats[format], &table.cfg, &table);
	if (!table.ops)
		return mmu_pages_failed() ? -ENOMEM : -EINVAL;
	find_roots(format);
	for (i = 0; i < table.roots; i++)
		mmu_emit(MMU_ATTACH, table.root[i], i, 0, NULL);
	return 0;
}

static mmu_s64 map(const mmu_u64 *argument, mmu_u64 *value)
{
	size_t mapped = 0;
	int result;

	mmu_fail_pages(argument[5]);
	result = table.ops->map_pages(table.ops, argument[0], argument[1], argument[2], argument[3],
				      argument[4], GFP_KERNEL, &mapped);
	*value = mapped;
	return result;
}

static mmu_s64 unmap(const mmu_u64 *argument, mmu_u64 *value)
{
	struct iommu_iotlb_gather queued;
	struct iommu_iotlb_gather *gather = &table.gather;

	if (argument[3]) {
		iommu_iotlb_gather_init(&queued);
		queued.queued = true;
		gather = &queued;
	}
	mmu_fail_pages(argument[4]);
	*value = table.ops->unmap_pages(table.ops, argument[0], argument[1], argument[2], gather);
	return 0;
}

static void destroy(void)
{
	unsigned int i;

	for (i = 0; i < table.roots; i++)
		mmu_emit(MMU_DETACH, table.root[i], i, 0, NULL);
	free_io_pgtable_ops(table.ops);
	table.ops = NULL;
}

static void run(const struct mmu_call *call, struct mmu_result *result)
{
	const mmu_u64 *argument = call->argument;

	switch ((enum operation)call->operation) {
	case CREATE:
		result->result = create(argument);
		break;
	case MAP:
		result->result = map(argument, &result->value);
		break;
	case UNMAP:
		result->result = unmap(argument, &result->value);
		break;
	case TRANSLATE:
		result->value = table.ops->iova_to_phys(table.ops, argument[0]);
		break;
	case SYNC:
		table.cause = MMU_CAUSE_SYNC;
		table.from = NULL;
		iommu_iotlb_sync(&table.domain, &table.gather);
		break;
	case FLUSH:
		invalidate(0, ~0ULL, MMU_SCOPE_LEAF | MMU_SCOPE_WALK, MMU_CAUSE_QUEUE, NULL);
		break;
	case DESTROY:
		destroy();
		break;
	}
}

MMU_EXPORT void mmu_pagetable_call(const struct mmu_call *call, struct mmu_result *result);
void mmu_pagetable_call(const struct mmu_call *call, struct mmu_result *result)
{
	mmu_guard(run, call, result);
}
