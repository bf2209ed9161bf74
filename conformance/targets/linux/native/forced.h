/* SPDX-License-Identifier: MIT */
/*
 * Included before everything else in each kernel file that is watched.
 *
 * The compiler reports every load and store of C code to the __tsan functions
 * (host/recorder.c). It cannot see into inline assembly, and the kernel's
 * compare-exchange and its barriers are just that. Both are made visible here.
 */
#ifndef MMU_FORCED_H
#define MMU_FORCED_H

/* Files of user-mode Linux that see the host's libc are built with the same flags. */
#if defined(KBUILD_MODNAME) && !defined(__ASSEMBLY__)

#include <linux/types.h>

extern void mmu_access(const volatile void *at, size_t size, int type);
extern void mmu_barrier(int type);

/*
 * Atomics and bit operations of the kernel announce themselves to the race
 * detector before they happen. The announcement is sent to us.
 */
#include <linux/kcsan-checks.h>
#undef kcsan_check_access
#define kcsan_check_access(at, size, type) mmu_access(at, size, type)

/*
 * This takes the place of the architecture's own barrier header, which is kept
 * out by its include guard. Barriers between processors stay what they are.
 */
#define _ASM_UM_BARRIER_H_
#define mb() mmu_barrier(0)
#define wmb() mmu_barrier(0)
#define rmb() mmu_barrier(2)
#define dma_mb() mmu_barrier(0)
#define dma_wmb() mmu_barrier(1)
#define dma_rmb() mmu_barrier(2)
#include <asm-generic/barrier.h>

#endif /* KBUILD_MODNAME */
#endif
