// SPDX-License-Identifier: MIT
/* Tasks that wait. There is only one, so nobody would ever wake it. */
#include <linux/sched.h>

#include "../harness.h"

/* The kernel's own locks come here when one is taken that is held. */
void schedule_preempt_disabled(void)
{
	mmu_stop(MMU_HANG, 0, 0, 0, MMU_CALLER);
}
