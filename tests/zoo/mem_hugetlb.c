/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: hugepages=12 */
/* Explicit huge pages, private and shared. */
#include "zoo.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE (2UL << 20)

int main(void)
{
	unsigned char *private, *shared;
	int flags = MAP_ANONYMOUS | MAP_HUGETLB | (21 << MAP_HUGE_SHIFT);

	zoo_start();
	private = mmap(NULL, 3 * HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | flags, -1, 0);
	if (private == MAP_FAILED)
		zoo_skip("no huge pages (vm.nr_hugepages)");
	shared = mmap(NULL, 2 * HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | flags, -1, 0);
	zoo_need(shared != MAP_FAILED);
	zoo_fill(private, HUGE_PAGE, 1);
	private[3 * HUGE_PAGE - 1] = 3;
	zoo_fill(shared, HUGE_PAGE, 2);
	zoo_ready();
	zoo_wait();

	zoo_check(zoo_filled(private, HUGE_PAGE, 1), "private contents");
	zoo_same(private[3 * HUGE_PAGE - 1], 3);
	zoo_same(private[HUGE_PAGE], 0);
	zoo_check(zoo_filled(shared, HUGE_PAGE, 2), "shared contents");
	zoo_same(shared[HUGE_PAGE], 0);
	zoo_check(!strcmp(zoo_smaps(private, "KernelPageSize"), "2048 kB"), "private: page size %s",
		  zoo_smaps(private, "KernelPageSize"));
	zoo_check(!strcmp(zoo_smaps(shared, "KernelPageSize"), "2048 kB"), "shared: page size %s",
		  zoo_smaps(shared, "KernelPageSize"));
	zoo_check(strstr(zoo_smaps(shared, "VmFlags"), " ht"), "not hugetlb");
	return zoo_end();
}
