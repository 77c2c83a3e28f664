# Emulated Arduinos for the tests and the demo: avrboard, and each sketch with
# the Arduino core.  Included by the Makefile; all of it goes to build/boards.

ARDUINO ?= /usr/share/arduino/hardware/arduino/avr
BOARDS = build/boards
SKETCHES = Ping Pong PongCobs Echo Flood

AVR_CPPFLAGS = -mmcu=atmega328p -DF_CPU=16000000L -DARDUINO=10819 \
	-DARDUINO_AVR_UNO -DARDUINO_ARCH_AVR \
	-I$(ARDUINO)/cores/arduino -I$(ARDUINO)/variants/standard
# The core is not ours: no warnings of it.  C++11 mode lacks DECIMAL_DIG.
AVR_CFLAGS = -Os -g -w -flto -ffunction-sections -fdata-sections -std=gnu11
AVR_CXXFLAGS = -Os -g -w -flto -ffunction-sections -fdata-sections \
	-std=gnu++11 -fpermissive -fno-exceptions -fno-threadsafe-statics \
	-DDECIMAL_DIG=__DECIMAL_DIG__
AVR_LDFLAGS = -mmcu=atmega328p -Os -flto -fuse-linker-plugin -Wl,--gc-sections

AVR_SRC = $(wildcard $(addprefix $(ARDUINO)/cores/arduino/,*.c *.cpp *.S))
AVR_OBJ = $(AVR_SRC:$(ARDUINO)/cores/arduino/%=$(BOARDS)/core/%.o)

boards: $(BOARDS)/avrboard $(SKETCHES:%=$(BOARDS)/%.elf)

$(BOARDS)/avrboard: tests/boards/avrboard.c | $(BOARDS)/core
	$(CC) -O2 -g -std=gnu11 -D_GNU_SOURCE $(WARN) -o $@ $< -lsimavr

$(BOARDS)/%.elf: $(BOARDS)/%.o $(BOARDS)/core.a
	avr-gcc $(AVR_LDFLAGS) -o $@ $^ -lm

$(BOARDS)/core.a: $(AVR_OBJ)
	rm -f $@
	avr-gcc-ar rcs $@ $^

$(SKETCHES:%=$(BOARDS)/%.o): $(BOARDS)/%.o: | $(BOARDS)/core
	avr-g++ $(AVR_CPPFLAGS) $(AVR_CXXFLAGS) -include Arduino.h -x c++ -c \
		-o $@ tests/boards/$*/$*.ino
$(foreach s,$(SKETCHES),$(eval $(BOARDS)/$s.o: tests/boards/$s/$s.ino))

$(BOARDS)/core/%.c.o: $(ARDUINO)/cores/arduino/%.c | $(BOARDS)/core
	@avr-gcc $(AVR_CPPFLAGS) $(AVR_CFLAGS) -c -o $@ $<

$(BOARDS)/core/%.cpp.o: $(ARDUINO)/cores/arduino/%.cpp | $(BOARDS)/core
	@avr-g++ $(AVR_CPPFLAGS) $(AVR_CXXFLAGS) -c -o $@ $<

$(BOARDS)/core/%.S.o: $(ARDUINO)/cores/arduino/%.S | $(BOARDS)/core
	@avr-gcc $(AVR_CPPFLAGS) -x assembler-with-cpp -c -o $@ $<

$(BOARDS)/core:
	mkdir -p $@

.PHONY: boards
