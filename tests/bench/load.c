// The small programs of the measurements, on the host and in the container: servers that cost next to nothing, and clients.
//   load accept PORT            takes connections, answers one byte, closes
//   load stream PORT            takes connections, sends zeros until the other end closes
//   load connect ADDR PORT N    N new connections, one after another: prints how many a second
//   load receive ADDR PORT S    one stream for S seconds: prints Gbit/s
//   load echo PORT              a UDP echo
//   load query ADDR PORT NAME S N   DNS queries (A) with N outstanding, for S seconds: prints how many a second
//   load stamp FILE             appends the wall clock (ns) to FILE and sleeps: tells when it was started
//   load within TASKS PROGRAM…  joins the cgroup of that `tasks` file and becomes the program: a fork of the script itself
//                               would charge some 2 ms of its own pages to what is measured
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char buffer[1 << 18];

static void fail(const char *what) { perror(what); exit(1); }
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }

typedef union { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; } place;

static place address(const char *ip, const char *port) {
  place a = {.v4 = {.sin_family = AF_INET, .sin_port = htons(atoi(port))}};
  if (inet_pton(AF_INET, ip, &a.v4.sin_addr) == 1) return a;
  a = (place){.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(atoi(port))}};
  if (inet_pton(AF_INET6, ip, &a.v6.sin6_addr) != 1) { fprintf(stderr, "%s is no address\n", ip); exit(2); }
  return a;
}

static int bound(int type, const char *port) {
  int s = socket(AF_INET, type | SOCK_CLOEXEC, 0), one = 1;
  place a = address("0.0.0.0", port);
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (s < 0 || bind(s, (void *)&a, sizeof a)) fail("bind");
  if (type == SOCK_STREAM && listen(s, 1024)) fail("listen");
  return s;
}

static int connected(const place *a) {
  int s = socket(a->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (s < 0 || connect(s, (const void *)a, sizeof *a)) fail("connect");
  return s;
}

static _Noreturn void serve(const char *port, int stream) {
  int s = bound(SOCK_STREAM, port);
  for (;;) {
    int c = accept(s, 0, 0);
    if (c < 0) continue;
    if (stream) while (write(c, buffer, sizeof buffer) > 0) {}
    else if (write(c, "x", 1) < 0) perror("write");
    close(c);
  }
}

// A reset instead of TIME_WAIT: the server's side would keep the port. A number of them, not a time: once a port comes again
// to the same address, the kernel's connection tracking may still hold the old one, and the connection waits a second.
static int connections(const place *a, long number) {
  struct linger hard = {1, 0};
  double begin = now();
  for (long n = 0; n < number; n++) {
    int s = connected(a);
    if (read(s, buffer, 1) != 1) fail("read");
    setsockopt(s, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(s);
  }
  return printf("%.1f\n", number / (now() - begin)) < 0;
}

static int receive(const place *a, double seconds) {
  int s = connected(a);
  double begin = now(), end = begin + seconds, bytes = 0;
  ssize_t n;
  while (now() < end && (n = read(s, buffer, sizeof buffer)) > 0) bytes += n;
  return printf("%.3f\n", bytes * 8 / 1e9 / (now() - begin)) < 0;
}

static _Noreturn void echo(const char *port) {
  int s = bound(SOCK_DGRAM, port);
  for (;;) {
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t n = recvfrom(s, buffer, sizeof buffer, 0, (void *)&from, &size);
    if (n > 0) sendto(s, buffer, n, 0, (void *)&from, size);
  }
}

static int question(unsigned char *q, const char *name) {
  static const unsigned char head[12] = {0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
  size_t n = strlen(name);
  memcpy(q, head, 12);
  q[12] = n;
  memcpy(q + 13, name, n);
  memcpy(q + 13 + n, "\0\0\1\0\1", 5);
  return 18 + n;
}

static int queries(const place *a, const char *name, double seconds, int outstanding) {
  unsigned char q[300];
  int size = question(q, name), s = socket(a->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct timeval patience = {2, 0};
  setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (connect(s, (const void *)a, sizeof *a)) fail("connect");
  for (int i = 0; i < outstanding; i++) if (send(s, q, size, 0) < 0) fail("send");
  double begin = now(), end = begin + seconds;
  long n = 0;
  for (; now() < end; n++) {
    ssize_t got = recv(s, buffer, sizeof buffer, 0);
    if (got < 12) fail("no answer");
    if (got > size && (buffer[3] & 15)) { fprintf(stderr, "response code %d\n", buffer[3] & 15); return 1; }
    if (send(s, q, size, 0) < 0) fail("send");
  }
  return printf("%.0f\n", n / (now() - begin)) < 0;
}

static _Noreturn void stamp(const char *path) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  int f = open(path, O_WRONLY | O_APPEND | O_CREAT, 0644);
  if (f < 0 || dprintf(f, "%lld\n", t.tv_sec * 1000000000LL + t.tv_nsec) < 0) fail(path);
  close(f);
  for (;;) pause();
}

static _Noreturn void within(const char *tasks, char **program) {
  int f = open(tasks, O_WRONLY | O_CLOEXEC);
  if (f < 0 || write(f, "0", 1) != 1) fail(tasks);
  execvp(program[0], program);
  fail(program[0]);
  abort();
}

int main(int n, char **v) {
  if (n >= 4 && !strcmp(v[1], "within")) within(v[2], v + 3);
  signal(SIGPIPE, SIG_IGN);
  if (n == 3 && !strcmp(v[1], "accept")) serve(v[2], 0);
  if (n == 3 && !strcmp(v[1], "stream")) serve(v[2], 1);
  if (n == 3 && !strcmp(v[1], "echo")) echo(v[2]);
  if (n == 3 && !strcmp(v[1], "stamp")) stamp(v[2]);
  if (n >= 5) {
    place a = address(v[2], v[3]);
    if (!strcmp(v[1], "connect")) return connections(&a, atol(v[4]));
    if (!strcmp(v[1], "receive")) return receive(&a, atof(v[4]));
    if (n == 7 && !strcmp(v[1], "query")) return queries(&a, v[4], atof(v[5]), atoi(v[6]));
  }
  fprintf(stderr, "load: see the head of load.c\n");
  return 2;
}
