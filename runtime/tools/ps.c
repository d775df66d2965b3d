/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sinew ps: a table of tasks, a line for each task and each that awaits it.
 *
 * The table is made twice, first to find out how wide its columns are.
 */
#include "views.h"

#include "chains.h"
#include "snapshot.h"

#include <stdio.h>
#include <string.h>

enum { THREAD, ID, NAME, STATE, STACK, AWAITER_CHAIN, AWAITER_NAME, AWAITER_ID, COLUMNS };

static const char *const titles[COLUMNS] = {"thread", "task id",       "task name",    "state",
                                            "stack",  "awaiter chain", "awaiter name", "awaiter id"};
static const size_t widths_max[COLUMNS] = {10, 20, 32, 8, 70, 70, 32, 20};

typedef struct table {
    const snapshot *snapshot;
    chains *chains;
    bool lines; /* stacks stand below */
    bool print; /* else only the widths are wanted */
    size_t widths[COLUMNS];
} table;

typedef char cell[288];

static void put_row(table *t, cell *cells)
{
    size_t last = 0;
    for (size_t i = 0; i < COLUMNS; i++) {
        if (i == STACK && t->lines)
            continue;
        size_t width = strlen(cells[i]);
        if (width > widths_max[i])
            width = widths_max[i];
        if (width > t->widths[i])
            t->widths[i] = width;
        if (cells[i][0])
            last = i;
    }
    if (!t->print)
        return;
    for (size_t i = 0; i <= last; i++)
        if (i != STACK || !t->lines)
            printf("%-*s%s", i < last ? (int)t->widths[i] : 0, cells[i], i < last ? "  " : "\n");
}

static void set_cell(cell *c, const char *text)
{
    snprintf(*c, sizeof *c, "%s", text ? text : "-");
}

static void put_titles(table *t)
{
    cell cells[COLUMNS];
    for (size_t i = 0; i < COLUMNS; i++)
        set_cell(&cells[i], titles[i]);
    put_row(t, cells);
}

static void put_stack_lines(table *t, uint32_t task)
{
    const task_stack *stack = t->lines ? chains_stack(t->chains, task) : NULL;
    if (!stack || !t->print)
        return;
    for (unsigned i = 0; i < stack->count; i++) {
        const stack_line *line = stack->lines[i];
        if (line->file && !line->internal)
            printf("    %s %s:%d\n", line->function, line->file, line->line);
        else
            printf("    %s\n", line->function);
    }
    if (stack->cut)
        printf("    ...\n");
}

static void put_task(table *t, uint32_t i)
{
    const snapshot *s = t->snapshot;
    const seen_task *task = &s->tasks[i];
    cell cells[COLUMNS];
    set_cell(&cells[THREAD], NULL);
    if (task->thread)
        snprintf(cells[THREAD], sizeof(cell), "%d", (int)task->thread);
    snprintf(cells[ID], sizeof(cell), "0x%llx", (unsigned long long)task->id);
    set_cell(&cells[NAME], snapshot_name(s, i));
    set_cell(&cells[STATE], seen_state_names[task->state]);
    set_cell(&cells[STACK], chains_short(t->chains, i));
    for (uint32_t k = 0; k == 0 || k < task->links; k++) {
        const seen_link *link = task->links ? &s->links[task->first_link + k] : NULL;
        const char *chain = link && !link->loose ? chains_short(t->chains, link->awaiter) : NULL;
        set_cell(&cells[AWAITER_CHAIN], !link ? "" : chain ? chain : link->call);
        set_cell(&cells[AWAITER_NAME], link ? snapshot_name(s, link->awaiter) : "");
        cells[AWAITER_ID][0] = '\0';
        if (link)
            snprintf(cells[AWAITER_ID], sizeof(cell), "0x%llx", (unsigned long long)s->tasks[link->awaiter].id);
        put_row(t, cells);
    }
    put_stack_lines(t, i);
}

static void put_table(table *t)
{
    const snapshot *s = t->snapshot;
    if (s->runtimes_count == 1)
        put_titles(t);
    uint32_t i = 0;
    for (uint32_t rt = 0; rt < s->runtimes_count; rt++) {
        if (s->runtimes_count > 1) {
            if (t->print)
                printf("%sruntime 0x%llx, %u worker%s\n", rt ? "\n" : "", (unsigned long long)s->runtimes[rt].at,
                       s->runtimes[rt].workers, s->runtimes[rt].workers == 1 ? "" : "s");
            put_titles(t);
        }
        for (; i < s->tasks_count && s->tasks[i].runtime == rt; i++)
            put_task(t, i);
    }
}

int view_ps(const target *of, const view_options *options)
{
    snapshot s;
    snapshot_take(&s, of);
    if (!s.runtimes_count) {
        printf("no runtime in process %d\n", (int)of->pid);
    } else {
        chains c;
        chains_open(&c, &s, options->limit);
        table t = {.snapshot = &s, .chains = &c, .lines = options->stacks};
        put_table(&t);
        t.print = true;
        put_table(&t);
        chains_say_rest(&c);
        chains_close(&c);
    }
    snapshot_free(&s);
    return 0;
}
