// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The last row of the table: everything that no other kind took. It saves nothing; it says what the
 * thing is, in a person's words, and what can be done about it.
 */
#include "../safe.h"
#include "../util.h"
#include "kinds.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fnmatch.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define SECRET_HINT                                                                                \
	"the kernel shows it to nobody but the program: let it clear and close it before the "     \
	"checkpoint, and make it anew afterwards"
#define CLOSE_FIRST "close it first, or checkpoint when the program does not use it"

/*
 * Told by the file system and the name that the kernel gave the file itself (a pattern of
 * fnmatch(3)). NULL: any. The first row that fits is taken.
 */
static const struct known {
	const char *fstype, *dname;
	const char *what, *hint;
} known[] = {
	{ "anon_inodefs", "[[]io_uring]", "an io_uring ring", "" },
	{ "anon_inodefs", "[[]userfaultfd]", "a userfaultfd",
	  "faults that wait for an answer cannot be made again: unregister the memory and close it first" },
	{ "anon_inodefs", "[[]perf_event]", "a perf event", "" },
	{ "anon_inodefs", "[[]fscontext]", "a file system that is being set up (fsopen(2))", "" },
	{ "anon_inodefs", "[[]landlock-ruleset]", "a Landlock rule set", "" },
	{ "anon_inodefs", "[[]mount_api]", "a detached mount", "" },
	{ "anon_inodefs", "[[]secretmem]", "secret memory (memfd_secret(2))", SECRET_HINT },
	{ "anon_inodefs", "seccomp notify", "a seccomp listener", "" },
	{ "anon_inodefs", "bpf-prog", "a BPF program", "" },
	{ "anon_inodefs", "bpf*", "a BPF object", "" },
	{ "anon_inodefs", "btf", "BPF type information", "" },
	{ "anon_inodefs", "kvm-*", "a virtual machine (KVM)", "" },
	{ "anon_inodefs", "*", "a kernel object", "" },
	{ "secretmem", NULL, "secret memory (memfd_secret(2))", SECRET_HINT },
	{ "aio", NULL, "a context of asynchronous I/O (io_setup(2))", "" },
	{ "dmabuf", NULL, "a buffer shared with a device (dma-buf)", "" },
	{ "drm", NULL, "a buffer of a graphics device", "" },
	{ "hugetlbfs", NULL, "shared huge pages", "" },
	{ "tmpfs", "memfd:*", "a memfd", "" },
	{ "tmpfs", "drm mm object", "a buffer of a graphics device", "" },
	{ "tmpfs", "i915", "a buffer of a graphics device", "" },
};

/* Devices by number (Documentation/admin-guide/devices.txt). Minor ~0u: any. */
static const struct device {
	bool block;
	unsigned int major, minor;
	const char *what;
} devices[] = {
	{ false, 1, 1, "physical memory" },
	{ false, 1, 4, "I/O ports" },
	{ false, 1, 11, "the kernel's log" },
	{ false, 10, 200, "a network tunnel (tun/tap)" },
	{ false, 10, 229, "a FUSE connection" },
	{ false, 10, 232, "the virtual machine monitor (KVM)" },
	{ false, 10, 228, "a high-precision event timer" },
	{ false, 13, ~0u, "an input device" },
	{ false, 29, ~0u, "a frame buffer" },
	{ false, 81, ~0u, "a video device" },
	{ false, 116, ~0u, "a sound device" },
	{ false, 195, ~0u, "an NVIDIA graphics device" },
	{ false, 226, ~0u, "a graphics device" },
	{ true, 7, ~0u, "a loop device" },
};

static const char *const families[] = {
	[AF_UNIX] = "unix",	  [AF_INET] = "IPv4",	  [AF_INET6] = "IPv6",
	[AF_NETLINK] = "netlink", [AF_PACKET] = "packet", [AF_ALG] = "crypto (AF_ALG)",
	[AF_VSOCK] = "vsock",	  [AF_XDP] = "XDP",	  [AF_BLUETOOTH] = "Bluetooth",
	[AF_CAN] = "CAN",	  [AF_KEY] = "IPsec key", [AF_TIPC] = "TIPC",
};

/* By TCP_ESTABLISHED and so on, which all protocols share. */
static const char *const states[] = {
	[TCP_ESTABLISHED] = "established", [TCP_SYN_SENT] = "connecting",
	[TCP_SYN_RECV] = "connecting",	   [TCP_FIN_WAIT1] = "closing",
	[TCP_FIN_WAIT2] = "closing",	   [TCP_TIME_WAIT] = "closing",
	[TCP_CLOSE] = "not connected",	   [TCP_CLOSE_WAIT] = "closed by its peer",
	[TCP_LAST_ACK] = "closing",	   [TCP_LISTEN] = "listening",
	[TCP_CLOSING] = "closing",
};

#define LOOK_UP(table, i) ((i) < sizeof(table) / sizeof((table)[0]) ? (table)[i] : NULL)

static bool is_socket(const struct kind_file *f)
{
	return f->file && (f->file->sock_id || S_ISSOCK(f->inode->mode));
}

