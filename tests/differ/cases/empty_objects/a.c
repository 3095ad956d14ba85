/* Objects and arrays of size 0. */
int sink(const void*);
struct Empty {};
static struct Empty nothing;
static int none[0];
__attribute__((noinline)) int empty_user(int value) {
#ifdef PATCHED
    value += 3;
#endif
    return sink(&nothing) + sink(none) + value;
}
void root_empty_objects(void) {
    empty_user(1);
}
