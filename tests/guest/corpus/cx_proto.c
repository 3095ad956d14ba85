#include "tests/guest/corpus/cx_proto.h"

#include <stddef.h>

#include "tests/guest/corpus/cx_opt.h"
#include "tests/guest/corpus/probes.h"

enum { CLOSED, LISTENING, ESTABLISHED, STATES };

static unsigned events_seen;
static unsigned resets_seen;

static int closed_event(struct cx_conn* conn, enum cx_event event) {
    if (event != CX_OPEN) return CX_BAD_STATE;
    conn->state = LISTENING;
    return CX_OK;
}

static int listening_event(struct cx_conn* conn, enum cx_event event) {
    if (event == CX_DATA) {
        conn->state = ESTABLISHED;
        conn->received = 1;
        return CX_OK;
    }
    conn->state = CLOSED;
    return CX_OK;
}

static int established_event(struct cx_conn* conn, enum cx_event event) {
    switch (event) {
        case CX_DATA:
            conn->received += 10;
            return CX_OK;
        case CX_CLOSE:
            conn->state = CLOSED;
            return CX_OK;
        case CX_RESET:
            ++resets_seen;
            conn->state = CLOSED;
            return CX_TIMEOUT;
        default:
            return CX_BAD_STATE;
    }
}

static int (*const handlers[STATES])(struct cx_conn*, enum cx_event) = {closed_event, listening_event,
                                                                        established_event};

static int plain_timer(struct cx_conn* conn) {
    return (int)conn->ttl--;
}

const struct cx_ops cx_plain_ops = {"plain", cx_conn_event, NULL};
static const struct cx_ops timed_ops = {"timed", cx_conn_event, plain_timer};

static const struct cx_ops* ops_in_use = &cx_plain_ops;

void cx_conn_init(struct cx_conn* conn) {
    conn->state = CLOSED;
    conn->received = 0;
    conn->ttl = CX_TTL;
    conn->last_error = CX_OK;
}

int cx_conn_event(struct cx_conn* conn, enum cx_event event) {
    ++events_seen;
    CX_ASSERT("a known state", conn->state < STATES);
    conn->last_error = handlers[conn->state](conn, event);
    return conn->last_error;
}

__attribute__((noinline)) void cx_conn_note(struct cx_conn* conn) {
    conn->received += 1000;
}

/* Dense: the compiler makes a table of values of it. */
__attribute__((noinline)) int cx_error_code(int error) {
    switch (error) {
        case CX_OK:
            return 100;
        case CX_NO_MEMORY:
            return 211;
        case CX_BAD_STATE:
            return 322;
        case CX_TIMEOUT:
            return 433;
        case -4:
            return 517;
        case -5:
            return 619;
        case -6:
            return 727;
        default:
            return 0;
    }
}

/* Large bodies: the compiler makes a jump table of it. */
__attribute__((noinline)) static long weigh(int kind, long value) {
    switch (kind) {
        case 0:
            return value * 3 + events_seen * 0;
        case 1:
            return (value ^ 5) + 11;
        case 2:
            return value * value - 2;
        case 3:
            return value / 3 + 17;
        case 4:
            return (value << 3) | 1;
        case 5:
            return value % 7 + 40;
        case 6:
            return -value * 9;
        default:
            return value;
    }
}

long probe_proto_switch(void) {
    long sum = 0;
    for (int kind = 0; kind < 9; ++kind) sum += weigh(kind, 10 + kind);
    return sum;
}

long probe_proto_errors(void) {
    long sum = 0;
    for (int error = -7; error <= 0; ++error) sum = sum * 3 + cx_error_code(error);
    return sum;
}

/* Through all states: received, state and error of the whole story. */
long probe_proto_story(void) {
    static const enum cx_event story[] = {CX_OPEN, CX_DATA, CX_DATA, CX_DATA, CX_RESET, CX_CLOSE};
    struct cx_conn conn;
    cx_conn_init(&conn);
    long sum = 0;
    for (unsigned i = 0; i < sizeof(story) / sizeof(story[0]); ++i)
        sum = sum * 2 - ops_in_use->on_event(&conn, story[i]);
    return sum * 1000 + (long)conn.received;
}

long probe_proto_ttl(void) {
    struct cx_conn conn;
    cx_conn_init(&conn);
    return timed_ops.on_timer(&conn) * 2 + CX_RETRIES;
}

/* Identity of a named constant: 1 when it is the image's. */
__attribute__((noinline)) static long is_plain(const struct cx_ops* ops) {
    return ops == &cx_plain_ops ? 1 : 0;
}

long probe_proto_identity(void) {
    return is_plain(ops_in_use);
}

__attribute__((noinline)) static long is_reset_handler(int (*handler)(struct cx_conn*, enum cx_event)) {
    return handler == established_event ? 1 : 0;
}

long probe_proto_handler(void) {
    return is_reset_handler(handlers[ESTABLISHED]) * 10 + (handlers[CLOSED] == closed_event);
}

/* A connection that lives for ever, and what it has received since its last note. */
static struct cx_conn old_conn;

long probe_proto_note(void) {
    unsigned before = old_conn.received;
    cx_conn_note(&old_conn);
    return (long)(old_conn.received - before);
}
