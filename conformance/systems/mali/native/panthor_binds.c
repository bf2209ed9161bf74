// SPDX-License-Identifier: MIT
/*
 * A process that uses panthor: its file with VMs, buffers, fences, and binds
 * that are carried out at once or queued, as the driver's ioctls would.
 *
 * Calls from the MMU code into drm_gpuvm that change the tree of mappings come
 * through here (the linker wraps them), so that what happened can be told.
 */
#include <linux/dma-buf.h>
#include <linux/dma-fence.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include <drm/drm_exec.h>
#include <drm/drm_file.h>
#include <drm/drm_gem.h>
#include <drm/drm_gpuvm.h>
#include <drm/gpu_scheduler.h>
#include <uapi/drm/panthor_drm.h>

#include <../mm/internal.h>

#include "panthor.h"

#define VMS 128               /* how many of each can ever be made; numbers are not used again */
#define BUFFERS 256
#define FENCES 1024
#define NUMBER_SHIFT 48       /* of the buffer's number in a backing word */
#define KIND_SHIFT 28         /* of the kind of a bind in its flags */

#define DATA_PA 0x90000000ULL /* where buffers lie: above all table pages */
#define DUMMY_PA 0x88000000ULL /* and what is behind sparse mappings: between the two */
#define LARGE_PAGE (2UL << 20)
#define LARGEST_PIECE (1UL << 30)

struct buffer {
	struct panthor_gem_object base;
	struct sg_table pages;
	struct page **folios;         /* where the driver looks at them */
	unsigned int pins;
	unsigned int number;
};

struct fence {
	struct dma_fence base;
	spinlock_t lock;
};

static struct {
	struct panthor_vm *vm;        /* NULL once it was freed */
	u32 handle;                   /* 0 once it was destroyed */
	unsigned int active;          /* as the driver counts it, which keeps that to itself */
	bool named;                   /* by this operation */
	unsigned int count_told;
	int slot_told;
	unsigned int active_told;
	unsigned short links_told[BUFFERS];
} vms[VMS];

static struct {
	struct buffer *buffer;        /* NULL once it was freed */
	bool open;                    /* the process has its handle */
	bool named;
	unsigned int count_told, pins_told;
} buffers[BUFFERS];

static struct {
	struct dma_fence *fence;
	struct dma_fence_cb callback; /* tells that it was signalled */
	bool made;                    /* not one of a job, which only the scheduler signals */
} fences[FENCES];

static unsigned int vm_count, buffer_count, fence_count;
static mmu_u64 told_vm;               /* whose events these are */
static mmu_u64 next_pa;
static struct panthor_file process;
static struct drm_file file = { .driver_priv = &process };

/* -- what is told --------------------------------------------------------------------- */

static void tell_vm(mmu_u64 number)
{
	if (number == told_vm)
		return;
	told_vm = number;
	mmu_emit(MMU_VM, number, 0, 0, NULL);
}

/* The VM that an address is in, or NONE. */
static mmu_u64 vm_at(const void *inside)
{
	mmu_u64 number;

	for (number = 0; number < vm_count; number++) {
		const char *vm = (const char *)vms[number].vm;

		if (vm && (const char *)inside >= vm &&
		    (const char *)inside < vm + mmu_heap_size(vm))
			return number;
	}
	return NONE;
}

static void tell_vm_at(const void *inside)
{
	mmu_u64 number = vm_at(inside);

	if (number != NONE)
		tell_vm(number);
}

static struct drm_gpuvm *base_of(struct panthor_vm *vm)
{
	/* The driver keeps its VMs to itself, but each begins with this. */
	return (struct drm_gpuvm *)vm;
}

#if HAS_PANTHOR_OWN_GEM
#define BASE base.base
#else
#define BASE base.base.base
#endif

static struct buffer *to_buffer(struct drm_gem_object *object)
{
	return container_of(object, struct buffer, BASE);
}

static struct drm_gem_object *gem(struct buffer *buffer)
{
	return GEM(&buffer->base);
}

static void tell_mapping(unsigned int kind, const struct drm_gpuva *va, const void *from)
{
	mmu_u64 number = to_buffer(va->gem.obj)->number;
	mmu_u64 offset = va->gem.offset & ((1ULL << NUMBER_SHIFT) - 1);

	mmu_emit(kind, va->va.addr, va->va.addr + va->va.range - 1, number << NUMBER_SHIFT | offset,
		 from);
}

