/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the programs tell user space: messages, and counts of those that were lost. */
#ifndef PAREDOWN_EVENTS_H
#define PAREDOWN_EVENTS_H

#include "front.h"

RING(events, 1 << 20);

TABLE(PERCPU_ARRAY, counts, __u32, __u64, COUNTS);

struct message {
	__u64 users;          /* it is theirs who made this 1 */
	struct event head;
	char path[PATH_ROOM + NAME_ROOM];
};

/*
 * Programs run with migration off, those of trampolines with preemption on since 5.11: another task
 * may come in between on the same CPU. Since 5.12 with another program only, so that there is room
 * for all: as much as there are programs that write a message.
 */
#define ROOMS 8
TABLE(PERCPU_ARRAY, scratch, __u32, struct message, ROOMS);

static void add_one(__u32 what)
{
	__u64 *count = bpf_map_lookup_elem(&counts, &what);

	if (count)
		__sync_fetch_and_add(count, 1);
}

static void leave(struct message *message)
{
	__sync_fetch_and_add(&message->users, -1);
}

/* Before 5.12 no atomic returns a value; but of those who add at once all, or all but one, leave. */
static struct message *find_room(void)
{
	for (__u32 i = 0; i < ROOMS; i++) {
		__u32 key = i;
		struct message *message = bpf_map_lookup_elem(&scratch, &key);

		if (!message)
			return 0;
		__sync_fetch_and_add(&message->users, 1);
		if (*(volatile __u64 *)&message->users == 1)
			return message;
		leave(message);
	}
	add_one(LOST_ROOM);
	return 0;
}

/* The message is gone then. */
static int send(struct message *message)
{
	__u64 length = message->head.length;
	int failed = -1;

	/* Keeps the check and the use in one register, which older verifiers need. */
	asm volatile("" : "+r"(length));
	if (length <= PATH_ROOM + NAME_ROOM)
		failed = bpf_ringbuf_output(&events, &message->head, sizeof(message->head) + length,
					    0);
	leave(message);
	if (failed)
		add_one(LOST_EVENTS);
	return failed;
}

/* To be sent or left; none where there is no room, which is counted. */
static struct message *new_message(__u32 kind, __u32 pid, const struct task *state)
{
	struct message *message = find_room();

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
