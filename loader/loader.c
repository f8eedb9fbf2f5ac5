// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Getting hold of the snapshot programs: loading them into this process, or pinning them in bpffs
 * and finding them there again. Reading them is snapshot.c's.
 *
 * The pinned set is a directory LOADER_PIN_DIR, which holds one directory named after the version
 * (the ABI version and a hash of the programs), which holds the programs. Iterators are pinned as
 * programs and not as links, since a link would carry the pid of one target; those of tracepoints
 * also as links, which keep them attached.
 */
#include "btf_subset.h"
#include "internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "snapshot.hash.h"
#include "snapshot.skel.h"

#define BPF_FS_MAGIC_NR 0xcafe4a11
#define KERNEL_BTF	"/sys/kernel/btf/vmlinux"
#define LOCKDOWN	"/sys/kernel/security/lockdown"
#define STR_(x)		#x
#define STR(x)		STR_(x)
/* Name of the directory that says which version a pinned set is of. */
#define PIN_VERSION "v" STR(REC_ABI_VERSION) "-" SNAPSHOT_OBJECT_HASH

#ifndef CAP_PERFMON
#define CAP_PERFMON 38
#define CAP_BPF	    39
#endif

static const char *const prog_names[LOADER_PROG_NR] = {
	[LOADER_PROG_TASK] = "snapshot_task",	      [LOADER_PROG_VMA] = "snapshot_vma",
	[LOADER_PROG_FILE] = "snapshot_file",	      [LOADER_PROG_MORE] = "snapshot_more",
	[LOADER_PROG_HOLDER] = "snapshot_holder",     [LOADER_PROG_MEMBER] = "snapshot_member",
	[LOADER_PROG_GENERATE] = "delivery_generate", [LOADER_PROG_DELIVER] = "delivery_deliver",
};

/* Of maps that others than the programs use. */
static const char senders_name[] = "delivery_senders";
static const char ring_name[] = "delivery_ring_";

/* Of those which run when something happens: what. */
static const char *const tracepoints[LOADER_PROG_NR] = {
	[LOADER_PROG_GENERATE] = "signal_generate",
	[LOADER_PROG_DELIVER] = "signal_deliver",
};

/*
 * What libbpf said last. Its print callback is global and has no argument; one buffer per thread
 * keeps concurrent loads apart.
 */
static _Thread_local char libbpf_said[160];

int why_set(struct loader_why *why, int rc, const char *remedy, const char *fmt, ...)
{
	va_list args;

	if (!why)
		return rc;
	va_start(args, fmt);
	vsnprintf(why->what, sizeof(why->what), fmt, args);
	va_end(args);
	snprintf(why->remedy, sizeof(why->remedy), "%s", remedy ? remedy : "");
	return rc;
}

/* Keep the first warning's line: those that follow only wrap it. */
static int on_libbpf_print(enum libbpf_print_level level, const char *fmt, va_list args)
{
	if (level != LIBBPF_WARN || libbpf_said[0])
		return 0;
	vsnprintf(libbpf_said, sizeof(libbpf_said), fmt, args);
	libbpf_said[strcspn(libbpf_said, "\n")] = '\0';
	return 0;
}

static bool has_capability(int cap)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &head, data) < 0)
		return false;
	return data[cap / 32].effective >> (cap % 32) & 1;
}

/* 1: confidentiality; 0: something weaker; -1: unknown, as securityfs cannot be read. */
static int lockdown_is_confidentiality(void)
{
	char text[128];
	ssize_t n;
	int fd = open(LOCKDOWN, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n < 0)
		return -1;
	text[n] = '\0';
	return strstr(text, "[confidentiality]") != NULL;
}

libbpf_print_fn_t libbpf_listen(void)
{
	libbpf_said[0] = '\0';
	return libbpf_set_print(on_libbpf_print);
}

