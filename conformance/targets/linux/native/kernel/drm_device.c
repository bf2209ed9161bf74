// SPDX-License-Identifier: MIT
/*
 * References to a DRM device. Its owner here never gives up its own, so one too
 * many that is given back is a mistake of the driver. What is allocated for as
 * long as the device lives is never freed.
 */
#include <linux/slab.h>

#include <drm/drm_device.h>
#include <drm/drm_drv.h>
#include <drm/drm_managed.h>

#include "../harness.h"

void drm_dev_get(struct drm_device *device)
{
	if (device)
		kref_get(&device->ref);
}

static void last_reference_went(struct kref *count)
{
	mmu_emit(MMU_WARN, 0, 0, 0, MMU_CALLER);
}

void drm_dev_put(struct drm_device *device)
{
	if (device)
		kref_put(&device->ref, last_reference_went);
}

bool drm_dev_enter(struct drm_device *device, int *index)
{
	*index = 0;
	return !device->unplugged;
}

void drm_dev_exit(int index)
{
}

void *drmm_kmalloc(struct drm_device *device, size_t size, gfp_t flags)
{
	return kmalloc(size, flags);
}

int __drmm_add_action_or_reset(struct drm_device *device, drmres_release_t action, void *data,
			       const char *name)
{
	return 0;
}

/* Its address is taken when a mutex is made that goes with the device. */
void __drmm_mutex_release(struct drm_device *device, void *mutex)
{
}
