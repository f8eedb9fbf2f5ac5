// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Can this machine, can this process be checkpointed? What a kernel can do is tried out rather than
 * concluded from its version: distributions carry features over, and containers take them away.
 */
#include "agree.h"
#include "areas.h"
#include "kind.h"
#include "look.h"
#include "pagemap.h"
#include "provenance.h"
#include "session.h"
#include "tracer.h"
#include "util.h"

#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>

/* Names of kernels younger than the headers of Debian 12. */
#ifndef ARCH_MAP_VDSO_64
#define ARCH_MAP_VDSO_64 0x2003
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#define UFFD_MOVE_FEATURE	     (1ULL << 16) /* UFFD_FEATURE_MOVE, Linux 6.8 */
#define TIMER_CREATE_RESTORE_IDS     77
#define TIMER_CREATE_RESTORE_IDS_GET 2

#define DELETED_LIMIT_DEFAULT (64ULL << 20) /* as ckpt_dump() has it */

/* ---- answers ---- */

struct answer {
	enum ckpt_verdict verdict;
	char what[320], why[320], remedy[240];
};

__attribute__((format(printf, 2, 3))) static void yes(struct answer *a, const char *fmt, ...)
{
	va_list ap;

	a->verdict = CKPT_YES;
	va_start(ap, fmt);
	vsnprintf(a->what, sizeof(a->what), fmt, ap);
	va_end(ap);
}

static void not_quite(struct answer *a, enum ckpt_verdict verdict, const char *what,
		      const char *why, const char *remedy)
{
	a->verdict = verdict;
	snprintf(a->what, sizeof(a->what), "%s", what);
	snprintf(a->why, sizeof(a->why), "%s", why);
	snprintf(a->remedy, sizeof(a->remedy), "%s", remedy);
}

static void no(struct answer *a, const char *what, const char *why, const char *remedy)
{
	not_quite(a, CKPT_NO, what, why, remedy);
}

static void no_errno(struct answer *a, const char *what, int errnum, const char *remedy)
{
	char reason[128];

	no(a, what, strerror_r(errnum, reason, sizeof(reason)), remedy);
}

/* The start of a small file of the kernel's, without its newline; false when there is none. */
static bool read_line(const char *path, char *buf, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	if (n < 0)
		return false;
	buf[n] = 0;
	buf[strcspn(buf, "\n")] = 0;
	return true;
}

/* ---- a process to try things on ---- */

/*
 * A child that only waits. It has no exit signal, so the caller's SIGCHLD handler and its waits
 * never meet it. set_tid: the pid that it shall have, or 0. The pid, or -errno.
 */
static pid_t guinea_pig(pid_t set_tid)
{
	struct clone_args args = { 0 };
	pid_t pid;

	if (set_tid) {
		args.set_tid = (uintptr_t)&set_tid;
		args.set_tid_size = 1;
	}
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		return -errno;
	if (pid > 0)
		return pid;
	/* Only bare system calls: locks of other threads are copied in whatever state they were. */
	syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	for (;;)
		syscall(SYS_pause);
}

static void guinea_pig_end(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		;
}

/* ---- questions about the machine ---- */

static void ask_kernel(struct ckpt_session *s, int arg, struct answer *a)
{
	struct utsname u;

	(void)s;
	(void)arg;
	if (uname(&u) < 0)
		no_errno(a, "its name", errno, "");
	else if (strcmp(u.machine, "x86_64"))
		no(a, u.machine, "only x86-64 is supported", "");
	else
		yes(a, "Linux %.100s on x86-64", u.release);
}

static void ask_btf(struct ckpt_session *s, int arg, struct answer *a)
{
	static const char path[] = "/sys/kernel/btf/vmlinux";

	(void)s;
	(void)arg;
	if (access(path, R_OK) == 0)
		yes(a, "%s", path);
	else if (errno == ENOENT)
		no(a, "type information", "there is no /sys/kernel/btf/vmlinux",
		   "boot a kernel built with CONFIG_DEBUG_INFO_BTF, and mount sysfs on /sys");
	else
		no_errno(a, path, errno, "run as root");
}