/* The likeliest reasons first. */
int explain_load(struct loader_why *why, int rc)
{
	bool may = has_capability(CAP_SYS_ADMIN) ||
		   (has_capability(CAP_BPF) && has_capability(CAP_PERFMON));

	if ((rc == -EPERM || rc == -EACCES) && !may)
		return why_set(why, -EPERM, "run as root, or grant CAP_BPF and CAP_PERFMON",
			       "no privilege to load eBPF programs (CAP_BPF and CAP_PERFMON)");
	if (access(KERNEL_BTF, R_OK) < 0)
		return why_set(
			why, errno == EACCES ? -EPERM : -ENOENT,
			"boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, with /sys mounted",
			"the kernel does not describe its types: no " KERNEL_BTF);
	if (rc == -EPERM || rc == -EACCES || rc == -EFAULT) {
		switch (lockdown_is_confidentiality()) {
		case 1:
			return why_set(
				why, -EPERM, "boot with lockdown=integrity, or without lockdown",
				"the kernel is locked down (lockdown=confidentiality), which "
				"forbids eBPF to read kernel memory");
		case -1:
			if (rc != -EPERM)
				break;
			return why_set(
				why, -EPERM,
				"see `cat " LOCKDOWN "` (mount -t securityfs none "
				"/sys/kernel/security)",
				"the kernel refuses eBPF programs although we are privileged: "
				"perhaps lockdown=confidentiality");
		default:
			break;
		}
	}
	if (rc == -ENOSYS)
		return why_set(why, rc, "boot a kernel with CONFIG_BPF_SYSCALL=y",
			       "this kernel has no eBPF");
	if (rc == -EMFILE || rc == -ENFILE)
		return why_set(why, rc,
			       "allow more open files: ulimit -n 1024, or sysctl fs.file-max",
			       "too few descriptors are left to load the eBPF programs: %s",
			       strerror(-rc));
	if (rc == -ENOMEM)
		return why_set(why, rc, "free some, or raise the memory limit of our cgroup",
			       "no memory for the eBPF programs");
	return why_set(why, rc, "Linux 6.1 or later is needed",
		       "cannot load the eBPF programs: %s%s%s", strerror(-rc),
		       libbpf_said[0] ? ": " : "", libbpf_said);
}

/* Open the skeleton, to be relocated against the kernel types that it needs and no others. */
static struct snapshot_bpf *open_skel(int *types_fd)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts);
	struct snapshot_bpf *skel = snapshot_bpf__open();
	char path[40];

	*types_fd = skel ? btf_subset(bpf_object__btf(skel->obj)) : -1;
	if (*types_fd < 0)
		return skel;
	snapshot_bpf__destroy(skel);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", *types_fd);
	opts.btf_custom_path = path;
	return snapshot_bpf__open_opts(&opts);
}

#ifndef SYS_lsm_list_modules
#define SYS_lsm_list_modules 461
#endif

/* LSM_ID_* of <linux/lsm.h>, which is new: those which have a part in credentials. */
enum { ID_SELINUX = 101, ID_SMACK = 102, ID_APPARMOR = 104, ID_LANDLOCK = 110 };

/*
 * Each security module has its part in a credential, one after the other in the order in which they
 * are active. Without the system call, which is as old as Linux 6.8, nothing is known.
 */
static int find_landlock(__u32 *ret_after_selinux)
{
	__u64 ids[64];
	__u32 size = sizeof(ids);
	long n = syscall(SYS_lsm_list_modules, ids, &size, 0);
	int at = 0;

	if (n < 0)
		return LANDLOCK_UNKNOWN;
	for (long i = 0; i < n; i++) {
		if (ids[i] == ID_LANDLOCK)
			return at;
		if (ids[i] == ID_SMACK)
			return LANDLOCK_UNKNOWN;
		if (ids[i] == ID_SELINUX)
			*ret_after_selinux = 1;
		if (ids[i] == ID_APPARMOR)
			at += (int)sizeof(void *);
	}
	return LANDLOCK_ABSENT;
}

