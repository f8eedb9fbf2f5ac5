/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: refuse="BPF maps of type queue are not supported" */
#include "zoo.h"

#include <errno.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	union bpf_attr attr = { .map_type = BPF_MAP_TYPE_QUEUE, .value_size = 4, .max_entries = 4 };
	int fd;

	zoo_start();
	fd = (int)syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));
	if (fd < 0 && (errno == EPERM || errno == ENOSYS))
		zoo_skip("may not make BPF maps");
	zoo_need(fd >= 0);
	zoo_ready();
	zoo_wait();
	zoo_check(fd >= 0, "lost");
	return zoo_end();
}
