/* A protocol: connections that go through states by events. */
#ifndef CX_PROTO_H
#define CX_PROTO_H

enum cx_event { CX_OPEN, CX_DATA, CX_CLOSE, CX_RESET, CX_EVENTS };
enum cx_error { CX_OK = 0, CX_NO_MEMORY = -1, CX_BAD_STATE = -2, CX_TIMEOUT = -3 };

struct cx_conn {
    unsigned state;
    unsigned received;
    unsigned ttl;
    int last_error;
};

struct cx_ops {
    const char* name;
    int (*on_event)(struct cx_conn* conn, enum cx_event event);
    int (*on_timer)(struct cx_conn* conn);
};

extern const struct cx_ops cx_plain_ops;

void cx_conn_init(struct cx_conn* conn);
int cx_conn_event(struct cx_conn* conn, enum cx_event event);
/* How an error of cx_conn_event() is called, as a number of its own. */
int cx_error_code(int error);
void cx_conn_note(struct cx_conn* conn);

#endif
