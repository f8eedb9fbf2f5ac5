// SPDX-License-Identifier: LGPL-2.1-or-later
/* A process with nothing in it. */
#include "target.h"

int main(int argc, char **argv)
{
	target_count(argc, argv);
	target_ready_and_sleep(argv);
}
