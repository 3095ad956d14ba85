// The destructor of a static object is registered for whoever has the object.
extern "C" int sink(int);
struct Closing {
    explicit Closing(int value) : number(sink(value)) {}
    ~Closing() { sink(number); }
    int number;
};
__attribute__((noinline)) int closing_image_user(int value) {
#ifdef PATCHED
    value *= 3;
#endif
    static Closing closing(3);
    return closing.number + value;
}
extern "C" void root_destructor_in_image() {
    closing_image_user(1);
}
