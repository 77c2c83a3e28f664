/*
 * forward: the way of frames from one link to others.
 *
 * Links have no descriptor: what they read and write is memory of this test, and how much
 * they take is decided here.  The program is linked without endpoints, exchanges and
 * events: what the path calls of these are functions of this test.
 */
#include <errno.h>

#include "bridge_harness.h"
#include "exchange_parts.h"
#include "failover.h"
#include "link.h"

#define OUTPUT (512 * 1024)
#define PLENTY SIZE_MAX

static const struct endpoint_ops several = {
	.type = "several",
	.several = true,
};
static const struct endpoint_ops datagrams = {
	.type = "datagrams",
	.datagram = 8,
};

/* The other end of a link. */
struct far {
	const uint8_t *input;
	size_t input_len;
	size_t read_most; /* at a time */
	uint8_t output[OUTPUT];
	size_t output_len;
	size_t room;	      /* what it takes now */
	unsigned writes;      /* that it took something of */
	const char *discards; /* a datagram, or NULL */
};

static char closed[256]; /* why a link was */
static char submitted[64], answered[64], shown[256];

/* --- the other ends ------------------------------------------------------ */

static ssize_t
far_read(struct link *link, void *buf, size_t size)
{
	struct far *far = link->transport;
	size_t n = MIN(MIN(far->input_len, far->read_most), size);

	if (n == 0)
		return -EAGAIN;
	memcpy(buf, far->input, n);
	far->input += n;
	far->input_len -= n;
	return (ssize_t)n;
}

static ssize_t
far_write(struct link *link, const void *data, size_t len)
{
	struct far *far = link->transport;
	size_t n = MIN(len, far->room);

	if (n == 0)
		return -EAGAIN;
	if (far->discards != NULL && strlen(far->discards) == len &&
	    memcmp(far->discards, data, len) == 0) {
		link->unsent = EDESTADDRREQ;
		return (ssize_t)len;
	}
	assert_true(n <= OUTPUT - far->output_len);
	memcpy(far->output + far->output_len, data, n);
	far->output_len += n;
	if (far->room != PLENTY)
		far->room -= n;
	far->writes++;
	return (ssize_t)n;
}

static void
far_wait(struct link *link)
{
	(void)link;
}

static void
far_closed(struct link *link)
{
	(void)link;
}

static const struct link_ops far_ops = {
	.read = far_read,
	.write = far_write,
	.wait = far_wait,
	.closed = far_closed,
};

/* --- the owner of the links ---------------------------------------------- */

static void
owner_readable(struct link *link)
{
	port_input(link->port);
}

static void
owner_writable(struct link *link)
{
	port_flush(link->port);
}

static void
owner_label(const struct link *link, bool writing, char *buf, size_t size)
{
	snprintf(buf, size, "%s %d", link->name, writing);
}

static const struct endpoint_owner owner = {
	.readable = owner_readable,
	.writable = owner_writable,
	.label = owner_label,
};

static void
on_due(struct port *port, uint64_t now)
{
	if (port->gap_at != 0 && port->gap_at <= now) {
		port->gap_at = 0;
		port_flush(port);
	}
	if (port->turn_at != 0 && port->turn_at <= now) {
		port->turn_at = 0;
		port_release(port);
	}
}

static void
on_closed(struct link *link)
{
	snprintf(closed, sizeof(closed), "%s: %s", link->name, link->why);
}

/* --- what else the path calls -------------------------------------------- */

void
failovers_hear(const struct batch *batch)
{
	(void)batch;
}

void
exchange_refuse(const struct batch *batch, const struct route_source *s)
{
	(void)batch, (void)s;
}

void
exchange_submit(struct exchange *ex, struct batch *batch)
{
	(void)ex;
	for (unsigned i = 0; i < batch->npick; i++) {
		const struct item *item = &batch->item[batch->pick[i]];

		append(submitted, sizeof(submitted), "%s:%.*s ",
		    batch->from->link->name, (int)item->len,
		    (const char *)item->payload);
	}
}

void
exchange_answer(
    struct exchange *ex, struct batch *batch, char *names, size_t size)
{
	(void)ex;
	for (unsigned i = 0; i < batch->n; i++)
		append(answered, sizeof(answered), "%.*s ",
		    (int)batch->item[i].len,
		    (const char *)batch->item[i].payload);
	if (names != NULL)
		append(names, size, "%s%s", *names != '\0' ? "," : "", "who");
}

bool
exchange_has_master(const struct exchange *ex, const struct node *node)
{
	(void)ex, (void)node;
	return false;
}

void
port_closing_done(struct port *port)
{
	(void)port;
}

/* --- what there is ------------------------------------------------------- */

static struct port *
add_port(struct node *node)
{
	struct port *port = make_port(node, on_due);
	struct far *far = calloc(1, sizeof(*far));

	far->room = far->read_most = PLENTY;
	node->endpoint->owner = &owner;
	node->alike = true;
	port->link->ops = &far_ops;
	port->link->carried = true;
	port->link->transport = far;
	assert_int_equal(link_start(port->link, -1), 0);
	return port;
}

static struct port *
make_with(const char *name, const struct endpoint_ops *ops, const char *framing)
{
	return add_port(make_node(name, ops, framing));
}

static struct port *
make(const char *name)
{
	return make_with(name, &single, "line");
}

