/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* User and group ids, all four of each, and supplementary groups. */
#include "zoo.h"

#include <grp.h>
#include <string.h>
#include <sys/fsuid.h>
#include <unistd.h>

#define GROUPS 40

static void look(char **uid, char **gid, char **groups)
{
	*uid = zoo_field("/proc/self/status", "Uid");
	*gid = zoo_field("/proc/self/status", "Gid");
	*groups = zoo_field("/proc/self/status", "Groups");
}

int main(void)
{
	char *uid, *gid, *groups, *uid_now, *gid_now, *groups_now;
	gid_t group[GROUPS];

	zoo_start();
	if (geteuid() != 0)
		zoo_skip("not root");
	for (int i = 0; i < GROUPS; i++)
		group[i] = (gid_t)(5000 + i * 3);
	zoo_need(setgroups(GROUPS, group) == 0);
	zoo_need(setresgid(1001, 1002, 1003) == 0);
	setfsgid(1004);
	zoo_need(setresuid(2001, 2002, 0) == 0);
	setfsuid(2001);
	look(&uid, &gid, &groups);
	zoo_need(!strcmp(uid, "2001\t2002\t0\t2001") && !strncmp(gid, "1001\t1002\t1003\t", 15));
	zoo_ready();
	zoo_wait();

	look(&uid_now, &gid_now, &groups_now);
	zoo_check(!strcmp(uid, uid_now), "user ids %s, were %s", uid_now, uid);
	zoo_check(!strcmp(gid, gid_now), "group ids %s, were %s", gid_now, gid);
	zoo_check(!strcmp(groups, groups_now), "groups %s, were %s", groups_now, groups);
	zoo_check(seteuid(2001) == 0, "from the effective to the real");
	zoo_check(seteuid(0) == 0, "back to the saved");
	zoo_check(setresuid(3000, 3000, 3000) == 0 && seteuid(0) < 0, "the way down and none up");
	return zoo_end();
}
