/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What front.h and kernel.h are, for BCC on a kernel without BTF: the kernel's own headers lay the
 * structures out. recorder/bcc.py puts behind it the tables, by their descriptors, and `config`.
 */
#include <linux/binfmts.h>
#include <linux/cred.h>
#include <linux/dcache.h>
#include <linux/fdtable.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/mm_types.h>
#include <linux/mount.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

/* Names that the headers have as well. */
#define range range_of_ours
#define current_task current_task_of_ours

#undef SEC
#define SEC(name)
#define TABLE(kind, name, key_type, value_type, entries)
#define RING(name, size)

#define bpf_map_lookup_elem(map, key) bpf_map_lookup_elem_((__u64)(map), key)
#define bpf_map_update_elem(map, key, value, flags)                                                \
	bpf_map_update_elem_((__u64)(map), key, value, flags)
#define bpf_map_delete_elem(map, key) bpf_map_delete_elem_((__u64)(map), key)

#define READ_1(p, a)                                                                               \
	({                                                                                         \
		__typeof__((p)->a) read_;                                                          \
		bpf_probe_read_kernel(&read_, sizeof(read_), &(p)->a);                             \
		read_;                                                                             \
	})
#define READ_2(p, a, b) READ_1(READ_1(p, a), b)
#define READ_3(p, a, b, c) READ_1(READ_2(p, a, b), c)
#define READ_4(p, a, b, c, d) READ_1(READ_3(p, a, b, c), d)
#define READ_N(p, a, b, c, d, name, ...) name
#define BPF_CORE_READ(...) READ_N(__VA_ARGS__, READ_4, READ_3, READ_2, READ_1)(__VA_ARGS__)

#define bpf_core_field_offset(type, field) offsetof(type, field)
#define bpf_core_type_size(type) sizeof(type)
#define bpf_core_read(to, size, from) bpf_probe_read_kernel(to, size, from)

static __s64 modification_time(struct inode *inode)
{
	const __s64 second = 1000000000;
#if defined(INODE_MTIME_SPLIT)
	return READ_1(inode, i_mtime_sec) * second + READ_1(inode, i_mtime_nsec);
#elif defined(INODE_MTIME_UNDERSCORE)
	return READ_1(inode, __i_mtime.tv_sec) * second + READ_1(inode, __i_mtime.tv_nsec);
#else
	return READ_1(inode, i_mtime.tv_sec) * second + READ_1(inode, i_mtime.tv_nsec);
#endif
}

/* A mount's own structure is in no header; only the recorder fanotify needs the number. */
static __u64 mount_id(struct vfsmount *shown)
{
	return 0;
}

/* include/trace/events/syscalls.h */
struct syscall_exit {
	__u64 common;
	__s64 number;
	__s64 result;
};
