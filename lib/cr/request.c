// SPDX-License-Identifier: LGPL-2.1-or-later
/* Asking for checkpoints and restarts, and what comes of them. */
#include "ask.h"
#include "launch.h"
#include "private.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* How often one looks whether the command is still there. */
#define LIVES_MS 500

/* A request; its handle is the descriptor. */
struct request {
	struct request *next;
	int fd;
	bool restart;
	uint32_t life; /* of this process: another one after a restart */
	pid_t command; /* who does it */
	bool child;    /* and has to be waited for */
	bool started, done;
	int refused; /* why it did not start: an errno, or 0 */
	int error;   /* of its result */
	pid_t pid;   /* restart: the first process */
	char *log;   /* owned */
	size_t log_len;
};

static struct request *requests; /* under `mutex` */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/*
 * A callback, of this thread or another, must not find it held by one that stands still for the
 * callback: who holds it is not interrupted.
 */
static void lock(sigset_t *old)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, CR_SIGNUM);
	pthread_sigmask(SIG_BLOCK, &set, old);
	pthread_mutex_lock(&mutex);
}

static void unlock(const sigset_t *old)
{
	pthread_mutex_unlock(&mutex);
	pthread_sigmask(SIG_SETMASK, old, NULL);
}

/* In a child by fork(2) handles mean nothing. */
void cri_forget_requests(void)
{
	pthread_mutex_init(&mutex, NULL);
	requests = NULL;
}

static int fail(int code)
{
	errno = code;
	return -1;
}

/* ---- arguments ---- */

int cri_init_checkpoint_args_t(cr_version_t version, cr_checkpoint_args_t *args)
{
	if (version != CR_CHECKPOINT_ARGS_VERSION || !args)
		return fail(EINVAL);
	*args = (cr_checkpoint_args_t){
		.cr_version = version,
		.cr_scope = (cr_scope_t)-1,
		.cr_fd = -1,
	};
	return 0;
}

int cri_init_restart_args_t(cr_version_t version, cr_restart_args_t *args)
{
	if (version != CR_RESTART_ARGS_VERSION || !args)
		return fail(EINVAL);
	*args = (cr_restart_args_t){
		.cr_version = version,
		.cr_fd = -1,
		.cr_flags = CR_RSTRT_RESTORE_PID,
	};
	return 0;
}

/* ---- the table ---- */

static struct request *find(unsigned long handle)
{
	struct request *r;
	sigset_t old;

	lock(&old);
	for (r = requests; r && (unsigned long)r->fd != handle; r = r->next)
		;
	unlock(&old);
	return r;
}

static void forget(struct request *r)
{
	struct request **p;
	sigset_t old;

	lock(&old);
	for (p = &requests; *p && *p != r; p = &(*p)->next)
		;
	if (*p)
		*p = r->next;
	unlock(&old);
	close(r->fd);
	if (r->child && r->command > 0)
		while (waitpid(r->command, NULL, __WALL) < 0 && errno == EINTR)
			;
	free(r->log);
	free(r);
}

