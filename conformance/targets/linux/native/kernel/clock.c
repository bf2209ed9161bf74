// SPDX-License-Identifier: MIT
/* Time, which goes on only when kernel code waits for it to. */
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/timekeeping.h>

#include "../harness.h"

static u64 nanoseconds;

unsigned long volatile jiffies;

void __udelay(unsigned long microseconds)
{
	nanoseconds += microseconds * NSEC_PER_USEC;
}

/* Its argument is microseconds times 2^32 / 10^6. */
void __const_udelay(unsigned long loops)
{
	nanoseconds += (loops * NSEC_PER_SEC) >> 32;
}

ktime_t ktime_get(void)
{
	return nanoseconds;
}
