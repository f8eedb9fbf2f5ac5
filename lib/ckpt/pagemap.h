/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The PAGEMAP_SCAN ioctl of /proc/PID/pagemap (Linux 6.7,
 * Documentation/admin-guide/mm/pagemap.rst), for build machines whose headers are older.
 */
#ifndef CKPT_PAGEMAP_H
#define CKPT_PAGEMAP_H

#include <stdint.h>
#include <sys/ioctl.h>

struct pagemap_region {
	uint64_t start, end, categories;
};

struct pagemap_scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define PAGEMAP_SCAN_IOCTL _IOWR('f', 16, struct pagemap_scan)

#define PAGEMAP_WRITTEN 0x2ULL
#define PAGEMAP_FILE	0x4ULL
#define PAGEMAP_PRESENT 0x8ULL
#define PAGEMAP_SWAPPED 0x10ULL
#define PAGEMAP_PFNZERO 0x20ULL
#define PAGEMAP_HUGE	0x40ULL
#define PAGEMAP_GUARD	0x100ULL

#endif
