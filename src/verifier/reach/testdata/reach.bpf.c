/* Programs with one questioned place each: a call to helper #9999, which no kernel has, so that the verifier refuses
 * a program exactly if it walks the place. The name says what is expected: t_WHAT__certain is refused, t_WHAT__never
 * loads; after __possible the verifier may do either, and we cannot tell. The same object is judged by the kernel in
 * the oracle's tests.
 *
 *   clang-19 -target bpf -mcpu=v3 -O2 -g -fdebug-compilation-dir=. -I../../../fixtures/include -c reach.bpf.c -o reach.bpf.o
 *   llvm-strip-19 -g reach.bpf.o
 */
#include "types.h"
#include "maps.h"
#include "helpers.h"

char _license[] SEC("license") = "GPL";

#define WEAK __attribute__((weak))
#define KSYM SEC(".ksyms")
#define NOINLINE __attribute__((noinline))
#define PROGRAM(name) SEC("syscall") int name(struct args *ctx)
#define BARRIER(x) asm volatile("" : "+r"(x))
static void (*const forbidden)(void) = (void *)9999;
static void (*const trace)(const char *fmt, u32 size) = (void *)6;

struct args {
	u64 a, b;
	u32 c, d;
};

const volatile bool off;
const volatile bool on = true;
const volatile u32 three = 3;
const volatile s16 minus_two = -2;
const volatile u64 big = 0x123456789abcdef0ull;
const volatile u32 table[4] = { 1, 2, 3, 4 };
u32 writable;
u64 writable64;
u32 initialised = 7;
static const char empty[1];

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, u32);
	__type(value, u64);
} hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, u32);
	__type(value, u64);
} array SEC(".maps");

/* Constants of frozen maps. */
PROGRAM(t_rodata_false__never) { if (off) forbidden(); return 0; }
PROGRAM(t_rodata_true__certain) { if (on) forbidden(); return 0; }
PROGRAM(t_rodata_word__never) { if (three != 3) forbidden(); return 0; }
PROGRAM(t_rodata_signed__never) { if (minus_two >= 0) forbidden(); return 0; }
PROGRAM(t_rodata_signed_taken__certain) { if (minus_two < 0) forbidden(); return 0; }
PROGRAM(t_rodata_long__never) { if (big >> 60 != 1) forbidden(); return 0; }
PROGRAM(t_rodata_element__certain) { if (table[2] == 3) forbidden(); return 0; }
PROGRAM(t_rodata_arithmetic__never)
{
	u64 x = three;

	x = ((x << 4) | 2) ^ 0x30;
	BARRIER(x);
	x = (x * 3 - 1) & 0xff;
	if (x != 5)
		forbidden();
	return 0;
}
PROGRAM(t_rodata_product__certain)
{
	u64 x = three;

	BARRIER(x);
	x *= 7;
	BARRIER(x);
	if (x == 21)
		forbidden();
	return 0;
}
PROGRAM(t_rodata_unknown_index__possible) { if (table[ctx->a & 3] == 1) forbidden(); return 0; }

/* What can change. */
PROGRAM(t_bss__certain) { if (writable) forbidden(); return 0; }
PROGRAM(t_bss_long__certain) { if (writable64 == 77) forbidden(); return 0; }
PROGRAM(t_data__certain) { if (initialised != 7) forbidden(); return 0; }
PROGRAM(t_context__certain) { if (ctx->c > 5) forbidden(); return 0; }
PROGRAM(t_context_long__certain) { if ((s64)ctx->a < 0) forbidden(); return 0; }
PROGRAM(t_context_else__certain) { if (ctx->a == 5) return 1; forbidden(); return 0; }
PROGRAM(t_two_tests__certain) { if (writable) { if (ctx->a) forbidden(); } return 0; }
PROGRAM(t_bit__certain) { if (writable & 4) forbidden(); return 0; }
PROGRAM(t_helper_result__certain) { if (bpf_ktime_get_ns() == 1) forbidden(); return 0; }
PROGRAM(t_helper_error__certain) { u64 v = 1; u32 k = 0; if (bpf_map_update_elem(&hash, &k, &v, 0) < 0) forbidden(); return 0; }
PROGRAM(t_signed_word__certain) { if ((s64)(s32)writable < -5) forbidden(); return 0; }
PROGRAM(t_sum__certain) { if (ctx->a + 5 == 9) forbidden(); return 0; }
PROGRAM(t_two_registers__certain) { if (ctx->a < ctx->b) forbidden(); return 0; }

