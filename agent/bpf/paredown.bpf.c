// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Sessions: which processes belong to the workload and what they run, kept in the kernel, so that
 * fork, exec and exit of known programs never reach user space. With config.files and the
 * tracepoints on the opening system calls, also which files they use.
 *
 * Helpers and map types are those of Linux 5.10; what is newer stands in programs of its own that
 * are loaded where the kernel has it.
 */
#include "kernel.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "paredown.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define FMODE_WRITE 2
#define FMODE_PATH (1 << 14)
#define FMODE_BACKING (1 << 24 | 1 << 25) /* the latter until 6.13 */
#define AT_BASE 7
#define MAX_PID_LEVELS 32
#define MAX_COMPONENTS 256

const volatile struct config config SEC(".rodata");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, __u32);
	__type(value, struct task);
} tasks SEC(".maps");

/* Events of a process are often read after its end. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, struct task);
} dead SEC(".maps");

/* Superblocks by s_dev; the value says whether an exec there begins a session. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u32);
} watched SEC(".maps");

/* A counter for each CPU: before 5.12 no atomic returns its value. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} sessions SEC(".maps");

struct program_key {
	__u64 exe;
	__u64 session;
	__u32 uid;
	__u32 gid;
};

/* In an LRU a forgotten entry is only told once more; a full table would have to be told of. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct program_key);
	__type(value, __u8);
} programs SEC(".maps");

/* Not by inode alone: that would hide the second name of a hardlink. */
struct file_key {
	__u64 inode;
	__u64 parent;
	__u64 name;           /* hash and length */
	__u64 exe;
	__u64 session;
	__u32 device;
	__u32 use;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct file_key);
	__type(value, __u8);
} files SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTS);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u8);
} mounts SEC(".maps");

struct message {
	struct event head;
	char path[PATH_ROOM + NAME_ROOM];
};

/* Tracepoints run with preemption off and never nest here: none of these fires in an interrupt. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct message);
} scratch SEC(".maps");

static void add_one(__u32 what)
{
	__u64 *count = bpf_map_lookup_elem(&counts, &what);

	if (count)
		++*count;
}

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

static __u32 process_number(struct task_struct *task)
{
	return pid_number(BPF_CORE_READ(task, group_leader, thread_pid));
}

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

/*
 * Write the names from `dentry` up to its superblock's root: the path inside the superblock, which
 * is the same through whatever mount the file was reached. When room or turns end early, the path
 * lacks its beginning.
 */
static void write_path(struct message *message, struct dentry *dentry)
{
	__u32 length = 0;

	message->head.flags = FLAG_TRUNCATED;
	for (int i = 0; i < MAX_COMPONENTS; i++) {
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);

		if (parent == dentry) {
			message->head.flags = 0;
			break;
		}
		if (length > PATH_ROOM)
			break;
		const unsigned char *name = BPF_CORE_READ(dentry, d_name.name);
		long size = bpf_probe_read_kernel_str(message->path + length, NAME_ROOM, name);

		if (size <= 0 || size > NAME_ROOM)
			break;
		length += size;
		dentry = parent;
	}
	message->head.length = length;
}

static int send(struct message *message)
{
	__u64 length = message->head.length;

	/* Keeps the check and the use in one register, which older verifiers need. */
	asm volatile("" : "+r"(length));
	if (length > PATH_ROOM + NAME_ROOM)
		return -1;
	if (bpf_ringbuf_output(&events, message, sizeof(message->head) + length, 0) == 0)
		return 0;
	add_one(LOST_EVENTS);
	return -1;
}

static struct message *new_message(__u32 kind, __u32 pid, const struct task *state)
{
	__u32 zero = 0;
	struct message *message = bpf_map_lookup_elem(&scratch, &zero);

	if (!message)
		return 0;
	__builtin_memset(&message->head, 0, sizeof(message->head));
	message->head.kind = kind;
	message->head.time = bpf_ktime_get_ns();
	message->head.pid = pid;
	message->head.session = state->session;
	message->head.exe = state->exe;
	return message;
}

