/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Locked memory: mlock, mlock2 on fault, and mlockall for the future. */
#include "zoo.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SIZE (64UL * 4096)

int main(void)
{
	unsigned char *locked, *on_fault, *future, *plain;
	char *flags[3], *now;
	long long bytes;

	zoo_start();
	plain = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	locked = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	on_fault = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zoo_need(plain != MAP_FAILED && locked != MAP_FAILED && on_fault != MAP_FAILED);
	zoo_need(mlock(locked, SIZE) == 0);
	zoo_need(mlock2(on_fault, SIZE, MLOCK_ONFAULT) == 0);
	zoo_need(mprotect(on_fault, SIZE, PROT_READ | PROT_WRITE) == 0);
	zoo_need(mlockall(MCL_FUTURE | MCL_ONFAULT) == 0);
	on_fault[0] = 1;
	zoo_fill(locked, SIZE / 2, 1);
	flags[0] = zoo_smaps(locked, "VmFlags");
	flags[1] = zoo_smaps(on_fault, "VmFlags");
	flags[2] = zoo_smaps(plain, "VmFlags");
	zoo_need(strstr(flags[0], " lo") && strstr(flags[1], " lf"));
	bytes = zoo_number("/proc/self/status", "VmLck");
	zoo_ready();
	zoo_wait();

	now = zoo_smaps(locked, "VmFlags");
	zoo_check(!strcmp(now, flags[0]), "locked: flags '%s', were '%s'", now, flags[0]);
	now = zoo_smaps(on_fault, "VmFlags");
	zoo_check(!strcmp(now, flags[1]), "locked on fault: flags '%s', were '%s'", now, flags[1]);
	now = zoo_smaps(plain, "VmFlags");
	zoo_check(!strcmp(now, flags[2]), "not locked: flags '%s', were '%s'", now, flags[2]);
	zoo_check(labs((long)(zoo_number("/proc/self/status", "VmLck") - bytes)) <= 1024,
		  "VmLck %lld, was %lld", zoo_number("/proc/self/status", "VmLck"), bytes);
	zoo_check(zoo_filled(locked, SIZE / 2, 1) && on_fault[0] == 1, "contents");
	/* Every page of a locked area is there, only the touched ones of the other. */
	unsigned char vec[64];
	int there = 0;

	now = zoo_smaps(locked, "Rss");
	zoo_same(atoi(now), SIZE / 1024);
	zoo_need(mincore(on_fault, SIZE, vec) == 0);
	for (int i = 0; i < 64; i++)
		there += vec[i] & 1;
	zoo_same(there, 1);
	/* The future is locked, on fault. */
	future = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zoo_need(future != MAP_FAILED);
	/* It may have grown together with a neighbour of equal flags: any locked area will do. */
	long long after = zoo_number("/proc/self/status", "VmLck");

	zoo_check(after >= bytes + (long long)SIZE / 1024,
		  "a new area is not locked (VmLck %lld, %lld)", after, bytes);
	return zoo_end();
}
