// SPDX-License-Identifier: LGPL-2.1-or-later
/* Text and numbers for people, and values for JSON. */
#include "cli.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static _Noreturn void out_of_memory(void)
{
	static const char text[] = PROGRAM ": out of memory [CKPT_E_NOMEM]\n";
	ssize_t rc = write(STDERR_FILENO, text, sizeof(text) - 1);

	_exit(rc < 0 ? CLI_FAILED : CLI_FAILED);
}

char *cli_format(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		out_of_memory();
	va_end(ap);
	return s;
}

void *cli_alloc(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		out_of_memory();
	return p;
}

void *cli_realloc(void *p, size_t size)
{
	void *grown = realloc(p, size);

	if (!grown)
		out_of_memory();
	return grown;
}

/* RFC 3629: no overlong forms, no surrogates. NUL, which ends the text, is no continuation byte. */
size_t cli_decode(const char *text, uint32_t *ret)
{
	const unsigned char *p = (const unsigned char *)text;
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = p[0] < 0x80		   ? 1
		   : (p[0] & 0xe0) == 0xc0 ? 2
		   : (p[0] & 0xf0) == 0xe0 ? 3
		   : (p[0] & 0xf8) == 0xf0 ? 4
					   : 0;

	if (!n)
		return 0;
	uint32_t c = n == 1 ? p[0] : p[0] & (0x7fu >> n);

	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret = c;
	return n;
}

bool cli_acts(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x200e || c == 0x200f ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

char *cli_escape(const char *text, bool lines)
{
	char *out = NULL;
	size_t size;
	FILE *f = open_memstream(&out, &size);

	if (!f)
		out_of_memory();
	for (const char *p = text; *p;) {
		uint32_t c = 0;
		size_t n = cli_decode(p, &c);

		if (!n)
			fprintf(f, "\\x%02x", (unsigned char)*p);
		else if (c == '\n' && lines)
			fputc('\n', f);
		else if (cli_acts(c))
			fprintf(f, c < 0x80 ? "\\x%02x" : "\\u{%x}", c);
		else
			fwrite(p, 1, n, f);
		p += n ? n : 1;
	}
	if (fclose(f))
		out_of_memory();
	return out;
}

const char *cli_bytes(uint64_t bytes, char *buf)
{
	static const char *const unit[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double v = (double)bytes;
	size_t i = 0;

	/* 1023.96 would be rounded to 1024.0. */
	for (; v >= 1023.95 && i < 6; i++)
		v /= 1024;
	snprintf(buf, CLI_NUMBER_MAX, i ? "%.1f %s" : "%.0f %s", v, unit[i]);
	return buf;
}

const char *cli_duration(uint64_t us, char *buf)
{
	if (us < 1000)
		snprintf(buf, CLI_NUMBER_MAX, "%" PRIu64 " us", us);
	else if (us < 1000000)
		snprintf(buf, CLI_NUMBER_MAX, us < 9950 ? "%.1f ms" : "%.0f ms", (double)us / 1e3);
	else if (us < 120000000)
		snprintf(buf, CLI_NUMBER_MAX, us < 9950000 ? "%.1f s" : "%.0f s", (double)us / 1e6);
	else
		snprintf(buf, CLI_NUMBER_MAX, "%" PRIu64 " min %" PRIu64 " s", us / 60000000,
			 us / 1000000 % 60);
	return buf;
}

const char *cli_nanoseconds(uint64_t ns, char *buf)
{
	if (ns >= 10000)
		return cli_duration(ns / 1000, buf);
	if (ns >= 1000)
		snprintf(buf, CLI_NUMBER_MAX, "%.1f us", (double)ns / 1e3);
	else
		snprintf(buf, CLI_NUMBER_MAX, "%" PRIu64 " ns", ns);
	return buf;
}

uint64_t cli_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

char *cli_comm(pid_t pid)
{
	char path[64], name[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return cli_format("?");
	ssize_t n = read(fd, name, sizeof(name) - 1);

	close(fd);
	if (n <= 0)
		return cli_format("?");
	/* The kernel ends it with a newline; the name may hold others. */
	name[name[n - 1] == '\n' ? n - 1 : n] = '\0';
	return cli_escape(name, false);
}

char *cli_who(const char *comm, unsigned int tasks, unsigned int threads)
{
	_cleanup_free_ char *processes = tasks > 1 ? cli_format(", %u processes", tasks) : NULL;

	return cli_format("%s%s, %u thread%s", comm, processes ? processes : "", threads,
			  threads == 1 ? "" : "s");
}

bool cli_fancy(int fd)
{
	const char *term = getenv("TERM");

	return isatty(fd) && term && *term && strcmp(term, "dumb") != 0;
}

bool cli_colour(int fd)
{
	const char *no = getenv("NO_COLOR"); /* no-color.org: any value but the empty one */

	return cli_fancy(fd) && !(no && *no);
}

unsigned int cli_width(int fd)
{
	struct winsize ws;

	if (!isatty(fd))
		return 0;
	return !ioctl(fd, TIOCGWINSZ, &ws) && ws.ws_col >= 20 ? ws.ws_col : 80;
}

json_t *cli_json_text(const char *text)
{
	json_t *j = json_string(text);

	if (j)
		return j;
	/* Not UTF-8. */
	_cleanup_free_ char *safe = cli_escape(text, true);

	return json_string(safe);
}

json_t *cli_json_stages(const struct ckpt_stage *stages, size_t n)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n && i < CKPT_STAGES_MAX; i++)
		json_array_append_new(a, json_pack("{s:s, s:I}", "name", stages[i].name, "us",
						   (json_int_t)stages[i].us));
	return a;
}

void cli_json_print(json_t *j)
{
	/* jansson gives NULL for anything that it lacked the memory for. */
	if (!j)
		out_of_memory();
	/* What cannot be written is found when stdout is closed. */
	json_dumpf(j, stdout, 0);
	putchar('\n');
	json_decref(j);
}
