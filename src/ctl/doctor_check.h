/*
 * doctor_check: the checks, each of which adds what it finds to the report.
 */
#ifndef DOCTOR_CHECK_H
#define DOCTOR_CHECK_H

#include "doctor_facts.h"
#include "doctor_report.h"

struct doctor {
	struct facts facts;
	struct report report;
	char unit[128];		    /* of the service, "": it is none */
	json_t *service;	    /* its properties, NULL: unknown */
	char restart[256];	    /* the command that restarts the daemon */
	char reload[PATH_MAX + 64]; /* the one that reloads its configuration */
};

/*
 * The command that sets a key of an endpoint; if its control port has access = read, what is
 * to be written in its section.  comment: what follows it as one, NULL: nothing.
 */
void doctor_set(const struct doctor *d, const char *name, const char *key,
    const char *value, const char *comment, char *buf, size_t size);

/* doctor_config.c: the configuration, and the program that uses it. */
void check_configuration(struct doctor *d);
void check_framing(struct doctor *d);
void check_certificates(struct doctor *d);
void check_stale(struct doctor *d);
void check_version(struct doctor *d);

/* doctor_device.c: serial devices. */
void check_permission(struct doctor *d);
void check_holder(struct doctor *d);
void check_latency(struct doctor *d);

/* doctor_usb.c */
void check_usb(struct doctor *d);

/* doctor_bad.c: what is received. */
void check_bad_frames(struct doctor *d);

/* doctor_traffic.c: what the daemon counts. */
void check_silence(struct doctor *d);
void check_stuck(struct doctor *d);
void check_cts(struct doctor *d);
void check_drops(struct doctor *d);
void check_filters(struct doctor *d);

/* doctor_loop.c */
void check_loop(struct doctor *d);

/* doctor_service.c: what the service may do, and what it needs of the system. */
void check_network(struct doctor *d);
void check_sockets(struct doctor *d);
void check_disk(struct doctor *d);
void check_clock(struct doctor *d);

/* doctor_state.c: what the daemon says about its state. */
void check_daemon(struct doctor *d);
void check_broker(struct doctor *d);
void check_warnings(struct doctor *d);
void check_down(struct doctor *d);

/* The device of a serial endpoint on this machine; false if it has none. */
bool doctor_device(
    const struct doctor *d, const char *name, char *buf, size_t size);

#endif