/* A mapping that is in the tree knows its VM. */
static void tell_if_added(const struct drm_gpuva *va, const void *from)
{
	if (va && va->vm)
		tell_mapping(MMU_VMA_ADD, va, from);
}

#if HAS_GPUVM_MAP_REQUEST
#define OP const struct
#else
#define OP struct
#endif

void __real_drm_gpuva_map(struct drm_gpuvm *, struct drm_gpuva *, OP drm_gpuva_op_map *);
void __wrap_drm_gpuva_map(struct drm_gpuvm *, struct drm_gpuva *, OP drm_gpuva_op_map *);
void __wrap_drm_gpuva_map(struct drm_gpuvm *vm, struct drm_gpuva *va, OP drm_gpuva_op_map *op)
{
	__real_drm_gpuva_map(vm, va, op);
	tell_vm_at(vm);
	tell_if_added(va, MMU_CALLER);
}

void __real_drm_gpuva_remap(struct drm_gpuva *, struct drm_gpuva *, OP drm_gpuva_op_remap *);
void __wrap_drm_gpuva_remap(struct drm_gpuva *, struct drm_gpuva *, OP drm_gpuva_op_remap *);
void __wrap_drm_gpuva_remap(struct drm_gpuva *prev, struct drm_gpuva *next, OP drm_gpuva_op_remap *op)
{
	struct drm_gpuva *whole = op->unmap->va;

	tell_vm_at(whole->vm);
	__real_drm_gpuva_remap(prev, next, op);
	tell_mapping(MMU_VMA_REMOVE, whole, MMU_CALLER);
	tell_if_added(prev, MMU_CALLER);
	tell_if_added(next, MMU_CALLER);
}

void __real_drm_gpuva_unmap(OP drm_gpuva_op_unmap *);
void __wrap_drm_gpuva_unmap(OP drm_gpuva_op_unmap *);
void __wrap_drm_gpuva_unmap(OP drm_gpuva_op_unmap *op)
{
	tell_vm_at(op->va->vm);
	__real_drm_gpuva_unmap(op);
	tell_mapping(MMU_VMA_REMOVE, op->va, MMU_CALLER);
}

/* Where work on a VM begins, by whoever it is done: from here on events are that VM's. */

#if HAS_GPUVM_MAP_REQUEST
int __real_drm_gpuvm_sm_map(struct drm_gpuvm *, void *, const struct drm_gpuvm_map_req *);
int __wrap_drm_gpuvm_sm_map(struct drm_gpuvm *, void *, const struct drm_gpuvm_map_req *);
int __wrap_drm_gpuvm_sm_map(struct drm_gpuvm *vm, void *private, const struct drm_gpuvm_map_req *req)
{
	tell_vm_at(vm);
	return __real_drm_gpuvm_sm_map(vm, private, req);
}
#else
int __real_drm_gpuvm_sm_map(struct drm_gpuvm *, void *, u64, u64, struct drm_gem_object *, u64);
int __wrap_drm_gpuvm_sm_map(struct drm_gpuvm *, void *, u64, u64, struct drm_gem_object *, u64);
int __wrap_drm_gpuvm_sm_map(struct drm_gpuvm *vm, void *private, u64 va, u64 size,
			    struct drm_gem_object *object, u64 offset)
{
	tell_vm_at(vm);
	return __real_drm_gpuvm_sm_map(vm, private, va, size, object, offset);
}
#endif

int __real_drm_gpuvm_sm_unmap(struct drm_gpuvm *, void *, u64, u64);
int __wrap_drm_gpuvm_sm_unmap(struct drm_gpuvm *, void *, u64, u64);
int __wrap_drm_gpuvm_sm_unmap(struct drm_gpuvm *vm, void *private, u64 va, u64 size)
{
	tell_vm_at(vm);
	return __real_drm_gpuvm_sm_unmap(vm, private, va, size);
}

/* The first thing that the end of a VM does with something else. */
void __real_drm_sched_entity_destroy(struct drm_sched_entity *);
void __wrap_drm_sched_entity_destroy(struct drm_sched_entity *);
void __wrap_drm_sched_entity_destroy(struct drm_sched_entity *entity)
{
	tell_vm_at(entity);
	__real_drm_sched_entity_destroy(entity);
}

