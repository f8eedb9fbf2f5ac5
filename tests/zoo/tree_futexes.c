/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Locks in memory that processes share: waiters in a plain futex, a mutex, a robust one whose owner
 * dies, one with priority inheritance, a condition, a barrier; each waits in another process than
 * the one that wakes it.
 */
#include "zoo.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct board {
	atomic_int word, waiting;
	pthread_mutex_t plain, robust, inherit, both, guard;
	pthread_cond_t cond;
	pthread_barrier_t barrier;
	int guarded;
	bool let_go;
};

static struct board *b;

static void make_mutex(pthread_mutex_t *m, bool robust, int protocol)
{
	pthread_mutexattr_t a;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	if (robust)
		pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	zoo_need(pthread_mutexattr_setprotocol(&a, protocol) == 0);
	zoo_need(pthread_mutex_init(m, &a) == 0);
}

static void make_board(void)
{
	pthread_condattr_t ca;
	pthread_barrierattr_t ba;

	b = zoo_shared(sizeof(*b));
	make_mutex(&b->plain, false, PTHREAD_PRIO_NONE);
	make_mutex(&b->guard, false, PTHREAD_PRIO_NONE);
	make_mutex(&b->robust, true, PTHREAD_PRIO_NONE);
	make_mutex(&b->inherit, false, PTHREAD_PRIO_INHERIT);
	make_mutex(&b->both, true, PTHREAD_PRIO_INHERIT);
	pthread_condattr_init(&ca);
	pthread_condattr_setpshared(&ca, PTHREAD_PROCESS_SHARED);
	pthread_cond_init(&b->cond, &ca);
	pthread_barrierattr_init(&ba);
	pthread_barrierattr_setpshared(&ba, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&b->barrier, &ba, 2);
}

static void wait_word(void)
{
	while (atomic_load(&b->word) == 0)
		syscall(SYS_futex, &b->word, FUTEX_WAIT, 0, NULL, NULL, 0);
	zoo_same(atomic_load(&b->word), 1);
}

static void wait_mutex(pthread_mutex_t *m, int want)
{
	int rc = pthread_mutex_lock(m);

	zoo_same(rc, want);
	if (rc == EOWNERDEAD)
		zoo_same(pthread_mutex_consistent(m), 0);
	pthread_mutex_unlock(m);
}

static void wait_plain(void)
{
	wait_mutex(&b->plain, 0);
}

static void wait_robust(void)
{
	wait_mutex(&b->robust, EOWNERDEAD);
}

static void wait_inherit(void)
{
	wait_mutex(&b->inherit, 0);
}

static void wait_both(void)
{
	wait_mutex(&b->both, EOWNERDEAD);
}

/* Waits twice over: for the condition, and then for its mutex. */
static void wait_cond(void)
{
	pthread_mutex_lock(&b->guard);
	while (!b->let_go)
		pthread_cond_wait(&b->cond, &b->guard);
	zoo_same(b->guarded, 5);
	b->guarded++;
	pthread_mutex_unlock(&b->guard);
}

static void wait_barrier(void)
{
	int rc = pthread_barrier_wait(&b->barrier);

	zoo_check(rc == 0 || rc == PTHREAD_BARRIER_SERIAL_THREAD, "the barrier: %d", rc);
}

static pid_t waiter(void (*fn)(void))
{
	pid_t pid = zoo_fork();

	if (pid)
		return pid;
	zoo_here();
	atomic_fetch_add(&b->waiting, 1);
	fn();
	zoo_leave();
}

/* Holds two robust mutexes until it ends without a word. */
static void owner(void)
{
	zoo_need(pthread_mutex_lock(&b->robust) == 0);
	zoo_need(pthread_mutex_lock(&b->both) == 0);
	zoo_here();
	zoo_wait();
	_exit(0);
}

int main(void)
{
	void (*const fn[])(void) = { wait_word, wait_plain,   wait_robust, wait_inherit,
				     wait_both, wait_barrier, wait_cond,   wait_cond };

	enum { N = sizeof(fn) / sizeof(fn[0]) };

	pid_t pid[N], holder;

	zoo_start();
	make_board();
	holder = zoo_fork();
	if (holder == 0)
		owner();
	zoo_need(pthread_mutex_lock(&b->plain) == 0);
	zoo_need(pthread_mutex_lock(&b->inherit) == 0);
	for (int i = 0; i < N; i++)
		pid[i] = waiter(fn[i]);
	while (atomic_load(&b->waiting) < N)
		zoo_sleep_ms(1);
	zoo_ready();
	zoo_wait();
	for (int i = 0; i < N; i++) {
		int status;

		if (fn[i] != wait_robust && fn[i] != wait_both)
			zoo_check(waitpid(pid[i], &status, WNOHANG) == 0, "waiter %d did not wait",
				  i);
	}
	atomic_store(&b->word, 1);
	syscall(SYS_futex, &b->word, FUTEX_WAKE, 1, NULL, NULL, 0);
	zoo_same(pthread_mutex_unlock(&b->plain), 0);
	zoo_same(pthread_mutex_unlock(&b->inherit), 0);
	wait_barrier();
	pthread_mutex_lock(&b->guard);
	b->guarded = 5;
	b->let_go = true;
	pthread_cond_signal(&b->cond);
	pthread_mutex_unlock(&b->guard);
	/* One of the two is woken; it counts, and wakes nobody. */
	for (int i = 0; i < 5000; i++) {
		pthread_mutex_lock(&b->guard);
		if (b->guarded == 6)
			i = 5000;
		pthread_mutex_unlock(&b->guard);
		zoo_sleep_ms(1);
	}
	zoo_same(b->guarded, 6);
	b->guarded = 5;
	pthread_cond_broadcast(&b->cond);
	for (int i = 0; i < N; i++)
		zoo_join(pid[i]);
	zoo_join(holder);
	return zoo_end();
}
