/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Which files the programs of sessions use. */
#ifndef PAREDOWN_FILES_H
#define PAREDOWN_FILES_H

#include "paths.h"
#include "processes.h"

/* Superblocks by s_dev; the value says whether an exec there begins a session. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u32);
} watched SEC(".maps");

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

#endif
