// SPDX-License-Identifier: LGPL-2.1-or-later
/* Work that needs descriptor numbers which are in use in this process. See kinds.h. */
#include "../util.h"
#include "kinds.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* What comes back. Not through a pipe: no number is safe there. */
struct result {
	int rc;
	bool done;
	char error[8192];
};

static _Noreturn void child(struct result *result, int (*work)(void *arg, struct ckpt_err **err),
			    void *arg)
{
	struct ckpt_err *why = NULL;
	char *text;

	/* Not longer than the one who waits for it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	result->rc = work(arg, &why);
	text = why ? ckpt_err_to_json(why) : NULL;
	if (text)
		snprintf(result->error, sizeof(result->error), "%s", text);
	result->done = true;
	_exit(0);
}

int kind_apart(int (*work)(void *arg, struct ckpt_err **err), void *arg, struct ckpt_err **err)
{
	struct result *result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct ckpt_err *why;
	int status = 0, rc;
	pid_t pid;

	if (result == MAP_FAILED)
		return ckpt_fail_nomem(err);
	pid = fork();
	if (pid == 0)
		child(result, work, arg);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	rc = result->rc;
	why = result->error[0] ? ckpt_err_from_json(result->error) : NULL;
	if (pid < 0)
		rc = ckpt_fail_errno(err, errno, CKPT_E_SYS, "start a process");
	else if (!result->done)
		rc = ckpt_fail(err, ECHILD, CKPT_E_DIED, "a helping process ended (status %#x)",
			       (unsigned int)status);
	if (why && err && !*err)
		*err = TAKE_PTR(why);
	ckpt_err_free(why);
	munmap(result, sizeof(*result));
	return rc;
}
