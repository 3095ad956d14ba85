extern "C" int sink(int);
extern "C" __attribute__((noinline)) int taken_name(int value) {
    return sink(value) + 2;
}
extern "C" void root_name_taken_b() {
    taken_name(1);
}
