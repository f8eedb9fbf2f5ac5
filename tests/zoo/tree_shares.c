/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processes that share memory, descriptors, directories and signal handlers, in each combination
 * that clone(2) allows, as children and as siblings (CLONE_PARENT): what one changes the other
 * sees, just when they share it.
 */
#include "zoo.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK 65536
#define FD    77

enum op { NONE, POKE, PEEK, DUP, HAS_FD, CLOSE, UMASK, CHDIR, IN_ROOT, IGNORE, IGNORES, PID, END };

/* Orders to a process: it must need nothing but these pages, for its memory may be another's. */
struct box {
	atomic_int op;
	long arg, ret;
	pid_t pid;
	unsigned long flags;
};

static struct box *box;	    /* shared by all; 0: the maker */
static volatile long word;  /* of each memory */
static char *volatile rest; /* where the stacks begin */

static long has_handler(void)
{
	struct sigaction sa;

	return sigaction(SIGUSR2, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN;
}

static long set_handler(long ignore)
{
	struct sigaction sa = { .sa_handler = ignore ? SIG_IGN : SIG_DFL };

	return sigaction(SIGUSR2, &sa, NULL);
}

static long in_root(void)
{
	char path[4096];

	return syscall(SYS_getcwd, path, sizeof(path)) == 2; /* "/" and its NUL */
}

static long obey(const struct box *b, enum op op)
{
	switch (op) {
	case POKE:
		word = b->arg;
		return 0;
	case PEEK:
		return word;
	case DUP:
		return dup2(0, FD);
	case HAS_FD:
		return fcntl(FD, F_GETFD) >= 0;
	case CLOSE:
		return close(FD);
	case UMASK:
		return umask((mode_t)b->arg);
	case CHDIR:
		return b->arg ? chdir("/") : chdir("/proc");
	case IN_ROOT:
		return in_root();
	case IGNORE:
		return set_handler(b->arg);
	case IGNORES:
		return has_handler();
	case PID:
		return syscall(SYS_getpid);
	case NONE:
	case END:
		break;
	}
	return 0;
}

static int serve(void *arg)
{
	struct box *b = arg;
	int op = NONE;

	while (op != END) {
		const struct timespec tick = { 0, 500000 };

		op = atomic_load(&b->op);
		if (op == NONE) {
			syscall(SYS_nanosleep, &tick, NULL);
			continue;
		}
		b->ret = obey(b, (enum op)op);
		atomic_store(&b->op, NONE);
	}
	return 0;
}

static long order(size_t i, enum op op, long arg)
{
	box[i].arg = arg;
	atomic_store(&box[i].op, (int)op);
	for (double end = zoo_now(CLOCK_MONOTONIC) + 10; atomic_load(&box[i].op) != NONE;)
		if (zoo_now(CLOCK_MONOTONIC) > end) {
			zoo_check(false, "process %zu does not answer", i);
			return -1;
		}
	return box[i].ret;
}

/* All that the maker makes, with and without CLONE_PARENT. */
static size_t list_combinations(void)
{
	const unsigned long one[] = { CLONE_VM, CLONE_SIGHAND, CLONE_FILES, CLONE_FS,
				      CLONE_PARENT };
	size_t n = 1;

	for (unsigned int bits = 0; bits < 32; bits++) {
		unsigned long flags = 0;

		for (int k = 0; k < 5; k++)
			flags |= bits >> k & 1 ? one[k] : 0;
		if (flags & CLONE_SIGHAND && !(flags & CLONE_VM))
			continue;
		box[n++].flags = flags;
	}
	return n;
}

static void make_all(size_t n)
{
	for (size_t i = 1; i < n; i++) {
		unsigned long flags = box[i].flags | SIGCHLD;

		rest += STACK;
		box[i].pid = clone(serve, rest, (int)flags, &box[i]);
		zoo_need(box[i].pid > 0);
	}
}

/* Does a change by one show in the other? `set` by one, then asked of the other, then undone. */
static void try(size_t i, bool shared, const char *what, enum op set, long on, enum op get,
		enum op undo, long off)
{
	for (int way = 0; way < 2; way++) {
		size_t by = way ? i : 0, seen_by = way ? 0 : i;
		long seen;

		order(by, set, on);
		seen = order(seen_by, get, on);
		order(by, undo, off);
		zoo_check((seen == on) == shared, "%s of maker and process %zu (flags %#lx): %s",
			  what, i, box[i].flags,
			  shared ? "no longer shared" : "shared all of a sudden");
	}
}

static void try_umask(size_t i, bool shared)
{
	long seen;

	order(0, UMASK, 0027);
	order(i, UMASK, 0123);
	seen = order(0, UMASK, 0027);
	order(i, UMASK, 0027);
	zoo_same(seen, shared ? 0123 : 0027);
}

static void check_one(size_t i)
{
	unsigned long f = box[i].flags;

	zoo_same(order(i, PID, 0), box[i].pid);
	try(i, f & CLONE_VM, "memory", POKE, 1000 + (long)i, PEEK, POKE, 0);
	try(i, f & CLONE_FILES, "descriptors", DUP, 1, HAS_FD, CLOSE, 0);
	try(i, f & CLONE_FS, "directory", CHDIR, 1, IN_ROOT, CHDIR, 0);
	try(i, f & CLONE_SIGHAND, "signal handlers", IGNORE, 1, IGNORES, IGNORE, 0);
	try_umask(i, f & CLONE_FS);
}

/* Children of the maker are its to wait for, siblings ours. */
static void check_parents(size_t n)
{
	for (size_t i = 1; i < n; i++) {
		siginfo_t si;
		int rc = waitid(P_PID, (id_t)box[i].pid, &si, WEXITED | WNOHANG | WNOWAIT);

		zoo_check((rc == 0) == !!(box[i].flags & CLONE_PARENT),
			  "process %zu has another parent", i);
	}
}

int main(void)
{
	size_t n;
	pid_t maker;

	zoo_start();
	box = zoo_shared(4096);
	n = list_combinations();
	maker = zoo_fork();
	if (maker == 0) {
		rest = mmap(NULL, STACK * (n + 1), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		zoo_need(rest != MAP_FAILED);
		zoo_need(chdir("/proc") == 0);
		zoo_here(); /* those that it makes now must not hold its pipe */
		make_all(n);
		serve(&box[0]);
		for (size_t i = 1; i < n; i++)
			if (!(box[i].flags & CLONE_PARENT))
				zoo_join(box[i].pid);
		zoo_leave();
	}
	for (size_t i = 0; i < n; i++)
		order(i, PID, 0);
	zoo_ready();
	zoo_wait();
	check_parents(n);
	for (size_t i = 1; i < n; i++)
		check_one(i);
	for (size_t i = n; i-- > 0;)
		order(i, END, 0);
	for (size_t i = 1; i < n; i++)
		if (box[i].flags & CLONE_PARENT)
			zoo_join(box[i].pid);
	zoo_join(maker);
	return zoo_end();
}
