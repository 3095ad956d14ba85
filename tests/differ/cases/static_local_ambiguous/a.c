/* Two of one name in one function that is wholly other code: nobody can say which was which. */
int sink(int);
int look(int*);
__attribute__((noinline)) int ambiguous_user(int which) {
#ifdef PATCHED
    {
        static int n;
        look(&n);
    }
    {
        static int n;
        look(&n);
    }
    {
        static int n;
        look(&n);
    }
    return sink(9);
#else
    if (which) {
        static int n;
        return sink(++n);
    }
    static int n;
    return sink(--n);
#endif
}
void root_static_local_ambiguous(void) {
    ambiguous_user(1);
}
