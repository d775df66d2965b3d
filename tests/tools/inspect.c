/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: `sinew ps` and `sinew pstree` show the tasks of another process, without its help, and say in a line what is
 * wrong if they cannot.
 * Method: targets/target.c is the other process; the tool is run on it, and what it prints is taken apart. Tasks come
 * to rest by themselves: the tool is asked again until the picture is the one that was expected, or time is up. Cannot
 * see: processes of another architecture; what the tool says of a moment that nobody else has seen.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <tests/support/run.h>

enum { PATIENCE_S = 60, ROWS_MAX = 64, CELLS = 8, ARGS_MAX = 8 };
enum { THREAD, ID, NAME, STATE, STACK, CHAIN, AWAITER, AWAITER_ID };

/* --- the two processes -------------------------------------------------------------------------------------------- */

typedef struct other {
    pid_t pid;
    int stop; /* closed: the process ends */
} other;

static void nearly_exec(int in, int out, int err)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY); /* where users may only look at their descendants */
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
}

/* Starts a process and waits until it says "ready". */
static other start(const char *program, const char *mode, const char *workers, const char *n)
{
    int in[2], out[2];
    char line[8] = "";
    if (!TOOL[0]) {
        fprintf(stderr, "note: libdw was not there, so `sinew` was not built: skipped\n");
        skip();
    }
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    other o = {.pid = fork(), .stop = in[1]};
    assert_true(o.pid >= 0);
    if (o.pid == 0) {
        nearly_exec(in[0], out[1], STDERR_FILENO);
        execl(program, program, mode, workers, n, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    struct pollfd readable = {.fd = out[0], .events = POLLIN};
    assert_int_equal(poll(&readable, 1, PATIENCE_S * 1000), 1);
    assert_true(read(out[0], line, sizeof line - 1) >= 6);
    assert_string_equal(line, "ready\n");
    close(out[0]);
    return o;
}

/* It must have been there to the end. */
static void stop(const other *o)
{
    int status;
    assert_int_equal(waitpid(o->pid, &status, WNOHANG), 0);
    close(o->stop);
    assert_int_equal(waitpid(o->pid, &status, 0), o->pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

typedef struct said {
    int code; /* exit status, or -1: a signal ended it */
    char *out, *err;
} said;

static char *read_all(int fd)
{
    size_t length = 0, room = 1 << 16;
    char *text = malloc(room);
    for (;;) {
        assert_non_null(text);
        ssize_t n = read(fd, text + length, room - 1 - length);
        if (n <= 0)
            break;
        length += (size_t)n;
        if (length == room - 1)
            text = realloc(text, room *= 2);
    }
    text[length] = '\0';
    return text;
}

static FILE *scratch_file(void)
{
    FILE *f = tmpfile();
    assert_non_null(f);
    return f;
}

/* Runs the tool; as another user if `as_nobody`, who need not be able to reach the file. */
static said run_tool(char *const *args, bool as_nobody)
{
    FILE *out = scratch_file(), *err = scratch_file();
    int tool = open(TOOL, O_RDONLY);
    assert_true(tool >= 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        nearly_exec(open("/dev/null", O_RDONLY), fileno(out), fileno(err));
        alarm(PATIENCE_S);
        if (as_nobody) {
            setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* LeakSanitizer wants to trace, too */
            if (setgroups(0, NULL) != 0 || setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
                _exit(126);
        }
        fexecve(tool, args, environ);
        _exit(127);
    }
    close(tool);
    int status;
    said s;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    s.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    rewind(out);
    rewind(err);
    s.out = read_all(fileno(out));
    s.err = read_all(fileno(err));
    fclose(out);
    fclose(err);
    return s;
}

static void forget(said *s)
{
    free(s->out);
    free(s->err);
}

/* sinew COMMAND [OPTION [VALUE]] PID */
static said ask(const other *o, const char *command, const char *option, const char *value)
{
    char pid[16];
    snprintf(pid, sizeof pid, "%d", (int)o->pid);
    const char *args[ARGS_MAX] = {"sinew", command};
    size_t n = 2;
    if (option)
        args[n++] = option;
    if (value)
        args[n++] = value;
    args[n] = pid;
    return run_tool((char *const *)(uintptr_t)args, false);
}

static void expect_failure(said *s, int code, const char *text)
{
    if (s->code != code || !strstr(s->err, text))
        fail_msg("status %d, stderr:\n%s\nexpected status %d and: %s", s->code, s->err, code, text);
    assert_string_equal(s->out, "");
    forget(s);
}

/* --- tables ------------------------------------------------------------------------------------------------------- */

typedef struct table {
    char *cells[ROWS_MAX][CELLS];
    size_t rows;
} table;

/* Two blanks or more part cells. Changes the text. */
static void split_row(char *line, char **cells)
{
    for (size_t i = 0; i < CELLS; i++)
        cells[i] = line + strlen(line);
    for (size_t i = 0; i < CELLS && *line; i++) {
        cells[i] = line;
        char *end = strstr(line, "  ");
        if (!end)
            return;
        *end++ = '\0';
        line = end + strspn(end, " ");
    }
}

static void read_table(char *text, table *t)
{
    t->rows = 0;
    char *rest, *line = strtok_r(text, "\n", &rest);
    assert_non_null(line);
    assert_non_null(strstr(line, "awaiter chain"));
    while ((line = strtok_r(NULL, "\n", &rest)) != NULL && t->rows < ROWS_MAX)
        split_row(line, t->cells[t->rows++]);
}

static char **find_row(table *t, const char *name, const char *awaiter)
{
    for (size_t i = 0; i < t->rows; i++)
        if (strcmp(t->cells[i][NAME], name) == 0 && strcmp(t->cells[i][AWAITER], awaiter) == 0)
            return t->cells[i];
    return NULL;
}

/* The tasks of the town. Those without a name are children of a group and of a map. */
static const struct resident {
    const char *name, *state, *call, *function, *awaiter, *awaiter_call, *awaiter_function;
} residents[] = {
    {"Task-1", "waiting", "sinew_gather", "town", "", "", ""},
    {"chain", "waiting", "sinew_await", "await_chain", "Task-1", "sinew_gather", "town"},
    {"chain middle", "waiting", "sinew_await", "await_one", "chain", "sinew_await", "helper_of_chain <- await_chain"},
    {"chain leaf", "waiting", "sinew_sleep", "sleep_long", "chain middle", "sinew_await", "await_one"},
    {"fan 1", "waiting", "sinew_await", "await_parked", "Task-1", "sinew_gather", "town"},
    {"fan 2", "waiting", "sinew_await", "await_parked", "Task-1", "sinew_gather", "town"},
    {"shared", "waiting", "sinew_sleep", "sleep_long", "fan 1", "sinew_await", "await_parked"},
    {"shared", "waiting", "sinew_sleep", "sleep_long", "fan 2", "sinew_await", "await_parked"},
    {"group owner", "waiting", "sinew_group_wait", "own_group", "Task-1", "sinew_gather", "town"},
    {"waiter", "waiting", "sinew_wait", "wait_for_two", "Task-1", "sinew_gather", "town"},
    {"waited 1", "waiting", "sinew_sleep", "sleep_long", "waiter", "sinew_wait", "wait_for_two"},
    {"waited 2", "waiting", "sinew_sleep", "sleep_long", "waiter", "sinew_wait", "wait_for_two"},
    {"selector", "waiting", "sinew_select", "select_one", "Task-1", "sinew_gather", "town"},
    {"selected", "waiting", "sinew_sleep", "sleep_long", "selector", "sinew_select", "select_one"},
    {"iterator", "waiting", "sinew_as_completed_next", "iterate", "Task-1", "sinew_gather", "town"},
    {"watched", "waiting", "sinew_sleep", "sleep_long", "iterator", "sinew_as_completed_next", "iterate"},
    {"mapper", "waiting", "sinew_map", "map_some", "Task-1", "sinew_gather", "town"},
    {"locker", "waiting", "sinew_mutex_lock", "lock_mutex", "Task-1", "sinew_gather", "town"},
    {"future waiter", "waiting", "sinew_future_await", "await_future", "Task-1", "sinew_gather", "town"},
    {"hog", "running", "", "", "Task-1", "sinew_gather", "town"},
    {"unstarted", "new", "", "", "", "", ""},
};
enum { RESIDENTS = sizeof residents / sizeof residents[0], NAMELESS = 5 };

static bool is_chain(const char *cell, const char *call, const char *functions)
{
    char wanted[128];
    if (!functions[0])
        return call[0] ? strcmp(cell, call) == 0 : strcmp(cell, "-") == 0 || cell[0] == '\0';
    snprintf(wanted, sizeof wanted, "%s <- ", call);
    return strncmp(cell, wanted, strlen(wanted)) == 0 && strstr(cell, functions);
}

/* NULL: the table is right; else the name of one who is not there as expected. */
static const char *misplaced(table *t)
{
    for (size_t i = 0; i < RESIDENTS; i++) {
        const struct resident *r = &residents[i];
        char **row = find_row(t, r->name, r->awaiter);
        if (!row || strcmp(row[STATE], r->state) != 0 || !is_chain(row[STACK], r->call, r->function) ||
            !is_chain(row[CHAIN], r->awaiter_call, r->awaiter_function))
            return r->name;
    }
    size_t of_group = 0, of_map = 0;
    for (size_t i = 0; i < t->rows; i++) {
        char **row = t->cells[i];
        if (strncmp(row[NAME], "Task@", 5) != 0 || !is_chain(row[STACK], "sinew_sleep", "sleep_long"))
            continue;
        of_group += strcmp(row[AWAITER], "group owner") == 0 && is_chain(row[CHAIN], "sinew_group_wait", "own_group");
        of_map += strcmp(row[AWAITER], "mapper") == 0 && is_chain(row[CHAIN], "sinew_map", "map_some");
    }
    if (of_group != 2 || of_map != 3)
        return "a child of the group or of the map";
    return t->rows == RESIDENTS + NAMELESS ? NULL : "somebody who should not be there";
}

static void expect_each_id_once_for_each_awaiter(table *t)
{
    for (size_t i = 0; i < t->rows; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(t->cells[i][ID], t->cells[k][ID]) == 0)
                assert_string_not_equal(t->cells[i][AWAITER_ID], t->cells[k][AWAITER_ID]);
}

static void expect_ids_of_awaiters(table *t)
{
    for (size_t i = 0; i < t->rows; i++)
        if (t->cells[i][AWAITER][0]) {
            bool found = false;
            for (size_t k = 0; k < t->rows; k++)
                found = found || (strcmp(t->cells[k][ID], t->cells[i][AWAITER_ID]) == 0 &&
                                  strcmp(t->cells[k][NAME], t->cells[i][AWAITER]) == 0);
            assert_true(found);
        }
}

static void expect_thread_of_hog(table *t, const other *o)
{
    char path[64];
    char **row = find_row(t, "hog", "Task-1");
    snprintf(path, sizeof path, "/proc/%d/task/%s", (int)o->pid, row[THREAD]);
    assert_true(isdigit((unsigned char)row[THREAD][0]) && access(path, F_OK) == 0);
    assert_string_equal(find_row(t, "locker", "Task-1")[THREAD], "-");
}

static void pause_a_little(void)
{
    struct timespec ms = {.tv_nsec = 10000000};
    nanosleep(&ms, NULL);
}

/* Asks until all stand where they should. */
static said ask_town(const other *o, table *t)
{
    time_t end = time(NULL) + PATIENCE_S;
    for (;;) {
        said s = ask(o, "ps", NULL, NULL);
        if (s.code != 0)
            fail_msg("status %d, stderr:\n%s", s.code, s.err);
        char *whole = strdup(s.out);
        read_table(s.out, t);
        const char *who = misplaced(t);
        if (who && time(NULL) > end)
            fail_msg("%s does not stand as expected in:\n%s", who, whole);
        free(whole);
        if (!who)
            return s;
        forget(&s);
        pause_a_little();
    }
}

static void check_town(const char *program, const char *workers)
{
    other o = start(program, "town", workers, NULL);
    table t;
    said s = ask_town(&o, &t);
    expect_each_id_once_for_each_awaiter(&t);
    expect_ids_of_awaiters(&t);
    expect_thread_of_hog(&t, &o);
    assert_string_equal(s.err, "");
    forget(&s);
    stop(&o);
}

static void a230_each_task_is_listed_with_its_stack_and_who_awaits_it(void **state)
{
    (void)state;
    check_town(TARGET_SHARED, "1");
    check_town(TARGET_SHARED, "4");
}

static void a230_also_where_the_library_is_part_of_the_program(void **state)
{
    (void)state;
    check_town(TARGET_STATIC, "1");
    check_town(TARGET_STATIC, "4");
}

static bool copy_file(const char *from, int to)
{
    char block[4096];
    int fd = open(from, O_RDONLY);
    ssize_t n;
    while ((n = read(fd, block, sizeof block)) > 0)
        if (write(to, block, (size_t)n) != n)
            return false;
    return close(fd) == 0 && n == 0 && fchmod(to, 0700) == 0 && close(to) == 0;
}

static void a230_also_of_a_program_whose_file_is_gone(void **state)
{
    (void)state;
    char copy[] = "./sinew-tools-XXXXXX";
    assert_true(copy_file(TARGET_STATIC, mkstemp(copy)));
    other o = start(copy, "town", "1", NULL);
    unlink(copy);
    table t;
    said s = ask_town(&o, &t);
    forget(&s);
    stop(&o);
}

static void a230_stacks_have_files_and_lines(void **state)
{
    (void)state;
    other o = start(TARGET_SHARED, "town", "1", NULL);
    said s = ask(&o, "ps", "--stacks", NULL);
    assert_int_equal(s.code, 0);
    const char *at = strstr(s.out, "\n    sinew_await\n    helper_of_chain target.c:");
    assert_non_null(at);
    assert_non_null(strstr(at, "\n    await_chain target.c:"));
    forget(&s);
    stop(&o);
}

static void a230_stacks_can_be_left_out_and_limited(void **state)
{
    (void)state;
    other o = start(TARGET_SHARED, "town", "1", NULL);
    table t;
    said s = ask(&o, "ps", "--no-stacks", NULL);
    assert_int_equal(s.code, 0);
    read_table(s.out, &t);
    assert_int_equal(t.rows, RESIDENTS + NAMELESS);
    for (size_t i = 0; i < t.rows; i++)
        assert_string_equal(t.cells[i][STACK], "-");
    assert_string_equal(find_row(&t, "waited 1", "waiter")[CHAIN], "sinew_wait"); /* known without */
    forget(&s);
    s = ask(&o, "ps", "--limit", "2");
    assert_int_equal(s.code, 0);
    assert_non_null(strstr(s.out, "--limit N shows more"));
    forget(&s);
    stop(&o);
}

static void a230_who_gathers_waits_for_the_one_that_runs_beside_it(void **state)
{
    (void)state;
    other o = start(TARGET_SHARED, "beside", "1", NULL);
    table t;
    said s = ask(&o, "ps", NULL, NULL);
    assert_int_equal(s.code, 0);
    read_table(s.out, &t);
    assert_int_equal(t.rows, 2);
    char **gatherer = t.cells[0], **child = find_row(&t, "beside", t.cells[0][NAME]);
    assert_non_null(child);
    assert_string_equal(gatherer[STATE], "waiting");
    assert_string_equal(gatherer[STACK], "sinew_gather <- gather_one");
    assert_string_equal(child[STATE], "running");
    assert_string_equal(child[CHAIN], "sinew_gather <- gather_one");
    forget(&s);
    stop(&o);
}

static void a230_each_runtime_has_a_heading(void **state)
{
    (void)state;
    other o = start(TARGET_SHARED, "two", "2", NULL);
    said s = ask(&o, "ps", NULL, NULL);
    assert_int_equal(s.code, 0);
    const char *first = strstr(s.out, "runtime 0x");
    assert_non_null(first);
    assert_non_null(strstr(first + 1, "runtime 0x"));
    assert_non_null(strstr(s.out, ", 1 worker\n"));
    assert_non_null(strstr(s.out, ", 2 workers\n"));
    forget(&s);
    stop(&o);
}

static void a230_without_a_runtime_there_are_no_tasks(void **state)
{
    (void)state;
    other o = start(TARGET_SHARED, "idle", "1", NULL);
    for (int i = 0; i < 2; i++) {
        said s = ask(&o, i ? "pstree" : "ps", NULL, NULL);
        assert_int_equal(s.code, 0);
        assert_non_null(strstr(s.out, "no runtime"));
        forget(&s);
    }
    stop(&o);
}

static size_t count_of(const char *text, const char *part)
{
    size_t n = 0;
    for (; (text = strstr(text, part)) != NULL; text += strlen(part))
        n++;
    return n;
}

static void a230_a_hundred_thousand_tasks_are_listed(void **state)
{
    (void)state;
    char n[16];
    size_t tasks = scaled(100000, 5000);
    snprintf(n, sizeof n, "%zu", tasks);
    other o = start(TARGET_SHARED, "many", "2", n);
    said s = ask(&o, "ps", NULL, NULL);
    assert_int_equal(s.code, 0);
    assert_int_equal(count_of(s.out, "Task@"), tasks + 1);
    assert_true(count_of(s.out, "sinew_sleep <- sleep_long") > 900);
    assert_non_null(strstr(s.out, "--limit N shows more"));
    forget(&s);
    stop(&o);
}

/* Rows that are none would show that something was read which is no task. */
static void expect_table_of_busy(char *text)
{
    static const char *const states[] = {"new", "ready", "running", "waiting"};
    char *rest, *cells[CELLS], *line = strtok_r(text, "\n", &rest);
    while ((line = strtok_r(NULL, "\n", &rest)) != NULL && line[0] != '(') {
        split_row(line, cells);
        bool known = false;
        for (size_t i = 0; i < 4; i++)
            known = known || strcmp(cells[STATE], states[i]) == 0;
        if (!known || strncmp(cells[ID], "0x", 2) != 0)
            fail_msg("a strange row: %s %s %s %s", cells[THREAD], cells[ID], cells[NAME], cells[STATE]);
    }
}

static void a230_a_busy_process_can_be_looked_at_again_and_again(void **state)
{
    (void)state;
    other o = start(TARGET_SHARED, "busy", "4", NULL);
    for (size_t i = 0; i < scaled(50, 20); i++) {
        said s = ask(&o, i % 2 ? "pstree" : "ps", NULL, NULL);
        if (s.code != 0)
            fail_msg("status %d, stderr:\n%s", s.code, s.err);
        assert_string_equal(s.err, "");
        if (i % 2 == 0)
            expect_table_of_busy(s.out);
        forget(&s);
    }
    stop(&o);
}

/* --- trees -------------------------------------------------------------------------------------------------------- */

/* Of the lines of the tree, the last one before `line` that is one step less indented, or NULL. */
static const char *parent_of(char **lines, size_t line)
{
    size_t depth = (size_t)(strstr(lines[line], "── ") - lines[line]);
    while (line-- > 0)
        if ((size_t)(strstr(lines[line], "── ") - lines[line]) < depth)
            return lines[line];
    return NULL;
}

static bool line_is_of(const char *line, const char *name)
{
    const char *at = line ? strstr(line, "── ") : NULL;
    return at && strncmp(at + strlen("── "), name, strlen(name)) == 0 &&
           strncmp(at + strlen("── ") + strlen(name), " 0x", 3) == 0;
}

static void a231_the_tree_shows_below_each_task_what_it_awaits(void **state)
{
    (void)state;
    other o = start(TARGET_SHARED, "town", "4", NULL);
    table t;
    said s = ask_town(&o, &t);
    forget(&s);
    s = ask(&o, "pstree", NULL, NULL);
    assert_int_equal(s.code, 0);
    char *lines[ROWS_MAX], *rest, *line = strtok_r(s.out, "\n", &rest);
    size_t count = 0;
    for (; line && count < ROWS_MAX; line = strtok_r(NULL, "\n", &rest))
        lines[count++] = line;
    assert_int_equal(count, RESIDENTS + NAMELESS);
    size_t again = 0;
    for (size_t i = 0; i < RESIDENTS; i++) {
        const struct resident *r = &residents[i];
        bool found = false;
        for (size_t k = 0; k < count; k++) {
            const char *parent = line_is_of(lines[k], r->name) ? parent_of(lines, k) : NULL;
            found = found || (parent && line_is_of(parent, r->awaiter) && strstr(lines[k], r->function)) ||
                    (!r->awaiter[0] && line_is_of(lines[k], r->name) && !parent);
            if (parent && line_is_of(parent, r->awaiter) && strstr(lines[k], "(shown above)")) {
                found = true;
                again++;
            }
        }
        if (!found)
            fail_msg("%s is not below %s", r->name, r->awaiter);
    }
    assert_int_equal(again, 1); /* the shared one */
    forget(&s);
    stop(&o);
}

static void a231_a_circle_is_an_error_that_names_it(void **state)
{
    (void)state;
    other o = start(TARGET_SHARED, "circle", "2", NULL);
    time_t end = time(NULL) + PATIENCE_S;
    said s = ask(&o, "pstree", NULL, NULL);
    for (; s.code == 0 && time(NULL) < end; s = ask(&o, "pstree", NULL, NULL)) { /* not in their awaits yet */
        forget(&s);
        pause_a_little();
    }
    const char *ping = strstr(s.err, "ping 0x"), *pong = strstr(s.err, "pong 0x");
    assert_non_null(ping);
    assert_non_null(pong);
    const char *first = ping < pong ? "ping 0x" : "pong 0x";
    assert_int_equal(count_of(s.err, first), 2); /* it is closed */
    assert_non_null(strstr(s.err, " → "));
    expect_failure(&s, 1, "circle: ");
    s = ask(&o, "ps", NULL, NULL); /* a table can be had */
    assert_int_equal(s.code, 0);
    forget(&s);
    stop(&o);
}

/* --- what goes wrong ---------------------------------------------------------------------------------------------- */

static void a232_missing_permission_is_explained(void **state)
{
    (void)state;
    bool root = geteuid() == 0;
    other o = start(TARGET_SHARED, root ? "idle" : "secret", "1", NULL);
    char pid[16];
    snprintf(pid, sizeof pid, "%d", (int)o.pid);
    char *args[] = {(char[]){"sinew"}, (char[]){"ps"}, pid, NULL};
    said s = run_tool(args, root);
    bool permitted = s.code == 0 || s.code == 126;
    if (!permitted) {
        assert_non_null(strstr(s.err, "sudo"));
        assert_non_null(strstr(s.err, "SYS_PTRACE"));
        expect_failure(&s, 1, "no permission to read the memory of process");
    } else {
        forget(&s);
    }
    stop(&o);
    if (permitted) {
        fprintf(stderr, "note: this user may look at everything here, and can become nobody else: skipped\n");
        skip();
    }
}

static void a_process_that_is_not_there_is_told(void **state)
{
    (void)state;
    other o = start(TARGET_SHARED, "idle", "1", NULL);
    stop(&o);
    said s = ask(&o, "ps", NULL, NULL);
    expect_failure(&s, 1, "there is no process");
}

static void a_process_without_sinew_is_told(void **state)
{
    (void)state;
    other o = start("/bin/sh", "-c", "echo ready; read line; exit 0", NULL); /* a shell reads to the end, too */
    said s = ask(&o, "ps", NULL, NULL);
    expect_failure(&s, 1, "does not use sinew");
    stop(&o);
}

static void another_version_is_told(void **state)
{
    (void)state;
    other o = start(TARGET_OTHER_VERSION, "", "", NULL);
    said s = ask(&o, "ps", NULL, NULL);
    expect_failure(&s, 1, "another version of sinew");
    stop(&o);
}

static void wrong_usage_is_told_with_status_2(void **state)
{
    (void)state;
    static const char *const wrong[][5] = {
        {"sinew"},
        {"sinew", "ps"},
        {"sinew", "ps", "x"},
        {"sinew", "ps", "0"},
        {"sinew", "ps", "-1"},
        {"sinew", "top", "1"},
        {"sinew", "ps", "1", "2"},
        {"sinew", "ps", "--no-such", "1"},
        {"sinew", "ps", "99999999999999999999"},
        {"sinew", "ps", "--limit", "many", "1"},
    };
    if (!TOOL[0])
        skip();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const char *args[6] = {NULL};
        memcpy(args, wrong[i], sizeof wrong[i]);
        said s = run_tool((char *const *)(uintptr_t)args, false);
        expect_failure(&s, 2, "usage: sinew ps");
    }
}

static void help_and_version_are_no_errors(void **state)
{
    (void)state;
    if (!TOOL[0])
        skip();
    for (int i = 0; i < 2; i++) {
        const char *args[] = {"sinew", i ? "--version" : "--help", NULL};
        said s = run_tool((char *const *)(uintptr_t)args, false);
        assert_int_equal(s.code, 0);
        assert_non_null(strstr(s.out, i ? "sinew 0." : "usage: sinew ps"));
        assert_string_equal(s.err, "");
        forget(&s);
    }
}

TEST_MAIN(cmocka_unit_test(a230_each_task_is_listed_with_its_stack_and_who_awaits_it),
          cmocka_unit_test(a230_also_where_the_library_is_part_of_the_program),
          cmocka_unit_test(a230_also_of_a_program_whose_file_is_gone),
          cmocka_unit_test(a230_stacks_have_files_and_lines), cmocka_unit_test(a230_stacks_can_be_left_out_and_limited),
          cmocka_unit_test(a230_who_gathers_waits_for_the_one_that_runs_beside_it),
          cmocka_unit_test(a230_each_runtime_has_a_heading),
          cmocka_unit_test(a230_without_a_runtime_there_are_no_tasks),
          cmocka_unit_test(a230_a_hundred_thousand_tasks_are_listed),
          cmocka_unit_test(a230_a_busy_process_can_be_looked_at_again_and_again),
          cmocka_unit_test(a231_the_tree_shows_below_each_task_what_it_awaits),
          cmocka_unit_test(a231_a_circle_is_an_error_that_names_it),
          cmocka_unit_test(a232_missing_permission_is_explained), cmocka_unit_test(a_process_that_is_not_there_is_told),
          cmocka_unit_test(a_process_without_sinew_is_told), cmocka_unit_test(another_version_is_told),
          cmocka_unit_test(wrong_usage_is_told_with_status_2), cmocka_unit_test(help_and_version_are_no_errors))
