// SPDX-License-Identifier: MIT
/* Bulk accesses: the kernel's own are assembly, or would be seen a byte at a time. */
#include <linux/string.h>

#include "../harness.h"

void *memset(void *to, int byte, size_t size)
{
	mmu_fill(to, byte, size, MMU_CALLER);
	return to;
}

void *memcpy(void *to, const void *source, size_t size)
{
	mmu_copy(to, source, size, MMU_CALLER);
	return to;
}

void *memmove(void *to, const void *source, size_t size)
{
	mmu_copy(to, source, size, MMU_CALLER);
	return to;
}

int memcmp(const void *left, const void *right, size_t size)
{
	const unsigned char *a = left, *b = right;

	mmu_read(left, size, MMU_CALLER);
	mmu_read(right, size, MMU_CALLER);
	for (; size; size--, a++, b++)
		if (*a != *b)
			return *a - *b;
	return 0;
}