/* A section of a route.  NULL: the key is not given. */
static struct route_conf *
make_route(const char *name, const char *from, const char *to)
{
	struct route_conf *conf = calloc(1, sizeof(*conf));

	conf->name = strdup(name);
	conf->text = strdup(name);
	conf->from = strdup(from);
	conf->to = strdup(to);
	return conf;
}

/* Puts the nodes to work, with n routes, or all to all. */
static void
begin(struct route_conf **confs, unsigned n)
{
	const char *names[NODES_MAX];
	struct error err;
	struct node *node;
	struct port *port;
	unsigned bad;

	for (unsigned i = 0; i < bridge.nnodes; i++) {
		node = bridge.node[i];
		names[i] = node->endpoint->conf->name;
		for (unsigned k = i; k > 0; k--)
			if (framing_same(&node->endpoint->conf->framing,
				&bridge.node[k - 1]->endpoint->conf->framing))
				node->framing_class = k - 1;
		assert_int_equal(
		    bridge_buffers(&bridge,
			node->endpoint->conf->framing.max_frame, NODES_MAX),
		    0);
	}
	if (routes_new(confs, n, names, NULL, bridge.nnodes, &bridge.routes,
		&bad, &err) < 0)
		fail_msg("%s", err.text);
	for (unsigned i = 0; i < bridge.nnodes; i++)
		for (unsigned t = 0; t < bridge.routes->source[i].ntargets; t++)
			bridge.node[bridge.routes->source[i].targets[t].to]
			    ->nsources++;
	for (unsigned i = 0; i < bridge.nnodes; i++)
		TAILQ_FOREACH(port, &bridge.node[i]->ports, entry) {
			port->fair = port->node->nsources > 1;
			port_update(port);
		}
}

static void
begin_route(const char *from, const char *to)
{
	struct route_conf *conf = make_route("r", from, to);

	begin(&conf, 1);
}

static struct far *
far_of(const struct port *port)
{
	return port->link->transport;
}

/* That comes in, at once if it is read. */
static void
feed(struct port *port, const void *data, size_t len)
{
	struct far *far = far_of(port);

	far->input = data;
	far->input_len = len;
	link_ready(port->link, EV_READ);
}

static void
say(struct port *port, const char *text)
{
	feed(port, text, strlen(text));
}

/* It takes that much now. */
static void
take(struct port *port, size_t room)
{
	far_of(port)->room = room;
	link_ready(port->link, EV_WRITE);
}

/* What has arrived there since the last time. */
static void
assert_got(struct port *port, const char *want)
{
	struct far *far = far_of(port);

	far->output[far->output_len] = '\0';
	assert_string_equal(far->output, want);
	far->output_len = 0;
}

static void
add_tap(struct tap *tap)
{
	TAILQ_INSERT_TAIL(&bridge.taps, tap, entry);
	taps_changed(&bridge);
}

static void
remove_tap(struct tap *tap)
{
	TAILQ_REMOVE(&bridge.taps, tap, entry);
	taps_changed(&bridge);
}

static void
show_outcome(struct tap *tap, const struct port *from, const char *to,
    const uint8_t *payload, size_t len, const char *outcome)
{
	(void)tap;
	append(shown, sizeof(shown), "%s>%s %.*s [%s]\n", from->link->name, to,
	    (int)len, (const char *)payload, outcome);
}

static void
assert_shown(const char *want)
{
	assert_string_equal(shown, want);
	shown[0] = '\0';
}

static int
set_up(void **state)
{
	(void)state;
	bridge_start();
	assert_int_equal(link_machinery(base, on_closed), 0);
	closed[0] = submitted[0] = answered[0] = shown[0] = '\0';
	return 0;
}

static int
tear_down(void **state)
{
	struct port *port;

	(void)state;
	link_settle_all();
	for (unsigned i = 0; i < bridge.nnodes; i++) {
		TAILQ_FOREACH(port, &bridge.node[i]->ports, entry) {
			free(port->link->transport);
			link_stop(port->link);
			queue_free(&port->queue);
			latest_forget(port);
		}
	}
	link_machinery_free();
	routes_free(bridge.routes);
	free(bridge.read_buffer);
	free(bridge.batch);
	free(bridge.names);
	free(bridge.out);
	free(bridge.plain);
	bridge_end();
	return 0;
}

/* --- where frames go ----------------------------------------------------- */

static void
frames_go_to_the_targets_of_their_routes(void **state)
{
	struct port *a = make("a"), *b = make("b"), *c = make("c");
	struct port *d = make("d");
	struct route_conf *confs[] = {
		make_route("one", "a", "b c"),
		make_route("two", "c", "a"),
	};

	(void)state;
	begin(confs, 2);
	say(a, "one\ntwo\n");
	assert_got(b, "one\ntwo\n");
	assert_got(c, "one\ntwo\n");
	assert_int_equal(far_of(b)->writes, 1);
	say(c, "three\n");
	say(b, "four\n");
	assert_got(a, "three\n");
	assert_got(b, "");
	assert_got(d, "");
	assert_int_equal(a->traffic.rx_frames, 2);
	assert_int_equal(a->traffic.rx_bytes, 8);
	assert_int_equal(a->traffic.rx_payload, 6);
	assert_int_equal(a->traffic.rx_overhead, 2);
	assert_int_equal(b->traffic.tx_frames, 2);
	assert_int_equal(b->traffic.tx_bytes, 8);
	assert_int_equal(bridge.routes->route[0]->frames, 4);
	assert_int_equal(bridge.routes->route[0]->latency.total, 4);
	assert_int_equal(bridge.routes->route[1]->frames, 1);
}

