/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the programs and recorder/programs.py share; a change here is a change there. */
#ifndef PAREDOWN_H
#define PAREDOWN_H

#define PATH_ROOM 4096         /* as much as a system call takes */
#define NAME_ROOM 256          /* a name with its NUL */

/* What a process is, by thread group id in the agent's pid namespace. */
struct task {
	__u64 session;        /* below 2^32 if user space named it */
	__u64 exe;            /* key of the running program, 0 before a session's first exec */
	__u64 since;          /* CLOCK_MONOTONIC ns of the last exec of this very process, or 0 */
	__u64 previous_exe;   /* what ran before that exec */
	__u64 previous_since;
};

enum event_kind {
	EVENT_SESSION = 1,    /* a session began */
	EVENT_PROGRAM,        /* a program is new to a session, or to an id in it */
	EVENT_FILE,           /* a file is new to a program */
	EVENT_MOUNT,          /* a mount is new as the root of a program; the path is its root */
	EVENT_IDS,            /* a program goes on with ids that it has not exec'd with */
	EVENT_PORT,           /* bound: the address in inode and mount, its family in mode, the port
				 in gid, the protocol in use */
	EVENT_SYSCALL,        /* the number in inode, the enum abi in use */
	EVENT_CAPABILITY,     /* the number in inode, what cap_capable() returned in size */
	EVENT_LOOKUP,         /* the call in use, its result in size; names: the first is what was
				 asked for unless mode is 0, the others what it counts from. The mount
				 namespace in inode, the count of its changes in mount */
};

enum event_use {
	USE_EXEC = 1,
	USE_INTERPRETER,
	USE_LOADER,
	USE_READ,
	USE_WRITE,
	USE_SCRIPT,
};

/* How a system call was made. */
enum abi {
	ABI_NATIVE,
	ABI_COMPAT,           /* 32-bit */
	ABI_X32,
};

/* System calls that look up a path; recorder/calls.py says which are. */
enum lookup {
	LOOKUP_STAT = 1,
	LOOKUP_ACCESS,
	LOOKUP_READLINK,
	LOOKUP_LIST,
	LOOKUP_OPEN,          /* told only where it failed, as is all that follows */
	LOOKUP_EXEC,
};

#define WANT_EXISTS 1
#define WANT_MISSING 2

#define NO_ARGUMENT 255
#define CALL_NUMBERS 1024      /* for each enum abi */

struct call {
	__u8 lookup;          /* 0: it looks up nothing */
	__u8 path;            /* which argument names it, from 0, or NO_ARGUMENT */
	__u8 directory;       /* which argument is the descriptor that it counts from, likewise */
	__u8 pad;
};

/* A function of the kernel. */
struct range {
	__u64 start;
	__u64 end;
};

#define FLAG_TRUNCATED 1

/* How a superblock is watched. */
#define WATCHED 1
#define WATCH_BEGINS 2         /* an exec with its root there begins a session */
#define WATCH_OVERLAY 4        /* it is an overlay: its number may be another filesystem's later */

/* Followed by `length` bytes of names, each ending in NUL, from the file up to the root. */
struct event {
	__u64 time;           /* CLOCK_MONOTONIC ns */
	__u64 session;
	__u64 exe;
	__u64 inode;
	__u64 mount;          /* as statx has it: the unique id where the kernel has one */
	__s64 size;
	__s64 mtime;          /* ns since the epoch */
	__u32 kind;
	__u32 pid;
	__u32 uid;
	__u32 gid;
	__u32 device;         /* s_dev: 12 bits of major, 20 of minor */
	__u32 mode;
	__u32 use;
	__u32 flags;
	__u32 length;
	__u32 pad;
};

enum count {
	LOST_EVENTS,          /* the ring buffer was full */
	LOST_TASKS,           /* the table of processes was full */
	EXITS,                /* no loss: processes that went to the table of ended ones */
	LOST_NAMES,           /* what a system call named could not be read */
	LOST_ROOM,            /* other tasks were in the midst of messages on that CPU */
	COUNTS,
};

/* Set before load. */
struct config {
	__u64 secret;         /* nobody can make two uses of files look the same */
	__u32 pid_namespace;  /* inode number of the agent's, 0 if that is the initial one */
	__u32 files;          /* emit EVENT_FILE at exec */
	__u32 root_arguments; /* how many do_file_open_root() takes */
	__u32 lookups;        /* WANT_EXISTS, WANT_MISSING */
};

#endif