static void ask_lockdown(struct ckpt_session *s, int arg, struct answer *a)
{
	char line[128];

	(void)s;
	(void)arg;
	/* "none [integrity] confidentiality": the one in brackets is in force. */
	if (!read_line("/sys/kernel/security/lockdown", line, sizeof(line)) ||
	    strstr(line, "[none]"))
		yes(a, "off");
	else if (strstr(line, "[confidentiality]"))
		no(a, "confidentiality", "eBPF programs may not read the kernel's memory",
		   "boot with lockdown=integrity, or without it");
	else
		yes(a, "integrity, which does not matter here");
}

static const struct capability {
	int number;
	bool by_sys_admin; /* the kernel takes CAP_SYS_ADMIN for it, too */
	const char *what, *why;
} capabilities[] = {
	{ CAP_SYS_ADMIN, true, "for restored pid namespaces and programs under seccomp",
	  "it is not in the effective set" },
	{ CAP_BPF, true, "to load eBPF programs", "it is not in the effective set" },
	{ CAP_PERFMON, true, "to read the kernel's objects", "it is not in the effective set" },
	{ CAP_SYS_PTRACE, false, "to freeze processes and read their memory",
	  "it is not in the effective set" },
	{ CAP_CHECKPOINT_RESTORE, true, "to give a restored process its pid",
	  "it is not in the effective set" },
};

static bool has_capability(int number)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

	if (syscall(SYS_capget, &head, data) < 0)
		return false;
	return data[number / 32].effective >> (number % 32) & 1;
}

static void ask_capability(struct ckpt_session *s, int arg, struct answer *a)
{
	const struct capability *c = &capabilities[arg];

	(void)s;
	if (has_capability(c->number))
		yes(a, "%s", c->what);
	else if (c->by_sys_admin && has_capability(CAP_SYS_ADMIN))
		yes(a, "%s (by CAP_SYS_ADMIN)", c->what);
	else
		no(a, c->what, c->why, "run as root");
}

static void ask_iterators(struct ckpt_session *s, int arg, struct answer *a)
{
	struct ckpt_err *err = NULL;
	struct snapshot *snap = NULL;
	struct tree t = { 0 };
	struct loader *l = NULL;
	pid_t me = getpid();

	(void)arg;
	if (session_loader(s, &l, &err) < 0 || look_snapshot(l, me, true, &t, &snap, &err) < 0)
		no(a, "cannot be used", ckpt_err_text(err), ckpt_err_hint(err));
	else if (!snapshot_task(snap, me))
		no(a, "loaded", "they do not see this process", "");
	else if (loader_is_pinned(l))
		yes(a, "pinned in " LOADER_PIN_DIR);
	else if (loader_pin_state() == LOADER_PIN_OTHER_VERSION)
		not_quite(a, CKPT_NOTE, "loaded anew",
			  "those pinned in " LOADER_PIN_DIR " are of another version",
			  "ebpf-ckpt load");
	else
		yes(a, "loaded anew (ebpf-ckpt load makes the start faster)");
	snapshot_free(snap);
	tree_done(&t);
	ckpt_err_free(err);
}

static void ask_ptrace(struct ckpt_session *s, int arg, struct answer *a)
{
	char scope[16];
	pid_t pid;

	(void)s;
	(void)arg;
	/* Yama's 1 and 2 do not concern CAP_SYS_PTRACE, and a child of our own may be traced in any
	 * case but 3. */
	if (read_line("/proc/sys/kernel/yama/ptrace_scope", scope, sizeof(scope)) &&
	    !strcmp(scope, "3")) {
		no(a, "freezing processes", "kernel.yama.ptrace_scope is 3, until the next boot",
		   "boot with kernel.yama.ptrace_scope=2 or less");
		return;
	}
	pid = guinea_pig(0);
	if (pid < 0)
		no_errno(a, "freezing processes", -pid, "");
	else if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0)
		no_errno(a, "freezing processes", errno, "run outside of a sandbox");
	else
		yes(a, "freezing processes");
	guinea_pig_end(pid);
}

