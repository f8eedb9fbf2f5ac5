// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Processes in whose name sockets are connected. What SO_PEERCRED tells of a peer is the process
 * that called socketpair(2), listen(2) or connect(2), once and for all: so each such call is made
 * by a short-lived child that has the saved pid, user and groups. It shares the table of
 * descriptors, does what it is told through a pipe, and is gone before the restored tasks are made,
 * one of which may get its number. A pid that somebody else has by now cannot be had: then any pid
 * must do, and the caller is told.
 *
 * The children make raw system calls only: they are copies of one thread of a process that may have
 * several. See unix.h.
 */
#include "../util.h"
#include "unix.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum order { ORDER_PAIR, ORDER_LISTEN, ORDER_CONNECT, ORDER_BIND };

/* What a child is told, and what it answers. Both fit into what a pipe takes at once. */
struct request {
	enum order order;
	int fd, type, protocol, backlog;
	int root, dir;
	struct sockaddr_un addr;
	socklen_t len;
	char as[24];
};

struct answer {
	int rc;
	int fd[2];
};

struct unix_actor {
	struct unix_ident who;
	bool lost; /* it has not the pid */
	pid_t pid;
	int there[2], back[2]; /* pipes: the child's ends are ours, too, as it has the same table */
};

struct unix_actors {
	struct unix_actor *actor;
	size_t n;
	struct unix_actor binder; /* its root is another one: it does nothing else */
	bool has_binder;
	pid_t *stand_in; /* pairs: the pid as the program sees it, as we do */
	size_t n_stand_ins;
};

/* ---- in the child ---- */

/* With its capabilities: it must reach sockets wherever they lie for the moment. */
static void become(const struct unix_ident *who)
{
	syscall(SYS_prctl, PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0);
	syscall(SYS_setgroups, who->n_groups, who->group);
	syscall(SYS_setresgid, who->gid, who->gid, who->gid);
	syscall(SYS_setresuid, who->uid, who->uid, who->uid);
}

/* Every directory that a name goes through; those that are there already do no harm. */
static void make_dirs(const char *name)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];

	memset(path, 0, sizeof(path));
	memcpy(path, name, strnlen(name, sizeof(path) - 1));
	for (char *p = path + 1; *path && *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		mkdir(path, 0700);
		*p = '/';
	}
}

/* ... and away with them. */
static void remove_dirs(const char *name)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	size_t n = strnlen(name, sizeof(path) - 1);

	memset(path, 0, sizeof(path));
	memcpy(path, name, n);
	while (n-- > 1)
		if (path[n] == '/') {
			path[n] = 0;
			rmdir(path);
		}
}

/*
 * A relative name that goes up finds a directory there each time: so many are made, and entered.
 * Longer than any name can ask for.
 */
#define DEEP "d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/"

static const char *deep_enough(const char *name)
{
	size_t n = 1;

	for (const char *p = name; (p = strstr(p, "..")); p += 2)
		n++;
	return &DEEP[sizeof(DEEP) - 1 - 2 * (n < sizeof(DEEP) / 2 ? n : sizeof(DEEP) / 2)];
}

static int do_bind(const struct request *q)
{
	char name[sizeof(q->addr.sun_path) + 1] = { 0 };
	bool relative = q->addr.sun_path[0] != '/';
	const char *deep;
	int rc = 0;

	memcpy(name, q->addr.sun_path, sizeof(q->addr.sun_path));
	deep = deep_enough(name);
	/* Never to come back: whoever binds after it has a root of its own, too. */
	if (fchdir(q->root) < 0 || chroot(".") < 0)
		return -errno;
	if (relative) {
		make_dirs(deep);
		if (chdir(deep) < 0)
			return -errno;
	}
	make_dirs(name);
	if (bind(q->fd, (const struct sockaddr *)&q->addr, q->len) < 0 ||
	    renameat(AT_FDCWD, name, q->dir, q->as) < 0)
		rc = -errno;
	remove_dirs(name);
	if (relative && chdir("/") == 0)
		remove_dirs(deep);
	return rc;
}

static struct answer obey(const struct request *q)
{
	struct answer a = { .fd = { -1, -1 } };

