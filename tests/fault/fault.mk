# A library that makes system calls fail, to be preloaded into a daemon of any flavour.
# Included by the Makefile.

faults: build/fault.so

build/fault.so: tests/fault/fault.c tests/fault/uart.c tests/fault/uart.h
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE $(WARN) -O1 -g -fPIC -fno-builtin -shared \
	    -o $@ $(filter %.c,$^)

.PHONY: faults
