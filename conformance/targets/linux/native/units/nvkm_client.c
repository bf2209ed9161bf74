// SPDX-License-Identifier: MIT
/*
 * A client of the driver, which makes an address space and uses it through the
 * methods that the driver offers to clients (uvmm.c): the driver's own checks
 * are part of what is judged.
 */
#include "nvkm.h"

#include <core/client.h>
#include <core/object.h>

#include <nvif/if900d.h>
#include <nvif/ifb00d.h>
#include <nvif/ifc00d.h>

#include <../drivers/gpu/drm/nouveau/nvkm/subdev/mmu/ummu.h>
#include <../drivers/gpu/drm/nouveau/nvkm/subdev/mmu/uvmm.h>

enum operation {
	CREATE, MEMORY, DROP, GET, PUT, MAP, MAP_PART, UNMAP, PFN_MAP, PFN_UNMAP, RAW_GET, RAW_PUT,
	RAW_MAP, RAW_UNMAP, RAW_SPARSE, JOIN, PART, BOOT, REPLAY, STICK, DESTROY,
};

#define ANY_ALLOCATION 1000       /* failures above it count all allocations, not just tables */
#define PAGES_AT_ONCE 0x4000      /* that one operation can name */
#define LARGEST_BOOT (1ULL << 30)
#define MAP_ARGUMENTS sizeof(struct gf100_vmm_map_v0)

/* Where the pages are that are mapped one by one; the address says which it is. */
#define PFN_VRAM 0x60000000ULL
#define PFN_HOST 0x200000000ULL
#define PFN_BYTES 0x10000000ULL

static struct nvkm_client client;
static struct nvkm_ummu parent;
static struct nvkm_object *object;      /* the client's, for the address space */
static struct nvkm_memory *instance;    /* that the address space is joined to */
struct nvkm_vmm *space;

/* -- failures ------------------------------------------------------------------------- */

static void let_fail(mmu_u64 which)
{
	begin_device(which < ANY_ALLOCATION ? which : 0);
	if (which > ANY_ALLOCATION)
		mmu_fail_from_here(which - ANY_ALLOCATION);
}

static int method(u32 number, void *argument, u32 size, mmu_u64 failing)
{
	int result;

	if (!object)
		return -ENODEV;
	let_fail(failing);
	result = nvkm_object_mthd(object, number, argument, size);
	mmu_fail_from_here(0);
	return result;
}

/* -- the address space ---------------------------------------------------------------- */

#ifdef NVIF_VMM_V0_RAW
static u8 kind_of(bool managed, bool raw)
{
	if (raw)
		return NVIF_VMM_V0_TYPE_RAW;
	return managed ? NVIF_VMM_V0_TYPE_MANAGED : NVIF_VMM_V0_TYPE_UNMANAGED;
}
#define KIND type
#else
static u8 kind_of(bool managed, bool raw)
{
	return managed;
}
#define KIND managed
#endif

/* The parts of the address space that are the client's own from the start. */
static void number_client_areas(void)
{
	struct nvkm_vma *vma;

	list_for_each_entry(vma, &space->list, head)
		if (vma->used)
			add_area(vma->addr, vma->size);
}

struct request {
	struct nvif_vmm_v0 of_all;
	union {
		struct gm200_vmm_v0 of_maxwell;
		struct gp100_vmm_v0 of_pascal;
	};
} __packed;

/* What is left of one that could not be made goes as the driver has it go. */
static mmu_s64 make_space(struct nvkm_mmu *mmu, struct request *request, u32 size)
{
	struct nvkm_oclass class = {
		.base = mmu->func->vmm.user,
		.client = &client,
		.parent = &parent.object,
	};
	int result;

	parent.mmu = mmu;
	result = nvkm_uvmm_new(&class, request, size, &object);
	if (result) {
		nvkm_object_del(&object);
		object = NULL;
		return result;
	}
	space = nvkm_uvmm(object)->vmm;
	return 0;
}

