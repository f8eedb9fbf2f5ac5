/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: modes=plain */
/* Children begin and end as fast as they can; for tests/e2e/bad_input. */
#include "zoo.h"

#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	int status;

	zoo_start();
	zoo_ready();
	while (!zoo_gone()) {
		pid_t child = fork();

		if (child == 0)
			_exit(42);
		zoo_check(child > 0, "fork");
		zoo_check(waitpid(-1, &status, 0) == child, "somebody else's child");
		zoo_check(WIFEXITED(status) && WEXITSTATUS(status) == 42, "status %#x", status);
	}
	return zoo_end();
}
