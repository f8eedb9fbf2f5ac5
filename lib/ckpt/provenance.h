/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where a descriptor comes from: a running observer knows, and check and attach ask it. They meet
 * at a socket in a directory of root's in /run. See also observe_offer.c, the other side.
 */
#ifndef CKPT_PROVENANCE_H
#define CKPT_PROVENANCE_H

#include "err.h"

#include <stdint.h>

#define PROVENANCE_DIR	    "/run/ebpf-ckpt"
#define PROVENANCE_PREFIX   "observe-"
#define PROVENANCE_TRACER   "trace" /* the socket of the one that "load --trace" keeps */
#define PROVENANCE_MAGIC    0x70726f76
#define PROVENANCE_STATE    0x70726f73 /* instead: what do you observe? */
#define PROVENANCE_TEXT_MAX 512

/* A packet each way (SOCK_SEQPACKET); the answer is a text with its NUL, "" when nothing is known.
 */
struct provenance_request {
	uint32_t magic;
	int32_t pid, fd;
};

/* The answer to PROVENANCE_STATE, from a program of the same version. */
struct provenance_state {
	uint32_t magic; /* PROVENANCE_STATE */
	uint32_t size;	/* of all that */
	char version[32];
	struct ckpt_tracer tracer; /* pid, answers, same apart */
};

/*
 * The directory, which must be ours alone: *ret_fd. 0, or a negative errno: -ENOENT without
 * `make`; -EPERM: it is somebody else's, or others may write there.
 */
int provenance_open_dir(bool make, int *ret_fd);
/* To an observer's socket in that directory; it waits half a second at most. -1: nobody that we
 * trust is there. */
int provenance_connect(int dir, const char *name);
/* Does the other end of this connection run as the same user as we? */
bool provenance_is_trusted(int fd);

/* Add to what is refused of descriptors where they come from, as far as an observer knows. */
void provenance_note(struct ckpt_findings *f);

#endif
