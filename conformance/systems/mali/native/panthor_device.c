// SPDX-License-Identifier: MIT
/*
 * The Mali device as panthor's MMU code sees it: registers, an interrupt, power
 * and resets; and the parts of the driver beside that code, as far as it calls
 * them. Every access to a register is an event.
 *
 * A command completes at once, unless the caller made the next one stick.
 */
#include <linux/errno.h>
#include <linux/io.h>
#include <linux/workqueue.h>

#include <drm/drm_drv.h>
#include <drm/drm_vma_manager.h>

#include "panthor.h"
#include <../drivers/gpu/drm/panthor/panthor_gpu.h>
#include <../drivers/gpu/drm/panthor/panthor_heap.h>
#if HAS_PANTHOR_MMU_REGS
#include <../drivers/gpu/drm/panthor/panthor_gpu_regs.h>
#include <../drivers/gpu/drm/panthor/panthor_mmu_regs.h>
#else
#include <../drivers/gpu/drm/panthor/panthor_regs.h>
#endif
#include <../drivers/gpu/drm/panthor/panthor_sched.h>

#define SLOTS 16              /* as many as the interrupt has bits for faults */
#define AS_STRIDE 0x40
#define REGISTER_BYTES 0x4000 /* all that the MMU code uses */
#define POLLS_TOLD 16         /* of a register that says the same again and again */
#define INTERRUPTS 32         /* that one operation can lead to, at most */

/* Where registers are: newer trees name them by their place in the block of the MMU. */
#if HAS_PANTHOR_MMU_REGS
#define OF_SLOT(register) (MMU_AS_BASE + (register))
#define INTERRUPT(name) (MMU_INT_BASE + INT_##name)
#define SLOT_TRANSTAB(as) OF_SLOT(AS_TRANSTAB(as))
#define SLOT_FAULTADDRESS(as) OF_SLOT(AS_FAULTADDRESS(as))
#else
#define OF_SLOT(register) (register)
#define INTERRUPT(name) MMU_INT_##name
#define SLOT_TRANSTAB(as) AS_TRANSTAB_LO(as)
#define SLOT_FAULTADDRESS(as) AS_FAULTADDRESS_LO(as)
#endif

static struct {
	u32 word[REGISTER_BYTES / 4];
	struct {
		mmu_s64 next;         /* polls for which a command sticks; -1: for good */
		mmu_u64 after;        /* ... and how many come before it */
		mmu_s64 busy;         /* polls for which the last one still does */
	} slot[SLOTS];
	u32 polled;                   /* the register that was read last ... */
	u32 answer;                   /* ... what it said ... */
	unsigned int polls;           /* ... and how often in a row */
} registers;

static struct platform_device platform = { .name = "mali" };
static const struct drm_driver driver = { .driver_features = ~0U };
static struct drm_vma_offset_manager offsets;
struct panthor_device gpu;
struct workqueue_struct *panthor_cleanup_wq;
static bool created;
static bool powered;
static bool resetting;                /* between pre_reset and post_reset */

/* -- registers ------------------------------------------------------------------------ */

static u32 offset_of(const volatile void __iomem *at)
{
	unsigned long offset = (const volatile char __iomem *)at -
			       (const volatile char __iomem *)gpu.iomem;

	if (offset >= REGISTER_BYTES || offset % 4)
		mmu_stop(MMU_WILD, offset, 4, 0, MMU_CALLER);
	return offset;
}

/* Which slot's register block an offset is in, or -1. */
static int slot_of(u32 offset)
{
	u32 slot = (offset - SLOT_TRANSTAB(0)) / AS_STRIDE;

	return offset >= SLOT_TRANSTAB(0) && slot < SLOTS ? (int)slot : -1;
}

static u32 status_of(int slot)
{
	if (!registers.slot[slot].busy)
		return 0;
	if (registers.slot[slot].busy > 0)
		registers.slot[slot].busy--;
	return AS_STATUS_AS_ACTIVE;
}

static u32 interrupt_status(void)
{
	return registers.word[INTERRUPT(RAWSTAT) / 4] & registers.word[INTERRUPT(MASK) / 4];
}

