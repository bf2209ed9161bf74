// SPDX-License-Identifier: MIT
/*
 * DMA mapping for a device that sees physical addresses as they are. Handing
 * memory to the device writes back its cache lines, which is what a table
 * walker that does not snoop waits for; taking it back does nothing.
 */
#include <linux/dma-mapping.h>
#include <linux/mm.h>

#include "../harness.h"

static void clean(dma_addr_t address, size_t size, enum dma_data_direction direction,
		  const void *from)
{
	if (direction != DMA_FROM_DEVICE)
		mmu_emit(MMU_CLEAN, address, size, 0, from);
}

dma_addr_t dma_map_page_attrs(struct device *dev, struct page *page, size_t offset, size_t size,
			      enum dma_data_direction direction, unsigned long attributes)
{
	dma_addr_t address = page_to_phys(page) + offset;

	clean(address, size, direction, MMU_CALLER);
	return address;
}

void dma_unmap_page_attrs(struct device *dev, dma_addr_t address, size_t size,
			  enum dma_data_direction direction, unsigned long attributes)
{
}

#ifdef CONFIG_DMA_NEED_SYNC
void __dma_sync_single_for_device(struct device *dev, dma_addr_t address, size_t size,
				  enum dma_data_direction direction)
{
	clean(address, size, direction, MMU_CALLER);
}

void __dma_sync_single_for_cpu(struct device *dev, dma_addr_t address, size_t size,
			       enum dma_data_direction direction)
{
}
#else
void dma_sync_single_for_device(struct device *dev, dma_addr_t address, size_t size,
				enum dma_data_direction direction)
{
	clean(address, size, direction, MMU_CALLER);
}

void dma_sync_single_for_cpu(struct device *dev, dma_addr_t address, size_t size,
			     enum dma_data_direction direction)
{
}
#endif

/* Checks of the DMA interface's users; the configuration needs them to keep the calls. */
void debug_dma_map_single(struct device *dev, const void *address, unsigned long size)
{
}

void debug_dma_mapping_error(struct device *dev, dma_addr_t address)
{
}
