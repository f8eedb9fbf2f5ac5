// SPDX-License-Identifier: LGPL-2.1-or-later
/* The files of cli/page/ in the program. The assembler reads them; PAGE_DIR comes from CMake. */
#include "observe_page.h"

#define INCLUDE(name) "\t.incbin \"" PAGE_DIR "/" name "\"\n"
#define BEGIN(symbol) "\t.balign 8\n" #symbol ":\n"
#define END(symbol)   #symbol "_end:\n"

__asm__("\t.pushsection .rodata, \"a\", @progbits\n"
	/* clang-format off */
	BEGIN(observe_page_html_text)
	INCLUDE("page.html")
	END(observe_page_html_text)
	BEGIN(observe_page_css_text)
	INCLUDE("page.css")
	END(observe_page_css_text)
	BEGIN(observe_page_js_text)
	INCLUDE("model.js")
	INCLUDE("rows.js")
	INCLUDE("draw.js")
	INCLUDE("timeline.js")
	INCLUDE("panel.js")
	INCLUDE("main.js")
	END(observe_page_js_text)
	/* clang-format on */
	"\t.popsection\n");

extern const char observe_page_html_text[], observe_page_html_text_end[];
extern const char observe_page_css_text[], observe_page_css_text_end[];
extern const char observe_page_js_text[], observe_page_js_text_end[];

struct observe_page_part observe_page_html(void)
{
	return (struct observe_page_part){ observe_page_html_text, observe_page_html_text_end };
}

struct observe_page_part observe_page_css(void)
{
	return (struct observe_page_part){ observe_page_css_text, observe_page_css_text_end };
}

struct observe_page_part observe_page_js(void)
{
	return (struct observe_page_part){ observe_page_js_text, observe_page_js_text_end };
}
