/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Opens at the one place that all of them pass, open_by_handle_at() aside, which has its own:
 * do_filp_open() and do_file_open_root(), or what newer kernels call them. Each is passed once per
 * open of an overlay too: the file below is opened by other means.
 *
 * What these programs are given are typed pointers, so that a field is one load and no call.
 */
#ifndef PAREDOWN_TRAMPOLINES_H
#define PAREDOWN_TRAMPOLINES_H

#include "sessions.h"

#define FLAG_EXEC 0x20 /* __FMODE_EXEC, which stays in f_flags */
#define MAX_ERRNO 4095

static __always_inline void look_directly(struct place *place, struct dentry *dentry)
{
	struct inode *inode = dentry->d_inode;

	place->inode = inode->i_ino;
	place->device = inode->i_sb->s_dev;
	place->parent = dentry->d_parent->d_inode->i_ino;
	place->name = (__u64)dentry->d_name.hash << 32 | dentry->d_name.len;
}

static __always_inline int file_opened(struct file *file)
{
	__u32 pid;
	struct task *state = current_task(&pid);
	struct place place = {};

	if (!state || (unsigned long)file >= (unsigned long)-MAX_ERRNO)
		return 0;
	/* What exec opens is told when it is looked at. */
	if (file->f_mode & FMODE_PATH || file->f_flags & FLAG_EXEC)
		return 0;
	look_directly(&place, file->f_path.dentry);
	use_place(pid, state, &place, file->f_path.dentry,
		  file->f_mode & FMODE_WRITE ? USE_WRITE : USE_READ);
	return 0;
}

SEC("fexit")
int opened_by_path(__u64 *ctx)
{
	return file_opened((struct file *)ctx[3]);
}

/* It took the root in two arguments until 5.13. */
SEC("fexit")
int opened_at_root(__u64 *ctx)
{
	if (config.root_arguments == 4)
		return file_opened((struct file *)ctx[4]);
	return file_opened((struct file *)ctx[3]);
}

static __always_inline int is_elf(struct linux_binprm *bprm)
{
	return bprm->buf[0] == 0x7f && bprm->buf[1] == 'E' && bprm->buf[2] == 'L' &&
	       bprm->buf[3] == 'F';
}

/*
 * Each file that an exec looks at, in turn: the one that it named, then its interpreter, which may
 * be a script again. Also those that turn out not to be runnable: what is no ELF file is
 * binfmt_misc's, or for a shell to read after the kernel's refusal.
 */
SEC("fentry")
int exec_looks(__u64 *ctx)
{
	struct linux_binprm *bprm = (void *)ctx[0];
	struct task_struct *task = (void *)bpf_get_current_task();
	struct dentry *dentry = bprm->file->f_path.dentry;
	__u32 pid = current_number(), use;
	struct task state = {}, *known = bpf_map_lookup_elem(&tasks, &pid);

	if (known)
		state = *known;
	else if (begin_session(pid, &state, task))
		return 0;
	if (!known && bpf_map_update_elem(&tasks, &pid, &state, BPF_ANY))
		add_one(LOST_TASKS);
	if (bprm->filename != bprm->interp)
		use = USE_INTERPRETER;
	else
		use = is_elf(bprm) ? USE_EXEC : USE_SCRIPT;
	use_file(pid, &state, dentry, use);
	return 0;
}

#endif
