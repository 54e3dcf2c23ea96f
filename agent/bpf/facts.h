/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What a program of a session did that is no use of a file: told once. */
#ifndef PAREDOWN_FACTS_H
#define PAREDOWN_FACTS_H

#include "processes.h"

struct fact {
	__u64 session;
	__u64 exe;
	__u64 what;
	__u64 kind;
};

/* In an LRU a forgotten entry is only told once more. */
TABLE(LRU_HASH, facts, struct fact, __u8, 4096);

static int is_known(struct fact *fact, const struct task *state, __u32 kind, __u64 what)
{
	fact->session = state->session;
	fact->exe = state->exe;
	fact->what = what;
	fact->kind = kind;
	return bpf_map_lookup_elem(&facts, fact) != 0;
}

static void keep(const struct fact *fact)
{
	__u8 one = 1;

	bpf_map_update_elem(&facts, fact, &one, BPF_ANY);
}

static void begin_event(struct event *event, __u32 kind, __u32 pid, const struct task *state)
{
	__builtin_memset(event, 0, sizeof(*event));
	event->kind = kind;
	event->time = bpf_ktime_get_ns();
	event->pid = pid;
	event->session = state->session;
	event->exe = state->exe;
}

/* For an event without a path: on the stack, where programs that preempt each other may be. */
static int send_event(struct event *event)
{
	if (bpf_ringbuf_output(&events, event, sizeof(*event), 0) == 0)
		return 0;
	add_one(LOST_EVENTS);
	return -1;
}

#endif
