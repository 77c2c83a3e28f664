/*
 * PongCobs, 115200 baud, COBS frames of under 64 bytes: answers "pong N" to
 * "ping N", and "hello" to "hello".
 */
static byte frame[64];
static byte used;

// Each code byte says how far the next zero is; the frame's own end is one too.
static bool unstuff() {
  byte at = 0;

  while (at < used) {
    byte code = frame[at];
    if (code > used - at)
      return false;
    frame[at] = 0;
    at += code;
  }
  return at == used && used > 0;
}

static void sendFrame(const char *text) {
  Serial.write(strlen(text) + 1);  // there is no zero in a text
  Serial.print(text);
  Serial.write((byte)0);
}

// The text begins behind the first code byte.
static void answer() {
  char *text = (char *)frame + 1;
  char pong[16];

  if (!unstuff())
    return;
  frame[used] = '\0';
  if (strcmp(text, "hello") == 0) {
    sendFrame(text);
  } else if (strncmp(text, "ping ", 5) == 0) {
    snprintf(pong, sizeof pong, "pong %ld", atol(text + 5));
    sendFrame(pong);
  }
}

void setup() {
  Serial.begin(115200);
}

void loop() {
  while (Serial.available()) {
    byte b = Serial.read();
    if (b == 0) {
      answer();
      used = 0;
    } else if (used < sizeof frame - 1) {
      frame[used++] = b;
    }
  }
}