static void
nothing_goes_back_to_the_peer_it_came_from(void **state)
{
	struct port *first = make_with("lan", &several, "line");
	struct port *second = add_port(first->node);
	struct port *third = add_port(first->node), *b = make("b");

	(void)state;
	begin_route("lan", "lan b");
	say(second, "hello\n");
	assert_got(first, "hello\n");
	assert_got(third, "hello\n");
	assert_got(b, "hello\n");
	assert_got(second, "");
	/* Nor does it wait for a peer that takes nothing. */
	far_of(second)->room = 0;
	say(second, "again\n");
	assert_int_equal(second->traffic.tx_bytes, 0);
	assert_false(second->in_flight.waits);
}

static void
a_frame_for_a_server_without_peers_is_counted(void **state)
{
	struct node *lan = make_node("lan", &several, "line");
	struct port *a = make("a"), *only;

	(void)state;
	begin_route("a lan", "lan");
	say(a, "one\ntwo\n");
	assert_int_equal(lan->retired.dropped[DROP_NO_PEER], 2);
	assert_int_equal(lan->retired.dropped_bytes, 6);
	/* The only one that there is, is the one that sends. */
	only = add_port(lan);
	port_update(only);
	say(only, "three\n");
	assert_int_equal(lan->retired.dropped[DROP_NO_PEER], 3);
	say(a, "four\n");
	assert_got(only, "four\n");
	assert_int_equal(lan->retired.dropped[DROP_NO_PEER], 3);
}

static void
filters_pick_frames_for_each_target(void **state)
{
	struct port *a = make("a"), *b = make("b"), *c = make("c");
	struct route_conf *confs[] = {
		make_route("numbers", "a", "b"),
		make_route("words", "a", "b c"),
		make_route("all", "b", "c"),
	};

	(void)state;
	confs[0]->match = strdup("^[0-9]+$");
	confs[1]->match_hex = (struct bytes){ .len = 1, .b = "w" };
	begin(confs, 3);
	say(a, "1\nword\n-\n22\nwhy\n");
	assert_got(b, "1\nword\n22\nwhy\n");
	assert_got(c, "word\nwhy\n");
	assert_int_equal(bridge.routes->route[0]->frames, 2);
	assert_int_equal(bridge.routes->route[0]->rejected, 3);
	assert_int_equal(bridge.routes->route[1]->frames, 4);
	say(b, "-\n");
	assert_got(c, "-\n");
}

static void
each_target_gets_frames_in_its_own_framing(void **state)
{
	struct port *a = make("a"), *b = make("b"), *c = make("c");
	struct port *d = make_with("d", &single, "stx");

	(void)state;
	b->node->endpoint->conf->framing.eol = EOL_CRLF;
	b->node->endpoint->conf->framing.output = true;
	begin_route("a", "b c d");
	/* Where no key asks for another end of line, it is as received. */
	say(a, "y\r\nx\n");
	assert_got(b, "y\r\nx\r\n");
	assert_got(c, "y\r\nx\n");
	assert_got(d, "\2y\3\2x\3");
}

static void
what_a_framing_cannot_express_is_dropped_alone(void **state)
{
	struct port *a = make("a"), *b = make("b"), *c = make("c");

	(void)state;
	b->node->endpoint->conf->framing.max_frame = 4;
	begin_route("a", "b c");
	say(a, "one\nthree\ntwo\n");
	assert_got(b, "one\ntwo\n");
	assert_got(c, "one\nthree\ntwo\n");
	assert_int_equal(b->traffic.dropped[DROP_UNENCODABLE], 1);
	assert_int_equal(b->traffic.dropped_bytes, 5);
	/* Those that wait as well. */
	far_of(b)->room = 0;
	say(a, "one\nthree\ntwo\n");
	take(b, PLENTY);
	UNTIL(queue_empty(&b->queue) && !b->in_flight.waits);
	assert_got(b, "one\ntwo\n");
	assert_int_equal(b->traffic.dropped[DROP_UNENCODABLE], 2);
}

/* By the transport, such as to an unknown peer. */
static void
a_datagram_that_is_discarded_is_dropped(void **state)
{
	struct port *a = make("a"), *b = make_with("b", &datagrams, "line");
	struct tap tap = { .outcome = show_outcome };

	(void)state;
	begin_route("a", "b");
	far_of(b)->discards = "two\n";
	say(a, "one\ntwo\nthree\n");
	assert_got(b, "one\nthree\n");
	assert_int_equal(b->traffic.offered, 3);
	assert_int_equal(b->traffic.tx_frames, 2);
	assert_int_equal(b->traffic.tx_payload, 8);
	assert_int_equal(b->traffic.tx_bytes, 10);
	assert_int_equal(b->traffic.dropped[DROP_NO_PEER], 1);
	add_tap(&tap);
	say(a, "one\ntwo\n");
	assert_shown("a>b one [sent to b]\n"
		     "a>b two [dropped for b: nobody]\n");
	remove_tap(&tap);
}

static void
each_datagram_is_one_write(void **state)
{
	struct port *a = make("a"), *b = make_with("b", &datagrams, "line");

	(void)state;
	begin_route("a", "b");
	say(a, "one\ntwo\n12345678\nthree\n");
	assert_got(b, "one\ntwo\nthree\n");
	assert_int_equal(far_of(b)->writes, 3);
	assert_int_equal(b->traffic.dropped[DROP_UNENCODABLE], 1);
}

