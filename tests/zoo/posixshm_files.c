/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* POSIX shared memory and semaphores: with a name, without one any more, mapped with the descriptor
 * closed, shared with a child; a large sparse one without a name. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE  4096UL
#define LARGE (128UL << 20)

static char name[64];

static const char *named(const char *suffix)
{
	snprintf(name, sizeof(name), "/zoo-%d-%s", getpid(), suffix);
	return name;
}

static int make(const char *suffix, size_t len)
{
	int fd = shm_open(named(suffix), O_RDWR | O_CREAT | O_EXCL, 0640);

	zoo_need(fd >= 0 && ftruncate(fd, (off_t)len) == 0);
	return fd;
}

static unsigned char *map(int fd, size_t len)
{
	unsigned char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	zoo_need(p != MAP_FAILED);
	return p;
}

int main(void)
{
	unsigned char *a, *nameless, *large, got[8];
	int fd, reader, hidden, big, status;
	struct stat st;
	sem_t *sem;
	pid_t child;

	zoo_start();
	fd = make("a", 3 * PAGE + 100);
	a = map(fd, 4 * PAGE);
	zoo_fill(a, 3 * PAGE + 100, 1);
	reader = shm_open(named("a"), O_RDONLY, 0);
	zoo_need(reader >= 0 && lseek(reader, 77, SEEK_SET) == 77);
	hidden = make("b", 2 * PAGE);
	nameless = map(hidden, 2 * PAGE);
	zoo_fill(nameless, 2 * PAGE, 2);
	zoo_need(shm_unlink(named("b")) == 0 && close(hidden) == 0);
	big = make("c", LARGE); /* hardly any of it is there */
	large = map(big, LARGE);
	zoo_fill(large + LARGE - PAGE, PAGE, 3);
	zoo_need(shm_unlink(named("c")) == 0);
	sem = sem_open(named("s"), O_CREAT | O_EXCL, 0600, 2);
	zoo_need(sem != SEM_FAILED && sem_wait(sem) == 0 && sem_trywait(sem) == 0);
	child = fork();
	zoo_need(child >= 0);
	if (child == 0) {
		int ok = sem_wait(sem) == 0;

		a[0] = 0xaa;
		nameless[0] = 0xbb;
		_exit(!ok);
	}
	zoo_ready();
	zoo_wait();

	zoo_same(lseek(reader, 0, SEEK_CUR), 77);
	zoo_check(write(reader, "x", 1) < 0, "a reader writes");
	zoo_need(fstat(fd, &st) == 0);
	zoo_same(st.st_size, 3 * PAGE + 100);
	zoo_same(st.st_mode & 07777, 0640);
	zoo_check(zoo_filled(a, 3 * PAGE + 100, 1), "contents");
	zoo_check(zoo_filled(nameless, 2 * PAGE, 2), "contents of one without a name");
	zoo_check(shm_open(named("b"), O_RDWR, 0) < 0 && errno == ENOENT, "its name came back");
	zoo_check(zoo_filled(large + LARGE - PAGE, PAGE, 3) && !large[5],
		  "contents of a large one");
	zoo_need(fstat(big, &st) == 0);
	zoo_check(st.st_size == (off_t)LARGE && st.st_blocks < 4096, "it grew to %lld blocks",
		  (long long)st.st_blocks);
	zoo_check(sem_trywait(sem) < 0 && errno == EAGAIN, "the semaphore is up");
	zoo_need(sem_post(sem) == 0 && waitpid(child, &status, 0) == child);
	zoo_same(status, 0);
	zoo_same(a[0], 0xaa);
	zoo_same(nameless[0], 0xbb);
	zoo_same(pread(reader, got, 1, 0), 1);
	zoo_same(got[0], 0xaa);
	zoo_need(shm_unlink(named("a")) == 0 && sem_unlink(named("s")) == 0);
	return zoo_end();
}
