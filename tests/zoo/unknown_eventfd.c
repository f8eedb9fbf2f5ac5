/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="fd 40" */
/* Not supported yet: an eventfd. */
#include "zoo.h"

#include <sys/eventfd.h>
#include <unistd.h>

int main(void)
{
	zoo_start();
	int fd = eventfd(5, EFD_SEMAPHORE);
	eventfd_t value;

	zoo_need(fd >= 0 && dup2(fd, 40) == 40 && close(fd) == 0);
	zoo_ready();
	zoo_wait();
	zoo_same(eventfd_read(40, &value), 0);
	zoo_same(value, 1);
	return zoo_end();
}
