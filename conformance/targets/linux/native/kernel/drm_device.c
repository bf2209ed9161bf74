// SPDX-License-Identifier: MIT
/*
 * References to a DRM device. Its owner here never gives up its own, so one too
 * many that is given back is a mistake of the driver.
 */
#include <drm/drm_device.h>
#include <drm/drm_drv.h>

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
