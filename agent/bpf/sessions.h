/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Sessions: which processes belong to the workload and what they run, kept in the kernel, so that
 * fork, exec and exit of known programs never reach user space.
 */
#ifndef PAREDOWN_SESSIONS_H
#define PAREDOWN_SESSIONS_H

#include "facts.h"
#include "files.h"

#define NAMED_HERE (1ULL << 63)

struct program_key {
	__u64 exe;
	__u64 session;
	__u32 uid;
	__u32 gid;
};

/* In an LRU a forgotten entry is only told once more; a full table would have to be told of. */
TABLE(LRU_HASH, programs, struct program_key, __u8, 8192);

TABLE(LRU_HASH, mounts, __u64, __u8, 4096);

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
	if (!on_watched(dentry))
		message->head.device = 0;
	if (send(message) == 0)
		bpf_map_update_elem(&programs, &key, &one, BPF_ANY);
}

/* Servers change their ids without an exec. */
static void tell_ids(__u32 pid, const struct task *state, struct task_struct *task)
{
	struct program_key key = {};
	struct event event;
	__u8 one = 1;

	key.exe = state->exe;
	key.session = state->session;
	key.uid = BPF_CORE_READ(task, cred, euid.val);
	key.gid = BPF_CORE_READ(task, cred, egid.val);
	if (!key.exe || bpf_map_lookup_elem(&programs, &key))
		return;
	begin_event(&event, EVENT_IDS, pid, state);
	event.uid = key.uid;
	event.gid = key.gid;
	if (send_event(&event) == 0)
		bpf_map_update_elem(&programs, &key, &one, BPF_ANY);
}

/* Which part of its superblock a mount shows can be asked only while its namespace lives. */
static void tell_mount(__u32 pid, const struct task *state, struct task_struct *task)
{
	struct vfsmount *root = BPF_CORE_READ(task, fs, root.mnt);
	__u64 id = mount_id(root);
	struct message *message;
	__u8 one = 1;

	if (!id || bpf_map_lookup_elem(&mounts, &id))
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
	struct super_block *superblock = BPF_CORE_READ(task, fs, root.mnt, mnt_sb);
	struct message *message;

	if (!(watch_of(superblock) & WATCH_BEGINS))
		return -1;
	state->session = mix(mix(config.secret, bpf_ktime_get_ns()), pid) | NAMED_HERE;
	message = new_message(EVENT_SESSION, pid, state);
	if (!message)
		return -1;
	message->head.device = BPF_CORE_READ(superblock, s_dev);
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
	tell_ids(pid, inherited, parent);
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
	/* Of a program that is executed by its descriptor fanotify has no event before Linux 6.7. */
	if (config.files || BPF_CORE_READ(bprm, fdpath))
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
	tell_ids(pid, state, task);
	bpf_map_update_elem(&dead, &pid, state, BPF_ANY);
	add_one(EXITS);
	bpf_map_delete_elem(&tasks, &pid);
	return 0;
}

#endif
