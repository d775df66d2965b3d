/* SPDX-License-Identifier: Apache-2.0 */
/* The process that is looked at; see target.h. */
#include "target.h"

#include "fail.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PAGE = 4096, AT_ONCE = 512 /* reads in one call; the kernel takes 1024 */ };

#if defined(__x86_64__)
enum { OWN_MACHINE = EM_X86_64 };
#elif defined(__aarch64__)
enum { OWN_MACHINE = EM_AARCH64 };
#else
enum { OWN_MACHINE = EM_NONE };
#endif

/* --- why it cannot be looked at --------------------------------------------------------------------------------- */

static int ptrace_scope(void)
{
    int scope = -1;
    FILE *f = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
    if (f) {
        if (fscanf(f, "%d", &scope) != 1)
            scope = -1;
        fclose(f);
    }
    return scope;
}

__attribute__((noreturn)) static void fail_permission(pid_t pid)
{
    fprintf(stderr, "sinew: no permission to read the memory of process %d; what helps:\n", (int)pid);
    fprintf(stderr, "  - run this as the user whose process it is, or as root: sudo sinew ...\n");
    fprintf(stderr, "  - or give the tool the capability: sudo setcap cap_sys_ptrace=ep $(command -v sinew)\n");
    int scope = ptrace_scope();
    if (scope > 0)
        fprintf(stderr,
                "  - /proc/sys/kernel/yama/ptrace_scope is %d, which keeps users from reading their own processes%s\n",
                scope,
                scope < 3 ? "; for now: sudo sysctl kernel.yama.ptrace_scope=0" : ", and root too, until a reboot");
    fprintf(stderr, "  - in a container: --cap-add=SYS_PTRACE\n");
    exit(1);
}

__attribute__((noreturn)) static void fail_errno(pid_t pid, int error)
{
    bool exists = kill(pid, 0) == 0 || errno == EPERM;
    if (!exists)
        fail("there is no process %d", (int)pid);
    if (error == EACCES || error == EPERM || error == ENOENT) /* ENOENT: a /proc that hides others' processes */
        fail_permission(pid);
    fail("process %d cannot be read: %s", (int)pid, strerror(error));
}

/* --- memory ----------------------------------------------------------------------------------------------------- */

bool target_read(const target *t, uint64_t at, void *out, size_t bytes)
{
    struct iovec here = {out, bytes}, there = {(void *)(uintptr_t)at, bytes};
    return process_vm_readv(t->pid, &here, 1, &there, 1, 0) == (ssize_t)bytes;
}

uint64_t target_word(const target *t, uint64_t at)
{
    uint64_t word;
    return target_read(t, at, &word, sizeof word) ? word : 0;
}

void target_read_many(const target *t, const uint64_t *at, size_t count, size_t bytes, char *out)
{
    memset(out, 0, count * bytes);
    for (size_t done = 0; done < count;) {
        struct iovec there[AT_ONCE];
        size_t n = count - done < AT_ONCE ? count - done : AT_ONCE;
        for (size_t i = 0; i < n; i++)
            there[i] = (struct iovec){(void *)(uintptr_t)at[done + i], bytes};
        struct iovec here = {out + done * bytes, n * bytes};
        ssize_t got = process_vm_readv(t->pid, &here, 1, there, n, 0);
        size_t whole = got > 0 ? (size_t)got / bytes : 0;
        if (whole < n) /* the next one cannot be read */
            memset(out + (done + whole) * bytes, 0, bytes);
        done += whole < n ? whole + 1 : n;
    }
}

bool target_read_text(const target *t, uint64_t at, char *out, size_t room)
{
    size_t length = 0;
    while (length < room - 1) { /* not beyond a page that may be the last one */
        size_t bytes = PAGE - (at + length) % PAGE;
        if (bytes > room - 1 - length)
            bytes = room - 1 - length;
        if (!target_read(t, at + length, out + length, bytes))
            break;
        const char *end = memchr(out + length, 0, bytes);
        if (end) {
            for (char *c = out; c < end; c++)
                if ((unsigned char)*c < ' ' || *c == 127)
                    *c = '?';
            return true;
        }
        length += bytes;
    }
    out[length] = '\0';
    return length == room - 1;
}

uint64_t field(const char *from, uint32_t offset, size_t bytes)
{
    uint64_t value = 0; /* little endian, as all that we read */
    memcpy(&value, from + offset, bytes);
    return value;
}

/* --- modules and the record ------------------------------------------------------------------------------------- */

static pid_t looked_at; /* libdw has no argument for it */