static void
the_bus_of_an_exchange_is_sent_nothing_by_a_route(void **state)
{
	struct port *a = make("a"), *b = make("b"), *bus = make("bus");
	struct exchange exchange;

	(void)state;
	bus->node->exchange = &exchange;
	begin_route("a", "bus b");
	say(a, "one\ntwo\n");
	assert_string_equal(submitted, "a:one a:two ");
	assert_got(bus, "");
	assert_got(b, "one\ntwo\n");
	say(bus, "yes\n");
	assert_string_equal(answered, "yes ");
	assert_got(a, "");
}

static void
show(struct tap *tap, const struct port *from, const char *to,
    const uint8_t *payload, size_t len)
{
	(void)tap;
	append(shown, sizeof(shown), "%s>%s:%.*s ", from->link->name, to,
	    (int)len, (const char *)payload);
}

static void
a_tap_is_shown_where_each_frame_goes(void **state)
{
	struct port *a = make("a"), *b = make("b"), *c = make("c");
	struct route_conf *confs[] = {
		make_route("one", "a", "b"),
		make_route("two", "a", "c"),
	};
	struct exchange exchange;
	struct tap tap = { .frame = show };

	(void)state;
	confs[0]->match_hex = (struct bytes){ .len = 1, .b = "1" };
	confs[1]->match = strdup("2$");
	begin(confs, 2);
	add_tap(&tap);
	say(a, "1\n2\n12\n3\n");
	assert_string_equal(shown, "a>b:1 a>c:2 a>b,c:12 a>-:3 ");
	assert_got(b, "1\n12\n");
	assert_got(c, "2\n12\n");
	shown[0] = '\0';
	c->node->exchange = &exchange;
	say(c, "hi\n");
	assert_string_equal(shown, "c>who:hi ");
	remove_tap(&tap);
	say(a, "1\n");
	assert_string_equal(shown, "c>who:hi ");
}

static void
show_note(struct tap *tap, const char *from, const char *to,
    const uint8_t *payload, size_t len, const char *note)
{
	(void)tap;
	append(shown, sizeof(shown), "%s>%s %.*s (%s)\n", from, to, (int)len,
	    (const char *)payload, note);
}

static void
show_bad(struct tap *tap, const struct port *from, enum bad_reason reason,
    const uint8_t *data, size_t len, bool again)
{
	(void)tap, (void)again;
	append(shown, sizeof(shown), "%s: %.*s (%s)\n", from->link->name,
	    (int)len, (const char *)data, bad_reason_names[reason]);
}

static void
show_bytes(struct tap *tap, const struct port *port, bool out,
    const uint8_t *data, size_t len)
{
	char text[64];

	(void)tap;
	escape(data, len, text, sizeof(text));
	append(shown, sizeof(shown), "%s %s %s\n", port->link->name,
	    out ? "out" : "in", text);
}

/* With a framing that cannot express each frame, a queue of 64 bytes and a filter. */
static void
a_tap_is_shown_what_becomes_of_each_frame(void **state)
{
	struct port *a = make_with("a", &single, "slip"), *b = make("b");
	struct port *c = make("c");
	struct route_conf *confs[] = {
		make_route("one", "a", "b"),
		make_route("two", "a", "c"),
	};
	struct tap tap = { .outcome = show_outcome, .note = show_note };

	(void)state;
	confs[1]->match = strdup("^x");
	begin(confs, 2);
	add_tap(&tap);
	b->node->endpoint->conf->queue = 48;
	b->node->endpoint->conf->overflow = OVERFLOW_DROP_OLDEST;
	say(a, "hi\xc0xy\xc0");
	assert_shown("a>b hi [sent to b; rejected by route two]\n"
		     "a>b,c xy [sent to b, c]\n");
	say(a, "x\ny\xc0");
	assert_shown("a>b,c x\ny [dropped for b: unencodable; dropped for c: "
		     "unencodable]\n");
	b->link->unwritable = true;
	say(a,
	    "1\xc0"
	    "2\xc0");
	assert_shown("a>b 1 [queued for b; rejected by route two]\n"
		     "a>b 2 [queued for b; rejected by route two]\n");
	say(a,
	    "3\xc0"
	    "4\xc0");
	assert_shown("a>b 3 [queued for b; rejected by route two]\n"
		     "->b 1 (dropped: down)\n"
		     "a>b 4 [queued for b; rejected by route two]\n");
	say(c, "?\n");
	assert_shown("c>- ? [no route]\n");
	remove_tap(&tap);
	say(a, "5\xc0");
	assert_shown("");
}

static void
a_tap_is_shown_what_comes_in_and_goes_out(void **state)
{
	struct port *a = make_with("a", &single, "nmea"), *b = make("b");
	struct tap tap = { .bad = show_bad, .bytes = show_bytes };

	(void)state;
	begin_route("a b", "a b");
	add_tap(&tap);
	say(a, "$GPTXT,1*00\r\n");
	assert_shown("a in $GPTXT,1*00\\r\\n\n"
		     "a: $GPTXT,1*00\r\n (checksum)\n");
	assert_int_equal(bridge.tapped, TAPPED_BAD | TAPPED_BYTES);
	take(b, 3);
	say(a, "$GPTXT,1*52\r\n");
	assert_shown("a in $GPTXT,1*52\\r\\n\n"
		     "b out $GP\n"
		     "b out TXT,1*52\\n\n");
	remove_tap(&tap);
	say(a, "$GPTXT,1*52\r\n");
	assert_shown("");
}

