/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Capabilities that the kernel asks for on a program's behalf. What it asks without audit is no use:
 * memory accounting asks for CAP_SYS_ADMIN at every mmap(2), and goes on without it.
 */
#ifndef PAREDOWN_CAPABILITIES_H
#define PAREDOWN_CAPABILITIES_H

#include "facts.h"

#define CAP_OPT_NOAUDIT 2      /* include/linux/security.h */
#define FRAMES 12
#define QUIET 16

/* The functions that ask without audit; the first empty entry ends them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, QUIET);
	__type(key, __u32);
	__type(value, struct range);
} quiet SEC(".maps");

/* The kernel may ask as somebody else meanwhile, as overlayfs does: that is not the program. */
static struct task *asked_program(__u32 *pid, const struct cred *cred)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, real_cred) == cred ? current_task(pid) : 0;
}

static __u64 capability_fact(__u32 capability, int result)
{
	return (__u64)capability << 1 | !result;
}

static void tell_capability(struct fact *fact, __u32 pid, const struct task *state,
			    __u32 capability, int result)
{
	struct event event;

	begin_event(&event, EVENT_CAPABILITY, pid, state);
	event.inode = capability;
	event.size = result;
	if (send_event(&event) == 0)
		keep(fact);
}

static int is_quiet(__u64 address)
{
	for (__u32 i = 0; i < QUIET; i++) {
		__u32 key = i;
		struct range *range = bpf_map_lookup_elem(&quiet, &key);

		if (!range || !range->end)
			return 0;
		if (address >= range->start && address < range->end)
			return 1;
	}
	return 0;
}

/* Since 6.14. It does not say whether there is audit: who asks does. */
SEC("raw_tp/cap_capable")
int capability_asked(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 capability = ctx->args[3], pid;
	int result = ctx->args[4];
	__u64 frames[FRAMES] = {};
	struct fact fact;
	struct task *state;

	state = asked_program(&pid, (void *)ctx->args[0]);
	if (!state || is_known(&fact, state, EVENT_CAPABILITY, capability_fact(capability, result)))
		return 0;
	if (bpf_get_stack(ctx, frames, sizeof(frames), 0) <= 0)
		return 0;
	for (int i = 0; i < FRAMES; i++)
		if (frames[i] && is_quiet(frames[i]))
			return 0;
	tell_capability(&fact, pid, state, capability, result);
	return 0;
}

/* Where that is missing and the kernel has trampolines. */
SEC("fexit/cap_capable")
int capability_returned(__u64 *ctx)
{
	__u32 capability = ctx[2], options = ctx[3], pid;
	int result = ctx[4];
	struct fact fact;
	struct task *state;

	if (options & CAP_OPT_NOAUDIT)
		return 0;
	state = asked_program(&pid, (void *)ctx[0]);
	if (!state || is_known(&fact, state, EVENT_CAPABILITY, capability_fact(capability, result)))
		return 0;
	tell_capability(&fact, pid, state, capability, result);
	return 0;
}

#endif