/* Ranges. */
PROGRAM(t_byte_above__never)
{
	u64 x = *(volatile u8 *)&writable;

	BARRIER(x);
	if (x > 255)
		forbidden();
	return 0;
}
PROGRAM(t_byte_below__certain)
{
	u64 x = *(volatile u8 *)&writable;

	BARRIER(x);
	if (x > 254)
		forbidden();
	return 0;
}
PROGRAM(t_masked_above__never)
{
	u64 x = ctx->a & 7;

	BARRIER(x);
	if (x >= 8)
		forbidden();
	return 0;
}
PROGRAM(t_masked_bit__never)
{
	u64 x = ctx->a | 1;

	BARRIER(x);
	if (!(x & 1))
		forbidden();
	return 0;
}
PROGRAM(t_shifted__never)
{
	u64 x = ctx->a;

	x >>= 60;
	BARRIER(x);
	if (x > 15)
		forbidden();
	return 0;
}
PROGRAM(t_same_twice__never)
{
	u64 x = ctx->a;

	BARRIER(x);
	if (x == 5) {
		BARRIER(x);
		if (x != 5)
			forbidden();
	}
	return 0;
}
PROGRAM(t_range_twice__possible)
{
	u64 x = ctx->a;

	BARRIER(x);
	if (x > 5) {
		BARRIER(x);
		if (x > 3)
			forbidden();
	}
	return 0;
}
PROGRAM(t_copy_tested__never)
{
	u64 x = ctx->a, y = x;

	BARRIER(x);
	BARRIER(y);
	if (x == 5) {
		if (y == 6)
			forbidden();
	}
	return 0;
}

/* Null tests. */
PROGRAM(t_lookup_null__certain) { u32 k = 0; u64 *v = bpf_map_lookup_elem(&hash, &k); if (!v) forbidden(); return 0; }
PROGRAM(t_lookup_found__certain) { u32 k = 0; u64 *v = bpf_map_lookup_elem(&hash, &k); if (v) forbidden(); return 0; }
PROGRAM(t_lookup_value__certain) { u32 k = 0; u64 *v = bpf_map_lookup_elem(&hash, &k); if (v && *v == 3) forbidden(); return 0; }
PROGRAM(t_lookup_array_null__possible) { u32 k = 0; u64 *v = bpf_map_lookup_elem(&array, &k); if (!v) forbidden(); return 0; }
PROGRAM(t_lookup_twice__never)
{
	u32 k = 0;
	u64 *v = bpf_map_lookup_elem(&hash, &k);

	if (!v)
		return 0;
	BARRIER(v);
	if (!v)
		forbidden();
	return 0;
}
PROGRAM(t_map_value_null__never)
{
	u32 *p = &writable;

	BARRIER(p);
	if (!p)
		forbidden();
	return 0;
}
PROGRAM(t_stack_null__possible)
{
	u64 x = 0, *p = &x;

	BARRIER(p);
	if (!p)
		forbidden();
	return 0;
}
PROGRAM(t_context_null__possible) { if (!ctx) forbidden(); return 0; }

/* The stack. */
PROGRAM(t_spilled__never)
{
	volatile u64 x = 5;

	if (x != 5)
		forbidden();
	return 0;
}
PROGRAM(t_spilled_unknown__certain)
{
	volatile u64 x = ctx->a;

	if (x == 5)
		forbidden();
	return 0;
}
PROGRAM(t_written_by_helper__certain)
{
	u64 x = 5;

	bpf_probe_read_kernel(&x, sizeof(x), (void *)ctx->a);
	if (x == 5)
		forbidden();
	return 0;
}
PROGRAM(t_key_after_lookup__possible)
{
	volatile u32 key[2] = { 1, 2 };

	bpf_map_lookup_elem(&hash, (void *)key);
	if (key[0] != 1)
		forbidden();
	return 0;
}

/* Functions. */
static NOINLINE int doubled(int x) { BARRIER(x); return 2 * x; }
static NOINLINE int refuses(u64 x) { if (x) forbidden(); return 1; }
static NOINLINE int refuses_at(u64 x) { BARRIER(x); if (x == 4) forbidden(); return 1; }
NOINLINE int global_refuses(u64 x) { BARRIER(x); if (x == 5) forbidden(); return 0; }
NOINLINE int global_seven(void) { int x = 7; BARRIER(x); return x; }