/* The argument words: chip, big, managed, start, size, raw, replay, fail_at. */
static mmu_s64 create(const mmu_u64 *argument)
{
	struct request request = {
		.of_all = {
			.KIND = kind_of(argument[2], argument[5]),
			.addr = argument[3],
			.size = argument[4],
		},
	};
	u32 size = argument[0] >= MAXWELL ? sizeof(request) : sizeof(request.of_all);
	struct nvkm_mmu *mmu;
	int result;

	if (object)
		return -EBUSY;
	if (argument[0] > PASCAL || (argument[1] != 16 && argument[1] != 17) ||
	    (argument[0] == PASCAL && argument[1] != 16) || (argument[0] != PASCAL && argument[6]))
		return -EINVAL;
#ifndef NVIF_VMM_V0_RAW
	if (argument[5])
		return -EOPNOTSUPP;
#endif
	if (argument[0] == MAXWELL)
		request.of_maxwell.bigpage = argument[1];
	else if (argument[0] == PASCAL)
		request.of_pascal.fault_replay = !!argument[6];
	client.object.client = &client;
	mmu = mmu_of(argument[0], argument[1], &result);
	if (result)
		return result;
	let_fail(argument[7]);
	result = make_space(mmu, &request, size);
	mmu_fail_from_here(0);
	if (!result)
		number_client_areas();
	return result;
}

/* -- the instance block --------------------------------------------------------------- */

static mmu_s64 join(mmu_u64 *value)
{
	int result;

	if (instance)
		return -EBUSY;
	instance = make_instance();
	if (!instance)
		return -ENOMEM;
	*value = nvkm_memory_addr(instance);
	result = nvkm_vmm_join(space, instance);
	end_device();
	if (!result)
		mmu_emit(MMU_ATTACH, space->pd->pt[0]->addr, 0, 0, NULL);
	return result;
}

static mmu_s64 part(void)
{
	if (!instance)
		return -EINVAL;
	nvkm_vmm_part(space, instance);
	end_device();
	mmu_emit(MMU_DETACH, space->pd->pt[0]->addr, 0, 0, NULL);
	mmu_emit(MMU_FREE, nvkm_memory_addr(instance), nvkm_memory_size(instance), 0, NULL);
	nvkm_memory_unref(&instance);
	return 0;
}

/* As the driver does for the address space of a BAR. */
static mmu_s64 boot(mmu_u64 failing)
{
	int result;

	if (space->limit - space->start > LARGEST_BOOT || space->bootstrapped)
		return -EINVAL;
	let_fail(failing);
	atomic_inc(&space->engref[NVKM_SUBDEV_BAR]);
	result = nvkm_vmm_boot(space);
	mmu_fail_from_here(0);
	return result;
}

static void destroy(void)
{
	if (instance)
		part();
	nvkm_object_del(&object);
	object = NULL;
	space = NULL;
	drop_areas();
}

/* -- areas of it ------------------------------------------------------------------------ */

/* The argument words: getref, mapref, sparse, shift, align, size, fail_at. */
static mmu_s64 get(const mmu_u64 *argument, mmu_u64 *value)
{
	struct nvif_vmm_get_v0 request = {
		.type = argument[0] ? NVIF_VMM_GET_V0_PTES :
			argument[1] ? NVIF_VMM_GET_V0_ADDR : NVIF_VMM_GET_V0_LAZY,
		.sparse = !!argument[2],
		.page = argument[3],
		.align = argument[4],
		.size = argument[5],
	};
	struct nvkm_vma *vma;
	int result;

	/* Fields of requests are bytes. */
	if (argument[3] > 63 || argument[4] > 63)
		return -EINVAL;
	if (!is_room_for_area())
		return -E2BIG;
	result = method(NVIF_VMM_V0_GET, &request, sizeof(request), argument[6]);
	if (result)
		return result;
	*value = request.addr;
	vma = nvkm_vmm_node_search(space, request.addr);
	add_area(request.addr, vma ? vma->size : argument[5]);
	return 0;
}

static mmu_s64 put(mmu_u64 number)
{
	struct area *area = area_of(number);
	struct nvif_vmm_put_v0 request = {};
	int result;

	if (!area)
		return -ENOENT;
	request.addr = area->first;
	result = method(NVIF_VMM_V0_PUT, &request, sizeof(request), 0);
	if (!result)
		drop_area(number);
	return result;
}

/* kind, ro, priv, vol; none of them: no arguments. Returns how many bytes they take. */
static u32 map_arguments(struct gf100_vmm_map_v0 *to, const mmu_u64 *argument)
{
	*to = (struct gf100_vmm_map_v0){
		.kind = argument[0],
		.ro = argument[1],
		.priv = argument[2],
		.vol = argument[3],
	};
	return argument[0] || argument[1] || argument[2] || argument[3] ? sizeof(*to) : 0;
}