/* Tells of the caller's own page at `page` whether it is of these categories; -errno. */
static int scan_page(void *page, uint64_t categories)
{
	_cleanup_close_ int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	struct pagemap_region region;
	struct pagemap_scan arg = {
		.size = sizeof(arg),
		.start = (uintptr_t)page,
		.end = (uintptr_t)page + CORE_PAGE,
		.vec = (uintptr_t)&region,
		.vec_len = 1,
		.category_mask = categories,
		.return_mask = categories,
	};
	int n = fd < 0 ? -1 : ioctl(fd, PAGEMAP_SCAN_IOCTL, &arg);

	return n < 0 ? -errno : n;
}

static void *map_page(void)
{
	void *page = mmap(NULL, CORE_PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return page == MAP_FAILED ? NULL : page;
}

static void ask_pagemap(struct ckpt_session *s, int arg, struct answer *a)
{
	void *page = map_page();
	int n = page ? scan_page(page, PAGEMAP_PRESENT) : -ENOMEM;

	(void)s;
	(void)arg;
	if (n == -ENOTTY || n == -EINVAL)
		no(a, "finding pages in use", "this kernel has no PAGEMAP_SCAN",
		   "boot Linux 6.7 or newer");
	else if (n < 0)
		no_errno(a, "finding pages in use", -n, "mount proc on /proc");
	else
		yes(a, "finding pages in use");
	if (page)
		munmap(page, CORE_PAGE);
}

static void ask_guards(struct ckpt_session *s, int arg, struct answer *a)
{
	void *page = map_page();

	(void)s;
	(void)arg;
	if (!page)
		no_errno(a, "MADV_GUARD_INSTALL", ENOMEM, "");
	else if (madvise(page, CORE_PAGE, MADV_GUARD_INSTALL) < 0)
		not_quite(a, CKPT_NOTE, "MADV_GUARD_INSTALL is not there",
			  "images of programs that use it cannot be restored here", "");
	else if (scan_page(page, PAGEMAP_GUARD) != 1)
		not_quite(a, CKPT_NOTE, "MADV_GUARD_INSTALL",
			  "this kernel does not tell where such guard pages are: they are lost",
			  "boot Linux 6.15 or newer");
	else
		yes(a, "MADV_GUARD_INSTALL");
	if (page)
		munmap(page, CORE_PAGE);
}

static void ask_userfaultfd(struct ckpt_session *s, int arg, struct answer *a)
{
	_cleanup_close_ int fd =
		(int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	struct uffdio_api api = { .api = UFFD_API };

	(void)s;
	(void)arg;
	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api) == 0 && api.features & UFFD_MOVE_FEATURE)
		yes(a, "moving pages into place (UFFDIO_MOVE)");
	else
		not_quite(a, CKPT_NOTE, "no UFFDIO_MOVE",
			  "restoring copies pages into place, which takes longer",
			  "boot Linux 6.8 or newer, built with CONFIG_USERFAULTFD");
}

static void ask_set_tid(struct ckpt_session *s, int arg, struct answer *a)
{
	enum { TRIES = 64 };

	static const char what[] = "making a process with a chosen pid";
	char line[32];
	pid_t max = 32768, pid = -EEXIST;

	(void)s;
	(void)arg;
	if (read_line("/proc/sys/kernel/pid_max", line, sizeof(line)) && atoi(line) > 1000)
		max = atoi(line);
	for (int i = 1; pid == -EEXIST && i <= TRIES; i++)
		pid = guinea_pig(max - i);
	if (pid == -EPERM)
		no(a, what, "the kernel does not permit it", "run as root");
	else if (pid == -ENOSYS || pid == -EINVAL || pid == -E2BIG)
		no(a, what, "clone3(2) has no set_tid here", "boot Linux 5.5 or newer");
	else if (pid < 0 && pid != -EEXIST)
		no_errno(a, what, -pid, "");
	else
		yes(a, "%s", what);
	guinea_pig_end(pid);
}