static void describe_file(struct message *message, struct dentry *dentry)
{
	struct inode *inode = BPF_CORE_READ(dentry, d_inode);

	message->head.inode = BPF_CORE_READ(inode, i_ino);
	message->head.device = BPF_CORE_READ(inode, i_sb, s_dev);
	message->head.mode = BPF_CORE_READ(inode, i_mode);
	message->head.size = BPF_CORE_READ(inode, i_size);
	message->head.mtime = modification_time(inode);
	write_path(message, dentry);
}

/* Tell of a file once per program, use and session; only on a watched superblock. */
static void use_file(__u32 pid, const struct task *state, struct dentry *dentry, __u32 use)
{
	struct file_key key = {};
	struct inode *inode = BPF_CORE_READ(dentry, d_inode);
	__u32 device = BPF_CORE_READ(inode, i_sb, s_dev);
	struct message *message;
	__u8 one = 1;

	if (!bpf_map_lookup_elem(&watched, &device))
		return;
	key.inode = BPF_CORE_READ(inode, i_ino);
	key.parent = BPF_CORE_READ(dentry, d_parent, d_inode, i_ino);
	key.name = BPF_CORE_READ(dentry, d_name.hash_len);
	key.exe = state->exe;
	key.device = device;
	key.session = state->session;
	key.use = use;
	if (bpf_map_lookup_elem(&files, &key))
		return;
	message = new_message(EVENT_FILE, pid, state);
	if (!message)
		return;
	message->head.use = use;
	describe_file(message, dentry);
	if (send(message) == 0)
		bpf_map_update_elem(&files, &key, &one, BPF_ANY);
}

/* What names a program for the length of a recording; user space learns its path once. */
static __u64 exe_key(struct dentry *dentry)
{
	struct inode *inode = BPF_CORE_READ(dentry, d_inode);
	__u64 key = BPF_CORE_READ(dentry, d_name.hash_len);

	key = key * 0x9e3779b97f4a7c15 + BPF_CORE_READ(inode, i_ino);
	key = key * 0x9e3779b97f4a7c15 + BPF_CORE_READ(dentry, d_parent, d_inode, i_ino);
	key = key * 0x9e3779b97f4a7c15 + BPF_CORE_READ(inode, i_sb, s_dev);
	return key | 1;
}

static void tell_program(__u32 pid, const struct task *state, struct task_struct *task,
			 struct dentry *dentry)
{
	struct program_key key = {};
	struct message *message;
	__u8 one = 1;

	key.exe = state->exe;
	key.session = state->session;
	key.uid = BPF_CORE_READ(task, cred, euid.val);
	key.gid = BPF_CORE_READ(task, cred, egid.val);
	if (bpf_map_lookup_elem(&programs, &key))
		return;
	message = new_message(EVENT_PROGRAM, pid, state);
	if (!message)
		return;
	message->head.uid = key.uid;
	message->head.gid = key.gid;
	describe_file(message, dentry);
	if (send(message) == 0)
		bpf_map_update_elem(&programs, &key, &one, BPF_ANY);
}

static __u64 mount_id(struct mount *mount)
{
	struct mount___unique *unique = (void *)mount;

	if (bpf_core_field_exists(unique->mnt_id_unique))
		return BPF_CORE_READ(unique, mnt_id_unique);
	return BPF_CORE_READ(mount, mnt_id);
}

/* Which part of its superblock a mount shows can be asked only while its namespace lives. */
static void tell_mount(__u32 pid, const struct task *state, struct task_struct *task)
{
	struct vfsmount *root = BPF_CORE_READ(task, fs, root.mnt);
	__u64 id = mount_id((void *)root - bpf_core_field_offset(struct mount, mnt));
	struct message *message;
	__u8 one = 1;

	if (bpf_map_lookup_elem(&mounts, &id))
		return;
	message = new_message(EVENT_MOUNT, pid, state);
	if (!message)
		return;
	message->head.mount = id;
	message->head.device = BPF_CORE_READ(root, mnt_sb, s_dev);
	write_path(message, BPF_CORE_READ(root, mnt_root));
	if (send(message) == 0)
		bpf_map_update_elem(&mounts, &id, &one, BPF_ANY);
}

