/* Faults of a disk and of a clock, in every process that preloads this object.

   FAULTS_CONTROL names a file with a struct control, which all processes share and which the
   scenario may change at any time. Only what happens below the folder FAULTS_FOLDER is counted, and
   fails. Each operation that can need space on a disk has a number, in the order of all processes.
   From number `first` on, until `last`, it fails with `error`. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct control {
    _Atomic long operations;   /* how many there were */
    _Atomic long first, last;  /* the numbers that fail; none if first is 0 */
    _Atomic long error;        /* with which errno */
    _Atomic long short_write;  /* whether the first failing write still writes half of its bytes */
    _Atomic long failed;       /* how many failed */
    _Atomic long clock_ns;     /* added to the time of day */
};

static struct control *control;
static char folder[PATH_MAX];
static size_t folder_length;
static _Atomic int ready;

static void initialize(void) {
    if (atomic_exchange(&ready, 1)) return;
    const char *file = getenv("FAULTS_CONTROL"), *below = getenv("FAULTS_FOLDER");
    if (!file || !below) return;
    int (*real_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    int descriptor = real_open(file, O_RDWR | O_CLOEXEC);
    if (descriptor < 0) return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
    if (mapped == MAP_FAILED) return;
    strncpy(folder, below, sizeof folder - 1);
    folder_length = strlen(folder);
    control = mapped;
}

__attribute__((constructor)) static void prepare(void) { initialize(); }

static int below(const char *path) {
    return strncmp(path, folder, folder_length) == 0
        && (path[folder_length] == '/' || path[folder_length] == 0);
}

static int path_is_below(int at, const char *path) {
    char whole[PATH_MAX * 2], link[64];
    if (!control || !path) return 0;
    if (path[0] == '/') return below(path);
    ssize_t length;
    if (at == AT_FDCWD) {
        if (!getcwd(whole, PATH_MAX)) return 0;
        length = strlen(whole);
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        if ((length = readlink(link, whole, PATH_MAX - 1)) < 0) return 0;
    }
    snprintf(whole + length, sizeof whole - length, "/%s", path);
    return below(whole);
}

static int descriptor_is_below(int descriptor) {
    char link[64], path[PATH_MAX];
    int before = errno;
    if (!control) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0) return 0;
    path[length] = 0;
    return below(path);
}

/* Count an operation; return 0 if it succeeds, 1 if it fails, 2 if it is the first that fails. */
static int count(void) {
    long number = atomic_fetch_add(&control->operations, 1) + 1, first = control->first;
    if (!first || number < first || number > control->last) return 0;
    atomic_fetch_add(&control->failed, 1);
    errno = control->error;
    return number == first ? 2 : 1;
}

static int failing(void) {
    long next = control->operations + 1;
    return control->first && next >= control->first && next <= control->last;
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name); \
    initialize()

/* --- opening and naming: a new name needs space, an existing file does not ------------------- */

