/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a process opens again, having opened it before it ran a program of a session: as long as
 * nobody has read of the first time, fanotify makes one event of both (fanotify_merge()), in the
 * first one's place. All system calls of the host pass here, so it is attached for moments only.
 */
#ifndef PAREDOWN_AGAIN_H
#define PAREDOWN_AGAIN_H

#include "files.h"

/* As fanotify tells events apart. */
struct opening {
	struct dentry *dentry;
	__u64 pid;
};

TABLE(LRU_HASH, set_up, struct opening, __u8, 8192);

/*
 * A call that returns the number of an open file has opened it. One that returns such a number by
 * chance says nothing wrong: the file is open, in the same process.
 */
SEC("raw_tp/sys_exit")
int opened_again(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 fd = ctx->args[1];
	struct file *file = fd < MAX_FD ? open_file(task, fd) : 0;
	struct opening opening = {};
	struct task *state;
	__u32 pid, mode;
	__u8 one = 1;

	if (!file)
		return 0;
	mode = BPF_CORE_READ(file, f_mode);
	opening.dentry = BPF_CORE_READ(file, f_path.dentry);
	if (mode & FMODE_PATH || !on_watched(opening.dentry))
		return 0;
	opening.pid = pid = current_number();
	state = bpf_map_lookup_elem(&tasks, &pid);
	if (!state || !state->exe)
		bpf_map_update_elem(&set_up, &opening, &one, BPF_ANY);
	else if (bpf_map_lookup_elem(&set_up, &opening))
		use_file(pid, state, opening.dentry, mode & FMODE_WRITE ? USE_WRITE : USE_READ);
	return 0;
}

#endif
