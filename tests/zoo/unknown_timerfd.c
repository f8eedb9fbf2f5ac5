/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="fd 40" */
/* Not supported yet: a timerfd. */
#include "zoo.h"

#include <sys/timerfd.h>
#include <unistd.h>

int main(void)
{
	zoo_start();
	struct itimerspec its = { .it_value = { 1000, 0 } }, now;
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);

	zoo_need(fd >= 0 && dup2(fd, 40) == 40 && close(fd) == 0);
	zoo_need(timerfd_settime(40, 0, &its, NULL) == 0);
	zoo_ready();
	zoo_wait();
	zoo_need(timerfd_gettime(40, &now) == 0);
	zoo_check(now.it_value.tv_sec > 900, "%lld s left", (long long)now.it_value.tv_sec);
	return zoo_end();
}
