// SPDX-License-Identifier: MIT
/*
 * Deferred work: one list for all work queues, in the order in which it was
 * asked for. Nothing in it happens until a unit runs it, one item at a time.
 */
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/workqueue.h>

#include "tree_features.h"
#include "../harness.h"

struct workqueue_struct {
	const char *name;
};

static struct workqueue_struct of_the_system = { "system" };
struct workqueue_struct *system_wq = &of_the_system;
/* Its new name, which has come to older trees, too. */
extern struct workqueue_struct *system_percpu_wq;
struct workqueue_struct *system_percpu_wq = &of_the_system;

static LIST_HEAD(waiting);

#if HAS_WORKQUEUES_PROFILED
struct workqueue_struct *alloc_workqueue_noprof(const char *format, unsigned int flags, int most, ...)
#else
struct workqueue_struct *alloc_workqueue(const char *format, unsigned int flags, int most, ...)
#endif
{
	struct workqueue_struct *queue = kzalloc(sizeof(*queue), GFP_KERNEL);

	if (queue)
		queue->name = format;
	return queue;
}

void destroy_workqueue(struct workqueue_struct *queue)
{
	kfree(queue);
}

bool queue_work_on(int cpu, struct workqueue_struct *queue, struct work_struct *work)
{
	if (test_and_set_bit(WORK_STRUCT_PENDING_BIT, work_data_bits(work)))
		return false;
	list_add_tail(&work->entry, &waiting);
	return true;
}

/* A time after now never comes: see delayed_work_timer_fn. */
bool mod_delayed_work_on(int cpu, struct workqueue_struct *queue, struct delayed_work *work,
			 unsigned long delay)
{
	return !delay && queue_work_on(cpu, queue, &work->work);
}

static bool cancel(struct work_struct *work)
{
	if (!test_and_clear_bit(WORK_STRUCT_PENDING_BIT, work_data_bits(work)))
		return false;
	list_del_init(&work->entry);
	return true;
}

/* Nothing runs beside the caller, so there is nothing to wait for. */
bool cancel_work_sync(struct work_struct *work)
{
	return cancel(work);
}

bool cancel_delayed_work(struct delayed_work *work)
{
	return cancel(&work->work);
}

bool cancel_delayed_work_sync(struct delayed_work *work)
{
	return cancel(&work->work);
}

/* Its address is taken when delayed work is set up; timers never go off. */
void delayed_work_timer_fn(struct timer_list *timer)
{
}

#if HAS_TIMER_INIT_KEY
#define INIT_TIMER timer_init_key
#else
#define INIT_TIMER init_timer_key
#endif

void INIT_TIMER(struct timer_list *timer, void (*function)(struct timer_list *), unsigned int flags,
		const char *name, struct lock_class_key *key)
{
	timer->entry.pprev = NULL;
	timer->function = function;
	timer->flags = flags;
}

/* Runs what has waited longest. False if nothing waits. */
int mmu_run_work(void)
{
	struct work_struct *work = list_first_entry_or_null(&waiting, struct work_struct, entry);

	if (!work)
		return 0;
	cancel(work);
	work->func(work);
	return 1;
}

/* -- callbacks after a grace period --------------------------------------------------- */

static struct rcu_head *callbacks;
static struct rcu_head **callbacks_end = &callbacks;

void call_rcu(struct rcu_head *head, rcu_callback_t function)
{
	head->next = NULL;
	head->func = function;
	*callbacks_end = head;
	callbacks_end = &head->next;
}

void synchronize_rcu(void)
{
}

#if HAS_KVFREE_FUNCTION
#if HAS_KVFREE_HEAD
#define KVFREE_HEAD struct kvfree_rcu_head
#else
#define KVFREE_HEAD struct rcu_head
#endif

/* Memory that is freed after a grace period: the callback is how far in it the head is. */
void kvfree_call_rcu(KVFREE_HEAD *head, void *object)
{
	BUILD_BUG_ON(sizeof(*head) != sizeof(struct rcu_head));
	if (head)
		call_rcu((struct rcu_head *)head, (rcu_callback_t)((void *)head - object));
	else
		kvfree(object);
}
#endif

/* Runs the callbacks that wait, and those that they add. False if there were none. */
int mmu_run_callbacks(void)
{
	struct rcu_head *head;
	int some = 0;

	while ((head = callbacks)) {
		unsigned long offset = (unsigned long)head->func;

		callbacks = head->next;
		if (!callbacks)
			callbacks_end = &callbacks;
		some = 1;
		/* A small number is no function, but how far the head is in what is to be freed. */
		if (offset < PAGE_SIZE)
			kvfree((void *)head - offset);
		else
			head->func(head);
	}
	return some;
}
