// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Kinds of open files for observe: those of the engine's table, so that check, attach and observe
 * call a thing by the same name; and names for what the engine cannot save and that table calls
 * "unsupported".
 */
#include "kind.h"
#include "observe.h"

#include <linux/magic.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define MAGIC_MQUEUE 0x19800202
#define MAGIC_PIDFS  0x50494446
#define MAGIC_DMABUF 0x444d4142
#define MAGIC_AIO    0x69646565

/* The name of a file system, which the table of kinds goes by, where records tell its magic number
 * alone. */
static const struct {
	uint64_t magic;
	const char *name;
} filesystems[] = {
	{ ANON_INODE_FS_MAGIC, "anon_inodefs" },
	{ PIPEFS_MAGIC, "pipefs" },
	{ SOCKFS_MAGIC, "sockfs" },
	{ TMPFS_MAGIC, "tmpfs" },
	{ HUGETLBFS_MAGIC, "hugetlbfs" },
	{ PROC_SUPER_MAGIC, "proc" },
	{ MAGIC_MQUEUE, "mqueue" },
	{ MAGIC_PIDFS, "pidfs" },
	{ NSFS_MAGIC, "nsfs" },
	{ SECRETMEM_MAGIC, "secretmem" },
	{ DEVPTS_SUPER_MAGIC, "devpts" },
	{ TRACEFS_MAGIC, "tracefs" },
	{ DEBUGFS_MAGIC, "debugfs" },
	{ SECURITYFS_MAGIC, "securityfs" },
	{ MAGIC_DMABUF, "dmabuf" },
	{ MAGIC_AIO, "aio" },
};

/* Anonymous inodes by the kernel's own name of them. */
static const struct {
	const char *dname, *kind;
} anonymous[] = {
	{ "[io_uring]", "io_uring" },
	{ "[userfaultfd]", "userfaultfd" },
	{ "[perf_event]", "perf_event" },
	{ "[fscontext]", "fscontext" },
	{ "[landlock-ruleset]", "landlock" },
	{ "seccomp notify", "seccomp" },
	{ "bpf-prog", "bpf" },
	{ "bpf_link", "bpf" },
	{ "bpf_iter", "bpf" },
	{ "btf", "bpf" },
	{ "kvm-vm", "kvm" },
	{ "kvm-vcpu", "kvm" },
};

static const char *socket_kind(unsigned int family, unsigned int type, unsigned int protocol)
{
	switch (family) {
	case AF_UNIX:
		return "unix";
	case AF_INET:
	case AF_INET6:
		if (type == SOCK_STREAM)
			return protocol == IPPROTO_TCP ? "tcp" : "inet";
		if (type == SOCK_DGRAM)
			return protocol == IPPROTO_UDP ? "udp" : "inet";
		return "inet";
	case AF_NETLINK:
		return "netlink";
	case AF_PACKET:
		return "packet";
	case AF_VSOCK:
		return "vsock";
	default:
		return "socket";
	}
}

static const char *other_kind(const struct rec_inode *ino, const struct rec_file *file)
{
	if (S_ISSOCK(ino->mode) && file && file->sock_id)
		return socket_kind(file->sk_family, file->sk_type, file->sk_protocol);
	for (size_t i = 0; i < sizeof(anonymous) / sizeof(anonymous[0]); i++)
		if (!strcmp(ino->dname, anonymous[i].dname))
			return anonymous[i].kind;
	if (!strcmp(ino->fstype, "anon_inodefs"))
		return "anonymous";
	if (!strcmp(ino->fstype, "secretmem"))
		return "secretmem";
	if (!strcmp(ino->fstype, "dmabuf"))
		return "dmabuf";
	if (S_ISBLK(ino->mode))
		return "blockdev";
	if (S_ISCHR(ino->mode))
		return "chardev";
	if (S_ISFIFO(ino->mode))
		return "fifo";
	return S_ISREG(ino->mode) ? "regular" : "other";
}

const char *observe_kind(const struct rec_inode *ino, const struct rec_file *file, const char *path)
{
	const struct kind_file f = { .fd = -1, .inode = ino, .file = file, .path = path };

	/* Before the table: "unix" is in it, and sockets are asked for most. */
	if (S_ISSOCK(ino->mode) && file && file->sock_id)
		return other_kind(ino, file);
	const struct ckpt_kind *k = kind_of(&f);

	/* The last row takes all. */
	return strcmp(k->name, "unsupported") ? k->name : other_kind(ino, file);
}

/* The kernel names the files that it makes for itself within a tmpfs of its own. */
static bool is_kernels_own(const struct trace_file *f, const char *path)
{
	return f->unhashed && path[0] != '/' &&
	       (f->sb_magic == TMPFS_MAGIC || f->sb_magic == HUGETLBFS_MAGIC);
}

const char *observe_kind_traced(const struct trace_file *f, const struct trace_sock *s,
				const char *path)
{
	struct rec_file file = { .sock_id = f->sock_id };
	struct rec_inode ino = { .file_id = f->file_id,
				 .inode_id = f->inode_id,
				 .ino = f->ino,
				 .dev_major = f->dev_major,
				 .dev_minor = f->dev_minor,
				 .rdev_major = f->rdev_major,
				 .rdev_minor = f->rdev_minor,
				 .mode = f->mode,
				 .nlink = f->nlink,
				 .sb_magic = f->sb_magic,
				 .f_flags = f->f_flags,
				 .f_mode = f->f_mode,
				 .unhashed = f->unhashed };
	const char *slash = strrchr(path, '/');
	char full[sizeof(ino.dname) + 1];

	if (!f->file_id)
		return LEDGER_UNKNOWN;
	if (s) {
		file.sk_family = s->family;
		file.sk_type = s->type;
		file.sk_protocol = s->protocol;
		file.sk_state = s->state;
	}
	for (size_t i = 0; i < sizeof(filesystems) / sizeof(filesystems[0]); i++)
		if (filesystems[i].magic == f->sb_magic)
			strcpy(ino.fstype, filesystems[i].name);
	/* A name of the kernel's own may have slashes ("dev/zero"). */
	snprintf(ino.dname, sizeof(ino.dname), "%s", slash && path[0] == '/' ? slash + 1 : path);
	if (is_kernels_own(f, path)) {
		snprintf(full, sizeof(full), "/%s", ino.dname);
		path = full;
	}
	return observe_kind(&ino, &file, path);
}