/* -- counts and slots, after each operation ------------------------------------------- */

void begin_telling(void)
{
	unsigned int i;

	told_vm = NONE;
	for (i = 0; i < vm_count; i++)
		vms[i].named = false;
	for (i = 0; i < buffer_count; i++)
		buffers[i].named = false;
}

static unsigned int links(struct panthor_vm *vm, struct buffer *buffer)
{
	struct drm_gpuvm_bo *vm_bo;

	if (vm && buffer)
		drm_gem_for_each_gpuvm_bo(vm_bo, gem(buffer))
			if (vm_bo->vm == base_of(vm))
				return kref_read(&vm_bo->kref);
	return 0;
}

static void tell_links(unsigned int number)
{
	unsigned int i;

	for (i = 0; i < buffer_count; i++) {
		unsigned int count = links(vms[number].vm, buffers[i].buffer);

		if (count == vms[number].links_told[i] && !(vms[number].named && buffers[i].named))
			continue;
		vms[number].links_told[i] = count;
		tell_vm(number);
		mmu_emit(MMU_REFS, MMU_REFS_VM_BO, i, count, NULL);
	}
}

static void tell_vm_state(unsigned int number)
{
	struct panthor_vm *vm = vms[number].vm;
	unsigned int count = vm ? kref_read(&base_of(vm)->kref) : 0;
	int slot = vm ? panthor_vm_as(vm) : -1;

	if (count != vms[number].count_told || vms[number].named) {
		vms[number].count_told = count;
		mmu_emit(MMU_REFS, MMU_REFS_VM, number, count, NULL);
	}
	tell_links(number);
	if (slot != vms[number].slot_told || vms[number].active != vms[number].active_told) {
		vms[number].slot_told = slot;
		vms[number].active_told = vms[number].active;
		mmu_emit(MMU_SLOT, number, (mmu_u64)(mmu_s64)slot, vms[number].active, NULL);
	}
}

static void tell_buffer_state(unsigned int number)
{
	struct buffer *buffer = buffers[number].buffer;
	unsigned int count = buffer ? kref_read(&gem(buffer)->refcount) : 0;
	unsigned int pins = buffer ? buffer->pins : 0;

	if (count != buffers[number].count_told || buffers[number].named)
		mmu_emit(MMU_REFS, MMU_REFS_BUFFER, number, count, NULL);
	if (pins != buffers[number].pins_told || buffers[number].named)
		mmu_emit(MMU_REFS, MMU_REFS_PINS, number, pins, NULL);
	buffers[number].count_told = count;
	buffers[number].pins_told = pins;
}

/* Jobs on the device hold the VM; they are gone once it has lost its slot. */
static void notice(unsigned int number)
{
	struct panthor_vm *vm = vms[number].vm;

	if (vm && mmu_heap_size(vm) && panthor_vm_as(vm) < 0)
		for (; vms[number].active; vms[number].active--)
			panthor_vm_put(vm);
	if (vm && !mmu_heap_size(vm)) {
		vms[number].vm = NULL;
		vms[number].active = 0;
	}
}

void tell_state(void)
{
	unsigned int i;

	for (i = 0; i < vm_count; i++)
		notice(i);
	for (i = 0; i < vm_count; i++)
		tell_vm_state(i);
	for (i = 0; i < buffer_count; i++)
		tell_buffer_state(i);
}

/* -- the file and its VMs ------------------------------------------------------------- */

void open_file(void)
{
	next_pa = next_pa ? next_pa : DATA_PA;
	process.ptdev = &gpu;
	panthor_vm_pool_create(&process);
}

void close_file(void)
{
	unsigned int i;

	free_nodes(NONE);
	for (i = 0; i < vm_count; i++)
		vms[i].handle = 0;
	panthor_vm_pool_destroy(&process);
}

/* The VM whose handle the process has. */
struct panthor_vm *get_vm(mmu_u64 number)
{
	struct panthor_vm *vm;

	if (number >= vm_count || !vms[number].handle)
		return NULL;
	vm = panthor_vm_pool_get_vm(process.vms, vms[number].handle);
	if (vm) {
		vms[number].named = true;
		tell_vm(number);
	}
	return vm;
}

