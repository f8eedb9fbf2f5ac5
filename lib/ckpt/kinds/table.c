// SPDX-License-Identifier: LGPL-2.1-or-later
/* The table of kinds: a new kind is one row here and one file beside this one. */
#include "kinds.h"

const struct ckpt_kind *const ckpt_kinds[] = {
	&kind_procpid,	 &kind_shmem,	&kind_hugeshm,	   &kind_memfd,	  &kind_regular,
	&kind_directory, &kind_opath,	&kind_tty,	   &kind_chardev, &kind_pipe,
	&kind_fifo,	 &kind_inotify, &kind_unsupported, NULL,
};
