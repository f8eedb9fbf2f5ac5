// SPDX-License-Identifier: LGPL-2.1-or-later
/* Facts of the machine. See hostinfo.h. */
#include "hostinfo.h"
#include "image.h"
#include "util.h"

#include <cpuid.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/utsname.h>
#include <time.h>
#include <xxhash.h>

/* The features that XSAVE saves here (XCR0), and the size of its area. */
static void xstate_facts(uint64_t *features, uint32_t *size)
{
	uint32_t a = 0, b = 0, c = 0, d = 0;

	*features = 0;
	*size = 0;
	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
		return;
	__asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
	*features = (uint64_t)d << 32 | a;
	if (__get_cpuid_count(13, 0, &a, &b, &c, &d))
		*size = b;
}

/*
 * Checksum of the vdso's text and data as it stands in the kernel. A restored program calls into it
 * at addresses that it knew before: it must be the same.
 */
static uint64_t vdso_sum(void)
{
	const unsigned char *vdso = (const unsigned char *)(uintptr_t)getauxval(AT_SYSINFO_EHDR);

	return vdso ? XXH3_64bits(vdso, 4096) : 0;
}

static int times_and_names(json_t *m)
{
	struct utsname u;
	struct timespec now;
	struct tm tm;
	char text[32];
	json_t *host = json_object();
	int rc = json_object_set_new(m, "host", host);

	if (uname(&u) < 0 || clock_gettime(CLOCK_REALTIME, &now) < 0 ||
	    !gmtime_r(&now.tv_sec, &tm) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		return -1;
	rc |= json_object_set_new(m, "created", json_string(text));
	rc |= js_set_bytes(host, "name", u.nodename);
	rc |= js_set_bytes(host, "kernel", u.release);
	rc |= js_set_bytes(host, "machine", u.machine);
	return rc;
}

int host_save(json_t *m, bool compressed, struct ckpt_err **err)
{
	json_t *required = json_array(), *host;
	uint64_t features;
	uint32_t size;
	int rc = json_object_set_new(m, "format", json_string(IMAGE_FORMAT));

	xstate_facts(&features, &size);
	rc |= js_set_int(m, "version", IMAGE_VERSION);
	rc |= json_object_set_new(m, "writer", json_string("ebpf-ckpt " EBPF_CKPT_VERSION));
	rc |= json_object_set_new(m, "required", required);
	if (compressed)
		rc |= json_array_append_new(required, json_string("zstd"));
	rc |= times_and_names(m);
	host = json_object_get(m, "host");
	rc |= js_set_hex(host, "xstate_features", features);
	rc |= js_set_int(host, "xstate_bytes", size);
	rc |= js_set_hex(host, "vdso_xxh3", vdso_sum());
	return rc ? ckpt_fail_nomem(err) : 0;
}

int host_need(const json_t *m, struct ckpt_err **err)
{
	json_t *host;
	const char *machine = NULL, *kernel = NULL;
	uint64_t features = 0, here, vdso = 0;
	struct utsname u;
	uint32_t size;
	int rc = js_obj(m, "host", &host, err);

	if (rc == 0)
		rc = js_str(host, "machine", &machine, err);
	if (rc == 0)
		rc = js_str(host, "kernel", &kernel, err);
	if (rc == 0)
		rc = js_u64(host, "xstate_features", &features, err);
	if (rc == 0)
		rc = js_u64(host, "vdso_xxh3", &vdso, err);
	if (rc < 0)
		return rc;
	if (uname(&u) < 0 || strcmp(machine, u.machine))
		return ckpt_fail(err, ENOEXEC, CKPT_E_MACHINE,
				 "the image was made on %s, this machine is %s", machine,
				 u.machine);
	xstate_facts(&here, &size);
	if (features & ~here)
		return ckpt_fail(
			err, ENOEXEC, CKPT_E_MACHINE,
			"the image needs processor state (XSAVE features %#llx) that this machine lacks",
			(unsigned long long)(features & ~here));
	if (vdso && vdso != vdso_sum()) {
		ckpt_fail(err, ENOEXEC, CKPT_E_MACHINE,
			  "this kernel's vdso differs from that of %s, where the image was made",
			  kernel);
		ckpt_hint(err, "boot kernel %s", kernel);
		return -ENOEXEC;
	}
	return 0;
}