static void start_command(int slot)
{
	if (registers.slot[slot].after) {
		registers.slot[slot].after--;
		return;
	}
	registers.slot[slot].busy = registers.slot[slot].next;
	registers.slot[slot].next = 0;
}

/* A stuck command is polled ten thousand times: the same answer is told only so often. */
static bool is_told(u32 offset, u32 answer)
{
	if (registers.polls && registers.polled == offset && registers.answer == answer)
		return registers.polls++ < POLLS_TOLD;
	registers.polled = offset;
	registers.answer = answer;
	registers.polls = 1;
	return true;
}

u32 __raw_readl(const volatile void __iomem *at)
{
	u32 offset = offset_of(at);
	int slot = slot_of(offset);
	u32 answer = registers.word[offset / 4];

	if (offset == INTERRUPT(STAT))
		answer = interrupt_status();
	else if (slot >= 0 && offset == OF_SLOT(AS_STATUS(slot)))
		answer = status_of(slot);
	if (is_told(offset, answer))
		mmu_emit(MMU_REG_READ, offset, answer, 0, MMU_CALLER);
	return answer;
}

void __raw_writel(u32 value, volatile void __iomem *at)
{
	u32 offset = offset_of(at);
	int slot = slot_of(offset);

	registers.polls = 0;
	mmu_emit(MMU_REG_WRITE, offset, value, 0, MMU_CALLER);
	if (offset == INTERRUPT(CLEAR)) {
		registers.word[INTERRUPT(RAWSTAT) / 4] &= ~value;
	} else if (slot >= 0 && offset == OF_SLOT(AS_COMMAND(slot))) {
		start_command(slot);
	} else if (offset != INTERRUPT(RAWSTAT) && offset != INTERRUPT(STAT)) {
		registers.word[offset / 4] = value;
	}
}

/* -- interrupts ----------------------------------------------------------------------- */

/* The line stays up as long as a fault is neither cleared nor masked. */
static void deliver(void)
{
	unsigned int i;

	for (i = 0; powered && interrupt_status() && i < INTERRUPTS; i++)
		if (!mmu_interrupt())
			return;
}

static mmu_s64 raise_fault(mmu_u64 slot, mmu_u64 address, mmu_u64 status)
{
	if (slot >= SLOTS || !(gpu.gpu_info.as_present & BIT(slot)) || !powered)
		return -EINVAL;
	registers.word[OF_SLOT(AS_FAULTSTATUS(slot)) / 4] = status;
	registers.word[SLOT_FAULTADDRESS(slot) / 4] = lower_32_bits(address);
	registers.word[SLOT_FAULTADDRESS(slot) / 4 + 1] = upper_32_bits(address);
	registers.word[INTERRUPT(RAWSTAT) / 4] |= BIT(slot);
	return 0;
}

static mmu_s64 stick(mmu_u64 slot, mmu_s64 polls, mmu_u64 after)
{
	if (slot >= SLOTS || polls < -1)
		return -EINVAL;
	registers.slot[slot].next = polls;
	registers.slot[slot].after = after;
	return 0;
}

/* -- power and resets ----------------------------------------------------------------- */

static void lose_registers(void)
{
	memset(&registers, 0, sizeof(registers));
}

/* What happens to the device, which no access of a register shows. */
static void tell_device(unsigned int what)
{
	mmu_emit(MMU_MESSAGE, 0, what, 0, NULL);
}

/* Whether the device can be used: it is there, has power, and is not being reset. */
bool is_up(void)
{
	return powered && !resetting && !gpu.base.unplugged;
}

static mmu_s64 pre_reset(void)
{
	if (!is_up())
		return -EINVAL;
	resetting = true;
	panthor_mmu_pre_reset(&gpu);
	return 0;
}

static mmu_s64 post_reset(void)
{
	if (!resetting)
		return -EINVAL;
	lose_registers();
	tell_device(MMU_MESSAGE_WAS_RESET);
	panthor_mmu_post_reset(&gpu);
	resetting = false;
	atomic_set(&gpu.reset.pending, 0);
	return 0;
}

static void reset_work(struct work_struct *work)
{
	if (!pre_reset())
		post_reset();
}

