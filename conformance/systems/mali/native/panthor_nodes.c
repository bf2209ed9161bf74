// SPDX-License-Identifier: MIT
/*
 * Nodes: ranges of a VM's kernel part, from the driver's own allocator, and what
 * is mapped in them. The driver's other parts have such ranges for what they
 * share with the device, and give them back before their VM goes.
 */
#include <linux/errno.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include <drm/drm_gem.h>
#include <drm/drm_mm.h>
#include <uapi/drm/panthor_drm.h>

#include "panthor.h"

struct va_node {
	struct drm_mm_node range;
	struct panthor_vm *vm;        /* it has a reference to it */
	mmu_u64 vm_number;
	bool mapped;                  /* there is a buffer in it */
};

static DEFINE_XARRAY(nodes);          /* those that there are, by number */
static unsigned long node_count;      /* made so far; numbers are not used again */

/* Whether a caller may map these bytes of the buffer in that VM. */
static bool is_in_buffer(const struct panthor_gem_object *buffer, struct panthor_vm *vm,
			 mmu_u64 offset, mmu_u64 size)
{
	mmu_u64 bytes = GEM(buffer)->size;

	if (buffer->exclusive_vm_root_gem && buffer->exclusive_vm_root_gem != panthor_vm_root_gem(vm))
		return false;
	return !(offset & (PAGE_SIZE - 1)) && size <= bytes && offset <= bytes - size;
}

/* A range, and the buffer mapped there, unless that is NULL. */
static int fill(struct va_node *node, mmu_u64 va, mmu_u64 size, struct panthor_gem_object *buffer,
		mmu_u64 offset)
{
	int result = panthor_vm_alloc_va(node->vm, va, size, &node->range);

	if (result || !buffer)
		return result;
	result = panthor_vm_map_bo_range(node->vm, buffer, offset, size, node->range.start,
					 DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC);
	if (result)
		panthor_vm_free_va(node->vm, &node->range);
	node->mapped = !result;
	return result;
}

static int keep(struct va_node *node)
{
	int result = xa_err(xa_store(&nodes, node_count, node, GFP_KERNEL));

	if (!result)
		node_count++;
	return result;
}

static void empty(struct va_node *node)
{
	/* Nobody asks how that went, nor could do anything about it. */
	if (node->mapped)
		panthor_vm_unmap_range(node->vm, node->range.start, node->range.size);
	panthor_vm_free_va(node->vm, &node->range);
}

static mmu_s64 make(struct panthor_vm *vm, const mmu_u64 *argument,
		    struct panthor_gem_object *buffer, mmu_u64 *value)
{
	struct va_node *node;
	int result;

	if (buffer && !is_in_buffer(buffer, vm, argument[MMU_ARG_ALLOC_OFFSET],
				    argument[MMU_ARG_ALLOC_SIZE]))
		return -EINVAL;
	node = kzalloc(sizeof(*node), GFP_KERNEL);
	if (!node)
		return -ENOMEM;
	node->vm = panthor_vm_get(vm);
	node->vm_number = argument[MMU_ARG_ALLOC_VM];
	result = fill(node, argument[MMU_ARG_ALLOC_VA], argument[MMU_ARG_ALLOC_SIZE], buffer,
		      argument[MMU_ARG_ALLOC_OFFSET]);
	if (!result) {
		result = keep(node);
		if (result)
			empty(node);
	}
	if (result) {
		panthor_vm_put(vm);
		kfree(node);
		return result;
	}
	*value = node->range.start;
	return 0;
}

mmu_s64 make_node(const mmu_u64 *argument, mmu_u64 *value)
{
	mmu_u64 number = argument[MMU_ARG_ALLOC_BO];
	struct drm_gem_object *object = NULL;
	struct panthor_vm *vm;
	mmu_s64 result;

	if (gpu.base.unplugged)
		return -ENODEV;
	vm = get_vm(argument[MMU_ARG_ALLOC_VM]);
	if (!vm)
		return -EINVAL;
	if (number != NONE)
		object = get_buffer(number);
	if (number != NONE && !object)
		result = -EINVAL;
	else
		result = make(vm, argument, object ? to_panthor_bo(object) : NULL, value);
	drm_gem_object_put(object);
	panthor_vm_put(vm);
	return result;
}

static void end(unsigned long number, struct va_node *node)
{
	struct panthor_vm *vm = get_vm(node->vm_number);

	xa_erase(&nodes, number);
	empty(node);
	panthor_vm_put(node->vm);
	kfree(node);
	panthor_vm_put(vm);
}

mmu_s64 free_node(mmu_u64 number)
{
	struct va_node *node = xa_load(&nodes, number);

	if (!node)
		return -EINVAL;
	end(number, node);
	return 0;
}

void free_nodes(mmu_u64 vm_number)
{
	struct va_node *node;
	unsigned long number;

	xa_for_each(&nodes, number, node)
		if (vm_number == NONE || vm_number == node->vm_number)
			end(number, node);
}
