/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Paths that system calls look up: those that are there, and those that are not. The exit of every
 * call is looked at, so these programs are loaded only where somebody asked for it.
 */
#ifndef PAREDOWN_LOOKUPS_H
#define PAREDOWN_LOOKUPS_H

#include "calls.h"
#include "files.h"

#define AT_FDCWD -100
#define EINTR 4
#define EFAULT 14
#define ERESTARTSYS 512        /* from here on it never reaches the program */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * CALL_NUMBERS);
	__type(key, __u32);
	__type(value, struct call);
} calls SEC(".maps");

static struct call *find_call(__u32 abi, __u64 number)
{
	__u32 index = abi * CALL_NUMBERS + number;

	if (abi > ABI_COMPAT || number >= CALL_NUMBERS)
		return 0;
	return bpf_map_lookup_elem(&calls, &index);
}

static int is_wanted(const struct call *call, __s64 result)
{
	if (result >= 0)
		return config.lookups & WANT_EXISTS && call->lookup < LOOKUP_OPEN;
	if (result <= -ERESTARTSYS || result == -EINTR || result == -EFAULT)
		return 0;
	return config.lookups & WANT_MISSING;
}

/* Where the name that begins so counts from. */
static struct dentry *base_of(struct task_struct *task, struct pt_regs *regs, __u32 abi,
			      const struct call *call, char first)
{
	struct file *file;
	int fd = AT_FDCWD;

	if (first == '/')
		return BPF_CORE_READ(task, fs, root.dentry);
	if (call->directory != NO_ARGUMENT)
		fd = call_argument(regs, abi, call->directory);
	if (fd == AT_FDCWD)
		return BPF_CORE_READ(task, fs, pwd.dentry);
	file = open_file(task, fd);
	return file ? BPF_CORE_READ(file, f_path.dentry) : 0;
}

/* Word by word; there are zeroes behind the end. */
static __u64 hash_name(const struct message *message, __u32 length)
{
	const __u64 *words = (const void *)message->path;
	__u64 hash = config.secret;

	for (__u32 i = 0; i < PATH_ROOM / 8; i++) {
		if (i * 8 >= length)
			break;
		hash = mix(hash, words[i]);
	}
	return hash;
}

/* Read the name into the message, with its NUL; its length, or less than 1. */
static long read_name(struct message *message, __u64 address)
{
	long length = bpf_probe_read_user_str(message->path, PATH_ROOM, (void *)address);

	if (length < 1 || length > PATH_ROOM)
		return -1;
	__builtin_memset(message->path + length, 0, 8);
	return length;
}

static void tell_lookup(struct message *message, struct task_struct *task, struct dentry *base)
{
	struct mnt_namespace *mounts = BPF_CORE_READ(task, nsproxy, mnt_ns);

	message->head.inode = BPF_CORE_READ(mounts, ns.inum);
	message->head.mount = BPF_CORE_READ(mounts, event);
	write_path(message, base);
}

SEC("raw_tp/sys_exit")
int looked_up(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct pt_regs *regs = (void *)ctx->args[0];
	__s64 result = ctx->args[1];
	__u64 number = call_number(regs), address = 0, what;
	__u32 abi = abi_of(task, number), pid;
	struct call *call = find_call(abi, number);
	struct message *message;
	struct dentry *base;
	struct task *state;
	struct fact fact;
	char first = 0;
	long length = 0;

	if (!call || !call->lookup || !is_wanted(call, result))
		return 0;
	state = current_task(&pid);
	if (!state)
		return 0;
	if (call->path != NO_ARGUMENT) {
		address = call_argument(regs, abi, call->path);
		if (bpf_probe_read_user(&first, 1, (void *)address)) {
			add_one(LOST_NAMES);
			return 0;
		}
		/* The descriptor itself (AT_EMPTY_PATH), or nothing at all. */
		if (!first)
			return 0;
	}
	base = base_of(task, regs, abi, call, first);
	if (!base || !on_watched(base))
		return 0;
	message = new_message(EVENT_LOOKUP, pid, state);
	if (!message)
		return 0;
	if (first) {
		length = read_name(message, address);
		if (length < 0) {
			leave(message);
			add_one(LOST_NAMES);
			return 0;
		}
		message->head.length = length;
	}
	what = mix(hash_name(message, length), exe_key(base));
	what = mix(what, (__u64)call->lookup << 32 | (result < 0 ? -result : 0));
	if (is_known(&fact, state, EVENT_LOOKUP, what)) {
		leave(message);
		return 0;
	}
	message->head.use = call->lookup;
	message->head.size = result < 0 ? result : 0;
	message->head.mode = first != 0;
	message->head.device = BPF_CORE_READ(base, d_inode, i_sb, s_dev);
	tell_lookup(message, task, base);
	if (send(message) == 0)
		keep(&fact);
	return 0;
}

#endif
