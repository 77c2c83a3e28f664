# Libraries to be preloaded into a daemon of any flavour: one that makes system calls fail, and one
# that ends it as a loss of power does; and a name service for nsswitch.conf.  Included by the Makefile.

faults: build/fault.so build/power.so build/libnss_ttybridge.so.2

LIBRARY_CFLAGS = -std=gnu11 -D_GNU_SOURCE $(WARN) -O1 -g -fPIC -fno-builtin -shared

build/fault.so: tests/fault/fault.c tests/fault/uart.c tests/fault/uart.h
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(LIBRARY_CFLAGS) -o $@ $(filter %.c,$^)

build/power.so: tests/fault/power.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(LIBRARY_CFLAGS) -o $@ $< -lpthread

build/libnss_ttybridge.so.2: tests/fault/nss.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(LIBRARY_CFLAGS) -o $@ $<

.PHONY: faults