/* Both ends of a pipe in one descriptor. -1: errno tells. */
static int make_handle(void)
{
	char path[64];
	int p[2], fd;

	if (pipe2(p, O_CLOEXEC) < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", p[0]);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	close(p[0]);
	close(p[1]);
	return fd;
}

static struct request *new_request(bool restart)
{
	struct request *r = calloc(1, sizeof(*r));
	sigset_t old;

	if (!r)
		return NULL;
	r->fd = make_handle();
	r->restart = restart;
	r->life = LOAD(cri_block.lives);
	if (r->fd < 0) {
		free(r);
		return NULL;
	}
	lock(&old);
	r->next = requests;
	requests = r;
	unlock(&old);
	return r;
}

/* ---- answers ---- */

static int add_log(struct request *r, const char *text, size_t len)
{
	char *more = realloc(r->log, r->log_len + len + 1);

	if (!more)
		return -1;
	r->log = more;
	memcpy(r->log + r->log_len, text, len);
	r->log_len += len;
	r->log[r->log_len] = 0;
	return 0;
}

/* Take one answer. 1: there was one, 0: there is none. */
static int take_answer(struct request *r)
{
	char text[CR_ASK_TEXT];
	struct cr_answer a;

	if (read(r->fd, &a, sizeof(a)) != (ssize_t)sizeof(a))
		return 0;
	if (a.magic != CR_ASK_MAGIC || a.len > sizeof(text) ||
	    (a.len && read(r->fd, text, a.len) != (ssize_t)a.len)) {
		r->done = true;
		r->error = EIO;
		return 1;
	}
	if (a.len)
		add_log(r, text, a.len);
	if (a.type == CR_ANSWER_STARTED && !r->started) {
		r->started = true;
		r->refused = a.error;
	} else if (a.type == CR_ANSWER_RESULT) {
		r->done = true;
		r->error = a.error;
		r->pid = a.pid;
	}
	return 1;
}

static bool command_is_gone(const struct request *r)
{
	siginfo_t si = { 0 };

	if (r->child)
		return waitid(P_PID, (id_t)r->command, &si, WEXITED | WNOHANG | WNOWAIT | __WALL) ==
			       0 &&
		       si.si_pid == r->command;
	return kill(r->command, 0) < 0 && errno == ESRCH;
}

/* Is it the restarted life of the process that asked? */
static bool is_past(const struct request *r)
{
	return r->life != LOAD(cri_block.lives);
}

static void take_answers(struct request *r)
{
	bool gone = command_is_gone(r);

	while (!r->done && take_answer(r))
		;
	/* It said nothing and is not there any more: somebody killed it. */
	if (gone && !r->done) {
		r->refused = r->started ? 0 : EIO;
		r->done = r->started = true;
		r->error = EIO;
	}
}

static int now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int)(t.tv_sec % 1000000 * 1000 + t.tv_nsec / 1000000);
}

/* Wait until `*what`, at most `ms` (negative: for ever). 1: it is, 0: not yet, -1. */
static int wait_until(struct request *r, const bool *what, int ms)
{
	int start = now_ms();

	for (;;) {
		struct pollfd p = { .fd = r->fd, .events = POLLIN };
		int left = ms < 0 ? LIVES_MS : ms - (now_ms() - start);

		if (is_past(r))
			return 1;
		take_answers(r);
		if (*what)
			return 1;
		if (left <= 0 && ms >= 0)
			return 0;
		if (poll(&p, 1, left < LIVES_MS ? left : LIVES_MS) < 0) {
			if (is_past(r))
				return 1;
			return -1;
		}
	}
}

/* ---- launching ---- */

#define NUMBER_MAX 24

struct words {
	char text[12][NUMBER_MAX];
	const char *argv[3 + 12 + 2 * CR_MAX_RSTRT_RELOC + 1];
	size_t n, n_text;
};

static void add_number(struct words *w, long long v)
{
	snprintf(w->text[w->n_text], NUMBER_MAX, "%lld", v);
	w->argv[w->n++] = w->text[w->n_text++];
}

static void begin_words(struct words *w, const struct request *r, unsigned long inode)
{
	w->argv[w->n++] = NULL; /* by cri_launch() */
	w->argv[w->n++] = CR_ASK_COMMAND;
	w->argv[w->n++] = r->restart ? "restart" : "checkpoint";
	add_number(w, r->fd);
	add_number(w, (long long)inode);
	add_number(w, getpid());
}

/* Errors that are known by now are told, unless they shall come later. */
static int launch(struct request *r, const struct words *w, int fd, bool async,
		  unsigned long *handle)
{
	struct words copy = *w;
	int rc;

	/* Pointers into itself. */
	for (size_t i = 0, k = 0; i < copy.n && k < copy.n_text; i++)
		if (copy.argv[i] == w->text[k])
			copy.argv[i] = copy.text[k++];
	r->child = r->restart;
	rc = cri_launch(copy.argv, fd, r->child, &r->command);
	if (rc) {
		r->child = false;
		forget(r);
		return fail(rc);
	}
	while (wait_until(r, &r->started, -1) < 0 && errno == EINTR)
		;
	if (r->refused && !async && !is_past(r)) {
		rc = r->refused;
		forget(r);
		return fail(rc);
	}
	*handle = (unsigned long)r->fd;
	return 0;
}

