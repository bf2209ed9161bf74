// SPDX-License-Identifier: MIT
/*
 * Tasks that wait. There is only one: it does the deferred work itself that it
 * waits for, and if there is none, nobody would ever wake it.
 */
#include <linux/completion.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/sched/wake_q.h>
#include <linux/wait.h>

#include "../harness.h"

static void wait_for_others(const void *from)
{
	if (!mmu_run_work())
		mmu_stop(MMU_HANG, 0, 0, 0, from);
}

/* The kernel's own locks come here when one is taken that is held. */
void schedule_preempt_disabled(void)
{
	mmu_stop(MMU_HANG, 0, 0, 0, MMU_CALLER);
}

/* Nobody else wants to run. */
int __cond_resched(void);
int __cond_resched(void)
{
	return 0;
}

/* There is nobody to wake, and no task ever ends. */
int wake_up_process(struct task_struct *task)
{
	return 0;
}

void __put_task_struct_rcu_cb(struct rcu_head *head)
{
}

void wake_q_add(struct wake_q_head *head, struct task_struct *task)
{
}

void wake_up_q(struct wake_q_head *head)
{
}

void schedule(void)
{
	wait_for_others(MMU_CALLER);
}

/* -- wait queues: whoever waits looks again after each item of work ------------------- */

void __init_waitqueue_head(struct wait_queue_head *head, const char *name,
			   struct lock_class_key *key)
{
	spin_lock_init(&head->lock);
	INIT_LIST_HEAD(&head->head);
}

int __wake_up(struct wait_queue_head *head, unsigned int mode, int count, void *key)
{
	return 0;
}

void init_wait_entry(struct wait_queue_entry *entry, int flags)
{
	INIT_LIST_HEAD(&entry->entry);
}

long prepare_to_wait_event(struct wait_queue_head *head, struct wait_queue_entry *entry, int state)
{
	return 0;
}

void finish_wait(struct wait_queue_head *head, struct wait_queue_entry *entry)
{
}

/* -- completions ---------------------------------------------------------------------- */

void __init_swait_queue_head(struct swait_queue_head *head, const char *name,
			     struct lock_class_key *key)
{
	INIT_LIST_HEAD(&head->task_list);
}

void complete(struct completion *done)
{
	if (done->done != UINT_MAX)
		done->done++;
}

void complete_all(struct completion *done)
{
	done->done = UINT_MAX;
}

void wait_for_completion(struct completion *done)
{
	while (!done->done)
		wait_for_others(MMU_CALLER);
	if (done->done != UINT_MAX)
		done->done--;
}
