/*
 * telnet_filter: a link that speaks telnet.
 */
#ifndef TELNET_FILTER_H
#define TELNET_FILTER_H

#include "link_filter.h"
#include "telnet.h"

struct telnet_filter;

/* What a filter does with commands.  Members may be NULL, except options. */
struct telnet_handler {
	const struct telnet_option *options;
	unsigned noptions;
	/*
	 * An option was agreed on or dropped, or a subnegotiation or another command was
	 * received; see telnet.h.  Called for them in their order.  after_data: the owner
	 * has not got the data before it yet.  Returns false if it must wait: it is called
	 * again.
	 */
	bool (*event)(
	    struct telnet_filter *, enum telnet_event, bool after_data);
	/* Describes what it waits for. */
	void (*label)(const struct telnet_filter *, char *buf, size_t size);
	void (*save)(const struct telnet_filter *, struct pack *);
	void (*restore)(struct telnet_filter *, struct unpack *);
	/* Frees the filter; NULL: free(). */
	void (*free)(struct telnet_filter *);
};

struct telnet_filter {
	struct filter filter;
	struct telnet telnet;
	const struct telnet_handler *handler;
	enum telnet_event event; /* to be handled */
};

/* The handlers of plain telnet, of a server and of a client. */
extern const struct telnet_handler telnet_client;

/* Makes the link, which is being created, speak telnet; the filter must be zeroed. */
void telnet_attach(struct link *link, struct telnet_filter *filter,
    const struct telnet_handler *handler);
/* The same for a connection on which the options were agreed on before: their state. */
void telnet_attach_agreed(struct link *link, struct telnet_filter *filter,
    const struct telnet_handler *handler, const struct telnet *agreed);
/* Sends a subnegotiation of up to 255 bytes; false: there is no room for it now. */
bool telnet_filter_sub(struct telnet_filter *filter, uint8_t option,
    const uint8_t *data, size_t len);

#endif
