/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: norerun */
/*
 * A datagram socket connected to a service of another process, as those of syslog(3) are: it comes
 * back connected to the same name.
 */
#include "zoo_unix.h"

#include <fcntl.h>
#include <sys/wait.h>

static char buf[100];

/* Takes messages, and writes them into a file; not a child of the program's. */
static void serve(int fd)
{
	int log = open("service.log", O_WRONLY | O_CREAT | O_APPEND, 0666);

	alarm(60);
	setsid(); /* the program's ids shall be free when it is dead */
	while (recv(fd, buf, sizeof(buf), 0) == 3 && write(log, buf, 3) == 3)
		;
	_exit(0);
}

int main(void)
{
	int fd, client, peer;
	char text[10] = "", path[100];

	zoo_start();
	/* Found again wherever the restore runs: so it has to be absolute. */
	zoo_need(getcwd(path, sizeof(path) - 10) && strcat(path, "/service"));
	fd = unix_make(SOCK_DGRAM, path);
	if (fork() == 0) {
		if (fork() == 0)
			serve(fd);
		_exit(0);
	}
	zoo_need(wait(NULL) > 0 && close(fd) == 0);
	zoo_need((peer = open("service.log", O_RDONLY | O_CREAT, 0666)) >= 0);
	client = unix_make(SOCK_DGRAM, NULL);
	zoo_need(unix_try(client, path) == 0 && send(client, "one", 3, 0) == 3);
	zoo_ready();
	zoo_wait();

	zoo_check(unix_name_is(client, true, path), "its peer");
	zoo_same(send(client, "two", 3, 0), 3);
	for (int i = 0; i < 1000 && pread(peer, text, 6, 0) != 6; i++)
		zoo_sleep_ms(5);
	zoo_check(!strcmp(text, "onetwo"), "the service got %s", text);
	zoo_same(send(client, "", 0, 0), 0);
	return zoo_end();
}
