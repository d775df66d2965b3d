/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and lines come from the debugging information; without it, names from the table of symbols.
 *
 * Which functions are the runtime's? All of libsinew.so. Where it is linked statically, those whose source lies beside
 * that of one known to be the library's.
 */
#include "symbols.h"

#include "fail.h"

#include <dwarf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct symbols {
    const target *target;
    char *sources; /* the directory of the library's sources, with a slash; NULL: unknown or not needed */
    address_map known;
    code_place **places;
    size_t count, room;
};

/* "name.constprop.0" is `name` to who wrote it. */
static char *plain_name(const char *name)
{
    char *copy = strdup(name);
    if (!copy)
        fail("there is no memory for what the process holds; free some and try again");
    char *dot = strchr(copy + 1, '.');
    if (dot)
        *dot = '\0';
    return copy;
}

static const char *last_part(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash ? slash + 1 : path;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Where the library is part of the program, its functions are told by the directory of their sources, or by name. */
static bool is_internal(const symbols *s, Dwfl_Module *module, const char *name, const char *source)
{
    if (module != s->target->module)
        return strstr(name, "_fcontext") != NULL;
    if (s->target->shared || begins(name, "sn_") || strstr(name, "_fcontext"))
        return true;
    if (!s->sources || !source)
        return begins(name, "sinew_") || strcmp(name, "fiber_main") == 0;
    size_t length = strlen(s->sources);
    return strncmp(source, s->sources, length) == 0 &&
           (begins(source + length, "runtime/") || begins(source + length, "io/"));
}

static void add_line(const symbols *s, code_place *p, Dwfl_Module *module, const char *name, const char *declared,
                     const char *file, int line)
{
    if (p->count == INLINED_MAX)
        return;
    char *function = plain_name(name);
    const char *source = declared ? declared : file;
    p->lines[p->count++] = (stack_line){function, last_part(file), line, is_internal(s, module, function, source)};
}

static bool call_site(Dwarf_Die *inlined, const char **file, int *line)
{
    Dwarf_Attribute attribute;
    Dwarf_Word number;
    Dwarf_Die unit;
    Dwarf_Files *files;
    *file = NULL;
    *line = 0;
    if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_line, &attribute), &number) == 0)
        *line = (int)number;
    if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_file, &attribute), &number) != 0 ||
        !dwarf_diecu(inlined, &unit, NULL, NULL) || dwarf_getsrcfiles(&unit, &files, NULL) != 0)
        return false;
    *file = dwarf_filesrc(files, number, NULL, NULL);
    return *file != NULL;
}

static bool is_function(Dwarf_Die *die)
{
    return dwarf_tag(die) == DW_TAG_subprogram || dwarf_tag(die) == DW_TAG_inlined_subroutine;
}

/* The unit of the debugging information that has the code at `pc`. */
static Dwarf_Die *unit_of(Dwfl_Module *module, uint64_t pc, Dwarf_Addr *bias)
{
    Dwarf_Die *unit = dwfl_module_addrdie(module, pc, bias);
    if (unit)
        return unit;
    while ((unit = dwfl_module_nextcu(module, unit, bias)) != NULL) /* clang writes no index of addresses */
        if (dwarf_haspc(unit, pc - *bias) > 0)
            return unit;
    return NULL;
}

/* The function at `pc` and those it is inlined into, from the debugging information. */
static void add_scopes(const symbols *s, code_place *p, Dwfl_Module *module, uint64_t pc)
{
    Dwarf_Addr bias;
    Dwarf_Die *unit = unit_of(module, pc, &bias), *scopes = NULL, *around = NULL;
    if (!unit)
        return;
    const char *file = NULL;
    int line = 0, count = dwarf_getscopes(unit, pc - bias, &scopes), at = 0;
    Dwarf_Line *source = dwarf_getsrc_die(unit, pc - bias);
    if (source && dwarf_lineno(source, &line) == 0)
        file = dwarf_linesrc(source, NULL, NULL);
    while (at < count && !is_function(&scopes[at]))
        at++;
    /* Those beyond the first are where it is written, not where it runs. */
    int outer = at < count ? dwarf_getscopes_die(&scopes[at], &around) : 0;
    for (int i = 0; i < outer; i++) {
        if (!is_function(&around[i]))
            continue;
        const char *name = dwarf_diename(&around[i]);
        add_line(s, p, module, name ? name : "?", dwarf_decl_file(&around[i]), file, line);
        if (dwarf_tag(&around[i]) == DW_TAG_subprogram)
            break;
        call_site(&around[i], &file, &line);
    }
    free(scopes);
    free(around);
}

