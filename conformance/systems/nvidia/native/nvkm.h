/* SPDX-License-Identifier: MIT */
/* What the parts of the unit share: the device, memories, and the address space. */
#ifndef MMU_NVKM_H
#define MMU_NVKM_H

#include <linux/errno.h>
#include <linux/slab.h>

#include <../drivers/gpu/drm/nouveau/nvkm/subdev/mmu/vmm.h>
#include <nvif/if000c.h>

#include "harness.h"
#include "operations.h"

/* nvkm_device.c */
extern struct nvkm_device gpu;
extern u8 large_shift;            /* of the large page, where the chip leaves that open */

bool space_says_large(enum mmu_create_chip chip);
struct nvkm_mmu *mmu_of(enum mmu_create_chip chip, u8 large, int *result);
struct nvkm_memory *make_instance(void);
void stick(mmu_s64 polls);
void begin_device(mmu_u64 failing_table); /* 0: none fails */
void end_device(void);

/* nvkm_memories.c */
mmu_s64 make_memory(mmu_u64 target, mmu_u64 size, mmu_u64 page, mmu_u64 piece, mmu_u64 *value);
mmu_s64 drop_memory(mmu_u64 number);
struct nvkm_memory *get_memory(mmu_u64 number); /* with a reference; NULL: there is none */
void tell_references(void);

/* nvkm_client.c */
extern struct nvkm_vmm *space;    /* NULL: there is none */

/* nvkm_telling.c */
struct area {
	struct area *next;
	mmu_u64 first;
	mmu_u64 size;
	mmu_u64 number;
};

bool is_room_for_area(void);
mmu_u64 add_area(mmu_u64 first, mmu_u64 size);  /* gives it its number */
struct area *area_of(mmu_u64 number);           /* NULL: it is gone, or never was */
void drop_area(mmu_u64 number);
void drop_areas(void);
void tell_state(void);

#endif
