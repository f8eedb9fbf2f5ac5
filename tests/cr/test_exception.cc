// SPDX-License-Identifier: LGPL-2.1-or-later
/* libcr in C++: it builds, and an exception that passes through a callback is a failure of it. */
#include <cstdio>
#include <cstdlib>
#include <libcr.h>
#include <stdexcept>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {
int meet_one(pid_t pid, int *ret_vote);
}

static int throws(void *)
{
	throw std::runtime_error("no");
}

/* An exception is caught where a function is called: it must be in pause(2) when it comes. */
static bool is_in_pause(pid_t pid)
{
	char path[64], line[64] = "";

	std::snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	FILE *f = std::fopen(path, "r");

	if (!f)
		return false;
	bool is = std::fgets(line, sizeof(line), f) && std::atoi(line) == SYS_pause;

	std::fclose(f);
	return is;
}

int main()
{
	int ready[2], vote = 0, status;
	char byte;

	if (pipe(ready))
		return 1;
	pid_t pid = fork();

	if (pid == 0) {
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
	for (int i = 0; i < 20000 && !is_in_pause(pid); i++)
		usleep(1000);
	int rc = meet_one(pid, &vote);

	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	std::printf("%s test_exception: %d %d\n", rc == 0 && vote == 2 ? "[       OK ]" : "FAILED",
		    rc, vote);
	return rc == 0 && vote == 2 ? 0 : 1;
}
