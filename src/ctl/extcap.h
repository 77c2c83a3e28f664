/*
 * extcap: the endpoints as interfaces in Wireshark.
 */
#ifndef EXTCAP_H
#define EXTCAP_H

#define EXTCAP_PROGRAM "ttybridge-extcap"

/* The program that Wireshark runs; returns the exit status. */
int extcap_main(int argc, char **argv);

#endif
