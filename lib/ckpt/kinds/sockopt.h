/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Options of sockets, saved and set by a table. */
#ifndef CKPT_SOCKOPT_H
#define CKPT_SOCKOPT_H

#include "../err.h"

#include <jansson.h>

enum sockopt_type { SOCKOPT_INT, SOCKOPT_TIME, SOCKOPT_LINGER };

struct sockopt {
	const char *name; /* in the image; NULL ends a table */
	int level, option;
	enum sockopt_type type;
	int set_by; /* another option that sets it, to half of what it then is; 0: the same */
};

/* What SOL_SOCKET has for sockets of every family. */
extern const struct sockopt sockopts_common[];

/* As members of a new object `key` of `o`. Options that the kernel or the family does not know are
 * left out. */
int sockopts_save(int fd, const struct sockopt *table, json_t *o, const char *key,
		  struct ckpt_err **err);
/* Set what differs. */
int sockopts_restore(int fd, const struct sockopt *table, const json_t *o, const char *key,
		     struct ckpt_err **err);

#endif