/* The driver asks for work: for a reset, or for what its scheduler has to do. */
bool __real_queue_work_on(int, struct workqueue_struct *, struct work_struct *);
bool __wrap_queue_work_on(int, struct workqueue_struct *, struct work_struct *);
bool __wrap_queue_work_on(int cpu, struct workqueue_struct *queue, struct work_struct *work)
{
	bool is_new = __real_queue_work_on(cpu, queue, work);

	if (is_new && work == &gpu.reset.work)
		mmu_emit(MMU_MESSAGE, 0, MMU_MESSAGE_RESET, 0, MMU_CALLER);
	return is_new;
}

static mmu_s64 suspend(void)
{
	if (!is_up())
		return -EINVAL;
	atomic_set(&gpu.pm.state, PANTHOR_DEVICE_PM_STATE_SUSPENDING);
	panthor_mmu_suspend(&gpu);
	atomic_set(&gpu.pm.state, PANTHOR_DEVICE_PM_STATE_SUSPENDED);
	powered = false;
	tell_device(MMU_MESSAGE_POWER_OFF);
	return 0;
}

static mmu_s64 resume(void)
{
	if (powered || gpu.base.unplugged)
		return -EINVAL;
	atomic_set(&gpu.pm.state, PANTHOR_DEVICE_PM_STATE_RESUMING);
	lose_registers();
	powered = true;
	tell_device(MMU_MESSAGE_POWER_ON);
	panthor_mmu_resume(&gpu);
	atomic_set(&gpu.pm.state, PANTHOR_DEVICE_PM_STATE_ACTIVE);
	return 0;
}

static mmu_s64 unplug(void)
{
	if (gpu.base.unplugged || resetting)
		return -EINVAL;
	gpu.base.unplugged = true;
	panthor_mmu_unplug(&gpu);
	return 0;
}

static mmu_s64 probe(unsigned int va_bits, unsigned int pa_bits, unsigned int slots, bool coherent)
{
	int result;

	if (!slots || slots > SLOTS)
		return -EINVAL;
	gpu.base.dev = &platform.dev;
	gpu.base.driver = &driver;
	gpu.base.driver_features = ~0U;
	gpu.base.vma_offset_manager = &offsets;
	drm_vma_offset_manager_init(&offsets, DRM_FILE_PAGE_OFFSET_START,
				    DRM_FILE_PAGE_OFFSET_SIZE);
	kref_init(&gpu.base.ref);
	gpu.iomem = (void __iomem *)registers.word;
	gpu.coherent = coherent;
#if HAS_PANTHOR_OWN_GEM
	mutex_init(&gpu.base.gem_lru_mutex);
	drm_gem_lru_init(&gpu.reclaim.unused);
	drm_gem_lru_init(&gpu.reclaim.mmapped);
	drm_gem_lru_init(&gpu.reclaim.gpu_mapped_shared);
	INIT_LIST_HEAD(&gpu.reclaim.vms);
#endif
	gpu.gpu_info.mmu_features = va_bits | pa_bits << 8;
	gpu.gpu_info.as_present = BIT(slots) - 1;
	gpu.reset.wq = alloc_workqueue("reset", 0, 0);
	INIT_WORK(&gpu.reset.work, reset_work);
	atomic_set(&gpu.pm.state, PANTHOR_DEVICE_PM_STATE_ACTIVE);
	powered = true;
	panthor_cleanup_wq = alloc_workqueue("cleanup", 0, 0);
	result = panthor_mmu_pt_cache_init();
	return result ? result : panthor_mmu_init(&gpu);
}

/* -- the rest of the driver ----------------------------------------------------------- */

const char *panthor_exception_name(struct panthor_device *device, u32 code)
{
	return "exception";
}

void panthor_sched_report_mmu_fault(struct panthor_device *device)
{
}

void panthor_sched_prepare_for_vm_destruction(struct panthor_device *device)
{
}

#if HAS_PANTHOR_OWN_GEM
/* The caches of the GPU: a command, which has ended when this comes back. */
int panthor_gpu_flush_caches(struct panthor_device *device, u32 l2, u32 lsc, u32 other)
{
	mmu_emit(MMU_REG_WRITE, GPU_CMD, GPU_FLUSH_CACHES(l2, lsc, other), 0, MMU_CALLER);
	return 0;
}

