/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: norerun */
/* Named pipes held by this process alone: contents, ends, flags; and the name still leads there. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
	static unsigned char text[5000], got[6000];
	int both, rd, wr, later, n = 0;

	zoo_start();
	zoo_fill(text, sizeof(text), 1);
	zoo_need(mkfifo("two-ends", 0600) == 0 && mkfifo("one-end", 0600) == 0);
	rd = open("two-ends", O_RDONLY | O_NONBLOCK);
	wr = open("two-ends", O_WRONLY);
	both = open("one-end", O_RDWR | O_CLOEXEC);
	zoo_need(rd >= 0 && wr >= 0 && both >= 0);
	zoo_need(write(wr, text, 5000) == 5000 && write(both, "abc", 3) == 3);
	zoo_ready();
	zoo_wait();

	zoo_need(ioctl(rd, FIONREAD, &n) == 0);
	zoo_same(n, 5000);
	zoo_same(read(rd, got, 6000), 5000);
	zoo_check(!memcmp(got, text, 5000), "contents");
	zoo_check(read(rd, got, 1) < 0 && errno == EAGAIN, "O_NONBLOCK or the writer is lost");
	zoo_same(fcntl(wr, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_WRONLY);
	later = open("two-ends", O_WRONLY | O_NONBLOCK);
	zoo_check(later >= 0 && write(later, "by name", 7) == 7, "the name: %s", strerror(errno));
	zoo_same(read(rd, got, 100), 7);
	zoo_need(close(wr) == 0 && close(later) == 0);
	zoo_same(read(rd, got, 100), 0);
	zoo_same(fcntl(both, F_GETFL) & O_ACCMODE, O_RDWR);
	zoo_same(fcntl(both, F_GETFD), FD_CLOEXEC);
	zoo_same(write(both, "def", 3), 3);
	zoo_same(read(both, got, 100), 6);
	zoo_check(!memcmp(got, "abcdef", 6), "contents of the one-ended");
	return zoo_end();
}
