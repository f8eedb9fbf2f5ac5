/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The page of "observe --html" as it is in the program: cli/page/, put in by observe_page.c. */
#ifndef CLI_OBSERVE_PAGE_H
#define CLI_OBSERVE_PAGE_H

#include <stddef.h>

struct observe_page_part {
	const char *text, *end;
};

/* @@NAME@@ in the page is replaced by what has that name: "css", "js", and what is told of the
 * run. */
struct observe_page_part observe_page_html(void);
struct observe_page_part observe_page_css(void);
struct observe_page_part observe_page_js(void);

#endif
