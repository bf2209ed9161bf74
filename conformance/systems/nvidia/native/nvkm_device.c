// SPDX-License-Identifier: MIT
/*
 * The device as nvkm's MMU code sees it: registers that ask for invalidations
 * and say how they go, the memory in which tables lie, and the parts of the
 * driver beside that code, as far as it calls them.
 *
 * Tables are told when the walker gets them and gives them back: the driver
 * keeps spare ones, and cuts small ones from a page, which is its own affair.
 */
#include <linux/delay.h>
#include <linux/io.h>

#include "nvkm.h"
#include "tree_features.h"

#include <core/engine.h>
#include <core/option.h>
#include <core/subdev.h>
#include <subdev/fb.h>
#include <subdev/instmem.h>
#include <subdev/ltc.h>
#include <subdev/timer.h>

#include <../drivers/gpu/drm/nouveau/nvkm/subdev/mmu/mem.h>
#include <../drivers/gpu/drm/nouveau/nvkm/subdev/mmu/ummu.h>

#define REGISTERS_AT 0x10000000UL /* nothing is there: no access goes through memory */
#define REGISTER_BYTES 0x1000000UL
#define FLUSH_STATE 0x100c80
/* There is room for more invalidations, and those that were asked for are done. */
#define FLUSH_IDLE 0x00ff8000
#define POLLS_TOLD 16             /* of a register that says the same again and again */
#define TAGS 0x10000              /* units of compressed memory that the device has */
#define POLL_NANOSECONDS 1000000  /* that a look at the clock takes */

struct table_memory {
	struct nvkm_memory base;
	mmu_u64 pa;
	mmu_u64 size;
	unsigned int order;
	unsigned int users;       /* between acquire and release */
};

static struct device parent;
static struct nvkm_fb framebuffer;
static struct nvkm_instmem instances;
static struct nvkm_timer timer;
struct nvkm_device gpu;
u8 large_shift;

static struct {
	mmu_u64 asked;            /* tables that the walker has asked for in this call ... */
	mmu_u64 failing;          /* ... and which one it does not get */
	bool quiet;               /* a table is being made: what is written there is not told */
	u64 small_size;           /* of tables that are cut from a page */
} tables;

static struct {
	mmu_u64 pa;               /* of a word the lower half of which was just written; or 0 */
	mmu_u64 old;
	const void *from;
} half;

static mmu_s64 busy;              /* for how many polls nothing gets done; -1: for good */

static struct {
	u32 offset, answer;
	unsigned int polls;
} last_read;

/* -- registers ------------------------------------------------------------------------ */

static u32 offset_of(const volatile void __iomem *at)
{
	unsigned long offset = (unsigned long)at - REGISTERS_AT;

	if (offset >= REGISTER_BYTES || offset % 4)
		mmu_stop(MMU_WILD, offset, 4, 0, MMU_CALLER);
	return offset;
}

static bool is_told(u32 offset, u32 answer)
{
	if (last_read.polls && last_read.offset == offset && last_read.answer == answer)
		return last_read.polls++ < POLLS_TOLD;
	last_read.offset = offset;
	last_read.answer = answer;
	last_read.polls = 1;
	return true;
}

static u32 flush_state(void)
{
	if (!busy)
		return FLUSH_IDLE;
	if (busy > 0)
		busy--;
	return 0;
}

void stick(mmu_s64 polls)
{
	busy = polls;
}

static void tell_half(void);

/* Where accessors are inline, they end in these. */
#if HAS_RAW_ACCESSORS
#define READ_REGISTER __raw_readl
#define WRITE_REGISTER __raw_writel
#define AT volatile
#else
#define READ_REGISTER ioread32
#define WRITE_REGISTER iowrite32
#define AT
#endif

unsigned int READ_REGISTER(const AT void __iomem *at)
{
	u32 offset = offset_of(at);
	u32 answer = offset == FLUSH_STATE ? flush_state() : 0;

	tell_half();
	if (is_told(offset, answer))
		mmu_emit(MMU_REG_READ, offset, answer, 0, MMU_CALLER);
	return answer;
}

void WRITE_REGISTER(u32 value, AT void __iomem *at)
{
	tell_half();
	last_read.polls = 0;
	mmu_emit(MMU_REG_WRITE, offset_of(at), value, 0, MMU_CALLER);
}