mmu_s64 make_vm(mmu_u64 user_range, mmu_u64 *value)
{
	struct drm_panthor_vm_create args = { .user_va_range = user_range };
	int handle;

	if (vm_count == VMS)
		return -ENOSPC;
	if (gpu.base.unplugged)
		return -ENODEV;
	tell_vm(vm_count);
	handle = panthor_vm_pool_create_vm(&gpu, process.vms, &args);
	if (handle < 0)
		return handle;
	vms[vm_count].handle = handle;
	vms[vm_count].slot_told = -1;
	vms[vm_count].named = true;
	vms[vm_count].vm = panthor_vm_pool_get_vm(process.vms, handle);
	panthor_vm_put(vms[vm_count].vm);
	*value = vm_count++;
	return 0;
}

mmu_s64 destroy_vm(mmu_u64 number)
{
	u32 handle;

	if (number >= vm_count)
		return -EINVAL;
	free_nodes(number);
	handle = vms[number].handle;
	vms[number].handle = 0;
	vms[number].named = true;
	tell_vm(number);
	return panthor_vm_pool_destroy_vm(process.vms, handle);
}

/* Jobs of the device's scheduler, each of which holds its VM. */

mmu_s64 activate(mmu_u64 number)
{
	int result;

	/* On a device that has gone, the driver has to refuse. */
	if (number >= vm_count || !vms[number].vm || !(is_up() || gpu.base.unplugged))
		return -EINVAL;
	vms[number].named = true;
	tell_vm(number);
	result = panthor_vm_active(vms[number].vm);
	if (!result) {
		panthor_vm_get(vms[number].vm);
		vms[number].active++;
	}
	return result;
}

mmu_s64 idle(mmu_u64 number)
{
	if (number >= vm_count || !vms[number].vm || !vms[number].active)
		return -EINVAL;
	vms[number].named = true;
	tell_vm(number);
	panthor_vm_idle(vms[number].vm);
	vms[number].active--;
	panthor_vm_put(vms[number].vm);
	return 0;
}

/* -- buffers -------------------------------------------------------------------------- */

static mmu_u64 take_addresses(mmu_u64 size)
{
	mmu_u64 pa = next_pa;

	next_pa = ALIGN(pa + size, LARGE_PAGE);
	return pa;
}

/* One run of pages, or pieces of so many pages, each off the large pages' bounds. */
static int lay_out(struct buffer *buffer, mmu_u64 size, mmu_u64 pieces)
{
	mmu_u64 length = pieces ? pieces << PAGE_SHIFT : LARGEST_PIECE;
	mmu_u64 apart = pieces ? 2 * length : length;
	mmu_u64 count = DIV_ROUND_UP(size, length);
	mmu_u64 pa = take_addresses(count * apart + PAGE_SIZE) + (pieces ? PAGE_SIZE : 0);
	struct scatterlist *list = kcalloc(count, sizeof(*list), GFP_KERNEL);
	mmu_u64 i;

	if (!list)
		return -ENOMEM;
	for (i = 0; i < count; i++) {
		sg_dma_address(&list[i]) = pa + i * apart;
		sg_dma_len(&list[i]) = min(length, size - i * length);
	}
	sg_mark_end(&list[count - 1]);
	buffer->pages.sgl = list;
	buffer->pages.nents = buffer->pages.orig_nents = count;
	return 0;
}

/*
 * The driver asks the pages whether they are parts of a large folio. A buffer in
 * whole is made of such ones, as far as they fit; one in pieces of small ones. One
 * of another driver has none.
 */
#if HAS_PANTHOR_OWN_GEM
#define LARGE_ORDER 9

static struct page small_page, large_page[1 << LARGE_ORDER];

static int fill_folios(struct buffer *buffer, mmu_u64 size, mmu_u64 pieces)
{
	mmu_u64 whole = pieces ? 0 : ALIGN_DOWN(size, LARGE_PAGE);
	mmu_u64 i;

	buffer->folios = kvcalloc(size >> PAGE_SHIFT, sizeof(*buffer->folios), GFP_KERNEL);
	if (!buffer->folios)
		return -ENOMEM;
	if (!PageHead(large_page)) {
		__SetPageHead(large_page);
		folio_set_order(page_folio(large_page), LARGE_ORDER);
	}
	for (i = 0; i < size >> PAGE_SHIFT; i++)
		buffer->folios[i] = i << PAGE_SHIFT < whole ? large_page : &small_page;
	return 0;
}
#else
static int fill_folios(struct buffer *buffer, mmu_u64 size, mmu_u64 pieces)
{
	return 0;
}
#endif