static int load(struct snapshot_bpf **ret, struct loader_why *why)
{
	libbpf_print_fn_t previous;
	struct snapshot_bpf *skel;
	int cpus, types_fd, rc = 0;

	previous = libbpf_listen();
	skel = open_skel(&types_fd);
	if (!skel) {
		rc = errno ? -errno : -ENOMEM;
	} else {
		cpus = libbpf_num_possible_cpus();
		if (cpus > 0)
			skel->rodata->possible_cpus = (__u32)cpus;
		skel->rodata->landlock_offset =
			find_landlock((__u32 *)&skel->rodata->landlock_after_selinux);
		rc = snapshot_bpf__load(skel);
	}
	if (types_fd >= 0)
		close(types_fd);
	libbpf_set_print(previous);
	if (rc < 0) {
		snapshot_bpf__destroy(skel);
		return explain_load(why, rc);
	}
	*ret = skel;
	return 0;
}

static struct bpf_program *skel_prog(struct snapshot_bpf *skel, enum loader_prog prog)
{
	return bpf_object__find_program_by_name(skel->obj, prog_names[prog]);
}

/*
 * Open LOADER_PIN_DIR, or fail with -ENOENT; -EPERM when it is not root's alone. bpffs lets
 * everybody make directories: one made by someone else could hold any program.
 */
static int pin_dir_open(void)
{
	struct statfs fs;
	struct stat st;
	int fd = open(LOADER_PIN_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0 || st.st_uid != 0 ||
	    (st.st_mode & (S_IWGRP | S_IWOTH)) || (unsigned long)fs.f_type != BPF_FS_MAGIC_NR) {
		close(fd);
		return -EPERM;
	}
	return fd;
}

