/*
 * Pong, 115200 baud, lines: answers "pong N" to "ping N", and "hello"
 * to "hello".
 */
static char line[64];
static byte used;

static void answer() {
  if (strcmp(line, "hello") == 0) {
    Serial.println(line);
  } else if (strncmp(line, "ping ", 5) == 0) {
    Serial.print(F("pong "));
    Serial.println(atol(line + 5));
  }
}

void setup() {
  Serial.begin(115200);
}

void loop() {
  while (Serial.available()) {
    char c = Serial.read();
    if (c == '\n') {
      line[used] = '\0';
      used = 0;
      answer();
    } else if (c != '\r' && used < sizeof line - 1) {
      line[used++] = c;
    }
  }
}
