/* Programs whose questioned place (a call to helper #9999) depends on what is known of the kernel and the loader; the
 * unit tests give the knowledge. Built as reach.bpf.c is. */
#include "types.h"
#include "maps.h"
#include "helpers.h"

char _license[] SEC("license") = "GPL";

#define KSYM SEC(".ksyms") __attribute__((weak))
#define KCONFIG SEC(".kconfig")
#define PROGRAM(name) SEC("syscall") int name(struct args *ctx)
static void (*const forbidden)(void) = (void *)9999;

struct args {
	u64 a;
};

extern void maybe_there(void) KSYM;
extern const int maybe_variable KSYM;
extern u32 LINUX_KERNEL_VERSION KCONFIG;

struct task_struct {
	int pid;
	int field;
} __attribute__((preserve_access_index));

const volatile u32 knob = 1;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, u32);
	__type(value, u64);
} hash SEC(".maps");

PROGRAM(kfunc_there) { if (maybe_there) forbidden(); return 0; }
PROGRAM(kfunc_missing) { if (!maybe_there) forbidden(); return 0; }
PROGRAM(kfunc_called) { maybe_there(); forbidden(); return 0; }
PROGRAM(variable_there) { if (&maybe_variable) forbidden(); return 0; }
PROGRAM(new_kernel) { if (LINUX_KERNEL_VERSION >= 0x61200) forbidden(); return 0; }
PROGRAM(field_exists)
{
	struct task_struct *p = (void *)ctx;

	if (__builtin_preserve_field_info(p->field, 2))
		forbidden();
	return 0;
}
PROGRAM(field_read)
{
	u64 pid = ((struct task_struct *)ctx->a)->field;

	forbidden();
	return pid;
}
PROGRAM(knob_set) { if (knob == 2) forbidden(); return 0; }
PROGRAM(map_used) { u32 key = 0; bpf_map_lookup_elem(&hash, &key); forbidden(); return 0; }
