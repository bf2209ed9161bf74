/* SPDX-License-Identifier: MIT */
/* What the two halves of the unit share: the device, and VMs with what is bound in them. */
#ifndef MMU_PANTHOR_H
#define MMU_PANTHOR_H

#include <linux/platform_device.h>

#include <../drivers/gpu/drm/panthor/panthor_device.h>
#include <../drivers/gpu/drm/panthor/panthor_gem.h>
#include <../drivers/gpu/drm/panthor/panthor_mmu.h>

#include "harness.h"
#include "operations.h"
#include "tree_features.h"

/* What a buffer is to the rest of the kernel. */
#if HAS_PANTHOR_OWN_GEM
#define GEM(buffer) (&(buffer)->base)
#else
#define GEM(buffer) (&(buffer)->base.base)
#endif

#define NONE (~0ULL)            /* no VM, no buffer, no fence */

/* panthor_device.c */
extern struct panthor_device gpu;

bool is_up(void);

/* panthor_binds.c */
void open_file(void);
void close_file(void);
mmu_s64 make_vm(mmu_u64 user_range, mmu_u64 *value);
mmu_s64 destroy_vm(mmu_u64 number);
mmu_s64 make_buffer(const mmu_u64 *argument, mmu_u64 *value);
mmu_s64 close_buffer(mmu_u64 number);
mmu_s64 bind_now(const mmu_u64 *argument);
mmu_s64 bind_later(const mmu_u64 *argument, mmu_u64 *value);
mmu_s64 make_fence(mmu_u64 *value);
mmu_s64 signal_fence(mmu_u64 number);
mmu_s64 activate(mmu_u64 number);
mmu_s64 idle(mmu_u64 number);
struct panthor_vm *get_vm(mmu_u64 number);           /* with a reference; NULL: no handle */
struct drm_gem_object *get_buffer(mmu_u64 number);   /* just so */
void begin_telling(void);
void tell_state(void);

/* panthor_nodes.c */
mmu_s64 make_node(const mmu_u64 *argument, mmu_u64 *value);
mmu_s64 free_node(mmu_u64 number);
void free_nodes(mmu_u64 vm_number);                  /* NONE: of all VMs */

#endif