static void ask_pidfd(struct ckpt_session *s, int arg, struct answer *a)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	_cleanup_close_ int fd = -1;

	(void)s;
	(void)arg;
	if (pidfd >= 0)
		fd = (int)syscall(SYS_pidfd_getfd, pidfd, pidfd, 0);
	if (fd >= 0)
		yes(a, "sharing a process's descriptors (pidfd_getfd)");
	else
		no_errno(a, "sharing a process's descriptors (pidfd_getfd)", errno,
			 "boot Linux 5.6 or newer, outside of a sandbox");
}

static void ask_timers(struct ckpt_session *s, int arg, struct answer *a)
{
	(void)s;
	(void)arg;
	if (prctl(TIMER_CREATE_RESTORE_IDS, TIMER_CREATE_RESTORE_IDS_GET, 0, 0, 0) >= 0)
		yes(a, "restored with their ids");
	else
		not_quite(a, CKPT_NOTE, "their ids cannot be chosen",
			  "programs that use timer_create(2) cannot be restored here",
			  "boot Linux 6.16 or newer");
}

static void ask_vdso(struct ckpt_session *s, int arg, struct answer *a)
{
	(void)s;
	(void)arg;
	/* We have one, so the kernel, when it knows the call, refuses to map another. */
	if (syscall(SYS_arch_prctl, ARCH_MAP_VDSO_64, 0) >= 0 || errno == EEXIST)
		yes(a, "mapped where a program had it");
	else
		no_errno(a, "mapped where a program had it", errno,
			 "boot a kernel built with CONFIG_CHECKPOINT_RESTORE");
}

static void ask_mm_map(struct ckpt_session *s, int arg, struct answer *a)
{
	unsigned int size = 0;

	(void)s;
	(void)arg;
	if (prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0) == 0 && size)
		yes(a, "heap, stack and command line put in place (PR_SET_MM_MAP)");
	else
		no_errno(a, "heap, stack and command line put in place (PR_SET_MM_MAP)", errno,
			 "boot a kernel built with CONFIG_CHECKPOINT_RESTORE");
}

static void ask_tracing(struct ckpt_session *s, int arg, struct answer *a)
{
	struct ckpt_tracer t;
	char lost[64] = "no event lost", since[64] = "";
	struct ckpt_err *err = NULL;
	int rc = ckpt_tracer_find(&t, &err);

	(void)s;
	(void)arg;
	if (rc < 0) {
		not_quite(a, CKPT_NOTE, "not known", ckpt_err_text(err), ckpt_err_hint(err));
	} else if (rc == 0) {
		yes(a, "off (ebpf-ckpt load --trace tells where descriptors come from)");
	} else if (!t.answers) {
		not_quite(a, CKPT_NOTE, "on",
			  t.same ? "the process that does it does not answer"
				 : "by another version of this program",
			  "ebpf-ckpt unload, and load --trace again");
	} else {
		tracer_since(&t, since, sizeof(since));
		if (t.lost)
			snprintf(lost, sizeof(lost), "%" PRIu64 " events lost", t.lost);
		yes(a, "%s: %" PRIu64 " process%s, %s, by process %d (%.120s)", since, t.processes,
		    t.processes == 1 ? "" : "es", lost, t.pid, t.target);
	}
	ckpt_err_free(err);
}

static const struct question {
	const char *subject;
	void (*ask)(struct ckpt_session *s, int arg, struct answer *a);
	int arg;
} questions[] = {
	{ "kernel", ask_kernel, 0 },
	{ "BTF", ask_btf, 0 },
	{ "lockdown", ask_lockdown, 0 },
	{ "CAP_SYS_ADMIN", ask_capability, 0 },
	{ "CAP_BPF", ask_capability, 1 },
	{ "CAP_PERFMON", ask_capability, 2 },
	{ "CAP_SYS_PTRACE", ask_capability, 3 },
	{ "CAP_CHECKPOINT_RESTORE", ask_capability, 4 },
	{ "eBPF iterators", ask_iterators, 0 },
	{ "ptrace", ask_ptrace, 0 },
	{ "page maps", ask_pagemap, 0 },
	{ "guard pages", ask_guards, 0 },
	{ "userfaultfd", ask_userfaultfd, 0 },
	{ "pids", ask_set_tid, 0 },
	{ "descriptors", ask_pidfd, 0 },
	{ "POSIX timers", ask_timers, 0 },
	{ "vdso", ask_vdso, 0 },
	{ "memory layout", ask_mm_map, 0 },
	{ "tracing", ask_tracing, 0 },
};

