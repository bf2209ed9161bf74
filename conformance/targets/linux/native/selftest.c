// SPDX-License-Identifier: MIT
/*
 * Deliberate misbehaviour, for the harness's own tests: compiled and watched
 * like a driver. Each function does one thing that a driver must not do, or
 * one kind of access that must be seen.
 */
#include <linux/atomic.h>
#include <linux/bug.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "harness.h"

static unsigned int once_counter;

static noinline void selftest_warn(void)
{
	WARN_ON(once_counter++ < 1000);
}

static noinline void selftest_warn_once(void)
{
	int i;

	for (i = 0; i < 3; i++)
		WARN_ON_ONCE(i < 3);
}

static noinline void selftest_bug(void)
{
	BUG();
}

static noinline unsigned long selftest_read(unsigned long address)
{
	return *(unsigned long *)address;
}

static noinline void selftest_write(unsigned long address)
{
	*(unsigned long *)address = 1;
}

/* A fault that no announcement comes before. */
static noinline void selftest_fault(void)
{
	asm volatile("movl $1, 16" : : : "memory");
}

static noinline void selftest_trap(void)
{
	asm volatile("ud2");
}

static noinline void selftest_divide(void)
{
	asm volatile("xorl %%ecx, %%ecx\n\txorl %%edx, %%edx\n\tdivl %%ecx" : : : "eax", "ecx", "edx");
}

static noinline void selftest_loop(void)
{
	while (READ_ONCE(once_counter) < 1000)
		;
}

static noinline void selftest_silent_loop(void)
{
	for (;;)
		asm volatile("" : : : "memory");
}

static noinline void selftest_storing_loop(unsigned long *page)
{
	for (;;)
		WRITE_ONCE(*page, READ_ONCE(*page) + 1);
}

static noinline unsigned long selftest_recursion(unsigned long depth)
{
	volatile unsigned long frame[64];

	frame[depth % 64] = depth;
	return selftest_recursion(depth + 1) + frame[depth % 64];
}

static noinline void selftest_after_kfree(void)
{
	unsigned long *object = kmalloc(64, GFP_KERNEL);

	kfree(object);
	/* The compiler must not see that this is the freed one. */
	asm volatile("" : "+r"(object));
	WRITE_ONCE(object[2], 1);
}

static noinline void selftest_past_object(void)
{
	unsigned long *object = kmalloc(64, GFP_KERNEL);

	asm volatile("" : "+r"(object));
	WRITE_ONCE(object[8], 1);
}

static noinline void selftest_double_kfree(void)
{
	void *object = kmalloc(64, GFP_KERNEL);

	kfree(object);
	asm volatile("" : "+r"(object));
	kfree(object);
}

/* Every kind of store to a page, the failing compare-exchange included. */
static noinline void selftest_stores(unsigned long *page)
{
	u32 *halves = (u32 *)page;
	u8 *bytes = (u8 *)page;
	unsigned long copy[2] = { 0x11, 0x22 };

	page[0] = 1;
	WRITE_ONCE(page[1], 2);
	halves[4] = 3;
	halves[5] = 4;
	bytes[24] = 5;
	cmpxchg(&page[4], 0UL, 6UL);
	cmpxchg(&page[4], 0UL, 7UL);
	xchg(&page[5], 8UL);
	set_bit(4, &page[6]);
	clear_bit(4, &page[6]);
	memset(&page[8], 0x55, 32);
	memcpy(&page[12], copy, sizeof(copy));
	page[0] = 0;
}

static noinline void selftest_barriers(void)
{
	mb();
	wmb();
	rmb();
	dma_wmb();
	dma_rmb();
	smp_mb();
	smp_wmb();
}

static noinline unsigned long selftest_freed_page(unsigned long *page)
{
	unsigned long seen;

	free_pages((unsigned long)page, 0);
	seen = READ_ONCE(page[3]);
	WRITE_ONCE(page[4], 9);
	return seen;
}

static noinline void selftest_double_free(unsigned long page)
{
	free_pages(page, 0);
	free_pages(page, 0);
}

/* Defined nowhere: what a newer driver might call. */
extern void mmu_function_of_a_newer_kernel(void);

static noinline void selftest_missing(void)
{
	mmu_function_of_a_newer_kernel();
}

/* Not watched: the call and its result are not memory of the kernel. */
static __attribute__((no_sanitize_thread)) void run(const struct mmu_call *call, struct mmu_result *result)
{
	unsigned long page;

	switch (call->operation) {
	case 0: selftest_warn(); break;
	case 1: selftest_warn_once(); break;
	case 2: selftest_bug(); break;
	case 3: result->value = selftest_read(call->argument[0]); break;
	case 4: selftest_write(call->argument[0]); break;
	case 5: selftest_fault(); break;
	case 6: selftest_trap(); break;
	case 7: selftest_divide(); break;
	case 8: selftest_loop(); break;
	case 9: selftest_silent_loop(); break;
	case 10: selftest_storing_loop((void *)get_zeroed_page(GFP_KERNEL)); break;
	case 11: result->value = selftest_recursion(0); break;
	case 12: selftest_after_kfree(); break;
	case 13: selftest_past_object(); break;
	case 14: selftest_double_kfree(); break;
	case 15: selftest_stores((void *)get_zeroed_page(GFP_KERNEL)); break;
	case 16: selftest_barriers(); break;
	case 17: result->value = selftest_freed_page((void *)__get_free_page(GFP_KERNEL)); break;
	case 18: selftest_double_free(__get_free_page(GFP_KERNEL)); break;
	case 19: selftest_missing(); break;
	case 20:
		/* A page straight from the allocator, and one that is zeroed. */
		page = __get_free_page(GFP_KERNEL);
		result->value = page ? READ_ONCE(*(unsigned long *)page) : 0;
		break;
	case 21: WRITE_ONCE(once_counter, READ_ONCE(once_counter) + 1); result->value = once_counter; break;
	case 22: result->value = call->argument[call->argument[0]]; break;
	}
}

MMU_EXPORT void mmu_selftest_call(const struct mmu_call *call, struct mmu_result *result);
void mmu_selftest_call(const struct mmu_call *call, struct mmu_result *result)
{
	mmu_guard(run, call, result);
}
