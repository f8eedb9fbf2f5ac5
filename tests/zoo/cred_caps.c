/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All five capability sets, securebits, no_new_privs; those of one thread differ from the others'.
 */
#include "zoo.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const key[] = { "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs" };

#define KEYS 6

struct caps_view {
	char *set[KEYS];
	int securebits;
};

static void look(struct caps_view *v)
{
	for (int i = 0; i < KEYS; i++)
		v->set[i] = zoo_field("/proc/thread-self/status", key[i]);
	v->securebits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
}

static void compare(const char *who, const struct caps_view *was)
{
	struct caps_view now;

	look(&now);
	for (int i = 0; i < KEYS; i++)
		zoo_check(!strcmp(now.set[i], was->set[i]), "%s: %s %s, was %s", who, key[i],
			  now.set[i], was->set[i]);
	zoo_check(now.securebits == was->securebits, "%s: securebits %#x, were %#x", who,
		  now.securebits, was->securebits);
}

static void caps_set(uint64_t inheritable, uint64_t drop_permitted, uint64_t drop_effective)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	zoo_need(syscall(SYS_capget, &head, data) == 0);
	for (int i = 0; i < 2; i++) {
		data[i].inheritable = (uint32_t)(inheritable >> (32 * i));
		data[i].permitted &= ~(uint32_t)(drop_permitted >> (32 * i));
		data[i].effective &= data[i].permitted & ~(uint32_t)(drop_effective >> (32 * i));
	}
	zoo_need(syscall(SYS_capset, &head, data) == 0);
}

#define BIT(cap) (1ULL << (cap))

static void *other(void *arg)
{
	struct caps_view was;

	caps_set(0, BIT(CAP_SYS_TIME) | BIT(CAP_BPF), BIT(CAP_KILL));
	zoo_need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	look(&was);
	zoo_wait();
	compare("the other thread", &was);
	return arg;
}

int main(void)
{
	struct caps_view was;
	pthread_t thread;

	zoo_start();
	if (prctl(PR_CAPBSET_READ, CAP_SETPCAP, 0, 0, 0) != 1 || geteuid() != 0)
		zoo_skip("not root");
	zoo_need(pthread_create(&thread, NULL, other, NULL) == 0);
	zoo_need(prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT, 0, 0, 0) == 0);
	zoo_need(prctl(PR_CAPBSET_DROP, CAP_PERFMON, 0, 0, 0) == 0);
	caps_set(BIT(CAP_NET_RAW) | BIT(CAP_CHOWN), BIT(CAP_SYS_MODULE) | BIT(CAP_AUDIT_READ),
		 BIT(CAP_NET_ADMIN));
	zoo_need(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0) == 0);
	zoo_need(prctl(PR_SET_SECUREBITS,
		       SECBIT_NO_SETUID_FIXUP | SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
			       SECBIT_KEEP_CAPS,
		       0, 0, 0) == 0);
	zoo_sleep_ms(20);
	look(&was);
	zoo_ready();
	zoo_wait();

	compare("the main thread", &was);
	zoo_same(prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0), 1);
	zoo_check(prctl(PR_CAPBSET_READ, CAP_SYS_BOOT, 0, 0, 0) == 0, "the bounding set grew");
	zoo_need(pthread_join(thread, NULL) == 0);
	return zoo_end();
}