static void free_buffer(struct drm_gem_object *object)
{
	struct buffer *buffer = to_buffer(object);
	struct drm_gem_object *root = buffer->base.exclusive_vm_root_gem;

	drm_gem_object_release(object);
	drm_gem_object_put(root);
	if (buffer->number < BUFFERS)
		buffers[buffer->number].buffer = NULL;
	kfree(buffer->pages.sgl);
	kvfree(buffer->folios);
	kfree(buffer);
}

static const struct drm_gem_object_funcs buffer_functions = {
	.free = free_buffer,
};

mmu_s64 make_buffer(const mmu_u64 *argument, mmu_u64 *value)
{
	static struct dma_buf_attachment attachment;
	mmu_u64 size = argument[MMU_ARG_BO_SIZE], owner = argument[MMU_ARG_BO_VM];
	mmu_u64 pieces = argument[MMU_ARG_BO_PIECES];
	struct drm_gem_object *object;
	struct panthor_vm *vm = NULL;
	struct buffer *buffer;
	int result;

	if (!size || size & (PAGE_SIZE - 1) || size >> NUMBER_SHIFT || pieces > 1UL << 18)
		return -EINVAL;
	if (buffer_count == BUFFERS)
		return -ENOSPC;
	if (owner != NONE) {
		vm = get_vm(owner);
		if (!vm)
			return -EINVAL;
	}
	buffer = kzalloc(sizeof(*buffer), GFP_KERNEL);
	result = buffer ? lay_out(buffer, size, pieces) : -ENOMEM;
	if (!result && !argument[MMU_ARG_BO_IMPORTED])
		result = fill_folios(buffer, size, pieces);
	if (result) {
		if (buffer)
			kfree(buffer->pages.sgl);
		kfree(buffer);
		panthor_vm_put(vm);
		return result;
	}
	buffer->number = buffer_count;
	object = gem(buffer);
	object->funcs = &buffer_functions;
	if (vm) {
		buffer->base.exclusive_vm_root_gem = panthor_vm_root_gem(vm);
		drm_gem_object_get(buffer->base.exclusive_vm_root_gem);
		object->resv = buffer->base.exclusive_vm_root_gem->resv;
	}
	drm_gem_private_object_init(&gpu.base, object, size);
	object->import_attach = argument[MMU_ARG_BO_IMPORTED] ? &attachment : NULL;
#if HAS_PANTHOR_OWN_GEM
	buffer->base.reclaim_state = PANTHOR_GEM_UNRECLAIMABLE;
	buffer->base.dmap.sgt = &buffer->pages;
	buffer->base.backing.pages = buffer->folios;
#else
	mutex_init(&buffer->base.gpuva_list_lock);
	drm_gem_gpuva_set_lock(object, &buffer->base.gpuva_list_lock);
#endif
	panthor_vm_put(vm);
	buffers[buffer_count].buffer = buffer;
	buffers[buffer_count].open = true;
	buffers[buffer_count].named = true;
	*value = buffer_count++;
	return 0;
}

mmu_s64 close_buffer(mmu_u64 number)
{
	if (number >= buffer_count || !buffers[number].open)
		return -EINVAL;
	buffers[number].open = false;
	buffers[number].named = true;
	drm_gem_object_put(gem(buffers[number].buffer));
	return 0;
}

/* A handle is one more than the buffer's number: 0 is none. */
struct drm_gem_object *drm_gem_object_lookup(struct drm_file *of, u32 handle)
{
	struct drm_gem_object *object;

	if (!handle || handle > buffer_count || !buffers[handle - 1].open)
		return NULL;
	object = gem(buffers[handle - 1].buffer);
	drm_gem_object_get(object);
	return object;
}

struct drm_gem_object *get_buffer(mmu_u64 number)
{
	if (number >= buffer_count)
		return NULL;
	buffers[number].named = true;
	return drm_gem_object_lookup(&file, number + 1);
}

/* -- pages of buffers: they are always there, pins are only counted -------------------- */

