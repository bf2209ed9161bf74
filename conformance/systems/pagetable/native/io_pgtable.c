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

#include "harness.h"
#include "operations.h"

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
static void find_roots(enum io_pgtable_fmt format)
{
	unsigned int i;

	table.roots = 1;
	if (format == ARM_64_LPAE_S1) {
		table.root[0] = table.cfg.arm_lpae_s1_cfg.ttbr;
	} else if (format == ARM_MALI_LPAE) {
		table.root[0] = table.cfg.arm_mali_lpae_cfg.transtab & ~PAGE_MASK_4K;
	} else {
		table.roots = table.cfg.apple_dart_cfg.n_ttbrs;
		for (i = 0; i < table.roots; i++)
			table.root[i] = table.cfg.apple_dart_cfg.ttbr[i];
	}
}

/* What the kernel calls a format; one of 16K pages and one of 4K are the same to it. */
static enum io_pgtable_fmt kernel_format(enum mmu_create_format format)
{
	switch (format) {
	case MMU_CREATE_FORMAT_LPAE_S1:
		return ARM_64_LPAE_S1;
	case MMU_CREATE_FORMAT_LPAE_MALI:
		return ARM_MALI_LPAE;
	case MMU_CREATE_FORMAT_DART1_16K:
	case MMU_CREATE_FORMAT_DART1_4K:
		return APPLE_DART;
	case MMU_CREATE_FORMAT_DART2_16K:
		return APPLE_DART2;
	default:
		return IO_PGTABLE_NUM_FMTS;
	}
}

static mmu_s64 create(const mmu_u64 *argument)
{
	enum io_pgtable_fmt format = kernel_format(argument[MMU_ARG_CREATE_FORMAT]);
	unsigned int i;

	memset(&table, 0, sizeof(table));
	table.cfg.ias = argument[MMU_ARG_CREATE_IAS];
	table.cfg.oas = argument[MMU_ARG_CREATE_OAS];
	table.cfg.pgsize_bitmap = argument[MMU_ARG_CREATE_PGSIZES];
	table.cfg.coherent_walk = argument[MMU_ARG_CREATE_COHERENT];
	table.cfg.tlb = &flush_ops;
	table.cfg.iommu_dev = &device;
	table.domain.ops = &domain_ops;
	iommu_iotlb_gather_init(&table.gather);
	mmu_fail_pages(argument[MMU_ARG_CREATE_FAIL_AT]);
	table.ops = alloc_io_pgtable_ops(format, &table.cfg, &table);
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

	mmu_fail_pages(argument[MMU_ARG_MAP_FAIL_AT]);
	result = table.ops->map_pages(table.ops, argument[MMU_ARG_MAP_IOVA], argument[MMU_ARG_MAP_PA],
				      argument[MMU_ARG_MAP_PGSIZE], argument[MMU_ARG_MAP_PGCOUNT],
				      argument[MMU_ARG_MAP_PROT], GFP_KERNEL, &mapped);
	*value = mapped;
	return result;
}

static mmu_s64 unmap(const mmu_u64 *argument, mmu_u64 *value)
{
	struct iommu_iotlb_gather queued;
	struct iommu_iotlb_gather *gather = &table.gather;

	if (argument[MMU_ARG_UNMAP_GATHER] == MMU_UNMAP_GATHER_QUEUED) {
		iommu_iotlb_gather_init(&queued);
		queued.queued = true;
		gather = &queued;
	}
	mmu_fail_pages(argument[MMU_ARG_UNMAP_FAIL_AT]);
	*value = table.ops->unmap_pages(table.ops, argument[MMU_ARG_UNMAP_IOVA],
					argument[MMU_ARG_UNMAP_PGSIZE],
					argument[MMU_ARG_UNMAP_PGCOUNT], gather);
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

	switch ((enum mmu_operation)call->operation) {
	case MMU_OP_CREATE:
		result->result = create(argument);
		break;
	case MMU_OP_MAP:
		result->result = map(argument, &result->value);
		break;
	case MMU_OP_UNMAP:
		result->result = unmap(argument, &result->value);
		break;
	case MMU_OP_TRANSLATE:
		result->value = table.ops->iova_to_phys(table.ops, argument[MMU_ARG_TRANSLATE_IOVA]);
		break;
	case MMU_OP_SYNC:
		table.cause = MMU_CAUSE_SYNC;
		table.from = NULL;
		iommu_iotlb_sync(&table.domain, &table.gather);
		break;
	case MMU_OP_FLUSH:
		invalidate(0, ~0ULL, MMU_SCOPE_LEAF | MMU_SCOPE_WALK, MMU_CAUSE_QUEUE, NULL);
		break;
	case MMU_OP_RELEASE: /* what the caller does next is no business of the table */
		break;
	case MMU_OP_DESTROY:
		destroy();
		break;
	}
}

MMU_EXPORT void mmu_pagetable_call(const struct mmu_call *call, struct mmu_result *result);
void mmu_pagetable_call(const struct mmu_call *call, struct mmu_result *result)
{
	mmu_guard(run, call, result);
}
