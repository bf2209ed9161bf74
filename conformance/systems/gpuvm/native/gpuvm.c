// SPDX-License-Identifier: MIT
/*
 * One VM of drm_gpuvm and a simple driver around it: it has buffers, keeps a
 * VMA for each mapping, and instead of writing page tables says what it would
 * write. It locks as the interface asks: the VM's operations by a lock of the
 * VM, the lists of external and evicted buffers by the VM's reservation, each
 * buffer's list of VMAs by a lock of the buffer.
 */
#include <linux/device.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/slab.h>

#include <drm/drm_device.h>
#include <drm/drm_drv.h>
#include <drm/drm_gem.h>
#include <drm/drm_gpuvm.h>
#include <drm/drm_vma_manager.h>

#include "harness.h"
#include "operations.h"
#include "tree_features.h"

#define BUFFERS 1024      /* how many can ever be made; numbers are not used again */
#define VMAS_FOR_MAP 3    /* the new one, and what is left on both sides */
#define VMAS_FOR_UNMAP 2
#define NUMBER_SHIFT 48   /* of the buffer's number in a backing word */
#define AROUND 4096ULL    /* how far around an operation's range mappings are reported */
#define NOTHING_FOUND (~0ULL)

/* Who decided: callbacks come through a function that only passes on. */
#define DECIDED_BY __builtin_return_address(1)

struct buffer {
	struct drm_gem_object base;
	struct mutex list_lock;           /* protects base.gpuva.list */
	struct drm_gem_object *root;      /* whose reservation a private one shares, or NULL */
	unsigned int number;
};

struct vm {
	struct drm_gpuvm base;
	struct mutex lock;                /* one operation at a time */
};

/* What an operation needs is allocated before its first step. */
struct call {
	struct drm_gpuvm_bo *vm_bo;       /* map only, until the new VMA is linked to it */
	struct drm_gpuva *unused[VMAS_FOR_MAP];
};

static struct {
	struct buffer *buffer;            /* NULL once it was freed */
	bool open;                        /* the caller has its handle */
	bool told;                        /* its counts are told after this operation */
} slots[BUFFERS];

static unsigned int buffers;              /* made so far */
static struct vm *vm;                     /* NULL once it was freed */
static struct drm_device drm;
static struct device device = { .init_name = "gpuvm" };
static struct drm_vma_offset_manager offsets;

static const struct drm_driver driver = {
	.driver_features = ~0U,
};

/* -- what is told --------------------------------------------------------------------- */

static struct buffer *to_buffer(struct drm_gem_object *object)
{
	return container_of(object, struct buffer, base);
}

static mmu_u64 backing(struct drm_gem_object *object, mmu_u64 offset)
{
	mmu_u64 number = to_buffer(object)->number;

	return number << NUMBER_SHIFT | (offset & ((1ULL << NUMBER_SHIFT) - 1));
}

static mmu_u64 last_of(const struct drm_gpuva *va)
{
	return va->va.addr + va->va.range - 1;
}

static void tell(unsigned int kind, const struct drm_gpuva *va, const void *from)
{
	slots[to_buffer(va->gem.obj)->number].told = true;
	mmu_emit(kind, va->va.addr, last_of(va), backing(va->gem.obj, va->gem.offset), from);
}

/* A VMA that is in the tree knows its VM. */
static void tell_if_added(const struct drm_gpuva *va, const void *from)
{
	if (va->vm)
		tell(MMU_VMA_ADD, va, from);
}

/* The first by the tree, which has to find it, and those behind it by the ordered list. */
static void tell_mappings(mmu_u64 first, mmu_u64 size)
{
	mmu_u64 low = first < AROUND ? 0 : first - AROUND;
	mmu_u64 span = size + AROUND - 1;
	mmu_u64 last = span < size || span > ~0ULL - first ? ~0ULL : first + span;
	struct drm_gpuva *va = drm_gpuva_find_first(&vm->base, low, last - low + 1);

	if (!va)
		return;
	list_for_each_entry_from(va, &vm->base.rb.list, rb.entry) {
		if (va->va.addr > last)
			return;
		if (va->gem.obj && last_of(va) >= low)
			mmu_emit(MMU_VMA, va->va.addr, last_of(va),
				 backing(va->gem.obj, va->gem.offset), NULL);
	}
}

static unsigned int vm_bo_count(struct buffer *buffer)
{
	struct drm_gpuvm_bo *vm_bo;

	if (buffer && vm)
		drm_gem_for_each_gpuvm_bo(vm_bo, &buffer->base)
			if (vm_bo->vm == &vm->base)
				return kref_read(&vm_bo->kref);
	return 0;
}

