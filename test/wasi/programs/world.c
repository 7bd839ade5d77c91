// What is around a program: arguments, environment, standard streams, exit codes, chance, sorts of descriptors.
#include <poll.h>
#include <sched.h>
#include <unistd.h>
#include "say.h"

static void ended(void) { printf("atexit\n"); }

int main(int argc, char **argv) {
  atexit(ended);
  for (int i = 1; i < argc; i++) printf("argument %s\n", argv[i]);
  printf("GREETING=%s\n", getenv("GREETING") ? getenv("GREETING") : "(none)");
  char line[200];
  while (fgets(line, sizeof line, stdin) != NULL) printf("read %s", line);
  fprintf(stderr, "to stderr\n");
  unsigned char one[64] = {0}, two[64] = {0};
  ok("getentropy", getentropy(one, sizeof one));
  getentropy(two, sizeof two);
  printf("chance %s\n", memcmp(one, two, sizeof one) ? "differs" : "REPEATS");
  ok("sched_yield", sched_yield());
  fflush(stdout);
  if (argc > 1 && strcmp(argv[1], "trap") == 0) abort();
  exit(argc > 1 ? atoi(argv[1]) : 0);
}
