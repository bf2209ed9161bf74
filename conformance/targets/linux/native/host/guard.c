/* SPDX-License-Identifier: MIT */
/*
 * Runs kernel code on a stack of its own, and comes back whatever it does.
 *
 * A fault becomes an event and ends the call. A loop is ended by the number of
 * accesses that it makes, which is the same in every run; one that makes none
 * is ended by a timer that counts processor time.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "host.h"
#include "operations.h"

/*
 * Accesses that one call may make: so many, and so many more for each page in
 * use and each object in the heap.
 */
#define BASE_LIMIT 2000000UL
#define LIMIT_FOR_PAGE 8192UL
#define LIMIT_FOR_OBJECT 2048UL
/* A call that is still running when the timer has gone off twice is a loop. */
#define TICK_NANOSECONDS 500000000L

static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
#define FAULTS (sizeof(faults) / sizeof(faults[0]))

static sigjmp_buf way_back;
volatile sig_atomic_t mmu_active;
static pthread_t owner;
static struct mmu_result *running;
static volatile unsigned long calls;
static unsigned long seen;
static struct sigaction before[FAULTS];
static timer_t timer;
static pid_t timer_process;
static int tick_signal; /* its own for each library in this process, as long as there are any */
static volatile sig_atomic_t passing;
static unsigned char signal_stack[64 << 10];

void mmu_leave(void)
{
	mmu_active = 0;
	siglongjmp(way_back, 1);
}

static int is_ours(void)
{
	return mmu_active && pthread_equal(owner, pthread_self());
}

/* The place of a fault is the instruction, which is not a return address. */
static const void *instruction(const ucontext_t *context)
{
	return (const void *)(context->uc_mcontext.gregs[REG_RIP] + 1);
}

static void pass_on(int number, siginfo_t *info, void *context)
{
	size_t i;

	for (i = 0; i < FAULTS; i++) {
		if (faults[i] != number)
			continue;
		if (!passing && (before[i].sa_flags & SA_SIGINFO)) {
			passing = 1;
			before[i].sa_sigaction(number, info, context);
			passing = 0;
		} else if (!passing && before[i].sa_handler != SIG_DFL &&
			   before[i].sa_handler != SIG_IGN) {
			passing = 1;
			before[i].sa_handler(number);
			passing = 0;
		} else {
			/* It happens again on return, and then does what it does by default. */
			signal(number, SIG_DFL);
		}
	}
}

/* Leaving a handler by a jump keeps the signals blocked that it blocks: undo that first. */
static void unblock(const ucontext_t *context)
{
	pthread_sigmask(SIG_SETMASK, &context->uc_sigmask, NULL);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	if (!is_ours()) {
		pass_on(number, info, context);
		return;
	}
	unblock(context);
	mmu_stop(MMU_CRASH, (mmu_u64)number, mmu_telling_address((uintptr_t)info->si_addr), 0,
		 instruction(context));
}

static void on_tick(int number, siginfo_t *info, void *context)
{
	if (!mmu_active)
		return;
	if (info->si_code == SI_TIMER && info->si_value.sival_ptr != &timer)
		return; /* another library's */
	if (!pthread_equal(owner, pthread_self())) {
		pthread_kill(owner, number);
		return;
	}
	if (seen == calls) {
		unblock(context);
		mmu_stop(MMU_HANG, 0, 0, 0, instruction(context));
	}
	seen = calls;
}

/* The set of blocked signals tells a handler of this harness from those of others. */
static void mark(sigset_t *mask)
{
	sigemptyset(mask);
	sigaddset(mask, SIGRTMAX);
	sigaddset(mask, SIGRTMAX - 1);
}

static int is_marked(const struct sigaction *action)
{
	return (action->sa_flags & SA_SIGINFO) && sigismember(&action->sa_mask, SIGRTMAX) == 1 &&
	       sigismember(&action->sa_mask, SIGRTMAX - 1) == 1 &&
	       sigismember(&action->sa_mask, SIGTERM) == 0;
}

/*
 * Puts a handler in place, unless it is there. The one that was there gets what is
 * not ours; one of another library of this harness only if it was there first, so
 * that two libraries never pass a signal back and forth.
 */
static int catch(int number, void (*handler)(int, siginfo_t *, void *), int flags,
		 struct sigaction *old, int first)
{
	struct sigaction action, current;

	if (sigaction(number, NULL, &current))
		return -1;
	if ((current.sa_flags & SA_SIGINFO) && current.sa_sigaction == handler)
		return 0;
	if (old && (first || !is_marked(&current)))
		*old = current;
	memset(&action, 0, sizeof(action));
	action.sa_sigaction = handler;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK | flags;
	mark(&action.sa_mask);
	return sigaction(number, &action, NULL);
}

/*
 * A signal that nobody uses, or one of another library of this harness, or 0. A library that
 * was closed leaves its own ignored. Who shares one has its handler in place after a reset,
 * and knows its own timer's ticks.
 */
