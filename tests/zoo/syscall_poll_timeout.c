/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: after=600 gap=700 */
/* poll(2) with a time-out goes on with the time that was left. */
#include "zoo.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
	int p[2], rc;
	double took;

	zoo_start();
	zoo_need(pipe(p) == 0);
	struct pollfd fds[2] = { { .fd = p[0], .events = POLLIN }, { .fd = -1, .revents = 7 } };

	zoo_ready();
	took = zoo_now(CLOCK_MONOTONIC);
	rc = poll(fds, 2, 2000);
	took = zoo_now(CLOCK_MONOTONIC) - took;
	zoo_check(rc == 0, "poll gave %d: %s", rc, strerror(errno));
	zoo_wait();
	zoo_check_took("poll", took, 2);
	return zoo_end();
}