size_t panthor_heap_pool_size(struct panthor_heap_pool *pool)
{
	return 0;
}
#endif

/* VMs have no heaps here. */
void panthor_heap_pool_destroy(struct panthor_heap_pool *pool)
{
}

/* -- the operations ------------------------------------------------------------------- */

/* So many items of work, or, if that is 0, all of it. */
static void run_deferred(mmu_u64 steps)
{
	mmu_u64 i;

	for (i = 0; i < steps; i++)
		if (!mmu_run_work())
			return;
	while (!steps && (mmu_run_work() || mmu_run_callbacks()))
		;
}

static mmu_s64 create(const mmu_u64 *argument)
{
	mmu_s64 result = probe(argument[MMU_ARG_CREATE_VA_BITS], argument[MMU_ARG_CREATE_PA_BITS],
			       argument[MMU_ARG_CREATE_SLOTS], argument[MMU_ARG_CREATE_COHERENT]);

	if (!result)
		open_file();
	return result;
}

static void run(const struct mmu_call *call, struct mmu_result *result)
{
	const mmu_u64 *argument = call->argument;

	registers.polls = 0;
	begin_telling();
	switch ((enum mmu_operation)call->operation) {
	case MMU_OP_CREATE:
		result->result = create(argument);
		created = !result->result;
		break;
	case MMU_OP_VM:
		result->result = make_vm(argument[MMU_ARG_VM_USER_VA], &result->value);
		break;
	case MMU_OP_DESTROY_VM:
		result->result = destroy_vm(argument[MMU_ARG_DESTROY_VM_VM]);
		break;
	case MMU_OP_BO:
		result->result = make_buffer(argument, &result->value);
		break;
	case MMU_OP_CLOSE:
		result->result = close_buffer(argument[MMU_ARG_CLOSE_BO]);
		break;
	case MMU_OP_BIND:
		mmu_fail_any(argument[MMU_ARG_BIND_FAIL_AT]);
		result->result = bind_now(argument);
		break;
	case MMU_OP_QUEUE:
		result->result = bind_later(argument, &result->value);
		break;
	case MMU_OP_FENCE:
		result->result = make_fence(&result->value);
		break;
	case MMU_OP_SIGNAL:
		result->result = signal_fence(argument[MMU_ARG_SIGNAL_FENCE]);
		break;
	case MMU_OP_RUN:
		run_deferred(argument[MMU_ARG_RUN_STEPS]);
		break;
	case MMU_OP_ACTIVE:
		result->result = activate(argument[MMU_ARG_ACTIVE_VM]);
		break;
	case MMU_OP_IDLE:
		result->result = idle(argument[MMU_ARG_IDLE_VM]);
		break;
	case MMU_OP_FAULT:
		result->result = raise_fault(argument[MMU_ARG_FAULT_SLOT],
					     argument[MMU_ARG_FAULT_ADDRESS],
					     argument[MMU_ARG_FAULT_CODE]);
		break;
	case MMU_OP_STICK:
		result->result = stick(argument[MMU_ARG_STICK_SLOT], argument[MMU_ARG_STICK_POLLS],
				       argument[MMU_ARG_STICK_AFTER]);
		break;
	case MMU_OP_PRE_RESET:
		result->result = pre_reset();
		break;
	case MMU_OP_POST_RESET:
		result->result = post_reset();
		break;
	case MMU_OP_SUSPEND:
		result->result = suspend();
		break;
	case MMU_OP_RESUME:
		result->result = resume();
		break;
	case MMU_OP_UNPLUG:
		result->result = unplug();
		break;
	case MMU_OP_CLOSE_FILE:
		close_file();
		open_file();
		break;
	case MMU_OP_ALLOC:
		result->result = make_node(argument, &result->value);
		break;
	case MMU_OP_FREE:
		result->result = free_node(argument[MMU_ARG_FREE_NODE]);
		break;
	}
	if (!created)
		return;
	deliver();
	tell_state();
}

MMU_EXPORT void mmu_panthor_call(const struct mmu_call *call, struct mmu_result *result);
void mmu_panthor_call(const struct mmu_call *call, struct mmu_result *result)
{
	mmu_guard(run, call, result);
}
