/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Zombies that lead a session or a process group whose other members live on, or are zombies, too.
 */
#include "zoo.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct shown {
	pid_t session_leader, session_member;
};

static struct shown *shown;

static void member(pid_t sid, pid_t pgid)
{
	zoo_here();
	zoo_wait();
	zoo_same(getsid(0), sid);
	zoo_same(getpgid(0), pgid);
	zoo_leave();
}

/* Ends once it has a member in its session. */
static void session_leader(void)
{
	pid_t self = setsid(), child;

	zoo_need(self == getpid());
	shown->session_leader = self;
	child = zoo_fork();
	if (child == 0)
		member(self, self);
	shown->session_member = child;
	_exit(5);
}

static void wait_until_ended(pid_t child)
{
	siginfo_t si;

	zoo_need(waitid(P_PID, (id_t)child, &si, WEXITED | WNOWAIT) == 0);
}

int main(void)
{
	pid_t self, reaper, group_leader, group_member, group_zombie;

	zoo_start();
	shown = zoo_shared(sizeof(*shown));
	self = getpid();
	/* The orphan of the session leader goes to a subreaper: this one. */
	zoo_need(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	reaper = fork();
	if (reaper == 0)
		session_leader();
	wait_until_ended(reaper);

	group_leader = fork();
	if (group_leader == 0) {
		setpgid(0, 0);
		_exit(6);
	}
	wait_until_ended(group_leader);
	group_member = zoo_fork();
	if (group_member == 0) {
		zoo_need(setpgid(0, group_leader) == 0);
		member(getsid(0), group_leader);
	}
	group_zombie = fork();
	if (group_zombie == 0) {
		zoo_need(setpgid(0, group_leader) == 0);
		_exit(7);
	}
	wait_until_ended(group_zombie);
	zoo_ready();
	zoo_wait();
	zoo_same(getpid(), self);
	zoo_same(getsid(reaper), reaper);
	zoo_same(getsid(shown->session_member), reaper);
	zoo_same(getpgid(group_leader), group_leader);
	zoo_same(getpgid(group_zombie), group_leader);
	zoo_join(shown->session_member);
	zoo_join(group_member);
	for (int i = 0, status; i < 3; i++) {
		const pid_t who[] = { reaper, group_leader, group_zombie };

		zoo_same(waitpid(who[i], &status, 0), who[i]);
		zoo_same(status, (5 + i) << 8);
	}
	return zoo_end();
}
