/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the programs tell user space: messages, and counts of those that were lost. */
#ifndef PAREDOWN_EVENTS_H
#define PAREDOWN_EVENTS_H

#include "front.h"

RING(events, 1 << 20);

TABLE(PERCPU_ARRAY, counts, __u32, __u64, COUNTS);

struct message {
	struct event head;
	char path[PATH_ROOM + NAME_ROOM];
};

/* Tracepoints run with preemption off and never nest here: none of these fires in an interrupt. */
TABLE(PERCPU_ARRAY, scratch, __u32, struct message, 1);

static void add_one(__u32 what)
{
	__u64 *count = bpf_map_lookup_elem(&counts, &what);

	if (count)
		++*count;
}

static int send(struct message *message)
{
	__u64 length = message->head.length;

	/* Keeps the check and the use in one register, which older verifiers need. */
	asm volatile("" : "+r"(length));
	if (length > PATH_ROOM + NAME_ROOM)
		return -1;
	if (bpf_ringbuf_output(&events, message, sizeof(message->head) + length, 0) == 0)
		return 0;
	add_one(LOST_EVENTS);
	return -1;
}

static struct message *new_message(__u32 kind, __u32 pid, const struct task *state)
{
	__u32 zero = 0;
	struct message *message = bpf_map_lookup_elem(&scratch, &zero);

	if (!message)
		return 0;
	__builtin_memset(&message->head, 0, sizeof(message->head));
	message->head.kind = kind;
	message->head.time = bpf_ktime_get_ns();
	message->head.pid = pid;
	message->head.session = state->session;
	message->head.exe = state->exe;
	return message;
}

#endif
