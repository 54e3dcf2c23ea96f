/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Which files the programs of sessions use. */
#ifndef PAREDOWN_FILES_H
#define PAREDOWN_FILES_H

#include "paths.h"
#include "processes.h"

#define FMODE_WRITE 2
#define FMODE_PATH (1 << 14)
#define MAX_FD 0x7fffffff

#define OVERLAY_MAGIC 0x794c7630 /* include/uapi/linux/magic.h */

/* Superblocks by s_dev; the value says how. */
TABLE(HASH, watched, __u32, __u32, 4096);

/*
 * How a superblock is watched, 0 if it is not. Nobody is told when an overlay has gone: any
 * filesystem without a device, a procfs say, gets its number then.
 */
static __u32 watch_of(struct super_block *superblock)
{
	__u32 device = BPF_CORE_READ(superblock, s_dev);
	__u32 *how = bpf_map_lookup_elem(&watched, &device);

	if (!how || (*how & WATCH_OVERLAY && BPF_CORE_READ(superblock, s_magic) != OVERLAY_MAGIC))
		return 0;
	return *how;
}

static __u32 on_watched(struct dentry *dentry)
{
	return watch_of(BPF_CORE_READ(dentry, d_inode, i_sb));
}

/*
 * What was told, as hashes: a set of ways for each of their low bits. A use that was pushed out is
 * only told once more.
 */
#define SEEN_WAYS 4
#define SEEN_SETS 65536

struct seen {
	__u64 hashes[SEEN_WAYS];
};

TABLE(ARRAY, told, __u32, struct seen, SEEN_SETS);

/* A name in a superblock. Not by inode alone: that would hide the second name of a hardlink. */
struct place {
	__u64 inode;
	__u64 parent;
	__u64 name;
	__u32 device;
};

static __u64 mix(__u64 hash, __u64 value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15;
	return hash ^ hash >> 32;
}

static void look(struct place *place, struct dentry *dentry)
{
	struct inode *inode = BPF_CORE_READ(dentry, d_inode);

	place->inode = BPF_CORE_READ(inode, i_ino);
	place->device = BPF_CORE_READ(inode, i_sb, s_dev);
	place->parent = BPF_CORE_READ(dentry, d_parent, d_inode, i_ino);
	place->name = (__u64)BPF_CORE_READ(dentry, d_name.hash) << 32 | BPF_CORE_READ(dentry, d_name.len);
}

static __u64 place_key(const struct place *place)
{
	return mix(mix(mix(mix(config.secret, place->inode), place->parent), place->name),
		   place->device);
}

static int was_told(struct seen *seen, __u64 hash)
{
	return seen->hashes[0] == hash || seen->hashes[1] == hash || seen->hashes[2] == hash ||
	       seen->hashes[3] == hash;
}

/* Of two that write at once one is forgotten; each word is one of what was told. */
static void remember(struct seen *seen, __u64 hash)
{
	seen->hashes[3] = seen->hashes[2];
	seen->hashes[2] = seen->hashes[1];
	seen->hashes[1] = seen->hashes[0];
	seen->hashes[0] = hash;
}

/* Tell of a file once per program, use and session; only on a watched superblock. */
static __always_inline void use_place(__u32 pid, const struct task *state, struct place *place,
				      struct dentry *dentry, __u32 use)
{
	__u64 hash = mix(mix(mix(place_key(place), state->exe), state->session), use);
	__u32 set = hash % SEEN_SETS;
	struct seen *seen = bpf_map_lookup_elem(&told, &set);
	struct message *message;

	if (!seen || was_told(seen, hash) || !on_watched(dentry))
		return;
	message = new_message(EVENT_FILE, pid, state);
	if (!message)
		return;
	message->head.use = use;
	describe_file(message, dentry);
	if (send(message) == 0)
		remember(seen, hash);
}

static void use_file(__u32 pid, const struct task *state, struct dentry *dentry, __u32 use)
{
	struct place place = {};

	look(&place, dentry);
	use_place(pid, state, &place, dentry, use);
}

/* The open file of that number, 0 if there is none. */
static struct file *open_file(struct task_struct *task, __u32 fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file *file, **slot;

	if (fd >= BPF_CORE_READ(table, max_fds))
		return 0;
	slot = BPF_CORE_READ(table, fd);
	return bpf_probe_read_kernel(&file, sizeof(file), slot + fd) ? 0 : file;
}

/* What names a program for the length of a recording; user space learns its path once. */
static __u64 exe_key(struct dentry *dentry)
{
	struct place place = {};

	look(&place, dentry);
	return place_key(&place) | 1;
}

#endif
