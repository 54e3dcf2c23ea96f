/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Opens, as the exits of system calls show them. */
#ifndef PAREDOWN_OPENS_H
#define PAREDOWN_OPENS_H

#include "files.h"

/* Attached to the exit of each opening system call; all have the same context. */
SEC("tracepoint")
int opened(struct syscall_exit *ctx)
{
	struct task_struct *task;
	__u32 fd = ctx->result, pid, mode;
	struct task *state;
	struct fdtable *table;
	struct file *file, **slot;

	if (ctx->result < 0)
		return 0;
	state = current_task(&pid);
	if (!state)
		return 0;
	task = (void *)bpf_get_current_task();
	table = BPF_CORE_READ(task, files, fdt);
	if (fd >= BPF_CORE_READ(table, max_fds))
		return 0;
	slot = BPF_CORE_READ(table, fd);
	if (bpf_probe_read_kernel(&file, sizeof(file), slot + fd) || !file)
		return 0;
	mode = BPF_CORE_READ(file, f_mode);
	if (mode & FMODE_PATH)
		return 0;
	use_file(pid, state, BPF_CORE_READ(file, f_path.dentry),
		 mode & FMODE_WRITE ? USE_WRITE : USE_READ);
	return 0;
}

#endif
