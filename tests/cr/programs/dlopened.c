// SPDX-License-Identifier: LGPL-2.1-or-later
/* Opens the library named, uses it, and closes it, again and again, until SIGTERM. */
#include <dlfcn.h>
#include <libcr.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

static volatile sig_atomic_t stop;

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

static int callback(void *arg)
{
	int (*checkpoint)(int) = *(int (**)(int))arg;

	checkpoint(CR_CHECKPOINT_READY);
	return 0;
}

int main(int argc, char **argv)
{
	static int (*checkpoint)(int);

	if (argc != 2)
		return 2;
	signal(SIGTERM, on_term);
	while (!stop) {
		const struct timespec moment = { 0, 2000000 };
		void *library = dlopen(argv[1], RTLD_NOW);
		cr_client_id_t (*init)(void);
		cr_callback_id_t (*add)(cr_callback_t, void *, int);

		if (!library) {
			fprintf(stderr, "%s\n", dlerror());
			return 1;
		}
		*(void **)&init = dlsym(library, "cr_init");
		*(void **)&add = dlsym(library, "cr_register_callback");
		*(void **)&checkpoint = dlsym(library, "cr_checkpoint");
		if (init() < 0 || add(callback, &checkpoint, CR_SIGNAL_CONTEXT) < 0)
			return 1;
		nanosleep(&moment, NULL);
		dlclose(library);
	}
	return 0;
}
