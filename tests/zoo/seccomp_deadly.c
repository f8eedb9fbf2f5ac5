/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: not=extra */
/* A filter that kills for most of what a checkpoint or a restore does in the process's name; it
 * must not notice, and be in force all the time for itself. Without no_new_privs, as root may. */
#include "zoo.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const int deadly[] = { SYS_clone,	   SYS_clone3,	     SYS_wait4,
			      SYS_close_range,	   SYS_setsid,	     SYS_prctl,
			      SYS_seccomp,	   SYS_rt_sigaction, SYS_dup3,
			      SYS_userfaultfd,	   SYS_sigaltstack,  SYS_set_robust_list,
			      SYS_capset,	   SYS_setresuid,    SYS_setgroups,
			      SYS_fchdir,	   SYS_umask,	     SYS_personality,
			      SYS_set_tid_address, SYS_rseq,	     SYS_arch_prctl,
			      SYS_timer_create };

#define N (sizeof(deadly) / sizeof(deadly[0]))

static volatile bool begun, go;

static void *offender(void *arg)
{
	begun = true;
	while (!go)
		zoo_sleep_ms(5);
	/* The end of this thread alone. */
	syscall(SYS_umask, 0);
	*(bool *)arg = true;
	return NULL;
}

int main(void)
{
	struct sock_filter code[2 * N + 2] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
							offsetof(struct seccomp_data, nr)) };
	struct sock_fprog program = { .filter = code };
	static bool survived;
	pthread_t thread;
	size_t n = 1;

	zoo_start();
	for (size_t i = 0; i < N; i++) {
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							 (uint32_t)deadly[i], 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_THREAD);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	program.len = (unsigned short)n;
	if (geteuid() != 0)
		zoo_skip("not root");
	zoo_need(pthread_create(&thread, NULL, offender, &survived) == 0);
	while (!begun) /* libc's own calls for it are made */
		zoo_sleep_ms(2);
	zoo_need(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC,
			 &program) == 0);
	zoo_ready();
	zoo_wait();

	zoo_same(zoo_number("/proc/self/status", "Seccomp_filters"), 1);
	zoo_same(zoo_number("/proc/self/status", "NoNewPrivs"), 0);
	zoo_same(zoo_number("/proc/self/status", "Threads"), 2);
	go = true;
	zoo_need(pthread_join(thread, NULL) == 0);
	zoo_check(!survived, "the filter did not kill the other thread");
	return zoo_end();
}
