// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the targets share: argv[1] is a file to create when all is set up, argv[2] how many of the
 * thing to have. */
#ifndef TARGET_H
#define TARGET_H

#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static inline long target_count(int argc, char **argv)
{
	if (argc != 3)
		errx(2, "usage: %s READY-FILE COUNT", argv[0]);
	return strtol(argv[2], NULL, 10);
}

static inline void target_ready_and_sleep(char **argv)
{
	int fd = open(argv[1], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		err(1, "%s", argv[1]);
	close(fd);
	for (;;)
		pause();
}

#endif
