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

static mmu_s64 create(const mmu_u64 *argument)
{
	enum mmu_create_chip chip = argument[MMU_ARG_CREATE_CHIP];
	mmu_u64 large = argument[MMU_ARG_CREATE_BIG];
	bool raw = argument[MMU_ARG_CREATE_RAW], replay = argument[MMU_ARG_CREATE_REPLAY];
	bool is_pascal = chip == MMU_CREATE_CHIP_GP100;
	struct request request = {
		.of_all = {
			.KIND = kind_of(argument[MMU_ARG_CREATE_MANAGED], raw),
			.addr = argument[MMU_ARG_CREATE_START],
			.size = argument[MMU_ARG_CREATE_SIZE],
		},
	};
	u32 size = space_says_large(chip) ? sizeof(request) : sizeof(request.of_all);
	struct nvkm_mmu *mmu;
	int result;

	if (object)
		return -EBUSY;
	if ((large != 16 && large != 17) || (is_pascal && large != 16) || (!is_pascal && replay))
		return -EINVAL;
#ifndef NVIF_VMM_V0_RAW
	if (raw)
		return -EOPNOTSUPP;
#endif
	if (is_pascal)
		request.of_pascal.fault_replay = replay;
	else if (space_says_large(chip))
		request.of_maxwell.bigpage = large;
	client.object.client = &client;
	mmu = mmu_of(chip, large, &result);
	if (result)
		return result;
	let_fail(argument[MMU_ARG_CREATE_FAIL_AT]);
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

static mmu_s64 get(const mmu_u64 *argument, mmu_u64 *value)
{
	mmu_u64 shift = argument[MMU_ARG_GET_SHIFT], align = argument[MMU_ARG_GET_ALIGN];
	mmu_u64 size = argument[MMU_ARG_GET_SIZE];
	struct nvif_vmm_get_v0 request = {
		.type = argument[MMU_ARG_GET_GETREF] ? NVIF_VMM_GET_V0_PTES :
			argument[MMU_ARG_GET_MAPREF] ? NVIF_VMM_GET_V0_ADDR : NVIF_VMM_GET_V0_LAZY,
		.sparse = !!argument[MMU_ARG_GET_SPARSE],
		.page = shift,
		.align = align,
		.size = size,
	};
	struct nvkm_vma *vma;
	int result;

	/* Fields of requests are bytes. */
	if (shift > 63 || align > 63)
		return -EINVAL;
	if (!is_room_for_area())
		return -E2BIG;
	result = method(NVIF_VMM_V0_GET, &request, sizeof(request),
			argument[MMU_ARG_GET_FAIL_AT]);
	if (result)
		return result;
	*value = request.addr;
	vma = nvkm_vmm_node_search(space, request.addr);
	add_area(request.addr, vma ? vma->size : size);
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

/* None of them: no arguments. Returns how many bytes they take. */
static u32 map_arguments(struct gf100_vmm_map_v0 *to, mmu_u64 kind, mmu_u64 ro, mmu_u64 priv,
			 mmu_u64 vol)
{
	*to = (struct gf100_vmm_map_v0){
		.kind = kind,
		.ro = ro,
		.priv = priv,
		.vol = vol,
	};
	return kind || ro || priv || vol ? sizeof(*to) : 0;
}

static mmu_s64 map_part(const mmu_u64 *argument)
{
	struct area *area = area_of(argument[MMU_ARG_MAP_PART_VMA]);
	mmu_u64 size = argument[MMU_ARG_MAP_PART_SIZE];
	struct {
		struct nvif_vmm_map_v0 of_all;
		struct gf100_vmm_map_v0 of_chip;
	} __packed request = {};
	u32 more;

	BUILD_BUG_ON(sizeof(struct gp100_vmm_map_v0) != sizeof(request.of_chip));
	if (!area)
		return -ENOENT;
	request.of_all.addr = area->first + argument[MMU_ARG_MAP_PART_FIRST];
	request.of_all.size = size ? size : area->size;
	request.of_all.memory = argument[MMU_ARG_MAP_PART_MEMORY] + 1;
	request.of_all.offset = argument[MMU_ARG_MAP_PART_OFFSET];
	more = map_arguments(&request.of_chip, argument[MMU_ARG_MAP_PART_KIND],
			     argument[MMU_ARG_MAP_PART_RO], argument[MMU_ARG_MAP_PART_PRIV],
			     argument[MMU_ARG_MAP_PART_VOL]);
	return method(NVIF_VMM_V0_MAP, &request, sizeof(request.of_all) + more,
		      argument[MMU_ARG_MAP_PART_FAIL_AT]);
}

/* As map_part of all that the area has. */
static mmu_s64 map(const mmu_u64 *argument)
{
	const mmu_u64 whole[] = {
		[MMU_ARG_MAP_PART_VMA] = argument[MMU_ARG_MAP_VMA],
		[MMU_ARG_MAP_PART_FIRST] = 0,
		[MMU_ARG_MAP_PART_SIZE] = 0,
		[MMU_ARG_MAP_PART_MEMORY] = argument[MMU_ARG_MAP_MEMORY],
		[MMU_ARG_MAP_PART_OFFSET] = argument[MMU_ARG_MAP_OFFSET],
		[MMU_ARG_MAP_PART_KIND] = argument[MMU_ARG_MAP_KIND],
		[MMU_ARG_MAP_PART_RO] = argument[MMU_ARG_MAP_RO],
		[MMU_ARG_MAP_PART_PRIV] = argument[MMU_ARG_MAP_PRIV],
		[MMU_ARG_MAP_PART_VOL] = argument[MMU_ARG_MAP_VOL],
		[MMU_ARG_MAP_PART_FAIL_AT] = argument[MMU_ARG_MAP_FAIL_AT],
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

/* The value: pages not done as asked. */
static mmu_s64 pfn_map(const mmu_u64 *argument, mmu_u64 *value)
{
	mmu_u64 shift = argument[MMU_ARG_PFN_MAP_SHIFT], address = argument[MMU_ARG_PFN_MAP_ADDR];
	mmu_u64 size = argument[MMU_ARG_PFN_MAP_SIZE], pattern = argument[MMU_ARG_PFN_MAP_PATTERN];
	struct nvif_vmm_pfnmap_v0 *request;
	mmu_u64 count, i;
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
	write_pages(request->phys, count, address, shift, pattern);
	result = method(NVIF_VMM_V0_PFNMAP, request, struct_size(request, phys, count),
			argument[MMU_ARG_PFN_MAP_FAIL_AT]);
	for (i = 0; i < count; i++)
		*value += !request->phys[i];
	/* Pages that were not to be mapped have no word to begin with. */
	write_pages(request->phys, count, address, shift, pattern);
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

static mmu_s64 raw_map(const mmu_u64 *argument)
{
	struct gf100_vmm_map_v0 of_chip;
	u32 more = map_arguments(&of_chip, argument[MMU_ARG_RAW_MAP_KIND],
				 argument[MMU_ARG_RAW_MAP_RO], argument[MMU_ARG_RAW_MAP_PRIV],
				 argument[MMU_ARG_RAW_MAP_VOL]);

	return raw((struct nvif_vmm_raw_v0){
		.op = NVIF_VMM_RAW_V0_MAP,
		.shift = argument[MMU_ARG_RAW_MAP_SHIFT],
		.addr = argument[MMU_ARG_RAW_MAP_ADDR],
		.size = argument[MMU_ARG_RAW_MAP_SIZE],
		.memory = argument[MMU_ARG_RAW_MAP_MEMORY] + 1,
		.offset = argument[MMU_ARG_RAW_MAP_OFFSET],
		.argv = (uintptr_t)&of_chip,
		.argc = more,
	}, argument[MMU_ARG_RAW_MAP_FAIL_AT]);
}

static mmu_s64 raw_call(enum mmu_operation operation, const mmu_u64 *argument)
{
	switch (operation) {
	case MMU_OP_RAW_GET:
		return raw((struct nvif_vmm_raw_v0){
			.op = NVIF_VMM_RAW_V0_GET,
			.shift = argument[MMU_ARG_RAW_GET_SHIFT],
			.addr = argument[MMU_ARG_RAW_GET_ADDR],
			.size = argument[MMU_ARG_RAW_GET_SIZE],
		}, argument[MMU_ARG_RAW_GET_FAIL_AT]);
	case MMU_OP_RAW_PUT:
		return raw((struct nvif_vmm_raw_v0){
			.op = NVIF_VMM_RAW_V0_PUT,
			.shift = argument[MMU_ARG_RAW_PUT_SHIFT],
			.addr = argument[MMU_ARG_RAW_PUT_ADDR],
			.size = argument[MMU_ARG_RAW_PUT_SIZE],
		}, 0);
	case MMU_OP_RAW_MAP:
		return raw_map(argument);
	case MMU_OP_RAW_UNMAP:
		return raw((struct nvif_vmm_raw_v0){
			.op = NVIF_VMM_RAW_V0_UNMAP,
			.shift = argument[MMU_ARG_RAW_UNMAP_SHIFT],
			.addr = argument[MMU_ARG_RAW_UNMAP_ADDR],
			.size = argument[MMU_ARG_RAW_UNMAP_SIZE],
			.sparse = !!argument[MMU_ARG_RAW_UNMAP_SPARSE],
		}, 0);
	default:
		return raw((struct nvif_vmm_raw_v0){
			.op = NVIF_VMM_RAW_V0_SPARSE,
			.addr = argument[MMU_ARG_RAW_SPARSE_ADDR],
			.size = argument[MMU_ARG_RAW_SPARSE_SIZE],
			.ref = !!argument[MMU_ARG_RAW_SPARSE_REF],
		}, argument[MMU_ARG_RAW_SPARSE_FAIL_AT]);
	}
}
#else
static mmu_s64 raw_call(enum mmu_operation operation, const mmu_u64 *argument)
{
	return -EOPNOTSUPP;
}
#endif

/* -- the operations ----------------------------------------------------------------------- */

static void run(const struct mmu_call *call, struct mmu_result *result)
{
	const mmu_u64 *argument = call->argument;
	enum mmu_operation operation = call->operation;

	begin_device(0);
	switch (operation) {
	case MMU_OP_CREATE:
		result->result = create(argument);
		break;
	case MMU_OP_MEMORY:
		result->result = make_memory(
			argument[MMU_ARG_MEMORY_TARGET], argument[MMU_ARG_MEMORY_SIZE],
			argument[MMU_ARG_MEMORY_PAGE], argument[MMU_ARG_MEMORY_SCATTERED],
			&result->value);
		break;
	case MMU_OP_DROP:
		result->result = drop_memory(argument[MMU_ARG_DROP_MEMORY]);
		break;
	case MMU_OP_GET:
		result->result = get(argument, &result->value);
		break;
	case MMU_OP_PUT:
		result->result = put(argument[MMU_ARG_PUT_VMA]);
		break;
	case MMU_OP_MAP:
		result->result = map(argument);
		break;
	case MMU_OP_MAP_PART:
		result->result = map_part(argument);
		break;
	case MMU_OP_UNMAP:
		result->result = unmap(argument[MMU_ARG_UNMAP_VMA], argument[MMU_ARG_UNMAP_FIRST]);
		break;
	case MMU_OP_PFN_MAP:
		result->result = pfn_map(argument, &result->value);
		break;
	case MMU_OP_PFN_UNMAP:
		result->result = pfn_unmap(argument[MMU_ARG_PFN_UNMAP_ADDR],
					   argument[MMU_ARG_PFN_UNMAP_SIZE]);
		break;
	case MMU_OP_RAW_GET:
	case MMU_OP_RAW_PUT:
	case MMU_OP_RAW_MAP:
	case MMU_OP_RAW_UNMAP:
	case MMU_OP_RAW_SPARSE:
		result->result = raw_call(operation, argument);
		break;
	case MMU_OP_JOIN:
		result->result = join(&result->value);
		break;
	case MMU_OP_PART:
		result->result = part();
		break;
	case MMU_OP_BOOT:
		result->result = boot(argument[MMU_ARG_BOOT_FAIL_AT]);
		break;
	case MMU_OP_REPLAY:
		result->result = method(GP100_VMM_VN_FAULT_REPLAY, NULL, 0, 0);
		break;
	case MMU_OP_STICK:
		stick(argument[MMU_ARG_STICK_POLLS]);
		break;
	case MMU_OP_DESTROY:
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