static void tell_counts(void)
{
	unsigned int number;

	for (number = 0; number < buffers; number++) {
		struct buffer *buffer = slots[number].buffer;

		if (!slots[number].told)
			continue;
		slots[number].told = false;
		mmu_emit(MMU_REFS, MMU_REFS_BUFFER, number,
			 buffer ? kref_read(&buffer->base.refcount) : 0, NULL);
		mmu_emit(MMU_REFS, MMU_REFS_VM_BO, number, vm_bo_count(buffer), NULL);
	}
	mmu_emit(MMU_REFS, MMU_REFS_VM, 0, vm ? kref_read(&vm->base.kref) : 0, NULL);
}

static bool in_pages(mmu_u64 word)
{
	return !(word & (PAGE_SIZE - 1));
}

/* -- buffers -------------------------------------------------------------------------- */

/* The buffer whose handle the caller has, or NULL. */
static struct buffer *open_buffer(mmu_u64 number)
{
	return number < buffers && slots[number].open ? slots[number].buffer : NULL;
}

static void free_buffer(struct drm_gem_object *object)
{
	struct buffer *buffer = to_buffer(object);

	drm_gem_object_release(object);
	drm_gem_object_put(buffer->root);
	slots[buffer->number].buffer = NULL;
	kfree(buffer);
}

static const struct drm_gem_object_funcs buffer_functions = {
	.free = free_buffer,
};

static mmu_s64 make_buffer(mmu_u64 size, bool private, mmu_u64 *value)
{
	struct buffer *buffer;

	if (!size || !in_pages(size) || size >> NUMBER_SHIFT)
		return -EINVAL;
	if (buffers == BUFFERS)
		return -ENOSPC;
	buffer = kzalloc(sizeof(*buffer), GFP_KERNEL);
	if (!buffer)
		return -ENOMEM;
	buffer->number = buffers;
	buffer->base.funcs = &buffer_functions;
	mutex_init(&buffer->list_lock);
	if (private) {
		buffer->root = vm->base.r_obj;
		drm_gem_object_get(buffer->root);
		buffer->base.resv = buffer->root->resv;
	}
	drm_gem_private_object_init(&drm, &buffer->base, size);
#if HAS_GPUVA_SET_LOCK
	drm_gem_gpuva_set_lock(&buffer->base, &buffer->list_lock);
#endif
	slots[buffers].buffer = buffer;
	slots[buffers].open = true;
	slots[buffers].told = true;
	*value = buffers++;
	return 0;
}

static mmu_s64 close_buffer(mmu_u64 number)
{
	struct buffer *buffer = open_buffer(number);

	if (!buffer)
		return -EINVAL;
	slots[number].open = false;
	slots[number].told = true;
	drm_gem_object_put(&buffer->base);
	return 0;
}

/* -- bonds of the VM with a buffer ---------------------------------------------------- */

static struct drm_gpuvm_bo *allocate_vm_bo(void)
{
	return kzalloc(sizeof(struct drm_gpuvm_bo), GFP_KERNEL);
}

static void free_vm_bo(struct drm_gpuvm_bo *vm_bo)
{
	kfree(vm_bo);
}

static struct drm_gpuvm_bo *take_vm_bo(struct buffer *buffer)
{
	struct drm_gpuvm_bo *vm_bo;

	dma_resv_lock(drm_gpuvm_resv(&vm->base), NULL);
	mutex_lock(&buffer->list_lock);
#if HAS_GPUVM_OBTAIN_LOCKED
	vm_bo = drm_gpuvm_bo_obtain_locked(&vm->base, &buffer->base);
#else
	vm_bo = drm_gpuvm_bo_obtain(&vm->base, &buffer->base);
#endif
	mutex_unlock(&buffer->list_lock);
	if (!IS_ERR(vm_bo))
		drm_gpuvm_bo_extobj_add(vm_bo);
	dma_resv_unlock(drm_gpuvm_resv(&vm->base));
	return vm_bo;
}

