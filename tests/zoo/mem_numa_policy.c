/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NUMA policies of threads and of memory areas. One node is enough to tell them apart. */
#include "zoo.h"

#include <linux/mempolicy.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096UL

static const unsigned long node0 = 1;
static volatile bool set;

static int policy_now(const void *addr)
{
	unsigned long nodes = 0;
	int mode = -1;

	zoo_need(syscall(SYS_get_mempolicy, &mode, &nodes, 64, addr, addr ? MPOL_F_ADDR : 0) == 0);
	return mode == MPOL_DEFAULT || mode == MPOL_LOCAL || nodes == node0 ? mode : -1;
}

static void *local(void *arg)
{
	zoo_need(syscall(SYS_set_mempolicy, MPOL_LOCAL, NULL, 0) == 0);
	set = true;
	zoo_wait();
	zoo_same(policy_now(NULL), MPOL_LOCAL);
	return arg;
}

static void *none(void *arg)
{
	zoo_need(syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0) == 0);
	zoo_wait();
	zoo_same(policy_now(NULL), MPOL_DEFAULT);
	return arg;
}

int main(void)
{
	pthread_t a, b;
	char *p;

	zoo_start();
	if (syscall(SYS_set_mempolicy, MPOL_BIND | MPOL_F_STATIC_NODES, &node0, 64) < 0)
		zoo_skip("no NUMA policies in this kernel");
	zoo_need(pthread_create(&a, NULL, local, NULL) == 0);
	zoo_need(pthread_create(&b, NULL, none, NULL) == 0);
	p = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zoo_need(p != MAP_FAILED);
	zoo_need(syscall(SYS_mbind, p, 4 * PAGE, MPOL_PREFERRED, &node0, 64, 0) == 0);
	zoo_need(syscall(SYS_mbind, p + 4 * PAGE, 4 * PAGE, MPOL_BIND, &node0, 64, 0) == 0);
	zoo_need(syscall(SYS_mbind, p + 8 * PAGE, 4 * PAGE, MPOL_INTERLEAVE | MPOL_F_RELATIVE_NODES,
			 &node0, 64, 0) == 0);
	zoo_fill(p, 16 * PAGE, 5);
	while (!set)
		zoo_sleep_ms(2);
	zoo_ready();
	zoo_wait();

	zoo_same(policy_now(NULL), MPOL_BIND | MPOL_F_STATIC_NODES);
	zoo_same(policy_now(p), MPOL_PREFERRED);
	zoo_same(policy_now(p + 7 * PAGE), MPOL_BIND);
	zoo_same(policy_now(p + 8 * PAGE), MPOL_INTERLEAVE | MPOL_F_RELATIVE_NODES);
	zoo_same(policy_now(p + 12 * PAGE), MPOL_DEFAULT);
	zoo_check(zoo_filled(p, 16 * PAGE, 5), "the memory changed");
	zoo_need(pthread_join(a, NULL) == 0 && pthread_join(b, NULL) == 0);
	return zoo_end();
}