#if HAS_PANTHOR_OWN_GEM
int panthor_gem_pin(struct panthor_gem_object *object)
{
	container_of(object, struct buffer, base)->pins++;
	return 0;
}

void panthor_gem_unpin(struct panthor_gem_object *object)
{
	if (!container_of(object, struct buffer, base)->pins--)
		mmu_emit(MMU_WARN, 0, 0, 0, MMU_CALLER);
}

struct sg_table *panthor_gem_get_dev_sgt(struct panthor_gem_object *object)
{
	return object->dmap.sgt;
}

int panthor_gem_swapin_locked(struct panthor_gem_object *object)
{
	return 0;
}

/* Nobody is short of memory here: no buffer is ever taken from its users. */
void panthor_gem_update_reclaim_state_locked(struct panthor_gem_object *object,
					     enum panthor_gem_reclaim_state *old)
{
	if (old)
		*old = object->reclaim_state;
}

/* What is behind sparse mappings of a file: it has no number. */
struct panthor_gem_object *panthor_dummy_bo_create(struct panthor_device *device)
{
	struct buffer *buffer = kzalloc(sizeof(*buffer), GFP_KERNEL);
	mmu_u64 next = next_pa;
	int result;

	next_pa = DUMMY_PA;
	result = buffer ? lay_out(buffer, LARGE_PAGE, 0) : -ENOMEM;
	next_pa = next;
	if (!result)
		result = fill_folios(buffer, LARGE_PAGE, 0);
	if (result)
		return ERR_PTR(result);
	buffer->number = BUFFERS;
	gem(buffer)->funcs = &buffer_functions;
	drm_gem_private_object_init(&device->base, gem(buffer), LARGE_PAGE);
	buffer->base.dmap.sgt = &buffer->pages;
	buffer->base.backing.pages = buffer->folios;
	return &buffer->base;
}
#else
static struct buffer *of_memory(struct drm_gem_shmem_object *memory)
{
	return container_of(memory, struct buffer, base.base);
}

int drm_gem_shmem_pin(struct drm_gem_shmem_object *memory)
{
	of_memory(memory)->pins++;
	return 0;
}

void drm_gem_shmem_unpin(struct drm_gem_shmem_object *memory)
{
	if (!of_memory(memory)->pins--)
		mmu_emit(MMU_WARN, 0, 0, 0, MMU_CALLER);
}

struct sg_table *drm_gem_shmem_get_pages_sgt(struct drm_gem_shmem_object *memory)
{
	return &of_memory(memory)->pages;
}
#endif

/* -- fences --------------------------------------------------------------------------- */

static const char *fence_name(struct dma_fence *fence)
{
	return "process";
}

static const struct dma_fence_ops fence_operations = {
	.get_driver_name = fence_name,
	.get_timeline_name = fence_name,
};

static void tell_signalled(struct dma_fence *fence, struct dma_fence_cb *callback)
{
	mmu_u64 number = container_of(callback, typeof(fences[0]), callback) - fences;

	mmu_emit(MMU_FENCE, number, (mmu_u64)(mmu_s64)fence->error, 0, NULL);
}

/* Takes over the reference. */
static mmu_u64 number_fence(struct dma_fence *fence, bool made)
{
	fences[fence_count].fence = fence;
	fences[fence_count].made = made;
	dma_fence_add_callback(fence, &fences[fence_count].callback, tell_signalled);
	return fence_count++;
}

mmu_s64 make_fence(mmu_u64 *value)
{
	struct fence *fence;

	if (fence_count == FENCES)
		return -ENOSPC;
	fence = kzalloc(sizeof(*fence), GFP_KERNEL);
	if (!fence)
		return -ENOMEM;
	spin_lock_init(&fence->lock);
	dma_fence_init(&fence->base, &fence_operations, &fence->lock, dma_fence_context_alloc(1), 1);
	*value = number_fence(&fence->base, true);
	return 0;
}

mmu_s64 signal_fence(mmu_u64 number)
{
	if (number >= fence_count || !fences[number].made)
		return -EINVAL;
#if HAS_FENCE_SIGNAL_IS_SILENT
	if (dma_fence_is_signaled(fences[number].fence))
		return -EINVAL;
	dma_fence_signal(fences[number].fence);
	return 0;
#else
	return dma_fence_signal(fences[number].fence);
#endif
}

