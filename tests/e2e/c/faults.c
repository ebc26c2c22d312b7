/* What a test cannot do to one process by other means: set its clock, and make a folder of its
 * read-only under it. Preloaded into a gateway; reads what to do from the file that FAULTS names,
 * which the test writes: eight bytes, a number of the machine's order that is added to the wall clock
 * in seconds, and a path, ended by a zero. Nothing below that path can be changed (EROFS), as on a
 * disk that its file system remounted after an error. The monotonic clock goes on as it did.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct orders {
  int64_t seconds;
  char read_only[PATH_MAX];
};

static const struct orders none;
static const struct orders *orders = &none;

__attribute__((constructor)) static void begin(void) {
  const char *name = getenv("FAULTS");
  if (!name) return;
  int file = open(name, O_RDONLY | O_CLOEXEC);
  void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, sizeof none, PROT_READ, MAP_SHARED, file, 0);
  if (mapped == MAP_FAILED) {
    perror(name);
    _exit(99);
  }
  close(file);
  orders = mapped;
}

#define NEXT(type, name) \
  static type next; \
  if (!next) next = (type)dlsym(RTLD_NEXT, name)

typedef int (*clock_of)(clockid_t, struct timespec *);
int clock_gettime(clockid_t clock, struct timespec *now) {
  NEXT(clock_of, "clock_gettime");
  int said = next(clock, now);
  if (said == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    now->tv_sec += *(const volatile int64_t *)&orders->seconds;
  return said;
}

time_t time(time_t *where) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (where) *where = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(struct timeval *restrict where, void *restrict zone) {
  (void)zone;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  where->tv_sec = now.tv_sec;
  where->tv_usec = now.tv_nsec / 1000;
  return 0;
}

static int is_quiet(void) { return *(const volatile char *)orders->read_only == 0; }

static int is_refused(const char *path) {
  if (strncmp(path, orders->read_only, strlen(orders->read_only)) != 0) return 0;
  errno = EROFS;
  return 1;
}

static int is_refused_file(int file) {
  if (is_quiet()) return 0;
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return is_refused(path);
}

static int is_refused_name(const char *name) {
  if (is_quiet()) return 0;
  char path[PATH_MAX * 2];
  if (name[0] == '/') return is_refused(name);
  if (!getcwd(path, PATH_MAX)) return 0;
  size_t length = strlen(path);
  if (strncmp(name, "./", 2) == 0) name += 2;
  snprintf(path + length, sizeof path - length, "/%s", name);
  return is_refused(path);
}

static int is_change(int flags) { return (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) != 0; }

#define OPENS(name) \
  int name(const char *path, int flags, ...) { \
    typedef int (*of)(const char *, int, ...); \
    NEXT(of, #name); \
    va_list more; \
    va_start(more, flags); \
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(more, mode_t) : 0; \
    va_end(more); \
    if (is_change(flags) && is_refused_name(path)) return -1; \
    return next(path, flags, mode); \
  }
OPENS(open)
OPENS(open64)

#define WRITES(name) \
  ssize_t name(int file, const void *bytes, size_t length, off_t at) { \
    typedef ssize_t (*of)(int, const void *, size_t, off_t); \
    NEXT(of, #name); \
    return is_refused_file(file) ? -1 : next(file, bytes, length, at); \
  }
WRITES(pwrite)
WRITES(pwrite64)

ssize_t write(int file, const void *bytes, size_t length) {
  typedef ssize_t (*of)(int, const void *, size_t);
  NEXT(of, "write");
  return is_refused_file(file) ? -1 : next(file, bytes, length);
}

#define CUTS(name) \
  int name(int file, off_t length) { \
    typedef int (*of)(int, off_t); \
    NEXT(of, #name); \
    return is_refused_file(file) ? -1 : next(file, length); \
  }
CUTS(ftruncate)
CUTS(ftruncate64)

int rename(const char *from, const char *to) {
  typedef int (*of)(const char *, const char *);
  NEXT(of, "rename");
  return is_refused_name(to) ? -1 : next(from, to);
}

int unlink(const char *path) {
  typedef int (*of)(const char *);
  NEXT(of, "unlink");
  return is_refused_name(path) ? -1 : next(path);
}

int mkdir(const char *path, mode_t mode) {
  typedef int (*of)(const char *, mode_t);
  NEXT(of, "mkdir");
  return is_refused_name(path) ? -1 : next(path, mode);
}
