/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Ports that sockets are bound to: hooks that run at bind(2) alone, for every cgroup below. */
#ifndef PAREDOWN_PORTS_H
#define PAREDOWN_PORTS_H

#include "facts.h"
#include "files.h"

#define ALLOW 1
#define AF_INET 2
#define AF_INET6 10

static int tell_port(struct bpf_sock *socket, __u32 family, __u64 high, __u64 low)
{
	__u32 port = socket->src_port, protocol = socket->protocol, pid;
	struct task *state = current_task(&pid);
	struct event event;
	struct fact fact;
	__u64 what;

	if (!state)
		return ALLOW;
	what = mix(mix(mix(config.secret, high), low), (__u64)protocol << 32 | family << 16 | port);
	if (is_known(&fact, state, EVENT_PORT, what))
		return ALLOW;
	begin_event(&event, EVENT_PORT, pid, state);
	event.inode = high;
	event.mount = low;
	event.mode = family;
	event.gid = port;
	event.use = protocol;
	if (send_event(&event) == 0)
		keep(&fact);
	return ALLOW;
}

SEC("cgroup/post_bind4")
int bound4(struct bpf_sock *socket)
{
	return tell_port(socket, AF_INET, socket->src_ip4, 0);
}

SEC("cgroup/post_bind6")
int bound6(struct bpf_sock *socket)
{
	return tell_port(socket, AF_INET6,
			 socket->src_ip6[0] | (__u64)socket->src_ip6[1] << 32,
			 socket->src_ip6[2] | (__u64)socket->src_ip6[3] << 32);
}

#endif
