// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The control block, the note by which it is found, the signal, and what becomes of all that in a
 * child by fork(2).
 */
#include "private.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef CR_KIND
#define CR_KIND CR_KIND_CR
#endif

#define KERNEL_SIGSET 8

struct cr_control cri_block __attribute__((visibility("hidden"), used, aligned(64))) = {
	.magic = CR_CONTROL_MAGIC,
	.version = CR_CONTROL_VERSION,
	.size = sizeof(struct cr_control),
	.kind = CR_KIND,
	.signum = CR_SIGNUM,
	.joined = CR_JOINED_CLOSED,
};

/* An ELF note in assembler, as C cannot say how far two things are apart. */
__asm__(".pushsection .note.libcr, \"a\", @note\n"
	".balign 4\n"
	".long 2f - 1f, 4f - 3f, 1\n"
	"1: .asciz \"libcr\"\n"
	"2: .balign 4\n"
	"3: .long 1, 0\n"
	".quad cri_block - .\n"
	"4: .balign 4\n"
	".popsection\n");
_Static_assert(CR_CONTROL_VERSION == 1 && CR_NOTE_TYPE == 1, "the note says so, too");
_Static_assert(sizeof(struct cr_note) == 16, "as in the note");

unsigned int cri_generation = 1;
int cri_broken;

int cri_gettid(void)
{
	return (int)syscall(SYS_gettid);
}

void cri_wait_turn(uint32_t seen, int ms)
{
	const struct timespec limit = { ms / 1000, ms % 1000 * 1000000L };

	syscall(SYS_futex, &cri_block.turn, FUTEX_WAIT_PRIVATE, seen, ms < 0 ? NULL : &limit, NULL,
		0);
}

void cri_raise_turn(void)
{
	ADD(cri_block.turn, 1);
	syscall(SYS_futex, &cri_block.turn, FUTEX_WAKE_PRIVATE, 0x7fffffff, NULL, NULL, 0);
}

/* Not by sigaction(3), which has ideas of its own about the signal-return code. */
int cri_sigaction(const struct cr_control_action *act, struct cr_control_action *old)
{
	long rc = syscall(SYS_rt_sigaction, CR_SIGNUM, act, old, KERNEL_SIGSET);

	return rc < 0 ? errno : 0;
}

/* A process begins, with nothing but what the library was loaded with. */
static void new_process(int pid)
{
	struct cr_control *c = &cri_block;

	c->pid = pid;
	c->hidden_tid = 0;
	c->theirs_valid = 0;
	c->request = 0;
	c->joined = CR_JOINED_CLOSED;
	c->members = 0;
	c->arrived = c->left = c->inside = 0;
	c->inside_tid = 0;
	c->vote = c->vote_callback = 0;
	c->vote_tid = 0;
	c->failed = 0;
	c->forward_answered = c->forward;
}

static int state_pid; /* whose all the rest is */

static void forget(int pid)
{
	if (state_pid == pid)
		return;
	state_pid = pid;
	cri_generation++;
	cri_forget_callbacks();
	cri_forget_hooks();
	cri_forget_requests();
}

void cri_check_process(void)
{
	int pid = getpid();

	if (cri_block.pid != pid)
		new_process(pid);
	forget(pid);
}

void cri_reborn(void)
{
	state_pid = cri_block.pid;
}

/* A child by clone(2), of which nobody told us, has its block set up by whoever asks it. */
bool cri_is_process(void)
{
	int pid = getpid();

	if (cri_block.pid != pid)
		return false;
	forget(pid);
	return true;
}

extern int __libc_allocate_rtsig(int high) __attribute__((weak));

/*
 * SIGRTMAX is not the program's any more. The function gives signals away from the top; it is what
 * the C library offers to those who need one for themselves.
 */
static void take_signal(void)
{
	if (__libc_allocate_rtsig && SIGRTMAX == CR_SIGNUM)
		__libc_allocate_rtsig(0);
}

/* Another of the libraries may be there: libcr has precedence, else the first one. */
static int set_handler(void)
{
	struct cr_control_action now;
	struct sigaction sa = { .sa_sigaction = cri_handler, .sa_flags = SA_SIGINFO | SA_RESTART };
	int rc = cri_sigaction(NULL, &now);

	if (rc == 0 && CR_KIND != CR_KIND_CR && now.handler)
		return 0;
	/* By way of the C library, for the sake of its signal-return code. */
	if (rc == 0 && sigaction(CR_SIGNUM, &sa, NULL) < 0)
		rc = errno;
	return rc ? rc : cri_sigaction(NULL, &cri_block.action);
}

__attribute__((constructor)) static void loaded(void)
{
	cri_block.pid = state_pid = getpid();
	take_signal();
	cri_broken = set_handler();
	pthread_atfork(NULL, NULL, cri_check_process);
}
