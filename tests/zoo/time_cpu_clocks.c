/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The system's clocks never run backwards; what the CPU-time clocks show is noted. */
#include "zoo.h"

#include <sys/resource.h>
#include <unistd.h>

int main(void)
{
	static const clockid_t clock[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW,
					   CLOCK_BOOTTIME, CLOCK_TAI };
	double was[5], cpu, now;

	zoo_start();
	while (zoo_now(CLOCK_PROCESS_CPUTIME_ID) < 0.2)
		continue;
	for (int i = 0; i < 5; i++)
		was[i] = zoo_now(clock[i]);
	cpu = zoo_now(CLOCK_PROCESS_CPUTIME_ID);
	zoo_ready();
	zoo_wait();

	for (int i = 0; i < 5; i++)
		zoo_check(zoo_now(clock[i]) >= was[i], "clock %d runs backwards", clock[i]);
	now = zoo_now(CLOCK_PROCESS_CPUTIME_ID);
	if (now < cpu)
		zoo_log("note: CPU time %.3f s, was %.3f s", now, cpu);
	cpu = now;
	while (zoo_now(CLOCK_MONOTONIC) < was[1] + zoo_dead() + 0.1)
		continue;
	zoo_check(zoo_now(CLOCK_PROCESS_CPUTIME_ID) > cpu, "the CPU-time clock stands still");
	return zoo_end();
}