/* Time goes on with each look at it. */
void nvkm_timer_wait_init(struct nvkm_device *device, u64 nanoseconds, struct nvkm_timer_wait *wait)
{
	wait->tmr = device->timer;
	wait->limit = nanoseconds;
	wait->time0 = wait->time1 = 0;
	wait->reads = 0;
}

s64 nvkm_timer_wait_test(struct nvkm_timer_wait *wait)
{
	wait->time1 += POLL_NANOSECONDS;
	return wait->time1 - wait->time0 > wait->limit ? -ETIMEDOUT : (s64)wait->time1;
}

/* -- the memory of tables ------------------------------------------------------------- */

static struct table_memory *to_table(struct nvkm_memory *memory)
{
	return container_of(memory, struct table_memory, base);
}

static void tell_store(mmu_u64 pa, mmu_u64 old, const void *from)
{
	if (!tables.quiet)
		mmu_emit(MMU_STORE, pa, old, mmu_word(pa), from);
}

/* The lower half of a word stayed alone. */
static void tell_half(void)
{
	mmu_u64 pa = half.pa;

	half.pa = 0;
	if (pa)
		tell_store(pa, half.old, half.from);
}

static void check(const struct table_memory *table, u64 offset, bool write, const void *from)
{
	if (offset >= table->size || offset % 4)
		mmu_stop(MMU_WILD, table->pa + offset, 4, write, from);
}

static u32 read_half(struct nvkm_memory *memory, u64 offset)
{
	struct table_memory *table = to_table(memory);

	check(table, offset, false, MMU_CALLER);
	return mmu_word((table->pa + offset) & ~7ULL) >> (offset % 8 * 8);
}

/* The driver writes the lower half of an entry, then the upper one: that is one store. */
static void write_half(struct nvkm_memory *memory, u64 offset, u32 data)
{
	struct table_memory *table = to_table(memory);
	mmu_u64 pa = (table->pa + offset) & ~7ULL;
	mmu_u64 old;

	check(table, offset, true, MMU_CALLER);
	old = mmu_word(pa);
	if (offset % 8) {
		mmu_set_word(pa, (u64)data << 32 | lower_32_bits(old));
		if (half.pa == pa) {
			half.pa = 0;
			old = half.old;
		}
		tell_half();
		tell_store(pa, old, MMU_CALLER);
	} else {
		tell_half();
		mmu_set_word(pa, (old & ~0xffffffffULL) | data);
		half.pa = pa;
		half.old = old;
		half.from = MMU_CALLER;
	}
}

static const struct nvkm_memory_ptrs halves = {
	.rd32 = read_half,
	.wr32 = write_half,
};

static void *end_table(struct nvkm_memory *memory)
{
	struct table_memory *table = to_table(memory);

	mmu_pages_give_untold(table->pa, table->order);
	return table;
}

static enum nvkm_memory_target table_target(struct nvkm_memory *memory)
{
	return NVKM_MEM_TARGET_VRAM;
}

static u8 table_page(struct nvkm_memory *memory)
{
	return PAGE_SHIFT;
}

static u64 table_address(struct nvkm_memory *memory)
{
	return to_table(memory)->pa;
}

static u64 table_size(struct nvkm_memory *memory)
{
	return to_table(memory)->size;
}

/* It can always be reached. */
static void table_boot(struct nvkm_memory *memory, struct nvkm_vmm *vmm)
{
}

/*
 * There is no mapping of it, so that the driver has to use the functions above,
 * and it has them only until it releases the memory. A table that is being made
 * may be cleared at once.
 */
static void __iomem *table_acquire(struct nvkm_memory *memory)
{
	struct table_memory *table = to_table(memory);

	table->users++;
	memory->ptrs = &halves;
	return tables.quiet ? __va(table->pa) : NULL;
}

/* What was written is seen by the device from here on: see nv50_instobj_release. */
static void table_release(struct nvkm_memory *memory)
{
	struct table_memory *table = to_table(memory);

	tell_half();
	if (!tables.quiet)
		mmu_emit(MMU_BARRIER, MMU_FULL_BARRIER, 0, 0, MMU_CALLER);
	if (table->users && !--table->users)
		memory->ptrs = NULL;
}

void memset_io(volatile void __iomem *to, int byte, size_t size)
{
	mmu_u64 pa = __pa(to);

	if (!tables.quiet || !mmu_is_page(pa))
		mmu_stop(MMU_WILD, pa, size, true, MMU_CALLER);
	mmu_set_bytes(pa, byte, size);
}