/* The argument words: vma, first, size, memory, offset, kind, ro, priv, vol, fail_at. */
static mmu_s64 map_part(const mmu_u64 *argument)
{
	struct area *area = area_of(argument[0]);
	struct {
		struct nvif_vmm_map_v0 of_all;
		struct gf100_vmm_map_v0 of_chip;
	} __packed request = {};
	u32 more;

	BUILD_BUG_ON(sizeof(struct gp100_vmm_map_v0) != sizeof(request.of_chip));
	if (!area)
		return -ENOENT;
	request.of_all.addr = area->first + argument[1];
	request.of_all.size = argument[2] ? argument[2] : area->size;
	request.of_all.memory = argument[3] + 1;
	request.of_all.offset = argument[4];
	more = map_arguments(&request.of_chip, argument + 5);
	return method(NVIF_VMM_V0_MAP, &request, sizeof(request.of_all) + more, argument[9]);
}

/* The argument words: vma, memory, offset, kind, ro, priv, vol, fail_at. */
static mmu_s64 map(const mmu_u64 *argument)
{
	const mmu_u64 whole[] = {
		argument[0], 0, 0, argument[1], argument[2], argument[3], argument[4], argument[5],
		argument[6], argument[7],
	};

	return map_part(whole);
}

static mmu_s64 unmap(mmu_u64 number, mmu_u64 first)
{
	struct area *area = area_of(number);
	struct nvif_vmm_unmap_v0 request = {};

	if (!area)
		return -ENOENT;
	request.addr = area->first + first;
	return method(NVIF_VMM_V0_UNMAP, &request, sizeof(request), 0);
}

/* -- pages one by one --------------------------------------------------------------------- */

/* What a digit of a pattern stands for. */
static const u64 pages[] = {
	0,
	NVIF_VMM_PFNMAP_V0_HOST | NVIF_VMM_PFNMAP_V0_V | NVIF_VMM_PFNMAP_V0_W | NVIF_VMM_PFNMAP_V0_A,
	NVIF_VMM_PFNMAP_V0_HOST | NVIF_VMM_PFNMAP_V0_V | NVIF_VMM_PFNMAP_V0_W,
	NVIF_VMM_PFNMAP_V0_HOST | NVIF_VMM_PFNMAP_V0_V,
	NVIF_VMM_PFNMAP_V0_VRAM | NVIF_VMM_PFNMAP_V0_V | NVIF_VMM_PFNMAP_V0_W | NVIF_VMM_PFNMAP_V0_A,
	NVIF_VMM_PFNMAP_V0_VRAM | NVIF_VMM_PFNMAP_V0_V | NVIF_VMM_PFNMAP_V0_W,
	NVIF_VMM_PFNMAP_V0_VRAM | NVIF_VMM_PFNMAP_V0_V,
};

static u64 page_of(unsigned int digit, mmu_u64 address)
{
	u64 flags = digit < ARRAY_SIZE(pages) ? pages[digit] : 0;
	u64 start = flags & NVIF_VMM_PFNMAP_V0_VRAM ? PFN_VRAM : PFN_HOST;

	return flags ? flags | (start + address % PFN_BYTES) : 0;
}

static void write_pages(u64 *to, mmu_u64 count, mmu_u64 address, mmu_u64 shift, mmu_u64 pattern)
{
	unsigned int digits = pattern ? (__fls(pattern) / 4) + 1 : 1;
	mmu_u64 i;

	for (i = 0; i < count; i++)
		to[i] = page_of(pattern >> i % digits * 4 & 15, address + (i << shift));
}

/* The argument words: shift, addr, size, pattern, fail_at. The value: pages not done as asked. */
static mmu_s64 pfn_map(const mmu_u64 *argument, mmu_u64 *value)
{
	mmu_u64 shift = argument[0], address = argument[1], size = argument[2], i;
	struct nvif_vmm_pfnmap_v0 *request;
	mmu_u64 count;
	mmu_s64 result;

	if (shift > 63)
		return -EINVAL;
	count = size >> shift;
	if (count > PAGES_AT_ONCE)
		return -E2BIG;
	request = kvzalloc(struct_size(request, phys, count), GFP_KERNEL);
	if (!request)
		return -ENOMEM;
	request->page = shift;
	request->addr = address;
	request->size = size;
	write_pages(request->phys, count, address, shift, argument[3]);
	result = method(NVIF_VMM_V0_PFNMAP, request, struct_size(request, phys, count), argument[4]);
	for (i = 0; i < count; i++)
		*value += !request->phys[i];
	/* Pages that were not to be mapped have no word to begin with. */
	write_pages(request->phys, count, address, shift, argument[3]);
	for (i = 0; i < count; i++)
		*value -= !request->phys[i];
	kvfree(request);
	return result;
}