static code_place *look_up(symbols *s, uint64_t pc)
{
    code_place *p = take_memory(1, sizeof *p);
    Dwfl_Module *module = dwfl_addrmodule(s->target->dwfl, pc);
    if (!module)
        return p;
    add_scopes(s, p, module, pc);
    const char *name = p->count ? NULL : dwfl_module_addrname(module, pc);
    if (!name && !p->count && s->target->shared && module == s->target->module)
        name = "?"; /* stripped, but surely the runtime's */
    if (name)
        add_line(s, p, module, name, NULL, NULL, 0);
    return p;
}

const code_place *symbols_at(symbols *s, uint64_t pc)
{
    uint32_t known = address_map_find(&s->known, pc);
    if (known != NONE)
        return s->places[known];
    if (s->count == s->room)
        s->places = grow_memory(s->places, &s->room, sizeof(code_place *));
    address_map_add(&s->known, pc, (uint32_t)s->count);
    return s->places[s->count++] = look_up(s, pc);
}

static int32_t displacement(const unsigned char *code)
{
    int32_t d;
    memcpy(&d, code, sizeof d);
    return d;
}

/* An entry of a procedure linkage table is a jump through a pointer. */
static uint64_t through_table(const target *t, uint64_t at)
{
    unsigned char code[16];
    if (!target_read(t, at, code, sizeof code))
        return at;
    size_t i = memcmp(code, "\xf3\x0f\x1e\xfa", 4) == 0 ? 4 : 0; /* endbr64 */
    i += code[i] == 0xf2;                                        /* bnd */
    if (code[i] != 0xff || code[i + 1] != 0x25)
        return at;
    return target_word(t, at + i + 6 + (uint64_t)(int64_t)displacement(code + i + 2));
}

const stack_line *symbols_called(symbols *s, uint64_t return_address)
{
    unsigned char code[6];
    if (!target_read(s->target, return_address - sizeof code, code, sizeof code))
        return NULL;
    uint64_t at = return_address + (uint64_t)(int64_t)displacement(code + 2);
    if (code[0] == 0xff && code[1] == 0x15) /* through a pointer */
        at = target_word(s->target, at);
    else if (code[1] != 0xe8)
        return NULL;
    const code_place *p = symbols_at(s, through_table(s->target, at));
    return p->count ? &p->lines[p->count - 1] : NULL;
}

/* The library's sources, found by one function that is surely its own. */
static char *find_sources(const target *t)
{
    uint64_t kind = target_word(t, (uint64_t)(uintptr_t)t->record.kinds);
    uint64_t function = kind ? target_word(t, kind + t->record.layout.kind_fire) : 0;
    Dwarf_Addr bias;
    Dwarf_Die *unit = function ? unit_of(t->module, function, &bias) : NULL;
    Dwarf_Line *line = unit ? dwarf_getsrc_die(unit, function - bias) : NULL;
    const char *file = line ? dwarf_linesrc(line, NULL, NULL) : NULL;
    const char *end = file ? strstr(file, "runtime/") : NULL;
    for (const char *next; end && (next = strstr(end + 1, "runtime/")) != NULL;)
        end = next;
    return end ? strndup(file, (size_t)(end - file)) : NULL;
}

symbols *symbols_open(const target *t)
{
    symbols *s = take_memory(1, sizeof *s);
    s->target = t;
    s->sources = t->shared ? NULL : find_sources(t);
    return s;
}

void symbols_close(symbols *s)
{
    for (size_t i = 0; i < s->count; i++) {
        for (unsigned k = 0; k < s->places[i]->count; k++)
            free((char *)(uintptr_t)s->places[i]->lines[k].function);
        free(s->places[i]);
    }
    free(s->places);
    free(s->sources);
    address_map_free(&s->known);
    free(s);
}
