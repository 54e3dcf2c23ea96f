/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The kernel's structures, cut down to the fields that are read. Offsets come from the running
 * kernel's BTF when the object is loaded (CO-RE), so neither order nor size matters here.
 */
#ifndef PAREDOWN_KERNEL_H
#define PAREDOWN_KERNEL_H

typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

#define BPF_ANY 0
#define BPF_NOEXIST 1
#define BPF_MAP_TYPE_HASH 1
#define BPF_MAP_TYPE_ARRAY 2
#define BPF_MAP_TYPE_PERCPU_ARRAY 6
#define BPF_MAP_TYPE_LRU_HASH 9
#define BPF_MAP_TYPE_RINGBUF 27

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	unsigned int val;
} kuid_t;

typedef struct {
	unsigned int val;
} kgid_t;

struct ns_common {
	unsigned int inum;
};

struct pid_namespace {
	struct ns_common ns;
};

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct qstr {
	__u32 hash;
	__u32 len;
	const unsigned char *name;
};

struct super_block {
	unsigned int s_dev;
	unsigned long s_magic;
};

struct inode {
	unsigned short i_mode;
	struct super_block *i_sb;
	unsigned long i_ino;
	long long i_size;
};

struct timespec64 {
	long long tv_sec;
	long tv_nsec;
};

/* i_mtime was a timespec64 before 6.7, __i_mtime before 6.11, and is two fields since. */
struct inode___mtime {
	struct timespec64 i_mtime;
};

struct inode___underscore {
	struct timespec64 __i_mtime;
};

struct inode___split {
	long long i_mtime_sec;
	unsigned int i_mtime_nsec;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};

struct vfsmount {
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
};

struct mount {
	struct vfsmount mnt;
	int mnt_id;
};

/* Since 6.8. */
struct mount___unique {
	__u64 mnt_id_unique;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	unsigned int f_mode;
	unsigned int f_flags;
	struct inode *f_inode;
	struct path f_path;
};

/* Since 6.5: what an overlay maps is a file of a lower layer that knows the overlay's path. */
struct backing_file {
	struct file file;
	struct path user_path;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct fs_struct {
	struct path root;
	struct path pwd;
};

struct cred {
	kuid_t euid;
	kgid_t egid;
};

struct mnt_namespace {
	struct ns_common ns;
	__u64 event;
};

struct nsproxy {
	struct mnt_namespace *mnt_ns;
};

struct thread_info {
	unsigned long flags;
	unsigned int status; /* x86 alone */
};

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long bx;
	unsigned long cx;
	unsigned long dx;
	unsigned long si;
	unsigned long di;
	unsigned long r10;
	unsigned long orig_ax;
};
#else
struct pt_regs {
	__u64 regs[31];
	__u64 orig_x0;
	int syscallno;
};
#endif

struct signal_struct {
	atomic_t live;
};

struct mm_struct {
	unsigned long saved_auxv[40];
};

struct vm_area_struct {
	unsigned long vm_end;
	struct file *vm_file;
};

/* Until 6.1, which keeps areas in a maple tree. */
struct mm_struct___list {
	struct vm_area_struct___list *mmap;
};

struct vm_area_struct___list {
	struct vm_area_struct___list *vm_next;
};

struct linux_binprm {
	char buf[4];
	struct file *file;
	const char *filename;
	const char *interp;
	const char *fdpath;
};

struct task_struct {
	struct thread_info thread_info;
	int pid;
	int tgid;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	struct signal_struct *signal;
	struct fs_struct *fs;
	struct files_struct *files;
	struct mm_struct *mm;
	const struct cred *real_cred;
	const struct cred *cred;
	struct nsproxy *nsproxy;
};

#pragma clang attribute pop

/* include/trace/events/syscalls.h; the format is ABI, so no relocation. */
struct syscall_exit {
	__u64 common;
	__s64 number;
	__s64 result;
};

/* include/uapi/linux/bpf.h */
struct bpf_sock {
	__u32 bound_dev_if;
	__u32 family;
	__u32 type;
	__u32 protocol;
	__u32 mark;
	__u32 priority;
	__u32 src_ip4;        /* in the order of the network, as src_ip6 */
	__u32 src_ip6[4];
	__u32 src_port;       /* in the host's order */
};

struct bpf_raw_tracepoint_args {
	__u64 args[0];
};

#endif