/* The pinned set's directory of our version, or a negative errno. */
static int pin_version_open(void)
{
	int fd, rc, dir = pin_dir_open();

	if (dir < 0)
		return dir;
	fd = openat(dir, PIN_VERSION, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	rc = fd < 0 ? -errno : fd;
	close(dir);
	return rc;
}

enum loader_pin_state loader_pin_state(void)
{
	int fd = pin_version_open();

	if (fd >= 0) {
		close(fd);
		return LOADER_PIN_OURS;
	}
	return access(LOADER_PIN_DIR, F_OK) == 0 ? LOADER_PIN_OTHER_VERSION : LOADER_PIN_NONE;
}

static void close_progs(struct loader *l)
{
	for (int i = 0; i < LOADER_PROG_NR; i++) {
		if (l->prog_fd[i] >= 0)
			close(l->prog_fd[i]);
		l->prog_fd[i] = -1;
	}
	for (int i = 0; i < REC_SENDERS; i++) {
		if (l->ring_fd[i] >= 0)
			close(l->ring_fd[i]);
		l->ring_fd[i] = -1;
	}
	if (l->senders_fd >= 0)
		close(l->senders_fd);
	l->senders_fd = -1;
}

/* Through the directory that was checked, whatever its name refers to by now. */
static int get_pinned(int dir, const char *name, const char *suffix)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s%s", dir, name, suffix);
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

/* Take the programs from the pinned set; a negative errno when that cannot be. */
static int open_pinned(struct loader *l)
{
	int rc = 0, dir = pin_version_open();

	if (dir < 0)
		return dir;
	for (int i = 0; i < LOADER_PROG_NR && rc >= 0; i++)
		rc = l->prog_fd[i] = get_pinned(dir, prog_names[i], "");
	if (rc >= 0)
		rc = l->senders_fd = get_pinned(dir, senders_name, "");
	for (int i = 0; i < REC_SENDERS && rc >= 0; i++) {
		const char number[] = { (char)('0' + i), 0 };

		rc = l->ring_fd[i] = get_pinned(dir, ring_name, number);
	}
	close(dir);
	if (rc < 0)
		close_progs(l);
	return rc < 0 ? rc : 0;
}

static int map_of(struct snapshot_bpf *skel, const char *name, int number)
{
	char full[32];

	if (number < 0)
		return bpf_object__find_map_fd_by_name(skel->obj, name);
	snprintf(full, sizeof(full), "%s%d", name, number);
	return bpf_object__find_map_fd_by_name(skel->obj, full);
}

static int keep(int fd, int *ret)
{
	if (fd < 0)
		return fd;
	*ret = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return *ret < 0 ? -errno : 0;
}

/* The programs hold their maps: the skeleton, which has those in our memory, is not needed. */
static int keep_programs(struct loader *l, struct snapshot_bpf *skel)
{
	int rc = keep(map_of(skel, senders_name, -1), &l->senders_fd);

	for (int i = 0; i < LOADER_PROG_NR && rc == 0; i++)
		rc = keep(bpf_program__fd(skel_prog(skel, (enum loader_prog)i)), &l->prog_fd[i]);
	for (int i = 0; i < REC_SENDERS && rc == 0; i++)
		rc = keep(map_of(skel, ring_name, i), &l->ring_fd[i]);
	return rc;
}

int loader_open(struct loader **ret, struct loader_why *why)
{
	struct loader *l = calloc(1, sizeof(*l));
	struct snapshot_bpf *skel;
	int rc;

	if (!l)
		return why_set(why, -ENOMEM, NULL, "out of memory");
	for (int i = 0; i < LOADER_PROG_NR; i++)
		l->prog_fd[i] = -1;
	for (int i = 0; i < REC_SENDERS; i++)
		l->ring_fd[i] = -1;
	l->senders_fd = -1;
	if (open_pinned(l) == 0) {
		l->pinned = true;
		*ret = l;
		return 0;
	}
	rc = load(&skel, why);
	if (rc < 0) {
		free(l);
		return rc;
	}
	rc = keep_programs(l, skel);
	snapshot_bpf__destroy(skel);
	if (rc < 0) {
		loader_close(l);
		return rc == -EMFILE ? explain_load(why, rc)
				     : why_set(why, rc, NULL, "cannot keep the eBPF programs: %s",
					       strerror(-rc));
	}
	*ret = l;
	return 0;
}

int loader_attach(struct loader *l, enum loader_prog prog)
{
	return bpf_raw_tracepoint_open(tracepoints[prog], l->prog_fd[prog]);
}

void loader_close(struct loader *l)
{
	if (!l)
		return;
	close_progs(l);
	free(l);
}

bool loader_is_pinned(const struct loader *l)
{
	return l->pinned;
}

/* --- pinning --- */

static int bpffs_ensure(struct loader_why *why)
{
	struct statfs fs;

	if (statfs(LOADER_BPFFS, &fs) == 0 && (unsigned long)fs.f_type == BPF_FS_MAGIC_NR)
		return 0;
	if (mount("bpf", LOADER_BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0) {
		int rc = -errno;

		return why_set(
			why, rc, rc == -EPERM ? "run as root" : "mount -t bpf bpf " LOADER_BPFFS,
			"cannot mount the BPF file system on " LOADER_BPFFS ": %s", strerror(-rc));
	}
	return 0;
}

/*
 * Remove a directory of pinned objects, at most two levels deep below it. Names are taken relative
 * to directories that are open, and links are not followed.
 */
static int remove_tree(int parent, const char *name, int depth)
{
	struct dirent *entry;
	int fd, rc = 0;
	DIR *dir;

	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return 0;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		rc = -errno;
		close(fd);
		return rc;
	}
	while (rc == 0 && depth > 0 && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			rc = remove_tree(fd, entry->d_name, depth - 1);
	}
	closedir(dir);
	if (rc == 0 && unlinkat(parent, name, AT_REMOVEDIR) < 0)
		rc = -errno;
	return rc;
}

static int pin_one(int fd, const char *dir, const char *name, const char *suffix)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/" PIN_VERSION "/%s%s", dir, name, suffix);
	return bpf_obj_pin(fd, path) < 0 ? -errno : 0;
}

