/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Opens, as the exits of system calls show them. */
#ifndef PAREDOWN_OPENS_H
#define PAREDOWN_OPENS_H

#include "files.h"

/* Attached to the exit of each opening system call; all have the same context. */
SEC("tracepoint")
int opened(struct syscall_exit *ctx)
{
	struct task *state;
	struct file *file;
	__u32 pid, mode;

	if (ctx->result < 0)
		return 0;
	state = current_task(&pid);
	if (!state)
		return 0;
	file = open_file((void *)bpf_get_current_task(), ctx->result);
	if (!file)
		return 0;
	mode = BPF_CORE_READ(file, f_mode);
	if (mode & FMODE_PATH)
		return 0;
	use_file(pid, state, BPF_CORE_READ(file, f_path.dentry),
		 mode & FMODE_WRITE ? USE_WRITE : USE_READ);
	return 0;
}

#endif