/* What holds the locks must not go with the last reference, so it is kept until after. */
static void put_vm_bo(struct drm_gpuvm_bo *vm_bo)
{
	struct buffer *buffer = to_buffer(vm_bo->obj);
	struct drm_gpuvm *of = vm_bo->vm;

	drm_gem_object_get(&buffer->base);
	drm_gpuvm_get(of);
	dma_resv_lock(drm_gpuvm_resv(of), NULL);
	mutex_lock(&buffer->list_lock);
	drm_gpuvm_bo_put(vm_bo);
	mutex_unlock(&buffer->list_lock);
	dma_resv_unlock(drm_gpuvm_resv(of));
	drm_gpuvm_put(of);
	drm_gem_object_put(&buffer->base);
}

static void link(struct drm_gpuva *va, struct drm_gpuvm_bo *vm_bo)
{
	struct buffer *buffer = to_buffer(va->gem.obj);

	mutex_lock(&buffer->list_lock);
	drm_gpuva_link(va, vm_bo);
	mutex_unlock(&buffer->list_lock);
}

static void unlink_and_free(struct drm_gpuva *va)
{
	struct buffer *buffer = to_buffer(va->gem.obj);
	struct drm_gpuvm_bo *vm_bo = drm_gpuvm_bo_get(va->vm_bo);

	mutex_lock(&buffer->list_lock);
	drm_gpuva_unlink(va);
	mutex_unlock(&buffer->list_lock);
	put_vm_bo(vm_bo);
	kfree(va);
}

/* -- steps, called by the VM ---------------------------------------------------------- */

static struct drm_gpuva *unused_vma(struct call *call)
{
	struct drm_gpuva *va;
	unsigned int i;

	for (i = 0; i < VMAS_FOR_MAP; i++) {
		va = call->unused[i];
		call->unused[i] = NULL;
		if (va)
			return va;
	}
	return NULL;
}

static int step_map(struct drm_gpuva_op *op, void *private)
{
	struct call *call = private;
	struct drm_gpuva *va = unused_vma(call);

	if (!va)
		return -EINVAL;
	mmu_emit(MMU_PT_MAP, op->map.va.addr, op->map.va.addr + op->map.va.range - 1,
		 backing(op->map.gem.obj, op->map.gem.offset), DECIDED_BY);
	drm_gpuva_map(&vm->base, va, &op->map);
	tell_if_added(va, DECIDED_BY);
	link(va, call->vm_bo);
	return 0;
}

/* What is left of a mapping has its flags and its bond. */
static void keep_part(struct drm_gpuva *part, const struct drm_gpuva *whole, const void *from)
{
	if (!part)
		return;
	tell_if_added(part, from);
	link(part, whole->vm_bo);
}

static int step_remap(struct drm_gpuva_op *op, void *private)
{
	struct drm_gpuva *whole = op->remap.unmap->va;
	struct drm_gpuva *prev = op->remap.prev ? unused_vma(private) : NULL;
	struct drm_gpuva *next = op->remap.next ? unused_vma(private) : NULL;
	u64 first, size;

	if ((op->remap.prev && !prev) || (op->remap.next && !next)) {
		kfree(prev);
		return -EINVAL;
	}
	drm_gpuva_op_remap_to_unmap_range(&op->remap, &first, &size);
	mmu_emit(MMU_PT_UNMAP, first, first + size - 1, 0, DECIDED_BY);
	if (prev)
		prev->flags = whole->flags;
	if (next)
		next->flags = whole->flags;
	drm_gpuva_remap(prev, next, &op->remap);
	tell(MMU_VMA_REMOVE, whole, DECIDED_BY);
	keep_part(prev, whole, DECIDED_BY);
	keep_part(next, whole, DECIDED_BY);
	unlink_and_free(whole);
	return 0;
}

static int step_unmap(struct drm_gpuva_op *op, void *private)
{
	struct drm_gpuva *va = op->unmap.va;

	mmu_emit(MMU_PT_UNMAP, va->va.addr, last_of(va), 0, DECIDED_BY);
	drm_gpuva_unmap(&op->unmap);
	tell(MMU_VMA_REMOVE, va, DECIDED_BY);
	unlink_and_free(va);
	return 0;
}

static int validate_vm_bo(struct drm_gpuvm_bo *vm_bo, struct drm_exec *exec)
{
	mmu_emit(MMU_VALIDATED, to_buffer(vm_bo->obj)->number, 0, 0, MMU_CALLER);
	vm_bo->evicted = false;
	return 0;
}

static void free_vm(struct drm_gpuvm *base)
{
	struct vm *freed = container_of(base, struct vm, base);

	if (vm == freed)
		vm = NULL;
	kfree(freed);
}

