// Statics of inline functions, inline variables and template members exist once.
extern "C" int sink(int);
inline int shared_count() {
    static int count;
    return ++count;
}
inline int inline_variable = 4;
template <typename T>
struct Holder {
    static T value;
};
template <typename T>
T Holder<T>::value = 3;
__attribute__((noinline)) int inline_user(int value) {
#ifdef PATCHED
    sink(8);
#endif
    return sink(value) + shared_count() + inline_variable++ + Holder<int>::value++;
}
extern "C" void root_inline_static() {
    inline_user(1);
}