static int refuses_to_open(int at, const char *path, int flags) {
    if (!path_is_below(at, path)) return 0;
    if ((flags & O_TMPFILE) == O_TMPFILE) return count();
    if (!(flags & O_CREAT)) return 0;
    int before = errno, exists = faccessat(at, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    errno = before;
    return exists ? 0 : count();
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list more; \
        va_start(more, flags); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        MODE(flags) \
        REAL(int, #name, const char *, int, mode_t); \
        return refuses_to_open(AT_FDCWD, path, flags) ? -1 : real(path, flags, mode); \
    }
#define OPENAT(name) \
    int name(int at, const char *path, int flags, ...) { \
        MODE(flags) \
        REAL(int, #name, int, const char *, int, mode_t); \
        return refuses_to_open(at, path, flags) ? -1 : real(at, path, flags, mode); \
    }
OPEN(open) OPEN(open64) OPENAT(openat) OPENAT(openat64)

#define CREAT(name) \
    int name(const char *path, mode_t mode) { \
        REAL(int, #name, const char *, mode_t); \
        return refuses_to_open(AT_FDCWD, path, O_CREAT) ? -1 : real(path, mode); \
    }
CREAT(creat) CREAT(creat64)

#define FOPEN(name) \
    FILE *name(const char *path, const char *mode) { \
        REAL(FILE *, #name, const char *, const char *); \
        int flags = mode[0] == 'r' ? 0 : O_CREAT; \
        return refuses_to_open(AT_FDCWD, path, flags) ? NULL : real(path, mode); \
    }
FOPEN(fopen) FOPEN(fopen64)

int mkdirat(int at, const char *path, mode_t mode) {
    REAL(int, "mkdirat", int, const char *, mode_t);
    return path_is_below(at, path) && faccessat(at, path, F_OK, AT_SYMLINK_NOFOLLOW) && count()
        ? -1 : real(at, path, mode);
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int symlinkat(const char *target, int at, const char *path) {
    REAL(int, "symlinkat", const char *, int, const char *);
    return path_is_below(at, path) && count() ? -1 : real(target, at, path);
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }

int linkat(int from, const char *target, int at, const char *path, int flags) {
    REAL(int, "linkat", int, const char *, int, const char *, int);
    return path_is_below(at, path) && count() ? -1 : real(from, target, at, path, flags);
}
int link(const char *target, const char *path) {
    return linkat(AT_FDCWD, target, AT_FDCWD, path, 0);
}

int renameat2(int from, const char *old, int at, const char *path, unsigned flags) {
    REAL(int, "renameat2", int, const char *, int, const char *, unsigned);
    return path_is_below(at, path) && count() ? -1 : real(from, old, at, path, flags);
}
int renameat(int from, const char *old, int at, const char *path) {
    return renameat2(from, old, at, path, 0);
}
int rename(const char *old, const char *path) {
    return renameat2(AT_FDCWD, old, AT_FDCWD, path, 0);
}

/* --- content ---------------------------------------------------------------------------------- */

/* How many bytes of `size` to write: all, half for the first failing write, or -1 for an error. */
static ssize_t allowed(int descriptor, size_t size) {
    if (!size || !descriptor_is_below(descriptor)) return size;
    int refused = count();
    if (refused == 2 && control->short_write && size > 1) return size / 2;
    return refused ? -1 : (ssize_t)size;
}

ssize_t write(int descriptor, const void *bytes, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    ssize_t part = allowed(descriptor, size);
    return part < 0 ? -1 : real(descriptor, bytes, part);
}

#define PWRITE(name, offset_type) \
    ssize_t name(int descriptor, const void *bytes, size_t size, offset_type offset) { \
        REAL(ssize_t, #name, int, const void *, size_t, offset_type); \
        ssize_t part = allowed(descriptor, size); \
        return part < 0 ? -1 : real(descriptor, bytes, part, offset); \
    }
PWRITE(pwrite, off_t) PWRITE(pwrite64, off64_t)

ssize_t writev(int descriptor, const struct iovec *parts, int number) {
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    return number && descriptor_is_below(descriptor) && count() ? -1
        : real(descriptor, parts, number);
}

#define PWRITEV(name, offset_type) \
    ssize_t name(int descriptor, const struct iovec *parts, int number, offset_type offset) { \
        REAL(ssize_t, #name, int, const struct iovec *, int, offset_type); \
        return number && descriptor_is_below(descriptor) && count() ? -1 \
            : real(descriptor, parts, number, offset); \
    }
PWRITEV(pwritev, off_t) PWRITEV(pwritev64, off64_t)

#define SENDFILE(name, offset_type) \
    ssize_t name(int to, int from, offset_type *offset, size_t size) { \
        REAL(ssize_t, #name, int, int, offset_type *, size_t); \
        ssize_t part = allowed(to, size); \
        return part < 0 ? -1 : real(to, from, offset, part); \
    }
SENDFILE(sendfile, off_t) SENDFILE(sendfile64, off64_t)

ssize_t copy_file_range(
    int from, off64_t *offset, int to, off64_t *to_offset, size_t size, unsigned flags
) {
    REAL(ssize_t, "copy_file_range", int, off64_t *, int, off64_t *, size_t, unsigned);
    ssize_t part = allowed(to, size);
    return part < 0 ? -1 : real(from, offset, to, to_offset, part, flags);
}

#define FTRUNCATE(name, offset_type) \
    int name(int descriptor, offset_type size) { \
        REAL(int, #name, int, offset_type); \
        struct stat status; \
        if (descriptor_is_below(descriptor) && fstat(descriptor, &status) == 0 \
            && size > status.st_size && count()) return -1; \
        return real(descriptor, size); \
    }
FTRUNCATE(ftruncate, off_t) FTRUNCATE(ftruncate64, off64_t)

#define ALLOCATE(name, offset_type) \
    int name(int descriptor, offset_type offset, offset_type size) { \
        REAL(int, #name, int, offset_type, offset_type); \
        if (descriptor_is_below(descriptor) && count()) return control->error; \
        return real(descriptor, offset, size); \
    }
ALLOCATE(posix_fallocate, off_t) ALLOCATE(posix_fallocate64, off64_t)

#define FALLOCATE(name, offset_type) \
    int name(int descriptor, int mode, offset_type offset, offset_type size) { \
        REAL(int, #name, int, int, offset_type, offset_type); \
        return descriptor_is_below(descriptor) && count() ? -1 \
            : real(descriptor, mode, offset, size); \
    }
FALLOCATE(fallocate, off_t) FALLOCATE(fallocate64, off64_t)

#define SYNC(name) \
    int name(int descriptor) { \
        REAL(int, #name, int); \
        return descriptor_is_below(descriptor) && count() ? -1 : real(descriptor); \
    }
SYNC(fsync) SYNC(fdatasync)

/* --- what programs are told about the disk ---------------------------------------------------- */

static int full(void) {
    if (!failing() || (control->error != ENOSPC && control->error != EDQUOT)) return 0;
    atomic_fetch_add(&control->failed, 1);
    return 1;
}

#define STATFS(name, type) \
    int name(const char *path, struct type *result) { \
        REAL(int, #name, const char *, struct type *); \
        int code = real(path, result); \
        if (!code && path_is_below(AT_FDCWD, path) && full()) \
            result->f_bfree = result->f_bavail = 0; \
        return code; \
    }
#define FSTATFS(name, type) \
    int name(int descriptor, struct type *result) { \
        REAL(int, #name, int, struct type *); \
        int code = real(descriptor, result); \
        if (!code && descriptor_is_below(descriptor) && full()) \
            result->f_bfree = result->f_bavail = 0; \
        return code; \
    }
STATFS(statvfs, statvfs) STATFS(statvfs64, statvfs64) STATFS(statfs, statfs)
STATFS(statfs64, statfs64) FSTATFS(fstatvfs, statvfs) FSTATFS(fstatvfs64, statvfs64)
FSTATFS(fstatfs, statfs) FSTATFS(fstatfs64, statfs64)

/* --- the time of day -------------------------------------------------------------------------- */

#define SECOND 1000000000LL

static void shift(struct timespec *at) {
    if (!control) return;
    long long sum = at->tv_nsec + control->clock_ns % SECOND;
    long long seconds = sum < 0 ? -1 : sum / SECOND;
    at->tv_sec += control->clock_ns / SECOND + seconds;
    at->tv_nsec = sum - seconds * SECOND;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    REAL(int, "clock_gettime", clockid_t, struct timespec *);
    int code = real(clock, at);
    if (!code && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) shift(at);
    return code;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

/* Files get the time of the kernel, which has not moved: so a new or changed file is moved too. */
int utimensat(int at, const char *path, const struct timespec times[2], int flags) {
    REAL(int, "utimensat", int, const char *, const struct timespec *, int);
    struct timespec now[2];
    if (!times && control && control->clock_ns) {
        clock_gettime(CLOCK_REALTIME, &now[0]);
        now[1] = now[0];
        times = now;
    }
    return real(at, path, times, flags);
}
