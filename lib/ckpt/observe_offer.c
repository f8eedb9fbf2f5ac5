// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A running observer offers what it knows to others of the same user: provenance.h. All of it is
 * done from ckpt_observe_serve(), and nothing in it waits for anyone.
 */
#include "observe.h"
#include "observe_stack.h"
#include "provenance.h"
#include "tracer.h"
#include "util.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define CLIENTS_MAX 16
#define TRIES_MAX   20

struct observe_offer {
	int dir, epoll, listening; /* owned */
	char name[64];		   /* of the socket in the directory */
	bool keeper;		   /* the one tracer of the machine */
	char target[sizeof(((struct ckpt_tracer *)0)->target)];
	int client[CLIENTS_MAX]; /* owned; -1: free */
};

/* ---- the answer ---- */

static const char *verb_of(const char *by)
{
	static const char *const verbs[][2] = {
		{ "open", "opened" },	    { "creat", "opened" },  { "accept", "accepted" },
		{ "recvm", "received" },    { "dup", "copied" },    { "fcntl", "copied" },
		{ "pidfd_getfd", "taken" }, { "socket", "opened" },
	};

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strncmp(by, verbs[i][0], strlen(verbs[i][0])))
			return verbs[i][1];
	return "made";
}

/* Is it the C library's function of this call, in a program that is linked statically? By the
 * names: "open64" or "__open" of openat, "eventfd" of eventfd2. */
static bool is_wrapper(const char *name, size_t len, const char *by)
{
	while (len && *name == '_')
		name++, len--;
	if (len > 2 && !strncmp(name + len - 2, "64", 2))
		len -= 2;
	return (len == 7 && !strncmp(name, "syscall", 7)) || (len >= 3 && !strncmp(name, by, len));
}

/* The innermost function that is not the C library's: "pool_connect (server)" without its file. */
static bool put_function(char *buf, size_t size, const char *stack, const char *by)
{
	for (bool first = true; *stack; first = false) {
		size_t line = strcspn(stack, "\n"), name = strcspn(stack, " \n");

		if (!memmem(stack, line, "(libc.so", 8) && !memmem(stack, line, "(ld-linux", 9) &&
		    strncmp(stack, "0x", 2) != 0 && stack[0] != '(' &&
		    !(first && is_wrapper(stack, name, by))) {
			snprintf(buf, size, "%.*s()", (int)name, stack);
			return true;
		}
		stack += line + (stack[line] == '\n');
	}
	return false;
}

static void answer(struct ckpt_observe *o, const struct provenance_request *r, char *buf,
		   size_t size)
{
	const struct ledger_process *p = ledger_process(&o->ledger, r->pid);
	const struct ledger_task *t = p ? p->tasks : NULL;
	const struct ledger_fd *e;
	char age[40], function[256];

	buf[0] = '\0';
	/* Any of its threads: a table of one's own is rare, and the caller asks for the process. */
	for (const struct ledger_task *k = t; k; k = k->next)
		t = k->tid == p->pid ? k : t;
	e = t && t->table ? ledger_fd(t->table, r->fd) : NULL;
	if (!e || !e->made_ns || !e->by)
		return;
	tracer_age(now_ns() - e->made_ns, age, sizeof(age));

	int n = snprintf(buf, size, "%s %s ago by %s", verb_of(e->by), age, e->maker);

	if (n > 0 && (size_t)n < size &&
	    put_function(function, sizeof(function), observe_stack_text(o, e->stack), e->by))
		snprintf(buf + n, size - (size_t)n, " in %s", function);
}

/* ---- the socket ---- */

/* Sockets of observers that were killed: nobody answers there. */
static void remove_stale(int dir)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);

	for (struct dirent *e; d && (e = readdir(d));) {
		struct sockaddr_un un = { .sun_family = AF_UNIX };
		_cleanup_close_ int fd = -1;

		if (strncmp(e->d_name, PROVENANCE_PREFIX, strlen(PROVENANCE_PREFIX)) != 0 ||
		    (size_t)snprintf(un.sun_path, sizeof(un.sun_path), "/proc/self/fd/%d/%s", dir,
				     e->d_name) >= sizeof(un.sun_path))
			continue;
		fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd >= 0 && connect(fd, (const struct sockaddr *)&un, sizeof(un)) < 0 &&
		    errno == ECONNREFUSED)
			unlinkat(dir, e->d_name, 0);
	}
	if (d)
		closedir(d);
	else if (copy >= 0)
		close(copy);
}

static int watch(struct observe_offer *f, int fd)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

/*
 * The socket gets its name when it can be connected to: others take one that cannot for that of an
 * observer that was killed.
 */
static int listen_at(struct observe_offer *f)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char nascent[64];
	int rc = -EEXIST;

	snprintf(nascent, sizeof(nascent), ".new-%d-%" PRIx64, getpid(), now_ns());
	snprintf(un.sun_path, sizeof(un.sun_path), "/proc/self/fd/%d/%s", f->dir, nascent);
	if (bind(f->listening, (const struct sockaddr *)&un, sizeof(un)) < 0)
		return -errno;
	if (listen(f->listening, CLIENTS_MAX) < 0)
		rc = -errno;
	if (f->keeper) {
		/* Whose lock we have taken is dead. */
		snprintf(f->name, sizeof(f->name), PROVENANCE_TRACER);
		rc = rc == -EEXIST && renameat(f->dir, nascent, f->dir, f->name) < 0 ? -errno : 0;
	}
	/* Several observations of one process have a socket each. */
	for (int i = 0; i < 100 && rc == -EEXIST; i++) {
		snprintf(f->name, sizeof(f->name), PROVENANCE_PREFIX "%d-%d", getpid(), i);
		rc = renameat2(f->dir, nascent, f->dir, f->name, RENAME_NOREPLACE) < 0 ? -errno : 0;
	}
	if (rc < 0) {
		unlinkat(f->dir, nascent, 0);
		f->name[0] = '\0';
	}
	return rc;
}

