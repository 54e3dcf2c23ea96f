/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* System calls by number: which were made, and what they were given. */
#ifndef PAREDOWN_CALLS_H
#define PAREDOWN_CALLS_H

#include "facts.h"

#define TS_COMPAT 2            /* arch/x86/include/asm/thread_info.h */
#define TIF_32BIT 22           /* arch/arm64/include/asm/thread_info.h */
#define X32_BIT 0x40000000     /* arch/x86/include/uapi/asm/unistd.h */

static __u32 abi_of(struct task_struct *task, __u64 number)
{
#if defined(__TARGET_ARCH_x86)
	if (BPF_CORE_READ(task, thread_info.status) & TS_COMPAT)
		return ABI_COMPAT;
	return number & X32_BIT ? ABI_X32 : ABI_NATIVE;
#else
	return BPF_CORE_READ(task, thread_info.flags) >> TIF_32BIT & 1 ? ABI_COMPAT : ABI_NATIVE;
#endif
}

/* At the call's exit, that is: AArch64 keeps the first argument elsewhere then. */
static __u64 call_number(struct pt_regs *regs)
{
#if defined(__TARGET_ARCH_x86)
	return BPF_CORE_READ(regs, orig_ax);
#else
	return BPF_CORE_READ(regs, syscallno);
#endif
}

static __u64 call_argument(struct pt_regs *regs, __u32 abi, __u32 which)
{
#if defined(__TARGET_ARCH_x86)
	if (abi == ABI_COMPAT) {
		if (which == 0)
			return (__u32)BPF_CORE_READ(regs, bx);
		if (which == 1)
			return (__u32)BPF_CORE_READ(regs, cx);
		return (__u32)BPF_CORE_READ(regs, dx);
	}
	if (which == 0)
		return BPF_CORE_READ(regs, di);
	if (which == 1)
		return BPF_CORE_READ(regs, si);
	return BPF_CORE_READ(regs, dx);
#else
	if (which == 0)
		return BPF_CORE_READ(regs, orig_x0);
	if (which == 1)
		return BPF_CORE_READ(regs, regs[1]);
	return BPF_CORE_READ(regs, regs[2]);
#endif
}

SEC("raw_tp/sys_enter")
int system_call(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 number = (__u32)ctx->args[1];
	struct event event;
	struct fact fact;
	struct task *state;
	__u32 pid, abi;

	state = current_task(&pid);
	if (!state)
		return 0;
	abi = abi_of((void *)bpf_get_current_task(), number);
	if (is_known(&fact, state, EVENT_SYSCALL, (__u64)abi << 32 | number))
		return 0;
	begin_event(&event, EVENT_SYSCALL, pid, state);
	event.inode = number;
	event.use = abi;
	if (send_event(&event) == 0)
		keep(&fact);
	return 0;
}

#endif