/* --- what is cut --------------------------------------------------------- */

static void
a_frame_that_has_begun_is_kept_until_it_ends(void **state)
{
	struct port *a = make("a"), *b = make("b");

	(void)state;
	begin_route("a", "b");
	say(a, "one\ntw");
	assert_got(b, "one\n");
	assert_int_equal(a->held_len, 2);
	say(a, "o and");
	say(a, " more\nth");
	assert_got(b, "two and more\n");
	assert_int_equal(a->held_len, 2);
	say(a, "ree\n");
	assert_got(b, "three\n");
	assert_int_equal(a->held_len, 0);
	assert_int_equal(a->traffic.rx_frames, 3);
}

/* However much comes without an end, no more than a frame is held. */
static void
what_is_held_has_a_limit(void **state)
{
	static uint8_t noise[300 * 1024];
	struct port *a = make("a"), *b = make("b");
	size_t most = 0;

	(void)state;
	a->node->endpoint->conf->framing.max_frame = 30000;
	framing_start(&a->decoder, &a->conf->framing);
	begin_route("a", "b");
	memset(noise, 'x', sizeof(noise) - 1);
	noise[sizeof(noise) - 1] = '\n';
	far_of(a)->read_most = 3000;
	feed(a, noise, sizeof(noise));
	while (far_of(a)->input_len > 0) {
		link_ready(a->link, EV_READ);
		most = MAX(most, a->held_len);
	}
	assert_true(most <= framing_limit(&a->conf->framing));
	assert_int_equal(a->held_len, 0);
	assert_int_equal(a->traffic.bad[BAD_OVERSIZE], 1);
	assert_int_equal(a->traffic.bad_bytes[BAD_OVERSIZE], sizeof(noise));
	/* Its memory is not kept. */
	assert_true(a->held_size < 5 * SMALL_REST);
	say(a, "next\n");
	assert_got(b, "next\n");
}

static void
what_is_held_ends_by_silence_or_by_age(void **state)
{
	struct port *a = make_with("a", &single, "idle"), *b = make("b");
	struct port *c = make("c");

	(void)state;
	begin_route("a c", "b");
	say(a, "one");
	assert_got(b, "");
	port_silent(a);
	assert_got(b, "one\n");
	say(c, "rest");
	port_timeout(c);
	assert_int_equal(c->held_len, 0);
	assert_int_equal(c->traffic.bad[BAD_TIMEOUT], 1);
	say(c, "two\n");
	assert_got(b, "two\n");
}

static void
of_an_endpoint_that_is_paused_nothing_is_read(void **state)
{
	struct port *a = make("a"), *b = make("b");

	(void)state;
	begin_route("a", "b");
	a->node->endpoint->paused = true;
	say(a, "one\n");
	assert_int_equal(a->traffic.rx_bytes, 0);
	a->node->endpoint->paused = false;
	link_ready(a->link, EV_READ);
	assert_got(b, "one\n");
}

/* What a lost link has brought is forwarded, whatever room there is. */
static void
what_a_lost_link_has_brought_is_forwarded(void **state)
{
	struct port *a = make("a"), *b = make("b");

	(void)state;
	b->node->endpoint->conf->queue = 2 * QUEUE_FLOOR;
	begin_route("a", "b");
	far_of(b)->room = 0;
	say(a, "1\n2\n3\n");
	say(a, "4\n5\n");
	assert_int_equal(far_of(a)->input_len, 4);
	a->link->up = false;
	port_input(a);
	take(b, PLENTY);
	UNTIL(queue_empty(&b->queue) && !b->in_flight.waits);
	assert_got(b, "1\n2\n3\n4\n5\n");
}

/* --- what a link does not take ------------------------------------------- */

static void
what_is_not_taken_waits_in_its_order(void **state)
{
	struct port *a = make("a"), *b = make("b"), *c = make("c");

	(void)state;
	begin_route("a", "b c");
	far_of(b)->room = 0;
	say(a, "one\ntwo\n");
	say(a, "three\n");
	assert_got(b, "");
	assert_got(c, "one\ntwo\nthree\n");
	/* The first is the link's, the others are queued. */
	assert_true(b->in_flight.waits);
	assert_false(b->in_flight.partial);
	assert_int_equal(b->in_flight.wire, 4);
	assert_int_equal(b->queue.frames, 2);
	assert_int_equal(b->traffic.tx_frames, 0);
	take(b, 4);
	assert_got(b, "one\n");
	UNTIL(b->in_flight.wire == 4 && b->queue.frames == 1);
	/* What comes now does not overtake it. */
	say(a, "four\n");
	take(b, PLENTY);
	UNTIL(queue_empty(&b->queue) && !b->in_flight.waits);
	assert_got(b, "two\nthree\nfour\n");
	assert_int_equal(b->traffic.tx_frames, 4);
	assert_int_equal(b->traffic.tx_payload, 15);
	assert_int_equal(b->traffic.tx_bytes, 19);
	assert_int_equal(traffic_dropped(&b->traffic), 0);
}