static const struct nvkm_memory_func table_functions = {
	.dtor = end_table,
	.target = table_target,
	.page = table_page,
	.addr = table_address,
	.size = table_size,
	.boot = table_boot,
	.acquire = table_acquire,
	.release = table_release,
};

static int make_table(u32 size, bool zero, struct nvkm_memory **memory)
{
	struct table_memory *table = kzalloc(sizeof(*table), GFP_KERNEL);

	if (!table)
		return -ENOMEM;
	table->order = get_order(size);
	table->size = size;
	table->pa = mmu_pages_take_untold(table->order);
	if (!table->pa) {
		kfree(table);
		return -ENOMEM;
	}
	if (zero)
		mmu_set_bytes(table->pa, 0, size);
	nvkm_memory_ctor(&table_functions, &table->base);
	*memory = &table->base;
	return 0;
}

/* A tree with the raw interface says, too, whether the content outlives a suspend. */
#ifdef NVIF_VMM_V0_RAW
int nvkm_instobj_new(struct nvkm_instmem *of, u32 size, u32 align, bool zero, bool preserve,
		     struct nvkm_memory **memory)
#else
int nvkm_instobj_new(struct nvkm_instmem *of, u32 size, u32 align, bool zero,
		     struct nvkm_memory **memory)
#endif
{
	return make_table(size, zero, memory);
}

static void tell_new(mmu_u64 pa, mmu_u64 size, bool zero, const void *from)
{
	mmu_emit(MMU_ALLOC, pa, size, 0, from);
	if (!zero)
		return;
	mmu_emit(MMU_FILL, pa, size, 0, from);
	mmu_emit(MMU_BARRIER, MMU_FULL_BARRIER, 0, 0, from);
}

/* An instance block, which says where the root is. */
struct nvkm_memory *make_instance(void)
{
	struct nvkm_memory *memory;

	if (make_table(PAGE_SIZE, true, &memory))
		return NULL;
	tell_new(nvkm_memory_addr(memory), PAGE_SIZE, true, NULL);
	return memory;
}

/* -- tables, as the walker gets and gives them ------------------------------------------ */

struct nvkm_mmu_pt *__real_nvkm_mmu_ptc_get(struct nvkm_mmu *, u32, u32, bool);
struct nvkm_mmu_pt *__wrap_nvkm_mmu_ptc_get(struct nvkm_mmu *, u32, u32, bool);
struct nvkm_mmu_pt *__wrap_nvkm_mmu_ptc_get(struct nvkm_mmu *mmu, u32 size, u32 align, bool zero)
{
	struct nvkm_mmu_pt *table = NULL;

	tell_half();
	tables.quiet = true;
	if (++tables.asked != tables.failing)
		table = __real_nvkm_mmu_ptc_get(mmu, size, align, zero);
	tell_half();
	tables.quiet = false;
	if (!table) {
		mmu_emit(MMU_ALLOC_FAILED, size, 0, 0, MMU_CALLER);
		return NULL;
	}
	if (table->sub)
		tables.small_size = size;
	tell_new(table->addr, size, zero, MMU_CALLER);
	return table;
}

void __real_nvkm_mmu_ptc_put(struct nvkm_mmu *, bool, struct nvkm_mmu_pt **);
void __wrap_nvkm_mmu_ptc_put(struct nvkm_mmu *, bool, struct nvkm_mmu_pt **);
void __wrap_nvkm_mmu_ptc_put(struct nvkm_mmu *mmu, bool force, struct nvkm_mmu_pt **table)
{
	if (*table) {
		u64 size = (*table)->sub ? tables.small_size : nvkm_memory_size((*table)->memory);

		tell_half();
		mmu_emit(MMU_FREE, (*table)->addr, size, 0, MMU_CALLER);
	}
	__real_nvkm_mmu_ptc_put(mmu, force, table);
}

/* -- pages of the processor, as the device is let at them ------------------------------ */

dma_addr_t dma_map_page_attrs(struct device *dev, struct page *page, size_t offset, size_t size,
			      enum dma_data_direction direction, unsigned long attributes)
{
	dma_addr_t address = page_to_phys(page) + offset;

	tell_half();
	mmu_emit(MMU_DMA_MAP, address, size, 0, MMU_CALLER);
	return address;
}

