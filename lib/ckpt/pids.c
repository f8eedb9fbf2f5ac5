// SPDX-License-Identifier: LGPL-2.1-or-later
/* Lists of pids, and what /proc says of one. See pids.h. */
#include "pids.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

/* A line of /proc/PID/task/TID/status, behind its name; false: it is not there. */
static bool read_status(pid_t pid, pid_t tid, const char *name, char *buf, size_t len)
{
	size_t name_len = strlen(name);
	bool found = false;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
	f = fopen(path, "re");
	while (f && !found && fgets(buf, (int)len, f))
		found = !strncmp(buf, name, name_len) && buf[name_len] == ':';
	if (f)
		fclose(f);
	if (found)
		memmove(buf, buf + name_len + 1, strlen(buf + name_len + 1) + 1);
	return found;
}

static bool has_signal(pid_t pid, pid_t tid, const char *name, int sig)
{
	char line[4096];

	return read_status(pid, tid, name, line, sizeof(line)) &&
	       strtoull(line, NULL, 16) >> (sig - 1) & 1;
}

pid_t pids_tracer(pid_t pid, pid_t tid)
{
	char line[4096];

	return read_status(pid, tid, "TracerPid", line, sizeof(line)) ? atoi(line) : 0;
}

bool pids_catches(pid_t pid, int sig)
{
	return has_signal(pid, pid, "SigCgt", sig);
}

bool pids_blocks(pid_t pid, pid_t tid, int sig)
{
	return has_signal(pid, tid, "SigBlk", sig);
}

pid_t *pids_threads(pid_t pid, size_t *ret_n)
{
	pid_t *tid = NULL;
	size_t n = 0;
	struct dirent *e;
	char path[64];
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.' && pids_add(&tid, &n, atoi(e->d_name)) < 0)
			break;
	if (d)
		closedir(d);
	*ret_n = n;
	return tid;
}

size_t pids_count(pid_t pid)
{
	struct stat st;
	char path[64];

	/* The kernel counts threads as if they were subdirectories: fs/proc/base.c. */
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	return stat(path, &st) == 0 && st.st_nlink > 2 ? st.st_nlink - 2 : 0;
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

bool pids_lives(pid_t pid, pid_t tid)
{
	char state = pids_state(pid, tid);

	return state && state != 'Z' && state != 'X';
}
