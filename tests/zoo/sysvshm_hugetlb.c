/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: hugepages=8 */
/* System V shared memory of huge pages: attached whole, in part, for reading only. */
#include "zoo.h"

#include <errno.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#define HUGE (2UL << 20)

int main(void)
{
	int id = shmget(IPC_PRIVATE, 3 * HUGE, IPC_CREAT | SHM_HUGETLB | 0600);
	unsigned char *p, *part, *ro;
	struct shmid_ds ds;

	zoo_start();
	if (id < 0 && (errno == EPERM || errno == ENOSYS || errno == EINVAL))
		zoo_skip("no huge pages for System V");
	zoo_need(id >= 0);
	p = shmat(id, NULL, 0);
	part = shmat(id, NULL, 0);
	ro = shmat(id, NULL, SHM_RDONLY);
	zoo_need(p != (void *)-1 && part != (void *)-1 && ro != (void *)-1);
	zoo_fill(p, HUGE, 1);
	zoo_fill(p + 2 * HUGE, 4096, 2);
	zoo_need(munmap(part + HUGE, HUGE) == 0);
	zoo_ready();
	zoo_wait();

	zoo_need(shmctl(id, IPC_STAT, &ds) == 0);
	zoo_same(ds.shm_nattch, 4);
	zoo_check(zoo_filled(p, HUGE, 1) && zoo_filled(p + 2 * HUGE, 4096, 2), "contents");
	p[2 * HUGE + 5000] = 7;
	zoo_check(part[2 * HUGE + 5000] == 7 && ro[2 * HUGE + 5000] == 7, "it is not shared");
	p[2 * HUGE + 5000] = 0;
	zoo_check(!zoo_mapped(part + HUGE) && zoo_faults(ro, true),
		  "a part came back, or it is writable");
	zoo_need(shmdt(part) == 0 && !zoo_mapped(part) && !zoo_mapped(part + 2 * HUGE));
	zoo_need(shmctl(id, IPC_RMID, NULL) == 0 && shmdt(p) == 0 && shmdt(ro) == 0);
	zoo_check(shmctl(id, IPC_STAT, &ds) < 0, "it stays");
	return zoo_end();
}
