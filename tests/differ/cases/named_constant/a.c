/* A table that stays the same stays the image's: its address may be compared. */
int sink(int);
static int one(int v) {
    return sink(v) + 1;
}
struct Ops {
    int (*work)(int);
    int flags;
};
static const struct Ops ops = {one, 1};
__attribute__((noinline)) int compare_ops(const struct Ops* other) {
#ifdef PATCHED
    sink(5);
#endif
    return other == &ops;
}
void root_named_constant(void) {
    compare_ops(&ops);
}
