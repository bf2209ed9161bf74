// SPDX-License-Identifier: MIT
/*
 * Memory that is mapped: of the device, or of the processor, which the driver is
 * given as a list of addresses or as a scatter list. Where it lies follows from
 * what was asked for, see reference/physical_layout.py.
 */
#include <linux/scatterlist.h>

#include "nvkm.h"

#include <core/client.h>
#include <core/mm.h>
#include <subdev/fb.h>

enum target { VRAM, HOST, NCOH, TARGETS };

#define VRAM_START 0x40000000ULL
#define VRAM_END 0x80000000ULL    /* tables lie behind it */
#define SYSTEM_START 0x100000000ULL
#define SYSTEM_LARGEST (1ULL << 30)
#define LARGE_PAGE (2ULL << 20)
#define LARGEST_SHIFT 27

struct piece {
	mmu_u64 pa;
	mmu_u64 size;
};

struct memory {
	struct nvkm_memory base;
	struct memory *next;      /* in the list of all of them */
	mmu_u64 number;
	bool dropped;
	unsigned int told;        /* references */
	enum target target;
	u8 page;
	mmu_u64 size;
	struct nvkm_mm_node *nodes;
	struct scatterlist *scatter;
	dma_addr_t *addresses;
};

static struct memory *memories;
static mmu_u64 count;             /* made so far; numbers are not used again */
static mmu_u64 vram_next, system_next;

static struct memory **last(void)
{
	struct memory **at = &memories;

	while (*at)
		at = &(*at)->next;
	return at;
}

static struct memory *to_memory(struct nvkm_memory *memory)
{
	return container_of(memory, struct memory, base);
}

static enum nvkm_memory_target memory_target(struct nvkm_memory *memory)
{
	static const enum nvkm_memory_target targets[] = {
		[VRAM] = NVKM_MEM_TARGET_VRAM,
		[HOST] = NVKM_MEM_TARGET_HOST,
		[NCOH] = NVKM_MEM_TARGET_NCOH,
	};

	return targets[to_memory(memory)->target];
}

static u8 memory_page(struct nvkm_memory *memory)
{
	return to_memory(memory)->page;
}

static u64 memory_address(struct nvkm_memory *memory)
{
	return ~0ULL;
}

static u64 memory_size(struct nvkm_memory *memory)
{
	return to_memory(memory)->size;
}

static int memory_map(struct nvkm_memory *memory, u64 offset, struct nvkm_vmm *vmm,
		      struct nvkm_vma *vma, void *argv, u32 argc)
{
	struct nvkm_vmm_map map = {
		.memory = memory,
		.offset = offset,
		.mem = to_memory(memory)->nodes,
		.sgl = to_memory(memory)->scatter,
		.dma = to_memory(memory)->addresses,
	};

	return nvkm_vmm_map(vmm, vma, argv, argc, &map);
}

/* The last reference went. */
static void *end_memory(struct nvkm_memory *base)
{
	struct memory *memory = to_memory(base);
	struct memory **at = &memories;

	while (*at != memory)
		at = &(*at)->next;
	*at = memory->next;
	mmu_emit(MMU_REFS, MMU_REFS_BUFFER, memory->number, 0, NULL);
	kvfree(memory->nodes);
	kvfree(memory->scatter);
	kvfree(memory->addresses);
	return memory;
}

static const struct nvkm_memory_func functions = {
	.dtor = end_memory,
	.target = memory_target,
	.page = memory_page,
	.addr = memory_address,
	.size = memory_size,
	.map = memory_map,
};

/* -- what the driver is given --------------------------------------------------------- */

static struct piece piece_at(mmu_u64 pa, mmu_u64 size, mmu_u64 bytes, mmu_u64 number)
{
	return (struct piece){
		.pa = pa + number * 2 * bytes,
		.size = min(bytes, size - number * bytes),
	};
}

static int fill_nodes(struct memory *memory, mmu_u64 pa, mmu_u64 bytes, mmu_u64 pieces)
{
	mmu_u64 i;

	memory->nodes = kvcalloc(pieces, sizeof(*memory->nodes), GFP_KERNEL);
	if (!memory->nodes)
		return -ENOMEM;
	for (i = 0; i < pieces; i++) {
		struct piece piece = piece_at(pa, memory->size, bytes, i);

		memory->nodes[i].offset = piece.pa >> NVKM_RAM_MM_SHIFT;
		memory->nodes[i].length = piece.size >> NVKM_RAM_MM_SHIFT;
		memory->nodes[i].next = i + 1 < pieces ? &memory->nodes[i + 1] : NULL;
	}
	return 0;
}

