/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What is known of each process, by its number in the agent's pid namespace. */
#ifndef PAREDOWN_PROCESSES_H
#define PAREDOWN_PROCESSES_H

#include "events.h"

#define MAX_PID_LEVELS 32

TABLE(HASH, tasks, __u32, struct task, 32768);

/* Events of a process are often read after its end. */
TABLE(LRU_HASH, dead, __u32, struct task, 8192);

/* The number of `pid` in the agent's pid namespace, 0 if it has none there. */
static __u32 pid_number(struct pid *pid)
{
	__u32 level = BPF_CORE_READ(pid, level);

	for (__u32 i = 0; i < MAX_PID_LEVELS; i++) {
		if (i > level)
			break;
		struct upid *upid = (void *)pid + bpf_core_field_offset(struct pid, numbers) +
				    i * bpf_core_type_size(struct upid);
		struct pid_namespace *ns = BPF_CORE_READ(upid, ns);

		if (BPF_CORE_READ(ns, ns.inum) == config.pid_namespace)
			return BPF_CORE_READ(upid, nr);
	}
	return 0;
}

/* Programs that run at fork, exec and exit; elsewhere current_number() is cheaper. */
static __u32 process_number(struct task_struct *task)
{
	if (!config.pid_namespace)
		return BPF_CORE_READ(task, tgid);
	return pid_number(BPF_CORE_READ(task, group_leader, thread_pid));
}

static __u32 current_number(void)
{
	if (!config.pid_namespace)
		return bpf_get_current_pid_tgid() >> 32;
	return process_number((void *)bpf_get_current_task());
}

/* The state of the current process, if it runs a program of a session. */
static struct task *current_task(__u32 *pid)
{
	struct task *state;

	*pid = current_number();
	state = bpf_map_lookup_elem(&tasks, pid);
	/* Without a program yet it is the agent itself, about to become the command. */
	return state && state->exe ? state : 0;
}

#endif
