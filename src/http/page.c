/*
 * page: the page at /.
 *
 * It is one file, page.html.  The Makefile makes the hashes of its script and of its style,
 * which are the only ones that the browser may use.
 */
#include <event2/buffer.h>

#include "http_reply.h"
#include "page.h"
#include "page_hash.h"

extern const char page_start[], page_end[];
__asm__(".section .rodata\n"
	".global page_start, page_end\n"
	"page_start:\n"
	".incbin \"src/http/page.html\"\n"
	"page_end:\n"
	".byte 0\n"
	".previous\n");

static const char headers[] =
    "Content-Security-Policy: default-src 'self'; script-src " PAGE_SCRIPT_HASH
    "; style-src " PAGE_STYLE_HASH
    "; img-src 'self' data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'\r\n"
    "X-Frame-Options: DENY\r\n";

void
page_reply(struct http_session *s)
{
	evbuffer_add_reference(
	    s->out, page_start, (size_t)(page_end - page_start), NULL, NULL);
	http_reply_whole(s, 200, "text/html; charset=utf-8", headers);
}
