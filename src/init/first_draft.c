/*
 * first_draft: sections for serial ports of this machine.
 */
#include <string.h>

#include "first_draft.h"

#define TCP_PORT 5011
#define LIST_MAX 4096 /* names in a list */

/* What is known of a port, for a comment. */
static void
describe(struct draft *d, const struct serial_info *port)
{
	draft_comment(d, "%s%s%s%s%s%s%s", port->path,
	    port->description[0] != '\0' ? ": " : "", port->description,
	    port->usb[0] != '\0' ? ", USB " : "", port->usb,
	    port->driver[0] != '\0' ? ", driver " : "", port->driver);
}

static void
write_port(struct draft *d, const struct serial_info *port,
    const struct answer_device *device, char name[DRAFT_NAME_MAX])
{
	const char *slash = strrchr(port->path, '/');

	draft_block(d, 0);
	describe(d, port);
	draft_section(d, "serial",
	    draft_name(d, slash != NULL ? slash + 1 : port->path, name));
	if (port->by_id[0] != '\0')
		draft_comment(d,
		    "The path is the same wherever the device is plugged in.");
	draft_key(d, "device", "%s",
	    port->by_id[0] != '\0' ? port->by_id : port->path);
	draft_comment(d, "Speed, data bits, parity and stop bits.");
	draft_key(d, "baud", "%u", device->baud);
	draft_key(d, "mode", "%s", device->mode);
	draft_comment(
	    d, "How messages begin and end; raw: bytes as they come.");
	draft_key(d, "framing", "%s", device->framing);
}

/* The server, whose clients speak like the device. */
static void
write_server(struct draft *d, const struct answer_device *device, bool read,
    const struct answer_access *access, char name[DRAFT_NAME_MAX])
{
	bool modbus = strcmp(device->framing, "modbus-rtu") == 0;
	bool open = access->networks[0] != '\0';

	draft_block(d, 0);
	draft_comment(d, "For programs of this machine%s: %s",
	    open ? " and of these networks" : "",
	    modbus     ? "Modbus TCP"
		: read ? "nc localhost 5011 shows what passes"
		       : "nc localhost 5011");
	draft_section(d, "tcp-server", draft_name(d, "lan", name));
	draft_key(d, "listen", "%s:%u", open ? "*" : "127.0.0.1", TCP_PORT);
	if (open)
		draft_key(d, "allow", "%s", access->networks);
	draft_key(d, "framing", "%s",
	    modbus && !read ? "modbus-tcp" : device->framing);
	if (read) {
		draft_comment(d,
		    "What clients send is discarded; all: it is"
		    " forwarded.");
		draft_key(d, "role", "read");
	}
}

/* One port and its server. */
static void
write_single(struct draft *d, const struct answer_device *device,
    const char *port, const char *server)
{
	draft_block(d, 0);
	if (strcmp(device->framing, "modbus-rtu") != 0) {
		draft_comment(d, "What one of them sends, the other gets.");
		draft_section(d, "route", port);
		draft_key(d, "between", "%s %s", port, server);
		return;
	}
	draft_comment(d,
	    "Requests of clients are sent one after the other, and each answer"
	    " to the client that asked.");
	draft_section(d, "route", port);
	draft_key(d, "from", "%s", server);
	draft_key(d, "to", "%s", port);
	draft_key(d, "exchange", "modbus");
}

/* Several ports, and a server if there is one. */
static void
write_several(struct draft *d, const char *list, const char *server)
{
	draft_block(d, 0);
	draft_comment(d, "What one of the ports sends, all others get.");
	draft_section(d, "route", "ports");
	draft_key(d, "between", "%s", list);
	if (server == NULL)
		return;
	draft_block(d, 0);
	draft_section(d, "route", "listen");
	draft_key(d, "from", "%s", list);
	draft_key(d, "to", "%s", server);
}

void
first_draft(struct draft *d, const struct serial_info *const *ports,
    const struct answer_device *devices, unsigned n,
    const struct answer_access *access)
{
	char name[DRAFT_NAME_MAX], server[DRAFT_NAME_MAX], list[LIST_MAX] = "";
	bool tcp = n == 1 || !access->none;

	for (unsigned i = 0; i < n; i++) {
		write_port(d, ports[i], &devices[i], name);
		append(list, sizeof(list), "%s%s", i > 0 ? " " : "", name);
	}
	if (tcp)
		write_server(d, &devices[0], n > 1, access, server);
	if (n == 1)
		write_single(d, &devices[0], name, server);
	else
		write_several(d, list, tcp ? server : NULL);
}