static const struct drm_gpuvm_ops operations = {
	.vm_free = free_vm,
	.vm_bo_alloc = allocate_vm_bo,
	.vm_bo_free = free_vm_bo,
	.vm_bo_validate = validate_vm_bo,
	.sm_step_map = step_map,
	.sm_step_remap = step_remap,
	.sm_step_unmap = step_unmap,
};

/* -- the operations ------------------------------------------------------------------- */

static void start_device(void)
{
	if (drm.dev)
		return;
	drm.dev = &device;
	drm.driver = &driver;
	drm.driver_features = ~0U;
	drm.vma_offset_manager = &offsets;
	kref_init(&drm.ref);
	drm_vma_offset_manager_init(&offsets, DRM_FILE_PAGE_OFFSET_START,
				    DRM_FILE_PAGE_OFFSET_SIZE);
}

static mmu_s64 create(const mmu_u64 *argument)
{
	struct drm_gem_object *root;
	struct vm *made;

	start_device();
	made = kzalloc(sizeof(*made), GFP_KERNEL);
	root = drm_gpuvm_resv_object_alloc(&drm);
	if (!made || !root)
		return -ENOMEM;
	mutex_init(&made->lock);
	drm_gpuvm_init(&made->base, "gpuvm", DRM_GPUVM_RESV_PROTECTED, &drm, root,
		       argument[MMU_ARG_CREATE_START], argument[MMU_ARG_CREATE_SIZE],
		       argument[MMU_ARG_CREATE_KERNEL_START], argument[MMU_ARG_CREATE_KERNEL_SIZE],
		       &operations);
	drm_gem_object_put(root);
	vm = made;
	return 0;
}

static int allocate(struct call *call, struct buffer *buffer, unsigned int vmas)
{
	unsigned int i;

	if (buffer) {
		struct drm_gpuvm_bo *vm_bo = take_vm_bo(buffer);

		if (IS_ERR(vm_bo))
			return PTR_ERR(vm_bo);
		call->vm_bo = vm_bo;
	}
	for (i = 0; i < vmas; i++) {
		call->unused[i] = kzalloc(sizeof(struct drm_gpuva), GFP_KERNEL);
		if (!call->unused[i])
			return -ENOMEM;
	}
	return 0;
}

static void clean_up(struct call *call)
{
	unsigned int i;

	for (i = 0; i < VMAS_FOR_MAP; i++)
		kfree(call->unused[i]);
	if (call->vm_bo)
		put_vm_bo(call->vm_bo);
}

static mmu_s64 carry_out(struct call *call, mmu_u64 iova, mmu_u64 size, struct buffer *buffer,
			 mmu_u64 offset)
{
#if HAS_GPUVM_MAP_REQUEST
	const struct drm_gpuvm_map_req request = {
		.map.va.addr = iova,
		.map.va.range = size,
		.map.gem.obj = &buffer->base,
		.map.gem.offset = offset,
	};

	return drm_gpuvm_sm_map(&vm->base, call, &request);
#else
	return drm_gpuvm_sm_map(&vm->base, call, iova, size, &buffer->base, offset);
#endif
}

static mmu_s64 map(mmu_u64 iova, mmu_u64 size, mmu_u64 number, mmu_u64 offset)
{
	struct buffer *buffer = open_buffer(number);
	struct call call = {};
	mmu_s64 result;

	if (!buffer)
		return -EINVAL;
	slots[number].told = true;
	/* What drm_gpuvm leaves to its drivers: whole pages, and only what the buffer has. */
	if (!in_pages(iova | size | offset) || size > buffer->base.size ||
	    offset > buffer->base.size - size)
		return -EINVAL;
	/* A private buffer is only for the VM that it was made with. */
	if (buffer->root && buffer->root != vm->base.r_obj)
		return -EINVAL;
	result = allocate(&call, buffer, VMAS_FOR_MAP);
	if (!result) {
		mutex_lock(&vm->lock);
		result = carry_out(&call, iova, size, buffer, offset);
		mutex_unlock(&vm->lock);
	}
	clean_up(&call);
	return result;
}

static mmu_s64 unmap(mmu_u64 iova, mmu_u64 size)
{
	struct call call = {};
	mmu_s64 result;

	if (!in_pages(iova | size))
		return -EINVAL;
	result = allocate(&call, NULL, VMAS_FOR_UNMAP);
	if (!result) {
		mutex_lock(&vm->lock);
		result = drm_gpuvm_sm_unmap(&vm->base, &call, iova, size);
		mutex_unlock(&vm->lock);
	}
	clean_up(&call);
	return result;
}