/* The scheduler's own cache is for its fences. */
const unsigned int mmu_unmade_cache_size = sizeof(struct drm_sched_fence);

/* -- binds ---------------------------------------------------------------------------- */

static struct drm_panthor_vm_bind_op bind_op(mmu_u64 kind, mmu_u64 va, mmu_u64 size, mmu_u64 bo,
					     mmu_u64 offset, mmu_u64 flags)
{
	if (bo < buffer_count)
		buffers[bo].named = true;
	return (struct drm_panthor_vm_bind_op){
		.flags = (u32)flags | (u32)kind << KIND_SHIFT,
		.va = va,
		.size = size,
		.bo_handle = bo + 1,
		.bo_offset = offset,
	};
}

mmu_s64 bind_now(const mmu_u64 *argument)
{
	struct drm_panthor_vm_bind_op op = bind_op(
		argument[MMU_ARG_BIND_KIND], argument[MMU_ARG_BIND_VA], argument[MMU_ARG_BIND_SIZE],
		argument[MMU_ARG_BIND_BO], argument[MMU_ARG_BIND_OFFSET],
		argument[MMU_ARG_BIND_FLAGS]);
	struct panthor_vm *vm;
	mmu_s64 result;

	if (gpu.base.unplugged)
		return -ENODEV;
	vm = get_vm(argument[MMU_ARG_BIND_VM]);
	if (!vm)
		return -EINVAL;
	result = panthor_vm_bind_exec_sync_op(&file, vm, &op);
	panthor_vm_put(vm);
	return result;
}

/* What has to be locked and waited for before the job can be given to the scheduler. */
static int prepare(struct drm_exec *exec, struct drm_sched_job *job, struct dma_fence *wait_for)
{
	int result = 0;

	drm_exec_until_all_locked(exec) {
		result = panthor_vm_bind_job_prepare_resvs(exec, job);
		drm_exec_retry_on_contention(exec);
		if (result)
			return result;
	}
	if (wait_for)
		result = drm_sched_job_add_dependency(job, dma_fence_get(wait_for));
	return result;
}

static mmu_s64 submit(struct panthor_vm *vm, const struct drm_panthor_vm_bind_op *op,
		      struct dma_fence *wait_for, mmu_u64 *value)
{
	struct drm_sched_job *job = panthor_vm_bind_job_create(&file, vm, op);
	struct drm_exec exec;
	int result;

	if (IS_ERR(job))
		return PTR_ERR(job);
	drm_exec_init(&exec, DRM_EXEC_INTERRUPTIBLE_WAIT | DRM_EXEC_IGNORE_DUPLICATES, 0);
	result = prepare(&exec, job, wait_for);
	if (result) {
		panthor_vm_bind_job_put(job);
	} else {
		drm_sched_job_arm(job);
		*value = number_fence(dma_fence_get(&job->s_fence->finished), false);
		panthor_vm_bind_job_update_resvs(&exec, job);
		drm_sched_entity_push_job(job);
	}
	drm_exec_fini(&exec);
	return result;
}

mmu_s64 bind_later(const mmu_u64 *argument, mmu_u64 *value)
{
	struct drm_panthor_vm_bind_op op = bind_op(
		argument[MMU_ARG_QUEUE_KIND], argument[MMU_ARG_QUEUE_VA],
		argument[MMU_ARG_QUEUE_SIZE], argument[MMU_ARG_QUEUE_BO],
		argument[MMU_ARG_QUEUE_OFFSET], argument[MMU_ARG_QUEUE_FLAGS]);
	mmu_u64 fence = argument[MMU_ARG_QUEUE_FENCE];
	struct dma_fence *wait_for = NULL;
	struct panthor_vm *vm;
	mmu_s64 result;

	if (gpu.base.unplugged)
		return -ENODEV;
	if (fence_count == FENCES)
		return -ENOSPC;
	if (fence != NONE) {
		if (fence >= fence_count)
			return -EINVAL;
		wait_for = fences[fence].fence;
	}
	vm = get_vm(argument[MMU_ARG_QUEUE_VM]);
	if (!vm)
		return -EINVAL;
	/* At least the fence that it signals. */
	op.syncs.count = 1 + (wait_for != NULL);
	result = submit(vm, &op, wait_for, value);
	panthor_vm_put(vm);
	return result;
}
