/*
 * page: the page at /, which is compiled into the program.
 */
#ifndef PAGE_H
#define PAGE_H

struct http_session;

void page_reply(struct http_session *s);

#endif
