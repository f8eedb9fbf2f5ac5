/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel knows of the address space: command line (changed), environment, auxv, start and
 * end marks. */
#include "zoo.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
	const char *path;
	char *text;
	size_t len;
} file[] = { { "/proc/self/cmdline", NULL, 0 },
	     { "/proc/self/environ", NULL, 0 },
	     { "/proc/self/auxv", NULL, 0 },
	     { "/proc/self/comm", NULL, 0 } };

/* The fields of /proc/self/stat that are marks: 26-28 (code, stack), 45-51 (data, brk, arg, env).
 */
static void stat_marks(unsigned long mark[52])
{
	char *text = zoo_slurp("/proc/self/stat", NULL), *at = strrchr(text, ')') + 1;

	memset(mark, 0, 52 * sizeof(mark[0]));
	for (int i = 3; i <= 51; i++) {
		while (*at == ' ')
			at++;
		if (i > 3)
			mark[i] = strtoul(at, NULL, 10);
		at = strchr(at, ' ');
		if (!at)
			break;
	}
	free(text);
}

/* PR_SET_MM_MAP needs no privilege as long as the executable stays; it takes all marks at once. */
static void set_title(char *title, size_t len)
{
	unsigned long mark[52];
	struct prctl_mm_map map = { .exe_fd = (uint32_t)-1 };

	stat_marks(mark);
	map.start_code = mark[26];
	map.end_code = mark[27];
	map.start_stack = mark[28];
	map.start_data = mark[45];
	map.end_data = mark[46];
	map.start_brk = mark[47];
	map.brk = (unsigned long)syscall(SYS_brk, 0);
	map.arg_start = (unsigned long)title;
	map.arg_end = (unsigned long)title + len;
	map.env_start = mark[50];
	map.env_end = mark[51];
	zoo_need(prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0) == 0);
}

int main(void)
{
	static const int marks[] = { 26, 27, 28, 45, 46, 47, 48, 49, 50, 51 };
	unsigned long before[52], now[52];
	char exe[PATH_MAX] = "", exe_now[PATH_MAX] = "";
	char *title;

	zoo_start();
	/* As setproctitle() does it: another area holds the command line from now on. */
	title = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zoo_need(title != MAP_FAILED);
	strcpy(title + 100, "zoo: a new title");
	set_title(title + 100, 17);
	zoo_need(prctl(PR_SET_NAME, "zoo (x) y", 0, 0, 0) == 0);
	for (int i = 0; i < 4; i++)
		file[i].text = zoo_slurp(file[i].path, &file[i].len);
	zoo_need(file[0].len == 17 && !strcmp(file[0].text, "zoo: a new title"));
	stat_marks(before);
	zoo_need(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	zoo_ready();
	zoo_wait();

	for (int i = 0; i < 4; i++) {
		size_t len;
		char *text = zoo_slurp(file[i].path, &len);

		zoo_check(len == file[i].len && !memcmp(text, file[i].text, len), "%s differs",
			  file[i].path);
	}
	stat_marks(now);
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		zoo_check(before[marks[i]] == now[marks[i]], "stat field %d is %#lx, was %#lx",
			  marks[i], now[marks[i]], before[marks[i]]);
	zoo_need(readlink("/proc/self/exe", exe_now, sizeof(exe_now) - 1) > 0);
	zoo_check(!strcmp(exe, exe_now), "executable %s, was %s", exe_now, exe);
	strcpy(title + 100, "zoo: a next title");
	char *text = zoo_slurp("/proc/self/cmdline", NULL);

	zoo_check(!strncmp(text, "zoo: a next title", 17), "the title cannot be changed any more");
	return zoo_end();
}