static void
a_frame_that_is_written_in_part_is_known(void **state)
{
	struct port *a = make("a"), *b = make("b");

	(void)state;
	begin_route("a", "b");
	far_of(b)->room = 6;
	say(a, "one\ntwo\nthree\n");
	assert_got(b, "one\ntw");
	assert_true(b->in_flight.waits);
	assert_true(b->in_flight.partial);
	assert_int_equal(b->in_flight.wire, 2);
	assert_int_equal(b->in_flight.len, 3);
	assert_memory_equal(b->in_flight.payload, "two", 3);
	assert_int_equal(b->queue.frames, 1);
	assert_int_equal(b->traffic.tx_frames, 1);
	assert_int_equal(b->traffic.tx_bytes, 8);
	take(b, 1);
	assert_got(b, "o");
	assert_int_equal(b->traffic.tx_frames, 1);
	take(b, PLENTY);
	UNTIL(queue_empty(&b->queue) && !b->in_flight.waits);
	assert_got(b, "\nthree\n");
	assert_int_equal(b->traffic.tx_frames, 3);
	/* Between two frames nothing is in part. */
	far_of(b)->room = 4;
	say(a, "one\ntwo\n");
	assert_true(b->in_flight.waits);
	assert_false(b->in_flight.partial);
	/* There is one at a time. */
	say(a, "three\n");
	assert_memory_equal(b->in_flight.payload, "two", 3);
	assert_int_equal(b->queue.frames, 1);
}

/* A frame of which nothing was written is sent again when the link is up again. */
static void
a_frame_that_a_lost_link_did_not_take_comes_first(void **state)
{
	struct port *a = make("a"), *b = make("b");

	(void)state;
	begin_route("a", "b");
	far_of(b)->room = 0;
	say(a, "one\ntwo\n");
	link_take_back(b->link);
	b->link->output_pending = false;
	b->in_flight.wire = 0;
	port_flush(b);
	assert_int_equal(b->in_flight.wire, 4);
	take(b, PLENTY);
	UNTIL(queue_empty(&b->queue) && !b->in_flight.waits);
	assert_got(b, "one\ntwo\n");
	assert_int_equal(b->traffic.tx_frames, 2);
}

static void
a_full_queue_pauses_its_source_until_it_is_half_empty(void **state)
{
	struct port *a = make("a"), *b = make("b");

	(void)state;
	b->node->endpoint->conf->queue = 4 * QUEUE_FLOOR;
	begin_route("a", "b");
	far_of(b)->room = 0;
	/* One is in flight. */
	say(a, "1\n2\n3\n4\n");
	assert_true(a->link->reading);
	say(a, "5\n");
	say(a, "6\n");
	assert_int_equal(far_of(a)->input_len, 2);
	assert_false(a->link->reading);
	assert_ptr_equal(a->blocked_by, b);
	take(b, 2);
	UNTIL(b->queue.frames == 3);
	assert_false(a->link->reading);
	take(b, 2);
	UNTIL(b->queue.frames == 2);
	assert_true(a->link->reading);
	link_ready(a->link, EV_READ);
	take(b, PLENTY);
	UNTIL(queue_empty(&b->queue) && !b->in_flight.waits);
	assert_got(b, "1\n2\n3\n4\n5\n6\n");
}

/* A source of any rate, a receiver of any other one, a queue that is nearly always full:
 * every byte arrives, in order, and not more is kept than the limits say. */
static void
everything_arrives_whatever_the_link_takes(void **state)
{
	static uint8_t text[200 * 1024];
	struct port *a = make("a"), *b = make("b");
	struct far *in, *out;
	size_t len = 0, most = 0;
	uint64_t end = now_ns() + PATIENCE_NS;

	(void)state;
	b->node->endpoint->conf->queue = 4000;
	begin_route("a", "b");
	in = far_of(a);
	out = far_of(b);
	srand(3);
	for (unsigned n = 0; len + 300 < sizeof(text); n++) {
		memset(text + len, 'a' + (int)(n % 26), 250);
		len += (size_t)(rand() % 250);
		text[len++] = '\n';
	}
	in->input = text;
	in->input_len = len;
	out->room = 0;
	while (out->output_len < len) {
		assert_true(now_ns() < end);
		in->read_most = 1 + (size_t)(rand() % 3000);
		link_ready(a->link, EV_READ);
		if (rand() % 2)
			take(b, (size_t)(rand() % 700));
		event_base_loop(base, EVLOOP_NONBLOCK);
		most = MAX(most, b->queue.bytes);
		assert_true(a->held_len <= TURN_BYTES);
	}
	assert_memory_equal(out->output, text, len);
	/* The last frame that it takes may exceed the limit. */
	assert_true(most >= 3000 && most <= 4000 + 250);
	assert_int_equal(traffic_dropped(&b->traffic), 0);
	assert_int_equal(b->traffic.tx_bytes, len);
}

