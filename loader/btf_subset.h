/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The part of the running kernel's type information that the programs ask for. */
#ifndef EBPF_CKPT_BTF_SUBSET_H
#define EBPF_CKPT_BTF_SUBSET_H

#include <bpf/btf.h>

/*
 * libbpf looks for each type that a program names among all of the kernel's 126,000, which makes
 * most of the time of loading. This makes a small set of types for it to look in: those of the
 * kernel that have a name of `wanted`, with the types they contain. Returns a descriptor (a memfd,
 * owned by the caller) with the raw BTF, or a negative errno; libbpf then reads the kernel's own,
 * and all that is lost is time.
 */
int btf_subset(const struct btf *wanted);

#endif
