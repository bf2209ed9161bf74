// SPDX-License-Identifier: MIT
/*
 * Interrupts: one line, to one device. Its unit says when it is raised; both
 * halves of the handler then run at once.
 */
#include <linux/interrupt.h>
#include <linux/platform_device.h>

#include "../harness.h"

#define LINE 1

static irq_handler_t first_half, second_half;
static void *of_handler;

int platform_get_irq_byname(struct platform_device *device, const char *name)
{
	return LINE;
}

int devm_request_threaded_irq(struct device *device, unsigned int line, irq_handler_t first,
			      irq_handler_t second, unsigned long flags, const char *name, void *data)
{
	first_half = first;
	second_half = second;
	of_handler = data;
	return 0;
}

/* No handler runs beside the caller. */
void synchronize_irq(unsigned int line)
{
}

/* False if the driver says that it was not its device. */
int mmu_interrupt(void)
{
	irqreturn_t said = first_half ? first_half(LINE, of_handler) : IRQ_NONE;

	if (said == IRQ_WAKE_THREAD)
		said = second_half(LINE, of_handler);
	return said != IRQ_NONE;
}
