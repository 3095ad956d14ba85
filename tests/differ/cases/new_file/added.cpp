extern "C" int sink(int);
static int added_state;
int from_new_file(int value) {
    return sink(value) + ++added_state;
}
