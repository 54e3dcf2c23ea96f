/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The ELF interpreter of a program, which the kernel opens itself. */
#ifndef PAREDOWN_LOADER_H
#define PAREDOWN_LOADER_H

#include "files.h"

#define FMODE_BACKING (1 << 24 | 1 << 25) /* the latter until 6.13 */
#define AT_BASE 7
#define MAX_AREAS 64

struct found {
	struct dentry *dentry;
};

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

/* A 32-bit program's vector has numbers and values of 32 bits, each pair in one of our words. */
static __u64 loader_base(struct mm_struct *mm)
{
	unsigned long auxv[40] = {};
	int narrow;

	bpf_core_read(auxv, sizeof(auxv), &mm->saved_auxv);
	narrow = auxv[0] >> 32 != 0;
#pragma unroll /* the verifier of 6.1 refuses the loop that clang makes of it */
	for (int i = 0; i < 40; i += 2) {
		if (!narrow && auxv[i] == AT_BASE)
			return auxv[i + 1];
		if (narrow && (__u32)auxv[i] == AT_BASE)
			return auxv[i] >> 32;
		if (narrow && (__u32)auxv[i + 1] == AT_BASE)
			return auxv[i + 1] >> 32;
	}
	return 0;
}

/* Its user is the program that was run before, as that of the other files of the exec. */
static int use_loader(__u32 pid, const struct task *state, struct dentry *dentry)
{
	struct task caller = *state;

	caller.exe = state->previous_exe;
	use_file(pid, &caller, dentry, USE_LOADER);
	return 0;
}

/* The ELF interpreter: the kernel opens it itself, so it is in no system call. From 5.17 on. */
SEC("tp_btf/sched_process_exec")
int exec_loader(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct found found = {};
	__u32 pid = process_number(task);
	struct task *state = bpf_map_lookup_elem(&tasks, &pid);
	__u64 base;

	if (!state)
		return 0;
	base = loader_base(BPF_CORE_READ(task, mm));
	if (!base || bpf_find_vma(task, base, keep_dentry, &found, 0) || !found.dentry)
		return 0;
	return use_loader(pid, state, found.dentry);
}

/* The same where areas are in a list, until 6.1: it is one of the last of the few at exec. */
SEC("raw_tp/sched_process_exec")
int exec_loader_in_list(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];
	struct mm_struct___list *mm = (void *)BPF_CORE_READ(task, mm);
	__u32 pid = process_number(task);
	struct task *state = bpf_map_lookup_elem(&tasks, &pid);
	struct vm_area_struct___list *area;
	__u64 base;

	if (!state || !(base = loader_base((void *)mm)))
		return 0;
	area = BPF_CORE_READ(mm, mmap);
	for (int i = 0; i < MAX_AREAS && area; i++) {
		struct vm_area_struct *found = (void *)area;

		if (base < BPF_CORE_READ(found, vm_end))
			return use_loader(pid, state, BPF_CORE_READ(found, vm_file, f_path.dentry));
		area = BPF_CORE_READ(area, vm_next);
	}
	return 0;
}

#endif
