/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="supervisor|seccomp" */
/* Not supported: a seccomp filter whose listener is open. */
#include "zoo.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	zoo_start();
	struct sock_filter allow = { .code = BPF_RET | BPF_K, .k = SECCOMP_RET_ALLOW };
	struct sock_fprog program = { .len = 1, .filter = &allow };

	zoo_need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	zoo_need(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			 &program) >= 0);
	zoo_ready();
	zoo_wait();
	zoo_same(zoo_number("/proc/self/status", "Seccomp"), 2);
	return zoo_end();
}
