// SPDX-License-Identifier: MIT
/* What kernel code finds around it: a current task, and memory where it looks for it. */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/thread_info.h>

#include <os.h>

#include "../harness.h"

#define USER_ADDRESS_BITS 47

static struct task_struct task;

/* Addresses that a process has. */
unsigned long task_size = 1UL << USER_ADDRESS_BITS;

/* Whether interrupts are on, and what turns them on and off: there are none. */
int signals_enabled;

int um_get_signals(void)
{
	return signals_enabled;
}

void block_signals(void)
{
}

void unblock_signals(void)
{
}

int um_set_signals(int enable)
{
	return 0;
}

/* Newer trees find the current task here, others at the bottom of its stack. */
#ifdef CONFIG_THREAD_INFO_IN_TASK
struct task_struct *cpu_tasks[NR_CPUS];
#endif

void mmu_kernel_facts(struct mmu_kernel *facts)
{
	facts->stack_size = THREAD_SIZE;
	facts->page_info_size = sizeof(struct page);
}

void mmu_kernel_start(void *stack, void *page_info, unsigned long arena, mmu_u64 arena_pa,
		      mmu_u64 arena_size)
{
	BUILD_BUG_ON(PAGE_SHIFT != MMU_PAGE_SHIFT);
	task.group_leader = &task;
#ifdef CONFIG_THREAD_INFO_IN_TASK
	cpu_tasks[0] = &task;
#else
	((struct thread_info *)stack)->task = &task;
#endif
	uml_physmem = arena - arena_pa;
	mem_map = (struct page *)page_info - (arena_pa >> PAGE_SHIFT);
}
