/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sinew pstree: below each task those that it awaits. Tasks that await each other in a circle have no tree; they are
 * reported instead.
 */
#include "views.h"

#include "chains.h"
#include "circles.h"
#include "fail.h"

#include <stdio.h>
#include <string.h>

enum { DEPTH_MAX = 200, TRIES = 10 };

typedef struct tree {
    const snapshot *snapshot;
    chains *chains;
    bool *shown;
    char indent[DEPTH_MAX * sizeof "│   "];
} tree;

static void print_stack(tree *t, uint32_t task)
{
    const task_stack *stack = chains_stack(t->chains, task);
    if (!stack)
        return;
    printf(":%s", stack->cut ? " ..." : "");
    for (unsigned i = stack->count; i-- > 0;) {
        const stack_line *line = stack->lines[i];
        printf("%s%s", i + 1 < stack->count ? " > " : " ", line->function);
        if (line->file && !line->internal)
            printf(" %s:%d", line->file, line->line);
    }
}

static void print_task(tree *t, uint32_t task, size_t depth, bool last)
{
    const snapshot *s = t->snapshot;
    const seen_task *seen = &s->tasks[task];
    printf("%s%s%s", t->indent, last ? "└── " : "├── ", snapshot_name(s, task));
    if (seen->name) /* else its id is what it is called */
        printf(" 0x%llx", (unsigned long long)seen->id);
    if (t->shown[task]) {
        printf(" (shown above)\n");
        return;
    }
    t->shown[task] = true;
    printf(" %s", seen_state_names[seen->state]);
    print_stack(t, task);
    printf("\n");
    size_t length = strlen(t->indent);
    strcpy(t->indent + length, last ? "    " : "│   ");
    if (seen->children && depth == DEPTH_MAX - 1)
        printf("%s└── ... (goes on below, at the left)\n", t->indent);
    for (uint32_t i = 0; i < seen->children && depth < DEPTH_MAX - 1; i++)
        print_task(t, s->links[s->awaited[seen->first_child + i]].task, depth + 1, i + 1 == seen->children);
    t->indent[length] = '\0';
}

static uint32_t last_root(const snapshot *s, uint32_t begin, uint32_t end)
{
    while (end > begin && s->tasks[end - 1].links)
        end--;
    return end - 1;
}

static void print_runtime(tree *t, uint32_t begin, uint32_t end)
{
    uint32_t last = last_root(t->snapshot, begin, end);
    for (uint32_t i = begin; i < end; i++)
        if (!t->snapshot->tasks[i].links)
            print_task(t, i, 0, i == last);
}

/* What has no root above it, because it changed while it was looked at or lies too deep. */
static void print_rest(tree *t)
{
    for (uint32_t i = 0; i < t->snapshot->tasks_count; i++)
        if (!t->shown[i])
            print_task(t, i, 0, true);
}

static void print_tree(const snapshot *s, const view_options *options)
{
    chains c;
    chains_open(&c, s, options->limit);
    tree *t = take_memory(1, sizeof *t);
    t->snapshot = s;
    t->chains = &c;
    t->shown = take_memory(s->tasks_count, sizeof *t->shown);
    uint32_t begin = 0;
    for (uint32_t rt = 0; rt < s->runtimes_count; rt++) {
        uint32_t end = begin;
        while (end < s->tasks_count && s->tasks[end].runtime == rt)
            end++;
        if (s->runtimes_count > 1)
            printf("%sruntime 0x%llx, %u worker%s\n", rt ? "\n" : "", (unsigned long long)s->runtimes[rt].at,
                   s->runtimes[rt].workers, s->runtimes[rt].workers == 1 ? "" : "s");
        print_runtime(t, begin, end);
        begin = end;
    }
    print_rest(t);
    chains_say_rest(&c);
    free(t->shown);
    free(t);
    chains_close(&c);
}

static void report_circles(const snapshot *s, const circle *circles)
{
    fprintf(stderr,
            "sinew: tasks of process %d await each other in a circle, so there is no tree; none of them can go "
            "on unless one is cancelled\n",
            (int)s->target->pid);
    for (const circle *c = circles; c; c = c->next) {
        fprintf(stderr, "circle: ");
        for (size_t i = 0; i <= c->count; i++) {
            uint32_t task = c->tasks[i % c->count];
            fprintf(stderr, "%s%s 0x%llx", i ? " → " : "", snapshot_name(s, task),
                    (unsigned long long)s->tasks[task].id);
        }
        fprintf(stderr, "\n");
    }
}

/* Takes the circles off that the other snapshot does not show. */
static circle *confirmed(circle *found, const snapshot *of, const snapshot *other)
{
    circle *kept = NULL;
    for (circle *c = found, *next; c; c = next) {
        next = c->next;
        bool keep = circle_is_in(c, of, other);
        c->next = keep ? kept : NULL;
        if (keep)
            kept = c;
        else
            circles_free(c);
    }
    return kept;
}

int view_pstree(const target *of, const view_options *options)
{
    snapshot s, again;
    snapshot_take(&s, of);
    circle *circles = circles_find(&s);
    for (int tries = 0; circles && tries < TRIES; tries++) {
        snapshot_take(&again, of);
        circles = confirmed(circles, &s, &again);
        if (circles)
            report_circles(&s, circles);
        bool circular = circles != NULL;
        circles_free(circles);
        snapshot_free(&s);
        s = again;
        if (circular) {
            snapshot_free(&s);
            return 1;
        }
        circles = circles_find(&s);
    }
    circles_free(circles);
    if (!s.runtimes_count)
        printf("no runtime in process %d\n", (int)of->pid);
    else
        print_tree(&s, options);
    snapshot_free(&s);
    return 0;
}
