/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The dispositions of all 64 signals: handler, flags, restorer, mask, as the kernel has them. */
#include "zoo.h"

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's own structure: what glibc hides (restorer, SA_RESTORER) counts here. */
struct kernel_sigaction {
	unsigned long handler, flags, restorer;
	uint64_t mask;
};

static volatile int hits[65];
static volatile siginfo_t last;

static void on_signal(int sig, siginfo_t *info, void *context)
{
	(void)context;
	hits[sig]++;
	last = *info;
}

static long kernel_sigaction(int sig, const void *act, void *old)
{
	return syscall(SYS_rt_sigaction, sig, act, old, 8);
}

int main(void)
{
	static struct kernel_sigaction before[65], now;
	static const unsigned long flags[] = {
		SA_SIGINFO,
		SA_SIGINFO | SA_RESTART,
		SA_SIGINFO | SA_NODEFER | SA_ONSTACK,
		SA_SIGINFO | SA_NOCLDSTOP,
	};

	zoo_start();
	for (int sig = 1; sig <= 64; sig++) {
		struct sigaction act = { .sa_flags = (int)flags[sig % 4] };

		if (sig == SIGKILL || sig == SIGSTOP || sig == 32 || sig == 33)
			continue;
		if (sig % 5 == 0)
			act.sa_handler = SIG_IGN;
		else if (sig % 7 == 0)
			act.sa_handler = SIG_DFL;
		else
			act.sa_sigaction = on_signal;
		for (int other = 1; other <= 64; other++)
			if ((other * sig) % 3 == 0)
				sigaddset(&act.sa_mask, other);
		zoo_need(sigaction(sig, &act, NULL) == 0);
	}
	for (int sig = 1; sig <= 64; sig++)
		zoo_need(kernel_sigaction(sig, NULL, &before[sig]) == 0);
	/* A restorer that is no function of glibc's: kept, although never used here. */
	before[40].handler = (unsigned long)SIG_IGN;
	before[40].restorer = 0x123450;
	before[40].flags |= 0x04000000;
	zoo_need(kernel_sigaction(40, &before[40], NULL) == 0);
	zoo_ready();
	zoo_wait();

	for (int sig = 1; sig <= 64; sig++) {
		zoo_need(kernel_sigaction(sig, NULL, &now) == 0);
		zoo_check(now.handler == before[sig].handler, "signal %d: handler %#lx", sig,
			  now.handler);
		zoo_check(now.flags == before[sig].flags, "signal %d: flags %#lx, were %#lx", sig,
			  now.flags, before[sig].flags);
		zoo_check(now.restorer == before[sig].restorer, "signal %d: restorer %#lx", sig,
			  now.restorer);
		zoo_check(now.mask == before[sig].mask, "signal %d: mask %#llx", sig,
			  (unsigned long long)now.mask);
		if (before[sig].handler != (unsigned long)on_signal)
			continue;
		zoo_need(raise(sig) == 0);
		zoo_check(hits[sig] == 1, "signal %d: handled %d times", sig, hits[sig]);
		zoo_same(last.si_signo, sig);
		zoo_same(last.si_pid, getpid());
	}
	return zoo_end();
}
