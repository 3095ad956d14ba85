int sink(int);
static int one(int v) {
    return sink(v) + 1;
}
struct Ops {
    int (*work)(int);
    int flags;
};
#ifdef PATCHED
static const struct Ops ops = {one, 2};
#else
static const struct Ops ops = {one, 1};
#endif
const struct Ops* keep_ops(const struct Ops*);
void root_changed_table(void) {
    keep_ops(&ops);
}