/* One of them is read twice as often. */
static void
sources_of_one_destination_get_equal_shares(void **state)
{
	static uint8_t text[2][200 * 1024];
	struct port *source[2] = { make("a"), make("b") }, *c = make("c");
	struct far *out;
	size_t share[2] = { 0 };
	uint64_t end = now_ns() + PATIENCE_NS;

	(void)state;
	c->node->endpoint->conf->queue = 16 * 1024;
	begin_route("a b", "c");
	out = far_of(c);
	out->room = 0;
	for (unsigned i = 0; i < 2; i++) {
		memset(text[i], 'a' + (int)i, sizeof(text[i]));
		for (size_t k = 49; k < sizeof(text[i]); k += 50)
			text[i][k] = '\n';
		far_of(source[i])->input = text[i];
		far_of(source[i])->input_len = sizeof(text[i]);
	}
	while (out->output_len < 150 * 1024) {
		assert_true(now_ns() < end);
		link_ready(source[0]->link, EV_READ);
		link_ready(source[0]->link, EV_READ);
		link_ready(source[1]->link, EV_READ);
		take(c, 500);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	for (size_t i = 0; i < out->output_len; i++)
		if (out->output[i] != '\n')
			share[out->output[i] - 'a']++;
	assert_true(MAX(share[0], share[1]) - MIN(share[0], share[1]) <=
	    (size_t)4 * SMALL_REST);
	assert_int_equal(traffic_dropped(&c->traffic), 0);
}

static void
frames_that_a_silence_ends_are_written_one_at_a_time(void **state)
{
	struct port *a = make("a"), *b = make_with("b", &single, "modbus-rtu");

	(void)state;
	b->node->endpoint->conf->framing.baud = 9600;
	b->node->endpoint->conf->framing.payload = PAYLOAD_INNER;
	begin_route("a", "b");
	say(a, "one\ntwo\nthree\n");
	assert_int_equal(far_of(b)->writes, 1);
	assert_int_equal(b->queue.frames, 2);
	assert_true(b->gap_at != 0);
	/* Not before the silence, though there is room. */
	port_flush(b);
	assert_int_equal(far_of(b)->writes, 1);
	UNTIL(far_of(b)->writes == 3);
	assert_int_equal(far_of(b)->output_len, 3 + 3 + 5 + 3 * 2);
}

/* --- what is dropped ----------------------------------------------------- */

/* The queue of b has room for two lines; a third is in flight. */
static void
fill(struct port *a, struct port *b, int overflow)
{
	b->node->endpoint->conf->queue = 2 * QUEUE_FLOOR;
	b->node->endpoint->conf->overflow = overflow;
	begin_route("a", "b");
	far_of(b)->room = 0;
	say(a, "1\n2\n3\n4\n55\n");
}

static void
assert_dropped(
    const struct port *port, enum drop_reason reason, uint64_t n, size_t bytes)
{
	assert_int_equal(port->traffic.dropped[reason], n);
	assert_int_equal(traffic_dropped(&port->traffic), n);
	assert_int_equal(port->traffic.dropped_bytes, bytes);
}

static void
drain(struct port *port)
{
	take(port, PLENTY);
	UNTIL(queue_empty(&port->queue) && !port->in_flight.waits);
}

static void
the_oldest_are_dropped(void **state)
{
	struct port *a = make("a"), *b = make("b");

	(void)state;
	fill(a, b, OVERFLOW_DROP_OLDEST);
	assert_dropped(b, DROP_OVERFLOW, 2, 2);
	assert_true(a->link->reading);
	drain(b);
	assert_got(b, "1\n4\n55\n");
}

static void
the_newest_are_dropped(void **state)
{
	struct port *a = make("a"), *b = make("b");

	(void)state;
	fill(a, b, OVERFLOW_DROP_NEWEST);
	assert_dropped(b, DROP_OVERFLOW, 2, 3);
	assert_true(a->link->reading);
	drain(b);
	assert_got(b, "1\n2\n3\n");
}

static void
a_reader_that_is_too_slow_is_closed(void **state)
{
	struct port *a = make("a"), *b = make("b");

	(void)state;
	fill(a, b, OVERFLOW_DISCONNECT);
	assert_false(b->link->up);
	UNTIL(*closed != '\0');
	assert_string_equal(closed, "b: its queue was full");
}

static void
while_it_is_down_the_oldest_are_dropped(void **state)
{
	struct port *a = make("a"), *b = make("b");

	(void)state;
	b->link->up = false;
	fill(a, b, OVERFLOW_BLOCK);
	assert_dropped(b, DROP_DOWN, 3, 3);
	assert_true(a->link->reading);
	/* Longer than the queue. */
	say(a, "a line of more than thirty-two bytes\n");
	assert_dropped(b, DROP_DOWN, 4, 3 + 36);
	b->link->up = true;
	far_of(b)->room = PLENTY;
	port_flush(b);
	assert_got(b, "4\n55\n");
}

static void
while_it_is_paused_frames_are_held(void **state)
{
	struct port *a = make("a"), *b = make("b");

	(void)state;
	begin_route("a", "b");
	b->node->endpoint->paused = true;
	say(a, "1\n2\n");
	port_flush(b);
	assert_got(b, "");
	assert_int_equal(b->queue.frames, 2);
	b->node->endpoint->paused = false;
	/* What comes before it is told that it may go on does not overtake them. */
	say(a, "3\n");
	port_flush(b);
	assert_got(b, "1\n2\n3\n");
}

static void
while_it_is_stalled_the_oldest_are_dropped(void **state)
{
	struct port *a = make("a"), *b = make("b");

	(void)state;
	fill(a, b, OVERFLOW_BLOCK);
	b->stalled = true;
	port_release(b);
	port_update(a);
	/* What was read before comes first. */
	say(a, "6\n7\n8\n");
	link_ready(a->link, EV_READ);
	assert_true(b->traffic.dropped[DROP_STALLED] > 0);
	assert_int_equal(
	    b->traffic.dropped[DROP_STALLED], traffic_dropped(&b->traffic));
	assert_int_equal(b->queue.frames, 2);
	/* It is not stalled any more once it has taken something. */
	drain(b);
	assert_got(b, "1\n7\n8\n");
	assert_false(b->stalled);
}

static void
a_peer_that_has_ended_gets_nothing_new(void **state)
{
	struct port *a = make("a"), *b = make("b");

	(void)state;
	begin_route("a", "b");
	far_of(b)->room = 0;
	say(a, "1\n2\n");
	b->closing = true;
	say(a, "3\n");
	assert_dropped(b, DROP_CLOSED, 1, 1);
	drain(b);
	assert_got(b, "1\n2\n");
}

static void
only_the_latest_of_each_message_waits(void **state)
{
	struct port *a = make("a"), *b = make("b");
	struct route_conf *conf = make_route("r", "a", "b");

	(void)state;
	conf->latest = LATEST_NMEA;
	begin(&conf, 1);
	far_of(b)->room = 0;
	say(a, "$X\n$GPGGA,1\n$GPVTG,1\n$GPGGA,2\n");
	say(a, "$GPGGA,3\n");
	assert_dropped(b, DROP_REPLACED, 2, 16);
	drain(b);
	assert_got(b, "$X\n$GPGGA,3\n$GPVTG,1\n");
}

/* What it replaces is found where it was. */
static void
the_latest_takes_its_place_even_if_others_make_room(void **state)
{
	struct port *a = make("a"), *b = make("b");
	struct route_conf *conf = make_route("r", "a", "b");

	(void)state;
	conf->latest = LATEST_NMEA;
	b->node->endpoint->conf->queue = 30 + 2 * QUEUE_FLOOR;
	b->node->endpoint->conf->overflow = OVERFLOW_DROP_OLDEST;
	begin(&conf, 1);
	far_of(b)->room = 0;
	say(a, "$X\n$GPZDA,00000000000000000000000\n$GPGGA,1\n$GPVTG,1\n");
	assert_dropped(b, 0, 0, 0);
	say(a, "$GPGGA,2222222222222\n");
	assert_int_equal(b->traffic.dropped[DROP_OVERFLOW], 1);
	assert_int_equal(b->traffic.dropped[DROP_REPLACED], 1);
	drain(b);
	assert_got(b, "$X\n$GPGGA,2222222222222\n$GPVTG,1\n");
}

/* --- frames of others ---------------------------------------------------- */

static void
frames_of_the_control_port_queue_with_the_others(void **state)
{
	struct port *a = make("a"), *b = make("b");
	const struct queued all = {
		.payload = (const uint8_t *)"all", .len = 3, .route = NO_ROUTE
	};
	const struct queued one = {
		.payload = (const uint8_t *)"one", .len = 3, .route = NO_ROUTE
	};
	struct port *peer;

	(void)state;
	peer = add_port(b->node);
	begin_route("a", "b");
	far_of(b)->room = 0;
	say(a, "1\n2\n");
	node_send_frame(b->node, &all);
	port_send(b, &one);
	assert_got(peer, "1\n2\nall\n");
	drain(b);
	assert_got(b, "1\n2\nall\none\n");
	port_send(peer, &one);
	assert_got(peer, "one\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(frames_go_to_the_targets_of_their_routes),
		TEST(nothing_goes_back_to_the_peer_it_came_from),
		TEST(a_frame_for_a_server_without_peers_is_counted),
		TEST(filters_pick_frames_for_each_target),
		TEST(each_target_gets_frames_in_its_own_framing),
		TEST(what_a_framing_cannot_express_is_dropped_alone),
		TEST(each_datagram_is_one_write),
		TEST(a_datagram_that_is_discarded_is_dropped),
		TEST(the_bus_of_an_exchange_is_sent_nothing_by_a_route),
		TEST(a_tap_is_shown_where_each_frame_goes),
		TEST(a_tap_is_shown_what_becomes_of_each_frame),
		TEST(a_tap_is_shown_what_comes_in_and_goes_out),
		TEST(a_frame_that_has_begun_is_kept_until_it_ends),
		TEST(what_is_held_has_a_limit),
		TEST(what_is_held_ends_by_silence_or_by_age),
		TEST(of_an_endpoint_that_is_paused_nothing_is_read),
		TEST(what_a_lost_link_has_brought_is_forwarded),
		TEST(what_is_not_taken_waits_in_its_order),
		TEST(a_frame_that_is_written_in_part_is_known),
		TEST(a_frame_that_a_lost_link_did_not_take_comes_first),
		TEST(a_full_queue_pauses_its_source_until_it_is_half_empty),
		TEST(everything_arrives_whatever_the_link_takes),
		TEST(sources_of_one_destination_get_equal_shares),
		TEST(frames_that_a_silence_ends_are_written_one_at_a_time),
		TEST(the_oldest_are_dropped),
		TEST(the_newest_are_dropped),
		TEST(a_reader_that_is_too_slow_is_closed),
		TEST(while_it_is_down_the_oldest_are_dropped),
		TEST(while_it_is_paused_frames_are_held),
		TEST(while_it_is_stalled_the_oldest_are_dropped),
		TEST(a_peer_that_has_ended_gets_nothing_new),
		TEST(only_the_latest_of_each_message_waits),
		TEST(the_latest_takes_its_place_even_if_others_make_room),
		TEST(frames_of_the_control_port_queue_with_the_others),
	};

	return cmocka_run_group_tests_name("forward", tests, NULL, NULL);
}