static int free_signal(void)
{
	struct sigaction current;
	int number;

	for (number = SIGRTMAX - 2; number > SIGRTMIN; number--)
		if (!sigaction(number, NULL, &current) && !(current.sa_flags & SA_SIGINFO) &&
		    (current.sa_handler == SIG_DFL || current.sa_handler == SIG_IGN))
			return number;
	for (number = SIGRTMAX - 2; number > SIGRTMIN; number--)
		if (!sigaction(number, NULL, &current) && is_marked(&current))
			return number;
	return 0;
}

static int start_timer(void)
{
	struct sigevent event;
	struct itimerspec every = { { 0, TICK_NANOSECONDS }, { 0, TICK_NANOSECONDS } };

	if (timer_process == getpid())
		return 0;
	memset(&event, 0, sizeof(event));
	event.sigev_notify = SIGEV_SIGNAL;
	event.sigev_signo = tick_signal;
	event.sigev_value.sival_ptr = &timer;
	if (timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer))
		return -1;
	timer_process = getpid();
	return timer_settime(timer, 0, &every, NULL);
}

static int arm(int first)
{
	stack_t stack, current;
	size_t i;

	if (!tick_signal && !(tick_signal = free_signal()))
		return -1;
	if (sigaltstack(NULL, &current))
		return -1;
	if (current.ss_flags & SS_DISABLE) {
		memset(&stack, 0, sizeof(stack));
		stack.ss_sp = signal_stack;
		stack.ss_size = sizeof(signal_stack);
		if (sigaltstack(&stack, NULL))
			return -1;
	}
	for (i = 0; i < FAULTS; i++)
		if (catch(faults[i], on_fault, SA_NODEFER, &before[i], first))
			return -1;
	if (catch(tick_signal, on_tick, SA_RESTART, NULL, first))
		return -1;
	return start_timer();
}

int mmu_guard_open(void)
{
	return arm(1);
}

/* Others may have put their own handlers in place since: ours go on top of theirs. */
void mmu_guard_check(void)
{
	arm(0);
}

void mmu_guard_close(void)
{
	struct sigaction current;
	size_t i;

	for (i = 0; i < FAULTS; i++)
		if (!sigaction(faults[i], NULL, &current) && (current.sa_flags & SA_SIGINFO) &&
		    current.sa_sigaction == on_fault)
			sigaction(faults[i], &before[i], NULL);
	if (timer_process == getpid())
		timer_delete(timer);
	timer_process = 0;
	if (tick_signal)
		signal(tick_signal, SIG_IGN);
	tick_signal = 0;
}

/* Calls run(call, result) with the stack pointer at `top`. */
static void on_stack(void *top, void (*run)(const struct mmu_call *, struct mmu_result *),
		     const struct mmu_call *call, struct mmu_result *result)
{
	__asm__ volatile("movq %%rsp, %%rbx\n\t"
			 "movq %[top], %%rsp\n\t"
			 "call *%[run]\n\t"
			 "movq %%rbx, %%rsp"
			 : "+D"(call), "+S"(result)
			 : [top] "r"(top), [run] "r"(run)
			 : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc");
}

/* Kernel code called a function that this harness does not have. */
void mmu_missing(const char *name)
{
	mmu_settle();
	running->missing = (mmu_u64)(uintptr_t)name;
	mmu_leave();
}

void mmu_guard(void (*run)(const struct mmu_call *, struct mmu_result *),
	       const struct mmu_call *call, struct mmu_result *result)
{
	mmu_memory_begin();
	mmu_recorder_begin(BASE_LIMIT + LIMIT_FOR_PAGE * mmu_memory.pages_in_use +
			   LIMIT_FOR_OBJECT * mmu_memory.objects);
	memset(result, 0, sizeof(*result));
	owner = pthread_self();
	running = result;
	calls++;
	if (!sigsetjmp(way_back, 0)) {
		mmu_active = 1;
		on_stack((void *)(mmu_memory.stack + mmu_memory.stack_size - 64), run, call, result);
		mmu_settle();
		mmu_active = 0;
		result->finished = 1;
	} else {
		result->result = 0;
		result->value = 0;
	}
	result->events = mmu_recorder.count;
}

/* -- the library as a whole ----------------------------------------------------------- */

const char mmu_operations[] = MMU_OPERATIONS;

int mmu_open(struct mmu_layout *layout)
{
	if (mmu_recorder_open() || mmu_memory_open() || mmu_guard_open())
		return -1;
	layout->image = mmu_memory.image;
	layout->events = (mmu_u64)(uintptr_t)mmu_recorder.events;
	layout->capacity = MMU_CAPACITY;
	layout->arena = mmu_memory.arena;
	layout->arena_pa = MMU_ARENA_PA;
	layout->arena_size = MMU_ARENA_SIZE;
	layout->poison = MMU_POISON_WORD;
	return 0;
}

void mmu_reset(void)
{
	mmu_guard_check();
	mmu_memory_reset();
}

void mmu_close(void)
{
	mmu_guard_close();
}
