/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="seccomp" */
/* Not supported yet: a seccomp filter. */
#include "zoo.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

int main(void)
{
	zoo_start();
	struct sock_filter allow = { .code = BPF_RET | BPF_K, .k = SECCOMP_RET_ALLOW };
	struct sock_fprog program = { .len = 1, .filter = &allow };

	zoo_need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	zoo_need(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0);
	zoo_ready();
	zoo_wait();
	zoo_same(zoo_number("/proc/self/status", "Seccomp"), 2);
	return zoo_end();
}
