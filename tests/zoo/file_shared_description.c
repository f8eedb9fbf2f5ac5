/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: norerun */
/* Descriptors of one description share the offset and flags; two opens of one file do not. */
#include "zoo.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef KCMP_FILE
#define KCMP_FILE 0
#endif

static bool same_description(int a, int b)
{
	return syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, a, b) == 0;
}

int main(void)
{
	static unsigned char text[10000];
	int fd, dup1, high, apart;

	zoo_start();
	fd = open("file", O_CREAT | O_RDWR, 0600);
	zoo_need(fd >= 0 && write(fd, text, sizeof(text)) == sizeof(text));
	dup1 = dup(fd);
	high = dup3(fd, 1000, O_CLOEXEC);
	apart = open("file", O_RDWR);
	zoo_need(dup1 >= 0 && high == 1000 && apart >= 0);
	zoo_need(lseek(fd, 1234, SEEK_SET) == 1234 && lseek(apart, 99, SEEK_SET) == 99);
	zoo_ready();
	zoo_wait();

	zoo_same(lseek(dup1, 0, SEEK_CUR), 1234);
	zoo_same(lseek(high, 0, SEEK_CUR), 1234);
	zoo_same(lseek(apart, 0, SEEK_CUR), 99);
	zoo_same(fcntl(high, F_GETFD), FD_CLOEXEC);
	zoo_same(fcntl(fd, F_GETFD), 0);
	zoo_check(same_description(fd, dup1) && same_description(fd, high), "not one description");
	zoo_check(!same_description(fd, apart), "one description of two");
	zoo_check(same_description(1, 2), "standard output and error");
	zoo_same(lseek(dup1, 10, SEEK_CUR), 1244);
	zoo_same(lseek(fd, 0, SEEK_CUR), 1244);
	zoo_need(fcntl(high, F_SETFL, O_APPEND) == 0);
	zoo_check(fcntl(fd, F_GETFL) & O_APPEND, "flags not shared");
	zoo_check(!(fcntl(apart, F_GETFL) & O_APPEND), "flags shared");
	return zoo_end();
}
