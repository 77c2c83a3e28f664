/*
 * http_access: who may ask for what.  Pure.
 *
 * A page of a stranger can make a browser send requests to this daemon, from within the
 * network that 'allow' names.  Three fields of a request tell them apart, and cannot be
 * set by a page: Host is the name in the address bar, which is the stranger's if his name
 * server resolves it to this machine (DNS rebinding); Origin and Sec-Fetch-Site tell from
 * which page the request comes.
 */
#ifndef HTTP_ACCESS_H
#define HTTP_ACCESS_H

#include "request.h"

/*
 * Why a request is refused, or NULL.  hosts: the names that Host may have besides
 * localhost and IP addresses, or NULL.  token: what Authorization must have, or NULL.
 */
const char *access_refused(
    const struct request *r, const char *hosts, const char *token);
/* The same for a request that changes something; full: the server has access = full. */
const char *access_change_refused(const struct request *r, bool full);
/* Whether the name is an IP address, localhost or in the list, with or without a port. */
bool access_host(const char *host, const char *hosts);

#endif
