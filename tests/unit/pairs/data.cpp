// Data before and after a diff.

#ifdef AFTER
#define IF_AFTER(after, before) after
#else
#define IF_AFTER(after, before) before
#endif

namespace data {

int value = IF_AFTER(2, 1);
int was_zero IF_AFTER(= 9, );
int becomes_zero IF_AFTER(, = 9);
int length[IF_AFTER(6, 4)];
int unchanged = 5;
#ifndef AFTER
int removed = 3;
#else
static volatile int new_counter;
#endif

void one() {}
extern const int limits[2];
const int limits[2] = {1, IF_AFTER(3, 2)};
extern void (*const handlers[2])();
void (*const handlers[2])() = {IF_AFTER(one, nullptr), one};

struct Slots {
    virtual int a() { return 1; }
#ifdef AFTER
    virtual int added() { return 9; }
#endif
    virtual int b() { return 2; }
};
struct Override : Slots {
#ifdef AFTER
    int b() override { return 3; }
#endif
    int own = 0;
};
struct SameShape {
    virtual int a() { return IF_AFTER(4, 5); }
};
Slots slots;
Override overriding;
SameShape same_shape;

int use(int index) {
#ifdef AFTER
    new_counter = new_counter + 1;
#else
    removed += index;
#endif
    return value + was_zero + becomes_zero + length[index] + limits[index] + unchanged;
}

}  // namespace data