void dma_unmap_page_attrs(struct device *dev, dma_addr_t address, size_t size,
			  enum dma_data_direction direction, unsigned long attributes)
{
	tell_half();
	mmu_emit(MMU_DMA_UNMAP, address, size, 0, MMU_CALLER);
}

/* -- the parts of the driver beside it ------------------------------------------------- */

#ifdef NVIF_VMM_V0_RAW
#define SUBDEV_CTOR __nvkm_subdev_ctor
#else
#define SUBDEV_CTOR nvkm_subdev_ctor
#endif

void SUBDEV_CTOR(const struct nvkm_subdev_func *functions, struct nvkm_device *device,
		 enum nvkm_subdev_type type, int instance, struct nvkm_subdev *subdev)
{
	subdev->func = functions;
	subdev->device = device;
	subdev->type = type;
	subdev->inst = instance;
}

struct nvkm_engine *nvkm_engine_ref(struct nvkm_engine *engine)
{
	return engine;
}

void nvkm_engine_unref(struct nvkm_engine **engine)
{
	*engine = NULL;
}

/* No option of the driver is set. */
bool nvkm_boolopt(const char *options, const char *name, bool value)
{
	return value;
}

/* What memory holds is nobody's affair here. */
void nvkm_ltc_tags_clear(struct nvkm_device *device, u32 first, u32 count)
{
}

/* Makers of objects that nobody asks for here; their addresses are taken. */

int nvkm_ummu_new(struct nvkm_device *device, const struct nvkm_oclass *class, void *argv, u32 argc,
		  struct nvkm_object **object)
{
	return -ENODEV;
}

int gf100_mem_new(struct nvkm_mmu *mmu, int type, u8 page, u64 size, void *argv, u32 argc,
		  struct nvkm_memory **memory)
{
	return -ENODEV;
}

int gf100_mem_map(struct nvkm_mmu *mmu, struct nvkm_memory *memory, void *argv, u32 argc, u64 *addr,
		  u64 *size, struct nvkm_vma **vma)
{
	return -ENODEV;
}

/* -- the device as a whole -------------------------------------------------------------- */

static int probe(void)
{
	gpu.dev = &parent;
	gpu.pri = (void __iomem *)REGISTERS_AT;
	gpu.fb = &framebuffer;
	gpu.imem = &instances;
	gpu.timer = &timer;
	framebuffer.subdev.device = instances.subdev.device = timer.subdev.device = &gpu;
	INIT_LIST_HEAD(&gpu.subdev);
	mutex_init(&framebuffer.tags.mutex);
	if (nvkm_mm_initialised(&framebuffer.tags.mm))
		return 0;
	return nvkm_mm_init(&framebuffer.tags.mm, 0, 0, TAGS, 1);
}

static struct {
	int (*make)(struct nvkm_device *, enum nvkm_subdev_type, int, struct nvkm_mmu **);
	struct nvkm_mmu *mmu[2];      /* by the size of large pages */
} chips[] = {
	[MMU_CREATE_CHIP_GF100] = { .make = gf100_mmu_new },
	[MMU_CREATE_CHIP_GK104] = { .make = gk104_mmu_new },
	[MMU_CREATE_CHIP_GM200] = { .make = gm200_mmu_new },
	[MMU_CREATE_CHIP_GP100] = { .make = gp100_mmu_new },
};

/* From Maxwell on, each address space says itself which large pages it has. */
bool space_says_large(enum mmu_create_chip chip)
{
	return chip == MMU_CREATE_CHIP_GM200 || chip == MMU_CREATE_CHIP_GP100;
}

/* The MMU of a chip, which lives as long as the device, with its spare tables. */
struct nvkm_mmu *mmu_of(enum mmu_create_chip chip, u8 large, int *result)
{
	struct nvkm_mmu **mmu = &chips[chip].mmu[large == 17];

	large_shift = large;
	*result = probe();
	framebuffer.page = space_says_large(chip) ? 0 : large;
	if (!*result && !*mmu)
		*result = chips[chip].make(&gpu, NVKM_SUBDEV_MMU, 0, mmu);
	gpu.mmu = *mmu;
	return *mmu;
}

void begin_device(mmu_u64 failing_table)
{
	memset(&tables, 0, offsetof(typeof(tables), small_size));
	tables.failing = failing_table;
	half.pa = 0;
	last_read.polls = 0;
}

void end_device(void)
{
	tell_half();
}
