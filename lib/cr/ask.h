/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the library has a checkpoint or a restart done: it starts the command, which answers through
 * the handle. The handle is a pipe, open for reading and writing by one descriptor of the program;
 * the command opens it by way of /proc whenever it has something to say, and holds nothing of it in
 * between, so that the program can be saved.
 *
 * The command's arguments: CR_ASK_COMMAND, "checkpoint" or "restart", and numbers in decimal:
 *
 *	checkpoint HANDLE INODE CALLER SCOPE TARGET SIGNAL TIMEOUT FLAGS FD
 *	restart    HANDLE INODE CALLER SIGNAL FLAGS FD [OLD NEW]...
 *
 * HANDLE is the caller's descriptor, INODE that of the pipe. FD is the number of the context file
 * in the command, or CR_DEST_CWD.
 */
#ifndef CR_ASK_H
#define CR_ASK_H

#include <stdint.h>

#define CR_ASK_COMMAND "cr-helper"
#define CR_ASK_FD      3
#define CR_ASK_MAGIC   0x41435243u
#define CR_ASK_TEXT    3000 /* of one packet, which must be written whole (PIPE_BUF) */

enum cr_answer_type {
	CR_ANSWER_STARTED = 1, /* it is under way; or error tells why not */
	CR_ANSWER_LOG = 2,     /* a piece of the messages */
	CR_ANSWER_RESULT = 3   /* it is over */
};

struct cr_answer {
	uint32_t magic, type;
	int32_t error; /* an errno, or 0 */
	int32_t pid;   /* restart: of the first process */
	uint32_t len;  /* bytes of text that follow */
};

#endif
