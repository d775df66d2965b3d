/* SPDX-License-Identifier: Apache-2.0 */
#include "response.h"

#include "cache.h"
#include "condition.h"
#include "path.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* --- header fields ------------------------------------------------------------------------------------------------ */

static const char *content_type(const char *path)
{
    static const struct {
        const char *extension, *type;
    } types[] = {
        {"html", "text/html; charset=utf-8"},
        {"htm", "text/html; charset=utf-8"},
        {"css", "text/css; charset=utf-8"},
        {"js", "text/javascript; charset=utf-8"},
        {"mjs", "text/javascript; charset=utf-8"},
        {"json", "application/json"},
        {"txt", "text/plain; charset=utf-8"},
        {"md", "text/markdown; charset=utf-8"},
        {"csv", "text/csv; charset=utf-8"},
        {"xml", "application/xml"},
        {"svg", "image/svg+xml"},
        {"png", "image/png"},
        {"jpg", "image/jpeg"},
        {"jpeg", "image/jpeg"},
        {"gif", "image/gif"},
        {"webp", "image/webp"},
        {"avif", "image/avif"},
        {"ico", "image/vnd.microsoft.icon"},
        {"woff", "font/woff"},
        {"woff2", "font/woff2"},
        {"ttf", "font/ttf"},
        {"mp3", "audio/mpeg"},
        {"ogg", "audio/ogg"},
        {"wav", "audio/wav"},
        {"mp4", "video/mp4"},
        {"webm", "video/webm"},
        {"pdf", "application/pdf"},
        {"zip", "application/zip"},
        {"gz", "application/gzip"},
        {"wasm", "application/wasm"},
    };
    const char *name = strrchr(path, '/');
    const char *dot = strrchr(name ? name : path, '.');
    for (size_t i = 0; dot && i < sizeof types / sizeof types[0]; i++)
        if (strcasecmp(dot + 1, types[i].extension) == 0)
            return types[i].type;
    return "application/octet-stream";
}

/* Status line and header of a file, or of the part [first, last] of it. */
static size_t write_head(char head[RESPONSE_HEAD_MAX], int status, const char *path, const struct stat *st, off_t first,
                         off_t last)
{
    char etag[ETAG_MAX], modified[DATE_TEXT_MAX], range[80] = "";
    etag_of(st, etag);
    modified[date_text(st->st_mtim.tv_sec, modified)] = '\0';
    if (status == 206)
        snprintf(range, sizeof range, "Content-Range: bytes %lld-%lld/%lld\r\n", (long long)first, (long long)last,
                 (long long)st->st_size);
    int n = snprintf(head, RESPONSE_HEAD_MAX,
                     "HTTP/1.1 %s\r\nServer: sinew\r\nContent-Type: %s\r\nContent-Length: %lld\r\n"
                     "Accept-Ranges: bytes\r\nETag: %s\r\nLast-Modified: %s\r\n%s",
                     status == 206 ? "206 Partial Content" : "200 OK", content_type(path),
                     (long long)(last - first + 1), etag, modified, range);
    return n > 0 && n < RESPONSE_HEAD_MAX ? (size_t)n : 0; /* the longest of everything fits */
}

/* The fields that differ from response to response, and the empty line. */
static int write_rest_of_head(client *c, const request *r, bool keep_alive)
{
    static const char end[] = "\r\n", kept[] = "Connection: keep-alive\r\n\r\n", closed[] = "Connection: close\r\n\r\n";
    int error = client_write(c, client_date_line(c), DATE_LINE_BYTES);
    if (error < 0)
        return error;
    if (!keep_alive)
        return client_write(c, closed, sizeof closed - 1);
    if (r->http_1_0) /* where closing is the rule */
        return client_write(c, kept, sizeof kept - 1);
    return client_write(c, end, sizeof end - 1);
}

/* --- errors ------------------------------------------------------------------------------------------------------- */

static const char *reason(int status)
{
    switch (status) {
    case 301:
        return "Moved Permanently";
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 412:
        return "Precondition Failed";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 416:
        return "Range Not Satisfiable";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Internal Server Error";
    }
}

static int status_of_errno(int error)
{
    switch (-error) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
        return 404;
    case EACCES:
    case EPERM:
    case EISDIR:
    case EXDEV:
    case ELOOP:
        return 403;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return 503;
    default:
        return 500;
    }
}

int respond_with_error(client *c, const request *r, int status, bool keep_alive)
{
    char head[256], body[64];
    int body_len = snprintf(body, sizeof body, "%d %s\n", status, reason(status));
    int head_len = snprintf(head, sizeof head,
                            "HTTP/1.1 %d %s\r\nServer: sinew\r\nContent-Type: text/plain; charset=utf-8\r\n"
                            "Content-Length: %d\r\n%s",
                            status, reason(status), body_len, status == 405 ? "Allow: GET, HEAD\r\n" : "");
    int error = client_write(c, head, (size_t)head_len);
    if (error == 0)
        error = write_rest_of_head(c, r, keep_alive);
    if (error == 0 && r->method != HTTP_HEAD)
        error = client_write(c, body, (size_t)body_len);
    return error;
}

/* A directory without the slash at its end, where links in its index would lead elsewhere. */
static int respond_moved(client *c, const request *r, const char *path, size_t len, bool keep_alive)
{
    static const char head[] = "HTTP/1.1 301 Moved Permanently\r\nServer: sinew\r\nContent-Length: 0\r\nLocation: /";
    int error = client_write(c, head, sizeof head - 1);
    for (size_t i = 0; i < len && error == 0; i++) {
        char text[4];
        bool plain = isalnum((unsigned char)path[i]) || strchr("-._~/", path[i]);
        int n = snprintf(text, sizeof text, plain ? "%c" : "%%%02X", (unsigned char)path[i]);
        error = client_write(c, text, (size_t)n);
    }
    if (error == 0)
        error = client_write(c, "/\r\n", 3);
    return error < 0 ? error : write_rest_of_head(c, r, keep_alive);
}

