// SPDX-License-Identifier: LGPL-2.1-or-later
/* Lists of pids, and what /proc says of one. See pids.h. */
#include "pids.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int pids_add(pid_t **list, size_t *n, pid_t pid)
{
	pid_t *more = realloc(*list, (*n + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	*list = more;
	more[(*n)++] = pid;
	return 0;
}

bool pids_have(const pid_t *list, size_t n, pid_t pid)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == pid)
			return true;
	return false;
}

char pids_state(pid_t pid, pid_t tid)
{
	char path[64], line[512];
	const char *p = NULL;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fgets(line, sizeof(line), f))
		p = strrchr(line, ')');
	fclose(f);
	return p && p[1] == ' ' ? p[2] : 0;
}