static int fill_scatter(struct memory *memory, mmu_u64 pa, mmu_u64 bytes, mmu_u64 pieces)
{
	mmu_u64 i;

	memory->scatter = kvcalloc(pieces, sizeof(*memory->scatter), GFP_KERNEL);
	if (!memory->scatter)
		return -ENOMEM;
	sg_init_table(memory->scatter, pieces);
	for (i = 0; i < pieces; i++) {
		struct piece piece = piece_at(pa, memory->size, bytes, i);

		sg_dma_address(&memory->scatter[i]) = piece.pa;
		sg_dma_len(&memory->scatter[i]) = piece.size;
	}
	return 0;
}

static int fill_addresses(struct memory *memory, mmu_u64 pa)
{
	mmu_u64 i;

	memory->addresses = kvcalloc(memory->size >> PAGE_SHIFT, sizeof(dma_addr_t), GFP_KERNEL);
	if (!memory->addresses)
		return -ENOMEM;
	for (i = 0; i < memory->size >> PAGE_SHIFT; i++)
		memory->addresses[i] = pa + (i << PAGE_SHIFT);
	return 0;
}

static int fill(struct memory *memory, mmu_u64 pa, mmu_u64 bytes, mmu_u64 pieces, bool scattered)
{
	if (memory->target == VRAM)
		return fill_nodes(memory, pa, bytes, pieces);
	return scattered ? fill_scatter(memory, pa, bytes, pieces) : fill_addresses(memory, pa);
}

/* `piece`: pages in each piece; 0: it is in whole. */
mmu_s64 make_memory(mmu_u64 target, mmu_u64 size, mmu_u64 page, mmu_u64 piece, mmu_u64 *value)
{
	mmu_u64 bytes, pieces, align, start, end;
	mmu_u64 *next = target == VRAM ? &vram_next : &system_next;
	struct memory *memory;
	int result;

	if (target >= TARGETS || page < PAGE_SHIFT || page > LARGEST_SHIFT || !size ||
	    !IS_ALIGNED(size, 1ULL << page) || (target != VRAM && page != PAGE_SHIFT) ||
	    piece > SYSTEM_LARGEST >> page)
		return -EINVAL;
	if (size > SYSTEM_LARGEST)
		return -ENOSPC;
	vram_next = max(vram_next, VRAM_START);
	system_next = max(system_next, SYSTEM_START);
	bytes = piece ? piece << page : size;
	pieces = DIV_ROUND_UP_ULL(size, bytes);
	align = max(LARGE_PAGE, 1ULL << page);
	start = ALIGN(*next, align) + (piece ? 1ULL << page : 0);
	end = start + (piece ? 2 * pieces * bytes : size);
	if (target == VRAM && end > VRAM_END)
		return -ENOSPC;
	memory = kzalloc(sizeof(*memory), GFP_KERNEL);
	if (!memory)
		return -ENOMEM;
	memory->target = target;
	memory->page = page;
	memory->size = size;
	result = fill(memory, start, bytes, pieces, piece != 0);
	if (result) {
		kfree(memory);
		return result;
	}
	nvkm_memory_ctor(&functions, &memory->base);
	memory->number = count++;
	*last() = memory;
	*next = end;
	*value = memory->number;
	return 0;
}

/* -- who uses it ------------------------------------------------------------------------ */

static struct memory *find(mmu_u64 number)
{
	struct memory *memory = memories;

	while (memory && memory->number != number)
		memory = memory->next;
	return memory && !memory->dropped ? memory : NULL;
}

struct nvkm_memory *get_memory(mmu_u64 number)
{
	struct memory *memory = find(number);

	return memory ? nvkm_memory_ref(&memory->base) : NULL;
}

/* Its owner gives it up: it lives on as long as something is mapped to it. */
mmu_s64 drop_memory(mmu_u64 number)
{
	struct memory *memory = find(number);
	struct nvkm_memory *base;

	if (!memory)
		return -ENOENT;
	memory->dropped = true;
	base = &memory->base;
	nvkm_memory_unref(&base);
	return 0;
}

/* The references that have changed, in the order of the memories. */
void tell_references(void)
{
	struct memory *memory;

	for (memory = memories; memory; memory = memory->next) {
		unsigned int references = kref_read(&memory->base.kref);

		if (references == memory->told)
			continue;
		memory->told = references;
		mmu_emit(MMU_REFS, MMU_REFS_BUFFER, memory->number, references, NULL);
	}
}

/* A client names memory by a handle; no handle is 0. */
struct nvkm_memory *nvkm_umem_search(struct nvkm_client *client, u64 handle)
{
	struct nvkm_memory *memory = get_memory(handle - 1);

	return memory ? memory : ERR_PTR(-ENOENT);
}
