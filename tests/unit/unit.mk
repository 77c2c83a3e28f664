# The unit tests.  Included by the Makefile; they go to build/FLAVOUR/unit.

UNIT = $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/test_*.c))

units: $(UNIT)

LINKED = $(LIBOBJ)
$(B)/unit/%: tests/unit/%.c $(LIBOBJ)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(COMPILER) $(ALL_CFLAGS) -MMD -MP $(ALL_LDFLAGS) -o $@ $< \
	    $(LINKED) -lcmocka $(LIBS)

# It preloads the library that makes serial ports of pseudo-terminals.
$(B)/unit/test_line_control: build/fault.so

# This one proves that commands need no control port: it is linked without them.
$(B)/unit/test_call: private LINKED = $(filter-out $(B)/daemon/% $(B)/http/% \
	$(patsubst %,$(B)/control/%.o,lines ports replies session control),$(LIBOBJ))

# So are these without the rest of the path: each fakes what its modules call beyond them.
parts = $(filter $(patsubst %,$(B)/%.o,base/% framing/% $(1)),$(LIBOBJ))
$(B)/unit/test_port: private LINKED = $(call parts,bridge/port)
$(B)/unit/test_silence: private LINKED = $(call parts,bridge/silence)
$(B)/unit/test_pace: private LINKED = $(call parts,bridge/pace bridge/port bridge/stall)
$(B)/unit/test_failover: private LINKED = $(call parts,route/% bridge/failover%)
EXCHANGE = $(addprefix bridge/,exchange exchanges exchange_parts exchange_bus exchange_guard exchange_master \
	exchange_request exchange_answer exchange_restore exchange_label exchange_busy exchange_modbus exchange_any \
	batch discard local_echo loss queue% saved_frame tap traffic)
$(filter $(B)/unit/test_exchange%,$(UNIT)): private LINKED = $(call parts,route/% $(EXCHANGE))
$(B)/unit/test_forward: private LINKED = $(call parts,route/% endpoint/keepalive endpoint/permission \
	endpoint/link endpoint/link_filter endpoint/link_hangup endpoint/link_transport net/tcp \
	endpoint/origins \
	$(addprefix bridge/,ack submit forward enqueue flush batch discard history latest local_echo loss pace port port_spool queue% \
	refuse saved_frame spool_gaps spool_job tap traffic))

# These are of the client.
CTL_UNIT = $(patsubst %,$(B)/unit/%,test_replay test_samples test_tilde)
$(CTL_UNIT): private LINKED = $(filter-out $(B)/ctl/ctl_main.o,$(CTL_OBJ)) $(B)/common.a
$(CTL_UNIT): private LIBS = $(CTL_LIBS)
$(CTL_UNIT): $(CTL_OBJ) $(B)/common.a

.PHONY: units
