/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One page: attempts, each with a time limit, each of redirects, each a connection of its own with one request on it.
 */
#include "page.h"

#include "response.h"
#include "settings.h"
#include "transport.h"
#include "url.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct progress progress;

/* What an attempt needs; too large for a task's stack. */
typedef struct attempt {
    page *page;
    url url;
    int file; /* where the body goes; -1: nowhere, or not opened yet */
    char name[128];
    transport transport;
    response response;
    char buffer[16384];
} attempt;

/* --- the body ----------------------------------------------------------------------------------------------------- */

static bool is_success(int status)
{
    return status / 100 == 2;
}

/* The number makes it unique, the rest is for people. */
static void make_name(char *name, size_t size, const page *p)
{
    int at = snprintf(name, size, "%05zu-", p->number);
    const char *from = strstr(p->url, "://");
    for (from = from ? from + 3 : p->url; *from && (size_t)at < size - 1; from++)
        name[at++] = isalnum((unsigned char)*from) || strchr(".-", *from) ? *from : '_';
    name[at] = '\0';
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = sinew_write(fd, data, len);
        if (n < 0)
            return (int)n;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static int open_file(attempt *a)
{
    if (settings.output < 0 || a->file >= 0)
        return 0;
    make_name(a->name, sizeof a->name, a->page);
    a->file = sinew_openat(settings.output, a->name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return a->file < 0 ? a->file : 0;
}

static int take_body(void *arg, int status, const char *data, size_t len)
{
    attempt *a = arg;
    a->page->bytes += len;
    atomic_fetch_add_explicit(&progress.bytes, len, memory_order_relaxed);
    if (settings.output < 0 || !is_success(status))
        return 0;
    int error = open_file(a);
    return error < 0 ? error : write_all(a->file, data, len);
}

/* --- one attempt -------------------------------------------------------------------------------------------------- */

static int send_request(attempt *a)
{
    char *text;
    int len = asprintf(&text,
                       "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: sinew-crawl\r\nAccept: */*\r\n"
                       "Accept-Encoding: identity\r\nConnection: close\r\n\r\n",
                       a->url.target, a->url.authority);
    if (len < 0)
        return -ENOMEM;
    int error = transport_send(&a->transport, text, (size_t)len);
    free(text);
    return error;
}

static int receive_response(attempt *a)
{
    response *r = &a->response;
    response_init(r, take_body, a);
    int error = 0;
    while (error == 0 && !r->complete) {
        ssize_t n = transport_receive(&a->transport, a->buffer, sizeof a->buffer);
        if (n < 0)
            return (int)n;
        if (n == 0)
            return response_end(r);
        error = response_feed(r, a->buffer, (size_t)n);
    }
    return error;
}

/* A request and its response. */
static int request(attempt *a)
{
    int error = transport_connect(&a->transport, a->url.scheme, a->url.host, a->url.port);
    if (error < 0)
        return error;
    error = send_request(a);
    /* A server that has closed may have said before why it did not want the rest. */
    if (error == 0 || error == -EPIPE)
        error = receive_response(a);
    transport_close(&a->transport);
    return error;
}

/* Keeps what a transport said about its failure. */
static int request_with_reason(attempt *a)
{
    int error = request(a);
    if (error < 0 && a->transport.problem[0] != '\0')
        a->page->reason = strdup(a->transport.problem); /* NULL, if memory is refused, is only said with less detail */
    return error;
}

static bool is_redirect(const response *r)
{
    switch (r->status) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
        return r->location[0] != '\0';
    default:
        return false;
    }
}

static int follow_redirects(attempt *a)
{
    for (unsigned redirects = 0;; redirects++) {
        a->page->bytes = 0;
        int error = request_with_reason(a);
        if (error < 0)
            return error;
        if (!is_redirect(&a->response))
            return 0;
        if (redirects == settings.redirects)
            return -ELOOP;
        error = url_follow(&a->url, a->response.location);
        if (error < 0)
            return error;
        free(a->page->redirected_to);
        a->page->redirected_to = url_text(&a->url); /* NULL, if memory is refused, is only shown less */
    }
}

/* The file is complete, or it is not there. */
static int finish_file(attempt *a, int error)
{
    if (error == 0 && is_success(a->response.status))
        error = open_file(a); /* that of an empty body, too */
    if (a->file < 0)
        return error;
    int closed = sinew_close(a->file);
    if (error == 0)
        error = closed;
    if (error < 0)
        (void)unlinkat(settings.output, a->name, 0);
    return error;
}

static int try_once(page *p)
{
    attempt *a = malloc(sizeof *a);
    if (!a)
        return -ENOMEM;
    a->page = p;
    a->file = -1;
    a->response.status = 0;
    p->status = 0;
    free(p->redirected_to);
    free(p->reason);
    p->redirected_to = p->reason = NULL;
    int error = url_parse(&a->url, p->url);
    if (error == 0) {
        sinew_timeout limit;
        sinew_timeout_begin(&limit, settings.timeout);
        error = follow_redirects(a);
        (void)sinew_timeout_end(&limit); /* then the error is -ETIMEDOUT, as when the kernel gives up */
        error = finish_file(a, error);
        p->status = a->response.status;
        url_free(&a->url);
    }
    free(a);
    return error;
}

/* --- a page ------------------------------------------------------------------------------------------------------- */

/* May it go better the next time? */
static bool is_passing(int error, int status)
{
    switch (error) {
    case 0:
        return status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
    case -ECONNREFUSED:
    case -ECONNRESET:
    case -ECONNABORTED:
    case -ENODATA:
    case -EPIPE:
    case -ETIMEDOUT:
    case -EHOSTUNREACH:
    case -ENETUNREACH:
    case -EAGAIN:
        return true;
    default:
        return false;
    }
}

intptr_t page_fetch(void *arg)
{
    page *p = arg;
    sinew_time began = sinew_now(), pause = SINEW_MS(200);
    int error = try_once(p);
    for (unsigned i = 0; i < settings.retries && is_passing(error, p->status); i++) {
        error = sinew_sleep(pause); /* what is overloaded needs a rest, and longer each time */
        pause *= 2;
        if (error == 0)
            error = try_once(p);
    }
    p->took = sinew_now() - began;
    p->error = error;
    p->state = error == -ECANCELED ? PAGE_CUT : error == 0 && is_success(p->status) ? PAGE_FETCHED : PAGE_FAILED;
    return 0; /* a failure returned here would stop the whole group */
}

const char *page_problem(const page *p)
{
    if (p->error < 0 && p->reason)
        return p->reason;
    switch (p->error) {
    case 0:
        return "";
    case -EINVAL:
        return "this is no URL, or no name";
    case -ENOENT:
        return "there is no host of this name";
    case -EAGAIN:
        return "the name cannot be looked up now";
    case -EREMOTEIO:
        return "the name server failed";
    case -EOPNOTSUPP:
        return "names and passwords in URLs are not sent";
    case -EPROTONOSUPPORT:
        return transport_knows("https") ? "only http:// and https:// are supported" : "only http:// is supported";
    case -ELOOP:
        return "too many redirects";
    case -EBADMSG:
        return "the response is no HTTP";
    case -ENODATA:
        return "closed without a response";
    case -ECONNABORTED:
        return "closed within the response";
    case -ETIMEDOUT:
        return "timed out";
    default:
        return strerror(-p->error);
    }
}
