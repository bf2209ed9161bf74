// SPDX-License-Identifier: MIT
/* What kernel code says: warnings and bugs are events, text is dropped. */
#include <linux/bug.h>
#include <linux/device.h>
#include <linux/dev_printk.h>
#include <linux/panic.h>
#include <linux/printk.h>

#include <drm/drm_print.h>

#include "../harness.h"

void warn_slowpath_fmt(const char *file, const int line, unsigned int taint, const char *format, ...)
{
	mmu_emit(MMU_WARN, 0, 0, 0, MMU_CALLER);
}

void __warn_printk(const char *format, ...)
{
	mmu_emit(MMU_WARN, 0, 0, 0, MMU_CALLER);
}

/* BUG() of this architecture, among others. */
void panic(const char *format, ...)
{
	mmu_stop(MMU_BUG, 0, 0, 0, MMU_CALLER);
}

void dump_stack(void)
{
}

int _printk(const char *format, ...)
{
	return 0;
}

void _dev_err(const struct device *dev, const char *format, ...)
{
}

void _dev_warn(const struct device *dev, const char *format, ...)
{
}

void _dev_info(const struct device *dev, const char *format, ...)
{
}

const char *dev_driver_string(const struct device *dev)
{
	return "driver";
}

void __drm_err(const char *format, ...)
{
}

void drm_dev_printk(const struct device *dev, const char *level, const char *format, ...)
{
}

void __drm_dev_dbg(struct _ddebug *descriptor, const struct device *dev,
		   enum drm_debug_category category, const char *format, ...)
{
}
