// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A program that keeps a temporary file with a name. When it is restarted, that name may be gone,
 * or belong to somebody else: temporary directories are cleaned, and other programs draw names from
 * the same hat. So the file is not part of the checkpoint at all. The callback takes its contents
 * into memory, and puts them into a new file under a new name in the life that was restarted; the
 * rest of the program asks for the name each time, and never keeps a copy of it.
 *
 *	scratch_file	adds a line to its file each moment, until it finds the file "end"
 */
#include <errno.h>
#include <fcntl.h>
#include <libcr.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct scratch {
	char name[64];
	int fd;
	cr_client_id_t id; /* of the thread that writes */
};

static int new_file(struct scratch *s)
{
	snprintf(s->name, sizeof(s->name), "scratch-XXXXXX");
	s->fd = mkostemp(s->name, O_CLOEXEC);
	return s->fd < 0 ? -1 : 0;
}

static char *take_contents(const struct scratch *s, size_t *ret_len)
{
	struct stat st;
	char *text;

	if (fstat(s->fd, &st) < 0)
		return NULL;
	text = malloc((size_t)st.st_size + 1);
	if (!text || pread(s->fd, text, (size_t)st.st_size, 0) != st.st_size) {
		free(text);
		return NULL;
	}
	*ret_len = (size_t)st.st_size;
	return text;
}

static int on_checkpoint(void *arg)
{
	struct scratch *s = arg;
	struct scratch old = *s;
	size_t len = 0;
	char *text = take_contents(s, &len);
	int rc, bad = 0;

	if (!text) {
		cr_checkpoint(CR_CHECKPOINT_TEMP_FAILURE_CODE(EIO));
		return 0;
	}
	/* In the other life this descriptor is not there. */
	close(s->fd);
	s->fd = -1;
	rc = cr_checkpoint(CR_CHECKPOINT_READY);
	if (rc > 0) {
		bad = new_file(s) < 0 || write(s->fd, text, len) != (ssize_t)len;
	} else {
		/* Nobody took our name here. */
		s->fd = open(old.name, O_RDWR | O_CLOEXEC);
		bad = s->fd < 0 || lseek(s->fd, 0, SEEK_END) < 0;
	}
	free(text);
	return bad;
}

static int add_line(struct scratch *s, long number)
{
	char line[32];
	int len = snprintf(line, sizeof(line), "%ld\n", number), rc;

	/* No checkpoint between a half line and its rest, nor between name and descriptor. */
	cr_enter_cs(s->id);
	rc = write(s->fd, line, (size_t)len) == len ? 0 : -1;
	cr_leave_cs(s->id);
	return rc;
}

int main(void)
{
	struct scratch s = { .fd = -1 };
	long n = 0;

	s.id = cr_init();
	if (s.id < 0 || new_file(&s) < 0 ||
	    cr_register_callback(on_checkpoint, &s, CR_THREAD_CONTEXT) < 0) {
		perror("scratch_file");
		return 1;
	}
	while (access("end", F_OK) < 0) {
		const struct timespec moment = { 0, 5000000 };

		if (add_line(&s, n++) < 0)
			return 1;
		nanosleep(&moment, NULL);
	}
	printf("%s %ld\n", s.name, n);
	return 0;
}