PROGRAM(t_static_result__never) { if (doubled(4) != 8) forbidden(); return 0; }
PROGRAM(t_static_result__certain) { if (doubled(4) == 8) forbidden(); return 0; }
PROGRAM(t_static_body__certain) { return refuses(ctx->a); }
PROGRAM(t_static_context__never) { return refuses_at(1) + refuses_at(1); }
PROGRAM(t_static_context__certain) { return refuses_at(1) + refuses_at(4); }
PROGRAM(t_global_body__certain) { return global_refuses(1); }
PROGRAM(t_global_uncalled__never) { if (off) return global_refuses(1); return 0; }
PROGRAM(t_global_result__certain) { if (global_seven() != 7) forbidden(); return 0; }

/* Callbacks. */
static int walked(u32 index, void *arg) { forbidden(); return 0; }
static int per_element(void *map, u32 *key, u64 *value, void *arg) { if (*value) forbidden(); return 0; }
PROGRAM(t_loop__certain) { bpf_loop(4, walked, (void *)0, 0); return 0; }
PROGRAM(t_loop_unknown__certain) { bpf_loop(ctx->c, walked, (void *)0, 0); return 0; }
PROGRAM(t_loop_zero__possible) { bpf_loop(0, walked, (void *)0, 0); return 0; }
PROGRAM(t_loop_dead__never) { if (off) bpf_loop(4, walked, (void *)0, 0); return 0; }
PROGRAM(t_for_each__certain) { bpf_for_each_map_elem(&hash, per_element, (void *)0, 0); return 0; }

/* Loops. */
PROGRAM(t_after_counted_loop__certain)
{
	volatile u64 sum = 0;

	for (int i = 0; i < 20; i++)
		sum += i;
	forbidden();
	return 0;
}
PROGRAM(t_after_open_loop__certain)
{
	for (int i = 0; i < 20; i++) {
		if (*(volatile u32 *)&writable == i)
			break;
	}
	forbidden();
	return 0;
}
PROGRAM(t_counter_end__possible)
{
	u64 i = 0;

	for (; i < 4; i++)
		BARRIER(i);
	if (i != 4)
		forbidden();
	return 0;
}

/* Joins. */
PROGRAM(t_joined_same__never)
{
	u64 x;

	if (ctx->a) {
		x = 3;
		BARRIER(x);
	} else {
		x = 3;
		BARRIER(x);
	}
	if (x != 3)
		forbidden();
	return 0;
}
PROGRAM(t_joined_one__certain)
{
	u64 x = 3;

	if (ctx->a)
		x = 4;
	BARRIER(x);
	if (x == 4)
		forbidden();
	return 0;
}
PROGRAM(t_joined_neither__possible)
{
	u64 x = 3;

	if (ctx->a)
		x = 4;
	BARRIER(x);
	if (x == 5)
		forbidden();
	return 0;
}
/* Operations that only new kernels follow. */
PROGRAM(t_divided__possible)
{
	u64 x = three;

	BARRIER(x);
	x /= 3;
	BARRIER(x);
	if (x != 1)
		forbidden();
	return 0;
}
PROGRAM(t_negated__possible)
{
	u64 x = three;

	BARRIER(x);
	x = -x;
	BARRIER(x);
	if (x != -3ull)
		forbidden();
	return 0;
}
/* Where ways meet again that cannot be told apart. */
PROGRAM(t_after_unsure__certain)
{
	u64 x = ctx->a;

	BARRIER(x);
	if (x > 5) {
		BARRIER(x);
		if (x > 3)
			trace(empty, 1);
		else
			trace(empty, 1), writable64++;
		BARRIER(x);
		forbidden();
	}
	return 0;
}
static NOINLINE int unsure(u64 x)
{
	if (x > 5) {
		BARRIER(x);
		if (x > 3)
			return 7;
		trace(empty, 1);
	}
	return 1;
}
PROGRAM(t_after_unsure_call__certain)
{
	u64 x = ctx->a;
	int y = unsure(x);

	if (writable == 7)
		forbidden();
	return y;
}
PROGRAM(t_written_in_unsure__possible)
{
	u64 x = ctx->a, y = 3;

	BARRIER(x);
	BARRIER(y);
	if (x > 5) {
		BARRIER(x);
		if (x > 3)
			y = 4;
		BARRIER(y);
		if (y == 3)
			forbidden();
	}
	return 0;
}