/*
 * The first exec by a process of no session with its root on a watched superblock begins one: a
 * runtime's set-up before that exec is not the workload's.
 */
static int begin_session(__u32 pid, struct task *state, struct task_struct *task)
{
	__u32 zero = 0;
	__u32 device = BPF_CORE_READ(task, fs, root.mnt, mnt_sb, s_dev);
	__u32 *begins = bpf_map_lookup_elem(&watched, &device);
	__u64 *count = bpf_map_lookup_elem(&sessions, &zero);
	struct message *message;

	if (!begins || !*begins || !count)
		return -1;
	++*count;
	state->session = *count << 32 | bpf_get_smp_processor_id();
	message = new_message(EVENT_SESSION, pid, state);
	if (!message)
		return -1;
	message->head.device = device;
	return send(message);
}

SEC("raw_tp/sched_process_fork")
int session_fork(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *parent = (void *)ctx->args[0];
	struct task_struct *child = (void *)ctx->args[1];
	struct task state = {}, *inherited;
	__u32 pid;

	if (BPF_CORE_READ(parent, tgid) == BPF_CORE_READ(child, tgid))
		return 0;
	pid = process_number(parent);
	inherited = bpf_map_lookup_elem(&tasks, &pid);
	if (!inherited) {
		/* A stranger may have got the number of a process that ended a short while ago. */
		pid = process_number(child);
		bpf_map_delete_elem(&dead, &pid);
		return 0;
	}
	state.session = inherited->session;
	state.exe = inherited->exe;
	state.previous_exe = inherited->exe;
	pid = process_number(child);
	if (bpf_map_update_elem(&tasks, &pid, &state, BPF_ANY))
		add_one(LOST_TASKS);
	return 0;
}

SEC("raw_tp/sched_process_exec")
int session_exec(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];
	struct linux_binprm *bprm = (void *)ctx->args[2];
	struct dentry *dentry = BPF_CORE_READ(bprm, file, f_path.dentry);
	struct task state = {}, *known;
	__u32 pid = process_number(task);

	known = bpf_map_lookup_elem(&tasks, &pid);
	if (known)
		state = *known;
	else if (begin_session(pid, &state, task))
		return 0;
	tell_mount(pid, &state, task);
	if (config.files)
		use_file(pid, &state, dentry,
			 BPF_CORE_READ(bprm, filename) == BPF_CORE_READ(bprm, interp) ?
				 USE_EXEC : USE_INTERPRETER);
	state.previous_exe = state.exe;
	state.previous_since = state.since;
	state.exe = exe_key(dentry);
	state.since = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&tasks, &pid, &state, BPF_ANY))
		add_one(LOST_TASKS);
	tell_program(pid, &state, task, dentry);
	return 0;
}

SEC("raw_tp/sched_process_exit")
int session_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];
	struct task *state;
	__u32 pid;

	/* do_exit() has counted this thread down already: the last one ends the process. */
	if (BPF_CORE_READ(task, signal, live.counter))
		return 0;
	pid = process_number(task);
	state = bpf_map_lookup_elem(&tasks, &pid);
	if (!state)
		return 0;
	bpf_map_update_elem(&dead, &pid, state, BPF_ANY);
	add_one(EXITS);
	bpf_map_delete_elem(&tasks, &pid);
	return 0;
}

/* Attached to the exit of each opening system call; all have the same context. */
SEC("tracepoint")
int opened(struct syscall_exit *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 fd = ctx->result, pid, mode;
	struct task *state;
	struct fdtable *table;
	struct file *file, **slot;

	if (ctx->result < 0)
		return 0;
	pid = process_number(task);
	state = bpf_map_lookup_elem(&tasks, &pid);
	/* Without a program yet it is the agent itself, about to become the command. */
	if (!state || !state->exe)
		return 0;
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

static __u64 loader_base(struct mm_struct *mm)
{
	unsigned long auxv[40] = {};

	bpf_core_read(auxv, sizeof(auxv), &mm->saved_auxv);
	for (int i = 0; i < 38; i += 2) {
		if (auxv[i] == AT_BASE)
			return auxv[i + 1];
		if (!auxv[i])
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