static bool writable(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

static bool valid_signal(int sig, bool restart)
{
	return (sig >= 0 && sig <= 64) || sig == -SIGSTOP || sig == -SIGABRT ||
	       (restart && sig < 0 && sig >= -64);
}

int cr_request_checkpoint(cr_checkpoint_args_t *args, cr_checkpoint_handle_t *handle)
{
	struct words w = { .n = 0 };
	struct request *r;
	struct stat st;

	if (!args || !handle || args->cr_version != CR_CHECKPOINT_ARGS_VERSION ||
	    (unsigned int)args->cr_scope > CR_SCOPE_TREE || args->cr_target < 0 ||
	    !valid_signal(args->cr_signal, false))
		return fail(EINVAL);
	if (args->cr_fd != CR_DEST_CWD && !writable(args->cr_fd))
		return fail(EBADF);
	cri_check_process();
	r = new_request(false);
	if (!r)
		return -1;
	if (fstat(r->fd, &st) < 0)
		st.st_ino = 0;
	begin_words(&w, r, st.st_ino);
	add_number(&w, args->cr_scope);
	add_number(&w, args->cr_target);
	add_number(&w, args->cr_signal);
	add_number(&w, args->cr_timeout);
	add_number(&w, args->cr_flags);
	add_number(&w, args->cr_fd == CR_DEST_CWD ? CR_DEST_CWD : CR_ASK_FD);
	return launch(r, &w, args->cr_fd == CR_DEST_CWD ? -1 : args->cr_fd,
		      args->cr_flags & CR_CHKPT_ASYNC_ERR, handle);
}

int cr_request_restart(cr_restart_args_t *args, cr_restart_handle_t *handle)
{
	struct words w = { .n = 0 };
	struct request *r;
	struct stat st;

	if (!args || !handle || args->cr_version != CR_RESTART_ARGS_VERSION ||
	    !valid_signal(args->cr_signal, true) ||
	    (args->cr_relocate && args->cr_relocate->count > CR_MAX_RSTRT_RELOC))
		return fail(EINVAL);
	if (fstat(args->cr_fd, &st) < 0)
		return -1;
	if (S_ISDIR(st.st_mode))
		return fail(EISDIR);
	if ((fcntl(args->cr_fd, F_GETFL) & O_ACCMODE) == O_WRONLY)
		return fail(EBADF);
	cri_check_process();
	r = new_request(true);
	if (!r)
		return -1;
	if (fstat(r->fd, &st) < 0)
		st.st_ino = 0;
	begin_words(&w, r, st.st_ino);
	add_number(&w, args->cr_signal);
	add_number(&w, args->cr_flags);
	add_number(&w, CR_ASK_FD);
	for (unsigned int i = 0; args->cr_relocate && i < args->cr_relocate->count; i++) {
		w.argv[w.n++] = args->cr_relocate->path[i].oldpath;
		w.argv[w.n++] = args->cr_relocate->path[i].newpath;
	}
	return launch(r, &w, args->cr_fd, args->cr_flags & CR_RSTRT_ASYNC_ERR, handle);
}

/* ---- wait, log, reap ---- */

static struct request *check_handle(const unsigned long *handle, bool restart)
{
	struct request *r;

	if (!handle) {
		errno = EFAULT;
		return NULL;
	}
	r = find(*handle);
	if (r && r->restart == restart)
		return r;
	errno = fcntl((int)*handle, F_GETFD) < 0 ? EBADF : EINVAL;
	return NULL;
}

static int wait_for(const unsigned long *handle, bool restart, struct timeval *timeout)
{
	struct request *r = check_handle(handle, restart);
	int start = now_ms(), ms = -1, left, rc;

	if (!r)
		return -1;
	if (timeout) {
		if (timeout->tv_sec < 0 || timeout->tv_usec < 0 || timeout->tv_usec >= 1000000)
			return fail(EINVAL);
		ms = timeout->tv_sec > INT_MAX / 1000 - 1
			     ? INT_MAX
			     : (int)(timeout->tv_sec * 1000 + (timeout->tv_usec + 999) / 1000);
	}
	rc = wait_until(r, &r->done, ms);
	if (timeout) {
		int saved = errno;

		left = ms - (now_ms() - start);
		left = left > 0 ? left : 0;
		timeout->tv_sec = left / 1000;
		timeout->tv_usec = left % 1000 * 1000;
		errno = saved;
	}
	return rc;
}

static int log_of(const unsigned long *handle, bool restart, unsigned int len, char *msg)
{
	struct request *r = check_handle(handle, restart);
	size_t n;

	if (!r)
		return -1;
	if (len && !msg)
		return fail(EFAULT);
	if (is_past(r))
		return 0;
	take_answers(r);
	if (!r->log_len)
		return 0;
	n = len < r->log_len + 1 ? len : r->log_len + 1;
	if (n) {
		memcpy(msg, r->log, n - 1);
		msg[n - 1] = 0;
	}
	return (int)r->log_len + 1;
}

static int reap(unsigned long *handle, bool restart)
{
	struct request *r = check_handle(handle, restart);
	int code, pid;

	if (!r)
		return -1;
	if (!is_past(r)) {
		take_answers(r);
		if (!r->done)
			return fail(EAGAIN);
	}
	code = is_past(r) ? CR_ERESTARTED : r->error;
	pid = r->pid;
	if (is_past(r))
		r->child = false;
	forget(r);
	*handle = (unsigned long)-1;
	if (code)
		return fail(code);
	return restart ? pid : 0;
}

static int poll_for(unsigned long *handle, bool restart, struct timeval *timeout, char **msg_p)
{
	int rc = wait_for(handle, restart, timeout), n;

	if (rc < 0)
		return CR_POLL_CHKPT_ERR_PRE;
	if (rc == 0)
		return 0;
	n = msg_p ? log_of(handle, restart, 0, NULL) : 0;
	if (n > 0) {
		char *msg = malloc((size_t)n);

		if (!msg || log_of(handle, restart, (unsigned int)n, msg) < 0) {
			free(msg);
			return CR_POLL_CHKPT_ERR_LOG;
		}
		*msg_p = msg;
	}
	rc = reap(handle, restart);
	if (rc < 0)
		return CR_POLL_CHKPT_ERR_POST;
	return restart ? rc : 1;
}

int cr_wait_checkpoint(cr_checkpoint_handle_t *handle, struct timeval *timeout)
{
	return wait_for(handle, false, timeout);
}

int cr_reap_checkpoint(cr_checkpoint_handle_t *handle)
{
	return reap(handle, false);
}

int cr_log_checkpoint(cr_checkpoint_handle_t *handle, unsigned int len, char *msg)
{
	return log_of(handle, false, len, msg);
}

int cr_poll_checkpoint_msg(cr_checkpoint_handle_t *handle, struct timeval *timeout, char **msg_p)
{
	return poll_for(handle, false, timeout, msg_p);
}

int cr_poll_checkpoint(cr_checkpoint_handle_t *handle, struct timeval *timeout)
{
	return poll_for(handle, false, timeout, NULL);
}

int cr_wait_restart(cr_restart_handle_t *handle, struct timeval *timeout)
{
	return wait_for(handle, true, timeout);
}

int cr_reap_restart(cr_restart_handle_t *handle)
{
	return reap(handle, true);
}

int cr_log_restart(cr_restart_handle_t *handle, unsigned int len, char *msg)
{
	return log_of(handle, true, len, msg);
}

int cr_poll_restart_msg(cr_restart_handle_t *handle, struct timeval *timeout, char **msg_p)
{
	return poll_for(handle, true, timeout, msg_p);
}

int cr_poll_restart(cr_restart_handle_t *handle, struct timeval *timeout)
{
	return poll_for(handle, true, timeout, NULL);
}

/* ---- of old ---- */

static cr_checkpoint_handle_t last_request = (cr_checkpoint_handle_t)-1;

static void request_self(int fd)
{
	cr_checkpoint_args_t args;

	if (!cri_self_init()) {
		static const char text[] = "libcr: cr_request() without cr_init()\n";

		(void)!write(2, text, sizeof(text) - 1);
		abort();
	}
	if (last_request != (cr_checkpoint_handle_t)-1)
		while (cr_poll_checkpoint(&last_request, NULL) == CR_POLL_CHKPT_ERR_PRE &&
		       errno == EINTR)
			;
	cr_initialize_checkpoint_args_t(&args);
	args.cr_scope = CR_SCOPE_PROC;
	args.cr_fd = fd;
	if (cr_request_checkpoint(&args, &last_request) < 0)
		last_request = (cr_checkpoint_handle_t)-1;
}

void cr_request_fd(int fd)
{
	request_self(fd);
}

void cr_request_file(const char *filename)
{
	int fd = open(filename, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	request_self(fd);
	if (fd >= 0)
		close(fd);
}

void cr_request(void)
{
	char name[64];

	snprintf(name, sizeof(name), "context.%d", getpid());
	cr_request_file(name);
}