	switch (q->order) {
	case ORDER_PAIR:
		a.rc = socketpair(AF_UNIX, q->type | SOCK_CLOEXEC, q->protocol, a.fd);
		break;
	case ORDER_LISTEN:
		a.rc = listen(q->fd, q->backlog);
		break;
	case ORDER_CONNECT:
		a.rc = connect(q->fd, (const struct sockaddr *)&q->addr, q->len);
		break;
	case ORDER_BIND:
		a.rc = do_bind(q);
		return a;
	}
	if (a.rc < 0)
		a.rc = -errno;
	return a;
}

static _Noreturn void act(const struct unix_ident *who, int from, int to)
{
	struct request q;

	syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (who)
		become(who);
	while (read(from, &q, sizeof(q)) == (ssize_t)sizeof(q)) {
		struct answer a = obey(&q);

		if (write(to, &a, sizeof(a)) != (ssize_t)sizeof(a))
			break;
	}
	syscall(SYS_exit_group, 0);
	__builtin_unreachable();
}

/* ---- in the restorer ---- */

static pid_t clone_as(int32_t pid, uint64_t flags)
{
	pid_t set_tid = pid;
	struct clone_args ca = { .flags = flags };

	if (pid > 1) {
		ca.set_tid = (uintptr_t)&set_tid;
		ca.set_tid_size = 1;
	}
	return (pid_t)syscall(SYS_clone3, &ca, sizeof(ca));
}

static void end(struct unix_actor *a)
{
	if (a->pid > 0) {
		kill(a->pid, SIGKILL);
		while (waitpid(a->pid, NULL, __WALL) < 0 && errno == EINTR)
			;
	}
	for (int i = 0; i < 2; i++) {
		close_reset(&a->there[i]);
		close_reset(&a->back[i]);
	}
}

/* who NULL: with this process's own identity. */
static int start(struct unix_actor *a, const struct unix_ident *who)
{
	int rc = 0;

	*a = (struct unix_actor){ .there = { -1, -1 }, .back = { -1, -1 } };
	if (who)
		a->who = *who;
	if (pipe2(a->there, O_CLOEXEC) < 0 || pipe2(a->back, O_CLOEXEC) < 0)
		rc = -errno;
	if (rc == 0)
		a->pid = clone_as(a->who.pid, CLONE_FILES);
	if (rc == 0 && a->pid < 0 && a->who.pid) {
		a->lost = true;
		a->pid = clone_as(0, CLONE_FILES);
	}
	if (rc == 0 && a->pid == 0)
		act(who, a->there[0], a->back[1]);
	if (rc == 0 && a->pid < 0)
		rc = -errno;
	if (rc < 0)
		end(a);
	return rc;
}

struct unix_actors *unix_actors_new(void)
{
	return calloc(1, sizeof(struct unix_actors));
}

void unix_actors_free(struct unix_actors *a)
{
	for (size_t i = 0; a && i < a->n; i++)
		end(&a->actor[i]);
	if (a && a->has_binder)
		end(&a->binder);
	for (size_t i = 0; a && i < a->n_stand_ins; i++)
		while (waitpid(a->stand_in[2 * i + 1], NULL, __WALL) < 0 && errno == EINTR)
			;
	if (a) {
		free(a->actor);
		free(a->stand_in);
	}
	free(a);
}

static bool same_ident(const struct unix_ident *a, const struct unix_ident *b)
{
	return a->has == b->has && a->pid == b->pid && a->uid == b->uid && a->gid == b->gid &&
	       a->n_groups == b->n_groups &&
	       !memcmp(a->group, b->group, a->n_groups * sizeof(a->group[0]));
}

/*
 * The child of that identity. There is one of each pid at a time: one that has other credentials
 * makes room.
 */