static int open_file(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

/* The file as the process sees it, which may have other ones at the same path than we; and its program also if that was
 * deleted or replaced since. */
static int find_elf(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base, char **file, Elf **elf)
{
    char path[PATH_MAX + 32], program[PATH_MAX];
    if (name[0] != '/')
        return dwfl_linux_proc_find_elf(module, data, name, base, file, elf);
    snprintf(path, sizeof path, "/proc/%d/root%s", (int)looked_at, name);
    int fd = open_file(path);
    if (fd < 0) {
        snprintf(path, sizeof path, "/proc/%d/exe", (int)looked_at);
        ssize_t length = readlink(path, program, sizeof program - 1);
        if (length > 0 && strncmp(program, name, (size_t)length) == 0 && name[length] == '\0')
            fd = open_file(path);
    }
    if (fd >= 0)
        *file = strdup(name);
    return fd;
}

static const Dwfl_Callbacks callbacks = {
    .find_elf = find_elf,
    .find_debuginfo = dwfl_standard_find_debuginfo,
};

typedef struct search {
    target *t;
    uint64_t record_at;
    bool foreign;  /* a module of another architecture */
    bool replaced; /* a file that it runs */
} search;

static uint64_t find_section(Elf *elf, GElf_Addr bias)
{
    size_t names;
    if (elf_getshdrstrndx(elf, &names) != 0)
        return 0;
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section)) != NULL;) {
        GElf_Shdr header;
        if (!gelf_getshdr(section, &header))
            continue;
        const char *name = elf_strptr(elf, names, header.sh_name);
        if (name && strcmp(name, SN_INSPECT_SECTION) == 0)
            return header.sh_addr + bias;
    }
    return 0;
}

static int look_at_module(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr start, void *arg)
{
    (void)data;
    (void)start;
    search *s = arg;
    GElf_Addr bias;
    GElf_Ehdr header;
    Elf *elf = dwfl_module_getelf(module, &bias);
    if (!elf || !gelf_getehdr(elf, &header)) {
        s->replaced = s->replaced || strstr(name, " (deleted)") != NULL;
        return DWARF_CB_OK;
    }
    if (header.e_machine != OWN_MACHINE)
        s->foreign = true;
    uint64_t at = find_section(elf, bias);
    if (!at)
        return DWARF_CB_OK;
    const char *base = strrchr(name, '/');
    s->t->module = module;
    s->t->shared = strncmp(base ? base + 1 : name, "libsinew.so", strlen("libsinew.so")) == 0;
    s->record_at = at;
    return DWARF_CB_ABORT;
}

static void read_record(target *t, uint64_t at)
{
    errno = 0;
    if (!target_read(t, at, &t->record, sizeof t->record)) {
        if (errno != EFAULT)
            fail_errno(t->pid, errno);
        memset(&t->record, 0, sizeof t->record);
    }
    if (memcmp(t->record.magic, SN_INSPECT_MAGIC, sizeof t->record.magic) != 0 ||
        t->record.bytes != sizeof(sn_inspection) || t->record.layout_bytes != sizeof(sn_layout))
        fail("process %d uses another version of sinew than this tool is of; use the tool that came with the library",
             (int)t->pid);
}

void target_open(target *t, pid_t pid)
{
    *t = (target){.pid = pid, .can_unwind = OWN_MACHINE == EM_X86_64};
    looked_at = pid;
    unsetenv("DEBUGINFOD_URLS"); /* never wait for a network */
    t->dwfl = dwfl_begin(&callbacks);
    if (!t->dwfl)
        fail("libdw: %s", dwfl_errmsg(-1));
    dwfl_report_begin(t->dwfl);
    int error = dwfl_linux_proc_report(t->dwfl, pid);
    if (error > 0)
        fail_errno(pid, error);
    if (error < 0)
        fail("process %d: %s", (int)pid, dwfl_errmsg(-1));
    dwfl_report_end(t->dwfl, NULL, NULL);
    search s = {.t = t};
    dwfl_getmodules(t->dwfl, look_at_module, &s, 0);
    if (s.record_at) {
        if (s.foreign)
            fail("process %d is of another architecture than this tool; use a tool of that architecture", (int)pid);
        read_record(t, s.record_at);
        return;
    }
    /* The memory tells more than the files: without it, nothing was looked at. */
    char byte;
    errno = 0;
    if (!target_read(t, (uint64_t)(uintptr_t)&byte, &byte, 1) && (errno == EPERM || errno == ESRCH))
        fail_errno(pid, errno);
    if (s.replaced)
        fail("process %d does not seem to use sinew; but a file it runs was moved or replaced, start it again to be "
             "sure",
             (int)pid);
    fail("process %d does not use sinew", (int)pid);
}

void target_close(target *t)
{
    dwfl_end(t->dwfl);
}