void observe_offer_free(struct observe_offer *f)
{
	if (!f)
		return;
	if (f->name[0])
		unlinkat(f->dir, f->name, 0);
	/* The last one takes the directory along; it stays when it is not empty. */
	if (f->dir >= 0)
		rmdir(PROVENANCE_DIR);
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		util_closep(&f->client[i]);
	util_closep(&f->listening);
	util_closep(&f->epoll);
	util_closep(&f->dir);
	free(f);
}

/* -ENOENT: the observer that ended just now has taken the directory along. */
static int open_offer(struct observe_offer *f)
{
	int rc = provenance_open_dir(true, &f->dir);

	if (rc < 0)
		return rc;
	/* For as long as we live, however we end. */
	if (f->keeper && flock(f->dir, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	remove_stale(f->dir);
	f->epoll = epoll_create1(EPOLL_CLOEXEC);
	f->listening = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	rc = f->epoll < 0 || f->listening < 0 ? -errno : listen_at(f);
	return rc == 0 ? watch(f, f->listening) : rc;
}

static int offer(struct ckpt_observe *o, const char *target, struct ckpt_err **err)
{
	struct observe_offer *f = NULL;
	int rc = -ENOENT;

	for (int i = 0; i < TRIES_MAX && rc == -ENOENT; i++) {
		observe_offer_free(f);
		f = calloc(1, sizeof(*f));
		if (!f)
			return ckpt_fail_nomem(err);
		f->dir = f->epoll = f->listening = -1;
		f->keeper = target != NULL;
		for (size_t k = 0; k < CLIENTS_MAX; k++)
			f->client[k] = -1;
		rc = open_offer(f);
	}
	if (rc < 0) {
		observe_offer_free(f);
		if (rc == -EWOULDBLOCK) {
			ckpt_fail(err, rc, CKPT_E_BUSY, "tracing runs already");
			ckpt_hint(err, "ebpf-ckpt unload ends it");
			return rc;
		}
		return ckpt_fail_errno(err, rc, CKPT_E_SYS, "offer what is observed in %s",
				       PROVENANCE_DIR);
	}
	if (target)
		snprintf(f->target, sizeof(f->target), "%s", target);
	observe_offer_free(o->offer);
	o->offer = f;
	return f->epoll;
}

int ckpt_observe_offer(struct ckpt_observe *o, struct ckpt_err **err)
{
	return offer(o, NULL, err);
}

int ckpt_observe_keep(struct ckpt_observe *o, const char *target, struct ckpt_err **err)
{
	return offer(o, target, err);
}

static void take_clients(struct observe_offer *f)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (f->client[i] >= 0)
			continue;
		int fd = accept4(f->listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		f->client[i] = fd;
		if (!provenance_is_trusted(fd) || watch(f, fd) < 0)
			close_reset(&f->client[i]);
	}
	/* Nobody may keep all places: the one that came first goes. */
	close_reset(&f->client[0]);
}

static bool tell_state(const struct ckpt_observe *o, int client)
{
	struct provenance_state s = { .magic = PROVENANCE_STATE, .size = sizeof(s) };

	snprintf(s.version, sizeof(s.version), "%s", EBPF_CKPT_VERSION);
	memcpy(s.tracer.target, o->offer->target, sizeof(s.tracer.target));
	s.tracer.since_ns = o->start_ns;
	s.tracer.processes = o->ledger.processes.n;
	s.tracer.events = o->n_events;
	s.tracer.lost = o->lost;
	s.tracer.audit_ns = o->audited_ns;
	s.tracer.balanced = o->audited_balanced;
	return send(client, &s, sizeof(s), MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof(s);
}

/* Requests of one client, as many as wait now. */
static void serve_client(struct ckpt_observe *o, int *client)
{
	struct provenance_request r;
	char text[PROVENANCE_TEXT_MAX];

	for (int i = 0; i < 64; i++) {
		ssize_t n = recv(*client, &r, sizeof(r), MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n != (ssize_t)sizeof(r))
			break;
		if (r.magic == PROVENANCE_STATE) {
			if (!tell_state(o, *client))
				break;
			continue;
		}
		if (r.magic != PROVENANCE_MAGIC)
			break;
		answer(o, &r, text, sizeof(text));
		/* An empty packet would look like the end. */
		if (send(*client, text, strlen(text) + 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			break;
	}
	close_reset(client);
}

void ckpt_observe_serve(struct ckpt_observe *o)
{
	struct observe_offer *f = o->offer;
	struct epoll_event e[CLIENTS_MAX + 1];

	if (!f)
		return;
	for (int n = epoll_wait(f->epoll, e, CLIENTS_MAX + 1, 0); n > 0; n--) {
		int fd = e[n - 1].data.fd;

		if (fd == f->listening)
			take_clients(f);
		for (size_t i = 0; i < CLIENTS_MAX; i++)
			if (f->client[i] == fd)
				serve_client(o, &f->client[i]);
	}
}
