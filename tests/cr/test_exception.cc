// SPDX-License-Identifier: LGPL-2.1-or-later
/* libcr in C++: it builds, and an exception that passes through a callback is a failure of it. */
#include <cstdio>
#include <cstdlib>
#include <libcr.h>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {
int meet_one(pid_t pid, int *ret_vote);
}

static int throws(void *)
{
	throw std::runtime_error("no");
}

static void *target(void *)
{
	return nullptr;
}

int main()
{
	int ready[2], vote = 0, status;
	char byte;

	if (pipe(ready))
		return 1;
	pid_t pid = fork();

	if (pid == 0) {
		target(nullptr);
		if (cr_init() < 0 || cr_register_callback(throws, nullptr, CR_SIGNAL_CONTEXT) < 0)
			_exit(1);
		(void)!write(ready[1], "x", 1);
		try {
			for (;;)
				pause();
		} catch (const std::exception &) {
			_exit(42);
		}
	}
	if (read(ready[0], &byte, 1) != 1)
		return 1;
	int rc = meet_one(pid, &vote);

	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	std::printf("%s test_exception: %d %d\n", rc == 0 && vote == 2 ? "[       OK ]" : "FAILED",
		    rc, vote);
	return rc == 0 && vote == 2 ? 0 : 1;
}