static int actor_of(struct unix_actors *a, const struct unix_ident *who, struct unix_actor **ret)
{
	struct unix_ident nobody = { 0 };
	struct unix_actor *more;
	int rc;

	for (size_t i = 0; i < a->n; i++) {
		struct unix_actor *it = &a->actor[i];

		if (same_ident(&it->who, who ? who : &nobody)) {
			*ret = it;
			return 0;
		}
		if (who && who->pid && it->who.pid == who->pid) {
			end(it);
			*ret = it;
			rc = start(it, who);
			if (rc < 0)
				*it = a->actor[--a->n];
			return rc;
		}
	}
	more = realloc(a->actor, (a->n + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	a->actor = more;
	rc = start(&more[a->n], who);
	if (rc == 0)
		*ret = &more[a->n++];
	return rc;
}

/* Its end is not seen as the end of the pipe, of which we have the writing end, too. */
static int wait_answer(struct unix_actor *a, struct answer *ret)
{
	struct pollfd p = { .fd = a->back[0], .events = POLLIN };

	for (;;) {
		int n = poll(&p, 1, 100);

		if (n > 0)
			return read(a->back[0], ret, sizeof(*ret)) == (ssize_t)sizeof(*ret) ? 0
											    : -EIO;
		if (n == 0 && waitpid(a->pid, NULL, WNOHANG | __WALL) == a->pid) {
			a->pid = -1;
			return -ECHILD;
		}
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

static int tell(struct unix_actor *a, const struct request *q, struct answer *ret)
{
	int rc = write_all(a->there[1], q, sizeof(*q));

	if (rc == 0)
		rc = wait_answer(a, ret);
	return rc < 0 ? rc : ret->rc;
}

static int tell_as(struct unix_actors *all, const struct unix_ident *who, const struct request *q,
		   struct answer *ret, bool *ret_lost)
{
	struct unix_actor *a = NULL;
	int rc = actor_of(all, who->has ? who : NULL, &a);

	if (rc < 0)
		return rc;
	*ret_lost |= a->lost;
	return tell(a, q, ret);
}

int unix_as_pair(struct unix_actors *a, const struct unix_ident *who, int type, int protocol,
		 int ret[2], bool *ret_lost)
{
	struct request q = { .order = ORDER_PAIR, .type = type, .protocol = protocol };
	struct answer answer;
	int rc = tell_as(a, who, &q, &answer, ret_lost);

	if (rc == 0)
		memcpy(ret, answer.fd, sizeof(answer.fd));
	return rc;
}

int unix_as_listen(struct unix_actors *a, const struct unix_ident *who, int fd, int backlog,
		   bool *ret_lost)
{
	struct request q = { .order = ORDER_LISTEN, .fd = fd, .backlog = backlog };
	struct answer answer;

	return tell_as(a, who, &q, &answer, ret_lost);
}

int unix_as_connect(struct unix_actors *a, const struct unix_ident *who, int fd,
		    const struct sockaddr_un *to, socklen_t len, bool *ret_lost)
{
	struct request q = { .order = ORDER_CONNECT, .fd = fd, .addr = *to, .len = len };
	struct answer answer;

	return tell_as(a, who, &q, &answer, ret_lost);
}

int unix_bind_within(struct unix_actors *a, int fd, const struct unix_name *name, int root, int dir,
		     const char *as)
{
	struct request q = { .order = ORDER_BIND, .fd = fd, .root = root, .dir = dir };
	struct answer answer;
	int rc = a->has_binder ? 0 : start(&a->binder, NULL);

	if (rc < 0)
		return rc;
	a->has_binder = true;
	q.len = unix_addr_of(name, &q.addr);
	memcpy(q.as, as, strnlen(as, sizeof(q.as) - 1));
	return tell(&a->binder, &q, &answer);
}

pid_t unix_actor_stand_in(struct unix_actors *a, int32_t pid)
{
	pid_t *more, made;

	for (size_t i = 0; i < a->n_stand_ins; i++)
		if (a->stand_in[2 * i] == pid)
			return a->stand_in[2 * i + 1];
	more = realloc(a->stand_in, (a->n_stand_ins + 1) * 2 * sizeof(*more));
	if (!more)
		return 0;
	a->stand_in = more;
	made = clone_as(pid, 0);
	if (made == 0) {
		/* A zombie has its pid until it is waited for. */
		syscall(SYS_exit_group, 0);
		__builtin_unreachable();
	}
	if (made < 0)
		return 0;
	more[2 * a->n_stand_ins] = pid;
	more[2 * a->n_stand_ins++ + 1] = made;
	return made;
}