int ckpt_check_machine(struct ckpt_session *s, struct ckpt_findings **ret, struct ckpt_err **err)
{
	struct ckpt_findings *f = calloc(1, sizeof(*f));
	int rc = f ? 0 : ckpt_fail_nomem(err);

	for (size_t i = 0; rc == 0 && i < sizeof(questions) / sizeof(questions[0]); i++) {
		const struct question *q = &questions[i];
		struct answer a = { .verdict = CKPT_NO };

		q->ask(s, q->arg, &a);
		rc = findings_add(f, a.verdict, 0, q->subject, a.what, a.why, a.remedy, err);
	}
	if (rc < 0)
		ckpt_findings_free(f);
	else
		*ret = f;
	return rc;
}

/* ---- a process ---- */

/* Something of that sort was refused: a row that says yes to all of them would be wrong. */
static bool any_no(const struct ckpt_findings *f, const char *prefix)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->row[i].verdict == CKPT_NO &&
		    !strncmp(f->row[i].subject, prefix, strlen(prefix)))
			return true;
	return false;
}

static int sum_up(const struct snapshot *s, const struct tree *t, struct ckpt_findings *f,
		  struct ckpt_err **err)
{
	uint64_t bytes = 0;
	char what[96];
	int rc = 0;

	snprintf(what, sizeof(what), "%zu, with all their registers and signals", s->n_tasks);
	if (!any_no(f, "thread "))
		rc = findings_add(f, CKPT_YES, 0, "threads", what, "", "", err);
	for (size_t i = 0; i < s->n_vmas; i++)
		bytes += s->vmas[i].rec->end - s->vmas[i].rec->start;
	snprintf(what, sizeof(what), "%zu areas, %" PRIu64 " MiB of addresses", s->n_vmas,
		 bytes >> 20);
	if (rc == 0 && !any_no(f, "memory "))
		rc = findings_add(f, CKPT_YES, 0, "memory", what, "", "", err);
	snprintf(what, sizeof(what), "%zu, with their sessions and process groups", t->n);
	if (rc == 0 && t->n > 1 && !any_no(f, "process"))
		rc = findings_add(f, CKPT_YES, 0, "processes", what, "", "", err);
	return rc;
}

/* What a callback lets go of is no obstacle, whatever the rows say: but who knows what it does. */
static int note_callbacks(struct loader *l, const struct look *k, struct ckpt_err **err)
{
	struct agree a = { .loader = l };
	size_t n;
	int rc = agree_find(&a, k->snap, &k->tree, &n, err);

	for (size_t i = 0; rc == 0 && i < a.n; i++)
		rc = findings_add(
			k->f, CKPT_NOTE, a.proc[i].m.pid, "libcr", agree_kind_words(&a.proc[i]),
			a.proc[i].kind == CR_KIND_CR
				? "they run before a checkpoint; what they let go of is judged after that"
				: "",
			"", err);
	agree_done(&a);
	return rc;
}

int ckpt_check_process(struct ckpt_session *s, pid_t pid, bool only, struct ckpt_findings **ret,
		       struct ckpt_err **err)
{
	const struct kind_dump like = { .deleted_limit_bytes = DELETED_LIMIT_DEFAULT };
	struct look k = { 0 };
	struct loader *l = NULL;
	int rc = session_loader(s, &l, err);

	if (rc == 0)
		rc = look_running(&k, l, pid, only, &like, err);
	if (rc == 0)
		rc = sum_up(k.snap, &k.tree, k.f, err);
	if (rc == 0)
		rc = note_callbacks(l, &k, err);
	if (rc == 0) {
		provenance_note(k.f);
		*ret = TAKE_PTR(k.f);
	}
	look_done(&k);
	return rc;
}