static const char *socket_type(const struct rec_file *f)
{
	bool inet = f->sk_family == AF_INET || f->sk_family == AF_INET6;

	if (f->sk_type == SOCK_STREAM)
		return inet && f->sk_protocol == IPPROTO_TCP ? "TCP" : "stream";
	if (f->sk_type == SOCK_DGRAM)
		return inet && f->sk_protocol == IPPROTO_UDP ? "UDP" : "datagram";
	if (f->sk_type == SOCK_SEQPACKET)
		return "seqpacket";
	return f->sk_type == SOCK_RAW ? "raw" : "other";
}

static void address(uint32_t addr, uint16_t port, char *buf, size_t len)
{
	char text[INET_ADDRSTRLEN] = "?";

	inet_ntop(AF_INET, &addr, text, sizeof(text));
	snprintf(buf, len, "%s:%u", text, port);
}

/* "TCP connection to 10.0.0.5:5432", "TCP socket listening on 0.0.0.0:80", "unix stream socket". */
static void describe_socket(const struct rec_file *f, char *buf, size_t len)
{
	const char *family = LOOK_UP(families, f->sk_family), *state = LOOK_UP(states, f->sk_state);
	bool ip = f->sk_family == AF_INET || f->sk_family == AF_INET6;
	bool v4 = f->sk_family == AF_INET;
	bool named = ip && (f->sk_protocol == IPPROTO_TCP || f->sk_protocol == IPPROTO_UDP);
	char peer[40], self[40], type[64];

	snprintf(type, sizeof(type), "%s%s%s",
		 named	  ? ""
		 : family ? family
			  : "unknown",
		 named ? "" : " ", socket_type(f));
	address(f->sk_dst4, f->sk_dport, peer, sizeof(peer));
	address(f->sk_src4, f->sk_sport, self, sizeof(self));
	if (ip && f->sk_type == SOCK_STREAM && f->sk_state == TCP_LISTEN)
		snprintf(buf, len, "%s socket, listening on %s%.0u", type, v4 ? self : "port ",
			 v4 ? 0u : f->sk_sport);
	else if (ip && f->sk_dport)
		snprintf(buf, len, "%s connection to %s%.0u, %s", type, v4 ? peer : "port ",
			 v4 ? 0u : f->sk_dport, state ? state : "in an unknown state");
	else
		snprintf(buf, len, "%s socket%s%s", type, state && ip ? ", " : "",
			 state && ip ? state : "");
}

static const struct known *find_known(const struct rec_inode *ino)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		const struct known *k = &known[i];

		if (!strcmp(k->fstype, ino->fstype) &&
		    (!k->dname || fnmatch(k->dname, ino->dname, 0) == 0))
			return k;
	}
	return NULL;
}

static const char *device_what(const struct rec_inode *ino)
{
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		if (devices[i].block == S_ISBLK(ino->mode) && devices[i].major == ino->rdev_major &&
		    (devices[i].minor == ~0u || devices[i].minor == ino->rdev_minor))
			return devices[i].what;
	return NULL;
}

static void describe_device(const struct kind_file *f, char *buf, size_t len)
{
	const char *what = device_what(f->inode);
	char path[200];

	snprintf(buf, len, "%s device %s (%u:%u%s%s)",
		 S_ISBLK(f->inode->mode) ? "block" : "character",
		 safe_text(path, sizeof(path), f->path), f->inode->rdev_major, f->inode->rdev_minor,
		 what ? ", " : "", what ? what : "");
}

static void describe(const struct kind_file *f, char *buf, size_t len)
{
	const struct known *k = find_known(f->inode);
	char name[REC_DNAME_LEN * 4], path[200];

	if (is_socket(f))
		describe_socket(f->file, buf, len);
	else if (k)
		snprintf(buf, len, "%s (%s)", k->what,
			 safe_text(name, sizeof(name), f->inode->dname));
	else if (S_ISCHR(f->inode->mode) || S_ISBLK(f->inode->mode))
		describe_device(f, buf, len);
	else
		snprintf(buf, len, "file %s of file system %s",
			 safe_text(path, sizeof(path), f->path[0] ? f->path : f->inode->dname),
			 safe_text(name, sizeof(name), f->inode->fstype));
}

static bool match(const struct kind_file *f)
{
	(void)f;
	return true;
}

static int check_socket(const struct kind_file *f, struct ckpt_err **err)
{
	char what[160];

	describe_socket(f->file, what, sizeof(what));
	ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED, "sockets are not supported yet (%s)", what);
	ckpt_hint(err, "%s", CLOSE_FIRST);
	return -EOPNOTSUPP;
}

static int check(const struct kind_dump *d, const struct kind_file *f, struct ckpt_err **err)
{
	const struct known *k = find_known(f->inode);
	char what[400];

	(void)d;
	if (is_socket(f))
		return check_socket(f, err);
	describe(f, what, sizeof(what));
	if (k)
		ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED, "%s is not supported yet", k->what);
	else
		ckpt_fail(err, EOPNOTSUPP, CKPT_E_UNSUPPORTED, "%s cannot be saved", what);
	ckpt_hint(err, "%s", k && k->hint[0] ? k->hint : CLOSE_FIRST);
	return -EOPNOTSUPP;
}

/* Reached only when nobody asked check() before. */
static int save(struct kind_dump *d, const struct kind_file *f, json_t *o, struct ckpt_err **err)
{
	(void)o;
	return check(d, f, err);
}

const struct ckpt_kind kind_unsupported = {
	.name = "unsupported",
	.match = match,
	.check = check,
	.save = save,
	.describe = describe,
};
