// SPDX-License-Identifier: LGPL-2.1-or-later
/* The table of kinds: a new kind is one row here and one file beside this one. */
#include "kinds.h"

const struct ckpt_kind *const ckpt_kinds[] = {
	/* clang-format off */
	&kind_procpid,
	&kind_shmem,
	&kind_hugeshm,
	&kind_sysvshm,
	&kind_mqueue,
	&kind_posixshm,
	&kind_bpfmap,
	&kind_memfd,
	&kind_regular,
	&kind_directory,
	&kind_opath,
	&kind_tty,
	&kind_ptmx,
	&kind_chardev,
	&kind_pipe,
	&kind_fifo,
	&kind_eventfd,
	&kind_timerfd,
	&kind_signalfd,
	&kind_pidfds,
	&kind_namespace,
	&kind_epoll,
	&kind_unix,
	&kind_inotify,
	&kind_fanotify,
	&kind_unsupported,
	NULL,
	/* clang-format on */
};