/* Attaching takes some hundred microseconds, and up to 30 ms soon after somebody has detached. */
static int pin_attached(int prog_fd, const char *tracepoint, const char *dir, const char *name)
{
	int rc, fd = bpf_raw_tracepoint_open(tracepoint, prog_fd);

	if (fd < 0)
		return fd;
	rc = pin_one(fd, dir, name, "_link");
	close(fd);
	return rc;
}

static int pin_into(struct snapshot_bpf *skel, const char *dir)
{
	char path[PATH_MAX];
	int rc;

	snprintf(path, sizeof(path), "%s/" PIN_VERSION, dir);
	if (mkdir(dir, 0700) < 0 || mkdir(path, 0700) < 0)
		return -errno;
	rc = pin_one(map_of(skel, senders_name, -1), dir, senders_name, "");
	for (int i = 0; i < REC_SENDERS && rc == 0; i++) {
		const char number[] = { (char)('0' + i), 0 };

		rc = pin_one(map_of(skel, ring_name, i), dir, ring_name, number);
	}
	for (int i = 0; i < LOADER_PROG_NR && rc == 0; i++) {
		int fd = bpf_program__fd(skel_prog(skel, (enum loader_prog)i));

		rc = pin_one(fd, dir, prog_names[i], "");
		if (rc == 0 && tracepoints[i])
			rc = pin_attached(fd, tracepoints[i], dir, prog_names[i]);
	}
	return rc;
}

/*
 * Put the finished directory in its place in one step: another process finds the old set, or the
 * new one, or none, but never a part.
 */
static int put_in_place(const char *temporary)
{
	if (renameat2(AT_FDCWD, temporary, AT_FDCWD, LOADER_PIN_DIR, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (renameat2(AT_FDCWD, temporary, AT_FDCWD, LOADER_PIN_DIR, RENAME_EXCHANGE) == 0)
		return remove_tree(AT_FDCWD, temporary, 2);
	return -errno;
}

int loader_pin(bool *ret_changed, struct loader_why *why)
{
	char temporary[64];
	struct snapshot_bpf *skel;
	int rc;

	*ret_changed = false;
	if (loader_pin_state() == LOADER_PIN_OURS)
		return 0;
	rc = load(&skel, why);
	if (rc < 0)
		return rc;
	rc = bpffs_ensure(why);
	if (rc < 0) {
		snapshot_bpf__destroy(skel);
		return rc;
	}
	snprintf(temporary, sizeof(temporary), LOADER_PIN_DIR "-new-%d", getpid());
	rc = remove_tree(AT_FDCWD, temporary, 2); /* left by a process of our pid that was killed */
	if (rc == 0)
		rc = pin_into(skel, temporary);
	if (rc == 0)
		rc = put_in_place(temporary);
	if (rc < 0)
		remove_tree(AT_FDCWD, temporary, 2);
	snapshot_bpf__destroy(skel);
	if (rc < 0)
		return why_set(why, rc, rc == -EPERM ? "run as root" : NULL,
			       "cannot pin the eBPF programs in " LOADER_PIN_DIR ": %s",
			       strerror(-rc));
	*ret_changed = true;
	return 0;
}

int loader_unpin(bool *ret_changed, struct loader_why *why)
{
	int rc;

	*ret_changed = false;
	if (loader_pin_state() == LOADER_PIN_NONE)
		return 0;
	rc = remove_tree(AT_FDCWD, LOADER_PIN_DIR, 2);
	if (rc < 0)
		return why_set(why, rc, rc == -EPERM || rc == -EACCES ? "run as root" : NULL,
			       "cannot remove " LOADER_PIN_DIR ": %s", strerror(-rc));
	*ret_changed = true;
	return 0;
}
