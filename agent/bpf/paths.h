/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What a message says of a file. */
#ifndef PAREDOWN_PATHS_H
#define PAREDOWN_PATHS_H

#include "events.h"

#define MAX_COMPONENTS 256

/*
 * Add the names from `dentry` up to its superblock's root: the path inside the superblock, which
 * is the same through whatever mount the file was reached. When room or turns end early, the path
 * lacks its beginning.
 */
static void write_path(struct message *message, struct dentry *dentry)
{
	__u32 length = message->head.length;

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

#endif