/* --- files -------------------------------------------------------------------------------------------------------- */

/* The client has it already. */
static int respond_not_modified(client *c, const request *r, const struct stat *st, bool keep_alive)
{
    char head[RESPONSE_HEAD_MAX], etag[ETAG_MAX];
    etag_of(st, etag);
    int n = snprintf(head, sizeof head, "HTTP/1.1 304 Not Modified\r\nServer: sinew\r\nETag: %s\r\n", etag);
    int error = client_write(c, head, (size_t)n);
    return error < 0 ? error : write_rest_of_head(c, r, keep_alive);
}

static int respond_not_satisfiable(client *c, const request *r, off_t size, bool keep_alive)
{
    char head[RESPONSE_HEAD_MAX];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 416 Range Not Satisfiable\r\nServer: sinew\r\nContent-Range: bytes */%lld\r\n"
                     "Content-Length: 0\r\n",
                     (long long)size);
    int error = client_write(c, head, (size_t)n);
    return error < 0 ? error : write_rest_of_head(c, r, keep_alive);
}

/* What is to be sent of a file. */
typedef struct part {
    int status; /* 200 or 206 */
    off_t first, last;
} part;

/* Looks at the conditions. Sets *p and returns 1, or has answered: 0, or a negative errno. */
static int choose_part(client *c, const request *r, const struct stat *st, bool keep_alive, part *p)
{
    *p = (part){.status = 200, .first = 0, .last = st->st_size - 1};
    int status = condition_status(r, st);
    if (status == 304)
        return respond_not_modified(c, r, st, keep_alive);
    if (status != 0)
        return respond_with_error(c, r, status, keep_alive);
    if (r->method == HTTP_GET) /* ranges are for no other method */
        p->status = condition_range(r, st, &p->first, &p->last);
    return p->status == 416 ? respond_not_satisfiable(c, r, st->st_size, keep_alive) : 1;
}

static int respond_from_memory(client *c, const request *r, const file *f, bool keep_alive)
{
    char head[RESPONSE_HEAD_MAX];
    part p;
    int error = choose_part(c, r, &f->st, keep_alive, &p);
    if (error <= 0)
        return error;
    if (p.status == 200)
        error = client_write(c, f->head, f->head_len);
    else
        error = client_write(c, head, write_head(head, p.status, f->path, &f->st, p.first, p.last));
    if (error == 0)
        error = write_rest_of_head(c, r, keep_alive);
    if (error == 0 && r->method != HTTP_HEAD)
        error = client_write(c, f->body + p.first, (size_t)(p.last - p.first + 1));
    return error;
}

/* Reads a small file into memory and puts it into the cache. NULL: *error says why. */
static file *load(client *c, int fd, const char *path, size_t key_len, const struct stat *st, int *error)
{
    size_t size = (size_t)st->st_size;
    file *f = file_new(path, key_len, st, size, c->now);
    if (!f) {
        *error = -ENOMEM;
        return NULL;
    }
    while (f->body_len < size) {
        ssize_t n = client_pread(c, fd, f->body + f->body_len, size - f->body_len, (off_t)f->body_len);
        if (n < 0) {
            file_release(f);
            *error = (int)n;
            return NULL;
        }
        if (n == 0)
            break; /* it became shorter meanwhile: what is there now is the file */
        f->body_len += (size_t)n;
    }
    f->st.st_size = (off_t)f->body_len;
    f->head_len = write_head(f->head, 200, path, &f->st, 0, (off_t)f->body_len - 1);
    cache_add(f);
    return f;
}

/* A large file goes from the page cache to the socket without passing through here. */
static int respond_from_disk(client *c, const request *r, int fd, const char *path, const struct stat *st,
                             bool keep_alive)
{
    char head[RESPONSE_HEAD_MAX];
    part p;
    int error = choose_part(c, r, st, keep_alive, &p);
    if (error <= 0)
        return error;
    error = client_write(c, head, write_head(head, p.status, path, st, p.first, p.last));
    if (error == 0)
        error = write_rest_of_head(c, r, keep_alive);
    if (error < 0 || r->method == HTTP_HEAD)
        return error;
    /* Shorter than announced: dropping the connection is all that can be said. */
    return client_send_file(c, fd, p.first, (size_t)(p.last - p.first + 1));
}

int respond(client *c, request *r, bool keep_alive)
{
    if (r->method != HTTP_GET && r->method != HTTP_HEAD)
        return respond_with_error(c, r, 405, keep_alive);
    char *path = r->target;
    size_t len = r->target_len;
    int status = path_of_target(path, &len);
    if (status != 0)
        return respond_with_error(c, r, status, keep_alive);

    int error = 0;
    file *f = cache_find(path, len, c->now);
    if (!f) {
        struct stat st;
        int fd = path_open(path, len, &st);
        if (fd < 0)
            return respond_with_error(c, r, status_of_errno(fd), keep_alive);
        bool is_directory = path[len] != '\0'; /* its index file was appended */
        if (is_directory && len > 0 && path[len - 1] != '/') {
            close(fd);
            return respond_moved(c, r, path, len, keep_alive);
        }
        if ((size_t)st.st_size > CACHE_FILE_MAX)
            error = respond_from_disk(c, r, fd, path, &st, keep_alive);
        else
            f = load(c, fd, path, len, &st, &error);
        close(fd); /* of a file only read, on a local file system: this does not wait */
        if (!f)
            return error;
    }
    error = respond_from_memory(c, r, f, keep_alive);
    file_release(f);
    return error;
}
