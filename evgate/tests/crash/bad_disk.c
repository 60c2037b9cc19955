/* A disk that says no: loaded before libc into the process under test. While the file EVGATE_TEST_BAD_DISK names holds
 * "ERRNO PART", whatever would change a file whose path contains PART fails with ERRNO. Reading goes on; so do syncs, unless
 * the disk fails (EIO). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int says_no_to(const char *path) {
    const char *control = getenv("EVGATE_TEST_BAD_DISK");
    FILE *file = control ? fopen(control, "re") : NULL;
    char part[256];
    int error = 0, found = file && fscanf(file, "%d %255s", &error, part) == 2;
    if (file) fclose(file);
    return found && strstr(path, part) ? error : 0;
}

static int error_of(int fd) {
    char link[32], path[4096];
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    path[len > 0 ? len : 0] = 0;
    int error = path[0] == '/' ? says_no_to(path) : 0;
    errno = before;
    return error;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define UNLESS_BAD(fd, call) do { int error = error_of(fd); if (error) { errno = error; return -1; } return call; } while (0)

ssize_t write(int fd, const void *bytes, size_t len) { UNLESS_BAD(fd, NEXT(write)(fd, bytes, len)); }
ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) { UNLESS_BAD(fd, NEXT(pwrite)(fd, bytes, len, at)); }
ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) { UNLESS_BAD(fd, NEXT(pwrite64)(fd, bytes, len, at)); }
int ftruncate(int fd, off_t len) { UNLESS_BAD(fd, NEXT(ftruncate)(fd, len)); }
int ftruncate64(int fd, off64_t len) { UNLESS_BAD(fd, NEXT(ftruncate64)(fd, len)); }

static int sync_error(int fd) { int error = error_of(fd); return error == EIO ? error : 0; }
int fsync(int fd) { int error = sync_error(fd); if (error) { errno = error; return -1; } return NEXT(fsync)(fd); }
int fdatasync(int fd) { int error = sync_error(fd); if (error) { errno = error; return -1; } return NEXT(fdatasync)(fd); }
