/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: after=600 gap=700 */
/* select(2) with a time-out goes on with the time that was left. */
#include "zoo.h"

#include <errno.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

int main(void)
{
	struct timeval want = { .tv_sec = 2 };
	int p[2], rc;
	fd_set in;
	double took;

	zoo_start();
	zoo_need(pipe(p) == 0);
	FD_ZERO(&in);
	FD_SET(p[0], &in);
	zoo_ready();
	took = zoo_now(CLOCK_MONOTONIC);
	rc = select(p[0] + 1, &in, NULL, NULL, &want);
	took = zoo_now(CLOCK_MONOTONIC) - took;
	zoo_check(rc == 0, "select gave %d: %s", rc, strerror(errno));
	zoo_check(!FD_ISSET(p[0], &in), "ready, by its set");
	zoo_wait();
	zoo_check_took("select", took, 2);
	return zoo_end();
}
