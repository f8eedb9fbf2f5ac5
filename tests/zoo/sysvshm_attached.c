/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: exclusive */
/* System V shared memory: numbers, keys, owners, rights, contents up to the end of the last page;
 * attached twice, for reading only, in parts, moved; removed but still attached; locked. */
#include "zoo.h"

#include <errno.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#define PAGE 4096UL
#define KEY  (0x2b000000 | (getpid() & 0xffffff))

static struct shmid_ds stat_of(int id)
{
	struct shmid_ds ds = { 0 };

	zoo_need(shmctl(id, IPC_STAT, &ds) == 0);
	return ds;
}

static unsigned char *attach(int id, int flags)
{
	unsigned char *p = shmat(id, NULL, flags);

	zoo_need(p != (void *)-1);
	return p;
}

int main(void)
{
	unsigned char *a, *b, *ro, *parts, *between, *moved, *gone, *odd;
	int id, removed, tail;
	struct shmid_ds ds;

	zoo_start();
	id = shmget(KEY, 8 * PAGE, IPC_CREAT | IPC_EXCL | 0640);
	zoo_need(id >= 0);
	a = attach(id, 0);
	b = attach(id, 0);
	ro = attach(id, SHM_RDONLY);
	/* Room to move a part to. */
	parts = mmap(NULL, 128 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zoo_need(parts != MAP_FAILED && munmap(parts, 128 * PAGE) == 0);
	zoo_need(shmat(id, parts, 0) == parts);
	zoo_fill(a, 3 * PAGE, 1); /* the rest stays a hole */
	/* Three parts: at its place, away with the second, another thing in its place, the last
	 * moved. */
	zoo_need(munmap(parts + 2 * PAGE, 4 * PAGE) == 0);
	between = mmap(parts + 3 * PAGE, PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	zoo_need(between == parts + 3 * PAGE);
	zoo_fill(between, PAGE, 2);
	moved = mremap(parts + 6 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		       parts + 64 * PAGE);
	zoo_need(moved == parts + 64 * PAGE);
	zoo_need(mprotect(parts + PAGE, PAGE, PROT_READ) == 0);
	removed = shmget(IPC_PRIVATE, 2 * PAGE, IPC_CREAT | 0600);
	gone = attach(removed, 0);
	zoo_fill(gone, 2 * PAGE, 3);
	zoo_need(shmctl(removed, IPC_RMID, NULL) == 0);
	tail = shmget(IPC_PRIVATE, PAGE + 100, IPC_CREAT | 0606);
	odd = attach(tail, 0);
	zoo_fill(odd, 2 * PAGE, 4);
	zoo_need(shmctl(tail, SHM_LOCK, NULL) == 0);
	ds = stat_of(tail);
	ds.shm_perm.uid = 1234;
	zoo_need(shmctl(tail, IPC_SET, &ds) == 0);
	zoo_need(mlock(odd, PAGE) == 0);
	zoo_ready();
	zoo_wait();

	ds = stat_of(id);
	zoo_same(shmget(KEY, 0, 0), id);
	zoo_same(ds.shm_segsz, 8 * PAGE);
	zoo_same(ds.shm_perm.mode, 0640);
	zoo_same(ds.shm_nattch, 3 + 2 + 1); /* the parts: two with a border between them, and one */
	zoo_check(zoo_filled(a, 3 * PAGE, 1), "contents");
	zoo_check(zoo_filled(between, PAGE, 2), "what lies between the parts");
	a[5]++;
	zoo_check(b[5] == a[5] && ro[5] == a[5] && parts[5] == a[5], "it is not shared");
	a[7 * PAGE] = 9;
	zoo_same(moved[PAGE], 9);
	zoo_same(parts[64 * PAGE + PAGE], 9);
	a[7 * PAGE] = 0;
	a[5]--;
	zoo_check(zoo_faults(ro, true) && mprotect(ro, PAGE, PROT_READ | PROT_WRITE) < 0,
		  "attached for reading only, but writable");
	zoo_check(zoo_faults(parts + PAGE, true) && !zoo_faults(parts + PAGE, false), "protection");
	zoo_check(!zoo_mapped(parts + 2 * PAGE) && !zoo_mapped(parts + 5 * PAGE),
		  "a part came back");
	zoo_need(shmdt(b) == 0);
	zoo_same(stat_of(id).shm_nattch, 5);
	zoo_need(shmdt(parts) ==
		 0); /* those at their place; the moved one belongs to another start */
	zoo_check(!zoo_mapped(parts) && !zoo_mapped(parts + PAGE), "detached, but there");
	zoo_check(zoo_filled(between, PAGE, 2), "shmdt(2) took what was not its");
	zoo_need(shmdt(moved - 6 * PAGE) == 0);
	zoo_same(stat_of(id).shm_nattch, 2);

	ds = stat_of(removed);
	zoo_same(ds.shm_perm.mode, 01600);
	zoo_check(zoo_filled(gone, 2 * PAGE, 3), "contents of a removed one");
	zoo_need(shmdt(gone) == 0);
	zoo_check(shmctl(removed, IPC_STAT, &ds) < 0, "a removed one stays");

	ds = stat_of(tail);
	zoo_same(ds.shm_segsz, PAGE + 100);
	zoo_same(ds.shm_perm.mode, 02606);
	zoo_same(ds.shm_perm.uid, 1234);
	zoo_same(ds.shm_perm.cuid, geteuid());
	zoo_check(zoo_filled(odd, 2 * PAGE, 4), "contents to the end of the last page");
	zoo_need(shmctl(tail, IPC_RMID, NULL) == 0 && shmctl(id, IPC_RMID, NULL) == 0);
	return zoo_end();
}
