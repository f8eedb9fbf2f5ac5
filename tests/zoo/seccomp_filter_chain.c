/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: not=extra */
/* Several seccomp filters on top of each other: each decides as before, the severest wins, and one
 * more can be put on top. */
#include "zoo.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile int trapped;

static void on_sigsys(int sig, siginfo_t *si, void *context)
{
	(void)sig;
	(void)context;
	trapped = si->si_errno;
}

/* One call gives `action`, but only if its first argument is `arg`. */
static void filter_on(int nr, uint32_t arg, uint32_t action, unsigned int flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arg, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	zoo_need(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) == 0);
}

static void check_call(const char *what, uint32_t arg, int want)
{
	errno = 0;
	long rc = syscall(SYS_getpgid, arg);

	zoo_check(want ? rc < 0 && errno == want : rc >= 0, "%s: getpgid(%u) gives %ld, errno %d",
		  what, arg, rc, errno);
}

static void check_all(const char *what)
{
	check_call(what, 1, 0);
	check_call(what, 1001, E2BIG);
	check_call(what, 1002, EXDEV);
	/* Of two that return an error the newer counts; a trap counts more than either. */
	check_call(what, 1003, EMLINK);
	trapped = 0;
	syscall(SYS_getpgid, 1004);
	zoo_check(trapped == 77, "%s: the trap told %d", what, trapped);
}

int main(void)
{
	struct sigaction sa = { .sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO };

	zoo_start();
	zoo_need(sigaction(SIGSYS, &sa, NULL) == 0);
	zoo_need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	filter_on(SYS_getpgid, 1001, SECCOMP_RET_ERRNO | E2BIG, 0);
	filter_on(SYS_getpgid, 1002, SECCOMP_RET_ERRNO | EXDEV, SECCOMP_FILTER_FLAG_LOG);
	filter_on(SYS_getpgid, 1003, SECCOMP_RET_ERRNO | EDOM, 0);
	filter_on(SYS_getpgid, 1003, SECCOMP_RET_ERRNO | EMLINK, SECCOMP_FILTER_FLAG_SPEC_ALLOW);
	filter_on(SYS_getpgid, 1004, SECCOMP_RET_TRAP | 77, 0);
	filter_on(SYS_getpgid, 1004, SECCOMP_RET_ERRNO | EDOM, 0);
	check_all("before");
	zoo_ready();
	zoo_wait();

	check_all("after");
	zoo_same(zoo_number("/proc/self/status", "Seccomp"), 2);
	zoo_same(zoo_number("/proc/self/status", "Seccomp_filters"), 6);
	zoo_same(zoo_number("/proc/self/status", "NoNewPrivs"), 1);
	filter_on(SYS_getpgid, 1, SECCOMP_RET_ERRNO | ENOSR, 0);
	check_call("one more", 1, ENOSR);
	check_call("one more", 1001, E2BIG);
	return zoo_end();
}
