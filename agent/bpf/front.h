/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the programs are written in: names for tables, and ways to read the kernel's structures. Here
 * for clang and CO-RE; bcc.h has the same for BCC.
 */
#ifndef PAREDOWN_FRONT_H
#define PAREDOWN_FRONT_H

#include "kernel.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "paredown.h"

#define TABLE(kind, name, key_type, value_type, entries)                                           \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_##kind);                                                 \
		__uint(max_entries, entries);                                                      \
		__type(key, key_type);                                                             \
		__type(value, value_type);                                                         \
	} name SEC(".maps")

#define RING(name, size)                                                                           \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_RINGBUF);                                                \
		__uint(max_entries, size);                                                         \
	} name SEC(".maps")

const volatile struct config config SEC(".rodata");

static __s64 modification_time(struct inode *inode)
{
	struct inode___split *split = (void *)inode;
	struct inode___underscore *underscore = (void *)inode;
	struct inode___mtime *older = (void *)inode;
	const __s64 second = 1000000000;

	if (bpf_core_field_exists(split->i_mtime_sec))
		return BPF_CORE_READ(split, i_mtime_sec) * second +
		       BPF_CORE_READ(split, i_mtime_nsec);
	if (bpf_core_field_exists(underscore->__i_mtime))
		return BPF_CORE_READ(underscore, __i_mtime.tv_sec) * second +
		       BPF_CORE_READ(underscore, __i_mtime.tv_nsec);
	return BPF_CORE_READ(older, i_mtime.tv_sec) * second +
	       BPF_CORE_READ(older, i_mtime.tv_nsec);
}

/* As statx has it. */
static __u64 mount_id(struct vfsmount *shown)
{
	struct mount *mount = (void *)shown - bpf_core_field_offset(struct mount, mnt);
	struct mount___unique *unique = (void *)mount;

	if (bpf_core_field_exists(unique->mnt_id_unique))
		return BPF_CORE_READ(unique, mnt_id_unique);
	return BPF_CORE_READ(mount, mnt_id);
}

#endif
