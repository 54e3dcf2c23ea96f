/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The ELF interpreter of a program, which the kernel opens itself. */
#ifndef PAREDOWN_LOADER_H
#define PAREDOWN_LOADER_H

#include "files.h"

#define FMODE_BACKING (1 << 24 | 1 << 25) /* the latter until 6.13 */
#define AT_BASE 7

struct found {
	struct dentry *dentry;
};

static int on_watched(struct dentry *dentry)
{
	__u32 device = BPF_CORE_READ(dentry, d_inode, i_sb, s_dev);

	return bpf_map_lookup_elem(&watched, &device) != 0;
}

/*
 * An overlay maps a lower layer's file: its inode is that layer's. Its path is the overlay's,
 * since 6.5 in a second field. Should a bit of FMODE_BACKING have another meaning here, what lies
 * there is no dentry of a watched superblock, and use_file() passes it over.
 */
static long keep_dentry(struct task_struct *task, struct vm_area_struct *vma, struct found *found)
{
	struct file *file = BPF_CORE_READ(vma, vm_file);

	found->dentry = BPF_CORE_READ(file, f_path.dentry);
	if (!on_watched(found->dentry) && bpf_core_type_exists(struct backing_file) &&
	    BPF_CORE_READ(file, f_mode) & FMODE_BACKING)
		found->dentry = BPF_CORE_READ((struct backing_file *)file, user_path.dentry);
	return 0;
}

/* A 32-bit program's vector has words of 32 bits: its first value then stands in the upper half. */
static __u64 loader_base(struct mm_struct *mm)
{
	union {
		__u64 words[40];
		__u32 halves[80];
	} auxv = {};
	int narrow;

	bpf_core_read(&auxv, sizeof(auxv.words), &mm->saved_auxv);
	narrow = auxv.words[0] >> 32 != 0;
	for (int i = 0; i < 38; i += 2) {
		__u64 type = narrow ? auxv.halves[i] : auxv.words[i];

		if (type == AT_BASE)
			return narrow ? auxv.halves[i + 1] : auxv.words[i + 1];
		if (!type)
			break;
	}
	return 0;
}

/*
 * The ELF interpreter: the kernel opens it itself, so it is in no system call. Needs bpf_find_vma
 * (5.17); without it the minimizer's own reading of PT_INTERP stands in.
 */
SEC("tp_btf/sched_process_exec")
int exec_loader(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct found found = {};
	struct task *state, caller;
	__u32 pid = process_number(task);
	__u64 base;

	state = bpf_map_lookup_elem(&tasks, &pid);
	if (!state)
		return 0;
	base = loader_base(BPF_CORE_READ(task, mm));
	if (!base || bpf_find_vma(task, base, keep_dentry, &found, 0) || !found.dentry)
		return 0;
	caller = *state;
	caller.exe = state->previous_exe;
	use_file(pid, &caller, found.dentry, USE_LOADER);
	return 0;
}

#endif
