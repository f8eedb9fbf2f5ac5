/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="fd 40" */
/* Not supported yet: a POSIX message queue. */
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
	zoo_start();
	char got[16384];
	mqd_t queue = mq_open("/zoo-unknown", O_CREAT | O_RDWR, 0600, NULL);

	if (queue < 0)
		zoo_skip("mq_open: %s", strerror(errno));
	zoo_need(mq_unlink("/zoo-unknown") == 0);
	zoo_need(dup2(queue, 40) == 40 && close(queue) == 0 && mq_send(40, "x", 1, 0) == 0);
	zoo_ready();
	zoo_wait();
	zoo_same(mq_receive(40, got, sizeof(got), NULL), 1);
	return zoo_end();
}
