// SPDX-License-Identifier: MIT
/* What kernel code finds around it: a current task, and memory where it looks for it. */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/thread_info.h>

#include "../harness.h"

static struct task_struct task;

/* Whether interrupts are on, for inline functions that look: there are none. */
int signals_enabled;

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
#ifdef CONFIG_THREAD_INFO_IN_TASK
	cpu_tasks[0] = &task;
#else
	((struct thread_info *)stack)->task = &task;
#endif
	uml_physmem = arena - arena_pa;
	mem_map = (struct page *)page_info - (arena_pa >> PAGE_SHIFT);
}