static mmu_s64 pfn_unmap(mmu_u64 address, mmu_u64 size)
{
	struct nvif_vmm_pfnclr_v0 request = { .addr = address, .size = size };

	return method(NVIF_VMM_V0_PFNCLR, &request, sizeof(request), 0);
}

/* -- the raw interface -------------------------------------------------------------------- */

#ifdef NVIF_VMM_V0_RAW
static mmu_s64 raw(struct nvif_vmm_raw_v0 request, mmu_u64 failing)
{
	return method(NVIF_VMM_V0_RAW, &request, sizeof(request), failing);
}

/* The argument words: shift, addr, size, memory, offset, kind, ro, priv, vol, fail_at. */
static mmu_s64 raw_map(const mmu_u64 *argument)
{
	struct gf100_vmm_map_v0 of_chip;
	u32 more = map_arguments(&of_chip, argument + 5);

	return raw((struct nvif_vmm_raw_v0){
		.op = NVIF_VMM_RAW_V0_MAP,
		.shift = argument[0],
		.addr = argument[1],
		.size = argument[2],
		.memory = argument[3] + 1,
		.offset = argument[4],
		.argv = (uintptr_t)&of_chip,
		.argc = more,
	}, argument[9]);
}

static mmu_s64 raw_call(enum operation operation, const mmu_u64 *argument)
{
	struct nvif_vmm_raw_v0 request = {
		.shift = argument[0],
		.addr = argument[1],
		.size = argument[2],
	};

	switch (operation) {
	case RAW_GET:
		request.op = NVIF_VMM_RAW_V0_GET;
		return raw(request, argument[3]);
	case RAW_PUT:
		request.op = NVIF_VMM_RAW_V0_PUT;
		return raw(request, 0);
	case RAW_MAP:
		return raw_map(argument);
	case RAW_UNMAP:
		request.op = NVIF_VMM_RAW_V0_UNMAP;
		request.sparse = !!argument[3];
		return raw(request, 0);
	default:
		return raw((struct nvif_vmm_raw_v0){
			.op = NVIF_VMM_RAW_V0_SPARSE,
			.addr = argument[0],
			.size = argument[1],
			.ref = !!argument[2],
		}, argument[3]);
	}
}
#else
static mmu_s64 raw_call(enum operation operation, const mmu_u64 *argument)
{
	return -EOPNOTSUPP;
}
#endif

/* -- the operations ----------------------------------------------------------------------- */

static void run(const struct mmu_call *call, struct mmu_result *result)
{
	const mmu_u64 *argument = call->argument;
	enum operation operation = call->operation;

	begin_device(0);
	switch (operation) {
	case CREATE:
		result->result = create(argument);
		break;
	case MEMORY:
		result->result = make_memory(argument[0], argument[1], argument[2], argument[3],
					     &result->value);
		break;
	case DROP:
		result->result = drop_memory(argument[0]);
		break;
	case GET:
		result->result = get(argument, &result->value);
		break;
	case PUT:
		result->result = put(argument[0]);
		break;
	case MAP:
		result->result = map(argument);
		break;
	case MAP_PART:
		result->result = map_part(argument);
		break;
	case UNMAP:
		result->result = unmap(argument[0], argument[1]);
		break;
	case PFN_MAP:
		result->result = pfn_map(argument, &result->value);
		break;
	case PFN_UNMAP:
		result->result = pfn_unmap(argument[0], argument[1]);
		break;
	case RAW_GET:
	case RAW_PUT:
	case RAW_MAP:
	case RAW_UNMAP:
	case RAW_SPARSE:
		result->result = raw_call(operation, argument);
		break;
	case JOIN:
		result->result = join(&result->value);
		break;
	case PART:
		result->result = part();
		break;
	case BOOT:
		result->result = boot(argument[0]);
		break;
	case REPLAY:
		result->result = method(GP100_VMM_VN_FAULT_REPLAY, NULL, 0, 0);
		break;
	case STICK:
		stick(argument[0]);
		break;
	case DESTROY:
		destroy();
		break;
	}
	end_device();
	tell_state();
}

MMU_EXPORT void mmu_nvkm_call(const struct mmu_call *call, struct mmu_result *result);
void mmu_nvkm_call(const struct mmu_call *call, struct mmu_result *result)
{
	mmu_guard(run, call, result);
}
