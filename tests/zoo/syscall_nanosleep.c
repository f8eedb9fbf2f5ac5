/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: after=900 gap=900 */
/* A relative sleep goes on with the time that was left, and ends without EINTR. */
#include "zoo.h"

#include <errno.h>
#include <string.h>

int main(void)
{
	struct timespec want = { .tv_sec = 3 }, left = { 0, 0 };
	double start;
	int rc;

	zoo_start();
	zoo_ready();
	start = zoo_now(CLOCK_MONOTONIC);
	rc = nanosleep(&want, &left);
	start = zoo_now(CLOCK_MONOTONIC) - start;
	zoo_check(rc == 0, "nanosleep: %s", strerror(errno));
	zoo_wait();
	zoo_check_took("nanosleep", start, 3);
	return zoo_end();
}