static void evict(mmu_u64 number, bool state)
{
	struct buffer *buffer = number < buffers ? slots[number].buffer : NULL;
	struct drm_gpuvm_bo *vm_bo;

	if (!buffer)
		return;
	slots[number].told = true;
	dma_resv_lock(buffer->base.resv, NULL);
	mutex_lock(&buffer->list_lock);
	vm_bo = drm_gpuvm_bo_find(&vm->base, &buffer->base);
	mutex_unlock(&buffer->list_lock);
	if (vm_bo)
		drm_gpuvm_bo_evict(vm_bo, state);
	dma_resv_unlock(buffer->base.resv);
	if (vm_bo)
		put_vm_bo(vm_bo);
}

static mmu_s64 validate(void)
{
	struct drm_gpuvm_exec exec = { .vm = &vm->base };
	mmu_s64 result = drm_gpuvm_exec_lock(&exec);

	if (result)
		return result;
	result = drm_gpuvm_exec_validate(&exec);
	drm_gpuvm_exec_unlock(&exec);
	return result;
}

static mmu_u64 find(mmu_u64 iova, mmu_u64 size)
{
	struct drm_gpuva *va;

	mutex_lock(&vm->lock);
	va = drm_gpuva_find_first(&vm->base, iova, size);
	mutex_unlock(&vm->lock);
	return va ? va->va.addr : NOTHING_FOUND;
}

static void unmap_to(mmu_u64 first, mmu_u64 end)
{
	if (first < end)
		unmap(first, end - first);
}

/* The range that is the kernel's cannot be unmapped, and is no reason to leave the rest. */
static void destroy(void)
{
	mmu_u64 first = vm->base.mm_start;
	mmu_u64 end = first + vm->base.mm_range;
	mmu_u64 kernel_first = vm->base.kernel_alloc_node.va.addr;
	mmu_u64 kernel_end = kernel_first + vm->base.kernel_alloc_node.va.range;
	unsigned int number;

	for (number = 0; number < buffers; number++)
		slots[number].told = slots[number].buffer;
	if (kernel_first == kernel_end) {
		unmap_to(first, end);
	} else {
		unmap_to(first, min(kernel_first, end));
		unmap_to(max(kernel_end, first), end);
	}
	drm_gpuvm_put(&vm->base);
}

static void run(const struct mmu_call *call, struct mmu_result *result)
{
	const mmu_u64 *argument = call->argument;

	switch ((enum mmu_operation)call->operation) {
	case MMU_OP_CREATE:
		result->result = create(argument);
		break;
	case MMU_OP_BO:
		result->result = make_buffer(argument[MMU_ARG_BO_SIZE], argument[MMU_ARG_BO_PRIVATE],
					     &result->value);
		break;
	case MMU_OP_CLOSE:
		result->result = close_buffer(argument[MMU_ARG_CLOSE_BO]);
		break;
	case MMU_OP_MAP:
		mmu_fail_heap(argument[MMU_ARG_MAP_FAIL_AT]);
		result->result = map(argument[MMU_ARG_MAP_IOVA], argument[MMU_ARG_MAP_SIZE],
				     argument[MMU_ARG_MAP_BO], argument[MMU_ARG_MAP_OFFSET]);
		tell_mappings(argument[MMU_ARG_MAP_IOVA], argument[MMU_ARG_MAP_SIZE]);
		break;
	case MMU_OP_UNMAP:
		mmu_fail_heap(argument[MMU_ARG_UNMAP_FAIL_AT]);
		result->result = unmap(argument[MMU_ARG_UNMAP_IOVA], argument[MMU_ARG_UNMAP_SIZE]);
		tell_mappings(argument[MMU_ARG_UNMAP_IOVA], argument[MMU_ARG_UNMAP_SIZE]);
		break;
	case MMU_OP_EVICT:
		evict(argument[MMU_ARG_EVICT_BO], argument[MMU_ARG_EVICT_STATE]);
		break;
	case MMU_OP_VALIDATE:
		result->result = validate();
		break;
	case MMU_OP_FIND:
		result->value = find(argument[MMU_ARG_FIND_IOVA], argument[MMU_ARG_FIND_SIZE]);
		break;
	case MMU_OP_DESTROY:
		destroy();
		break;
	}
	tell_counts();
}

MMU_EXPORT void mmu_gpuvm_call(const struct mmu_call *call, struct mmu_result *result);
void mmu_gpuvm_call(const struct mmu_call *call, struct mmu_result *result)
{
	mmu_guard(run, call, result);
}
