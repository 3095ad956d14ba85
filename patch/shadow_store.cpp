#include "patch/shadow_store.h"

#include <bit>
#include <cstddef>
#include <new>
#include <utility>

#include "base/assert.h"

namespace graft::patch {

struct ShadowStore::Variable {
    Variable* next = nullptr;  // in its bucket
    ListHook hook;             // on its kind's list
    Kind* kind = nullptr;
    const void* object = nullptr;
    void* data = nullptr;  // in this very piece of memory
    u64 builder = 0;       // the task that began it
    bool is_built = false;
    bool is_stale = false;

    // The data begin at the first aligned place behind it; a pointer to the variable stands right before them.
    static usize offset(usize alignment) {
        usize least = sizeof(Variable) + sizeof(Variable*);
        return (least + alignment - 1) & ~(alignment - 1);
    }
    static Variable& of(void* data) { return **(static_cast<Variable**>(data) - 1); }
};

struct ShadowStore::Kind {
    u64 id = 0;
    usize count = 0;
    Kind* next = nullptr;
    IntrusiveList<Variable, &Variable::hook> variables;
};

class ShadowStore::Guard {
public:
    explicit Guard(ShadowStore& store) : system_(store.system_), saved_(system_.lock()) {}
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    ~Guard() { system_.unlock(saved_); }

private:
    ShadowSystem& system_;
    u64 saved_;
};

namespace {

u64 mix(u64 value) {
    value *= 0x9e3779b97f4a7c15ull;
    return value ^ (value >> 29);
}

}  // namespace

ShadowStore::~ShadowStore() {
    for (usize i = 0; i < kKindBuckets; ++i) {
        while (kinds_[i] != nullptr) (void)end_all(kinds_[i]->id, nullptr);
    }
}

// ---- the table ------------------------------------------------------------------------------------------------------

// By the object alone: so all that is attached to one object lies in one bucket.
usize ShadowStore::bucket_index(const void* object) const {
    u64 hash = mix(reinterpret_cast<u64>(object));
    usize round = std::bit_floor(buckets_);  // buckets of the round that is being doubled
    usize index = hash & (2 * round - 1);
    return index < buckets_ ? index : index & (round - 1);
}

ShadowStore::Variable*& ShadowStore::bucket(usize index) {
    if (index < kFirstBuckets) return first_[index];
    usize round = std::bit_floor(index);
    usize segment = static_cast<usize>(std::countr_zero(round) - std::countr_zero(kFirstBuckets)) + 1;
    return segments_[segment][index - round];
}

ShadowStore::Variable* ShadowStore::find(const void* object, u64 id) {
    for (Variable* at = bucket(bucket_index(object)); at != nullptr; at = at->next) {
        if (at->object == object && at->kind->id == id) return at;
    }
    return nullptr;
}

ShadowStore::Kind* ShadowStore::find_kind(u64 id) {
    for (Kind* kind = kinds_[mix(id) % kKindBuckets]; kind != nullptr; kind = kind->next) {
        if (kind->id == id) return kind;
    }
    return nullptr;
}

void ShadowStore::link(Variable& variable) {
    Variable*& head = bucket(bucket_index(variable.object));
    variable.next = head;
    head = &variable;
    variable.kind->variables.push_back(variable);
    ++variable.kind->count;
    total_.store(total_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);  // under the lock
    if (total_.load(std::memory_order_relaxed) > buckets_) split_one();
}

// Shares the oldest undivided bucket out between itself and a new one, if there is a place for that.
void ShadowStore::split_one() {
    usize round = std::bit_floor(buckets_);
    usize segment = static_cast<usize>(std::countr_zero(round) - std::countr_zero(kFirstBuckets)) + 1;
    if (segment >= kMaxSegments || segments_[segment] == nullptr) return;
    Variable* rest = bucket(buckets_ - round);
    bucket(buckets_ - round) = nullptr;
    ++buckets_;
    while (rest != nullptr) {
        Variable* variable = rest;
        rest = rest->next;
        Variable*& head = bucket(bucket_index(variable->object));
        variable->next = head;
        head = variable;
    }
}

// Has the place for the next bucket ready before the lock is taken; without memory the buckets just get longer.
void ShadowStore::prepare_growth() {
    usize wanted = 0;
    usize size = 0;
    {
        Guard guard(*this);
        usize total = total_.load(std::memory_order_relaxed);
        if (total + 1 <= buckets_) return;
        size = std::bit_floor(buckets_);
        wanted = static_cast<usize>(std::countr_zero(size) - std::countr_zero(kFirstBuckets)) + 1;
        if (wanted >= kMaxSegments || segments_[wanted] != nullptr) return;
    }
    auto* made = static_cast<Variable**>(system_.allocate(size * sizeof(Variable*), alignof(Variable*)));
    if (made == nullptr) return;
    for (usize i = 0; i < size; ++i) made[i] = nullptr;
    {
        Guard guard(*this);
        bool is_needed = std::bit_floor(buckets_) == size && segments_[wanted] == nullptr;
        if (is_needed) std::swap(segments_[wanted], made);
    }
    if (made != nullptr) system_.release(static_cast<void*>(made));
}

void ShadowStore::unlink_from_table(Variable& variable) {
    Variable** at = &bucket(bucket_index(variable.object));
    while (*at != &variable) at = &(*at)->next;
    *at = variable.next;
    variable.next = nullptr;
}

void ShadowStore::unlink(Variable& variable) {
    if (!variable.is_stale) unlink_from_table(variable);
    variable.kind->variables.remove(variable);
    --variable.kind->count;
    if (variable.kind->count == 0) has_idle_ = true;
    total_.store(total_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);  // under the lock
}

// Gives back what the store itself holds as soon as it isn't needed.
void ShadowStore::forget_empty() {
    std::array<void*, kMaxSegments> segments{};
    Kind* idle = nullptr;
    {
        Guard guard(*this);
        if (!std::exchange(has_idle_, false)) return;
        for (Kind*& head : kinds_) {
            for (Kind** at = &head; *at != nullptr;) {
                Kind* kind = *at;
                if (kind->count != 0) {
                    at = &kind->next;
                    continue;
                }
                *at = kind->next;
                kind->next = idle;
                idle = kind;
            }
        }
        if (total_.load(std::memory_order_relaxed) == 0) {
            buckets_ = kFirstBuckets;
            for (usize i = 1; i < kMaxSegments; ++i)
                segments[i] = static_cast<void*>(std::exchange(segments_[i], nullptr));
        }
    }
    while (idle != nullptr) {
        Kind* kind = idle;
        idle = idle->next;
        kind->~Kind();
        system_.release(kind);
    }
    for (void* segment : segments) {
        if (segment != nullptr) system_.release(segment);
    }
}

// ---- variables ------------------------------------------------------------------------------------------------------

void* ShadowStore::get(const void* object, u64 id) {
    Guard guard(*this);
    Variable* variable = find(object, id);
    return variable != nullptr && variable->is_built ? variable->data : nullptr;
}

ShadowStore::Begun ShadowStore::begin(const void* object, u64 id, usize size, usize alignment, IfThere if_there) {
    auto whole = checked_add<u64>(Variable::offset(alignment), size);
    if (!whole) return {};
    prepare_growth();
    Attempt attempt{object, id, alignment, if_there, system_.current_task()};
    Begun result;
    u64 began_ns = 0;
    Next next = try_begin(attempt, result);
    if (next == Next::wait) began_ns = system_.now_ns();
    while (next != Next::end) {
        if (next == Next::wait) {
            if (system_.now_ns() - began_ns > kLongestWaitNs) break;
            system_.pause();
        } else {
            usize strictest = alignment < alignof(Variable) ? alignof(Variable) : alignment;
            if (attempt.memory == nullptr) attempt.memory = system_.allocate(*whole, strictest);
            if (next == Next::allocate_kind) attempt.kind_memory = system_.allocate(sizeof(Kind), alignof(Kind));
            if (attempt.memory == nullptr) break;
            if (next == Next::allocate_kind && attempt.kind_memory == nullptr) break;
        }
        Next former = std::exchange(next, try_begin(attempt, result));
        if (next == Next::wait && former != Next::wait) began_ns = system_.now_ns();
    }
    if (attempt.memory != nullptr) system_.release(attempt.memory);
    if (attempt.kind_memory != nullptr) system_.release(attempt.kind_memory);
    return result;
}

ShadowStore::Next ShadowStore::try_begin(Attempt& attempt, Begun& result) {
    Guard guard(*this);
    if (Variable* there = find(attempt.object, attempt.id)) {
        if (there->is_built) {
            if (attempt.if_there == IfThere::share) result.data = there->data;
            return Next::end;
        }
        bool may_wait = attempt.if_there == IfThere::share && attempt.task != 0 && there->builder != attempt.task;
        return may_wait ? Next::wait : Next::end;
    }
    Kind* kind = find_kind(attempt.id);
    if (kind == nullptr && attempt.kind_memory == nullptr) return Next::allocate_kind;
    if (attempt.memory == nullptr) return Next::allocate;
    if (kind == nullptr) kind = &add_kind(std::exchange(attempt.kind_memory, nullptr), attempt.id);

    void* memory = std::exchange(attempt.memory, nullptr);
    auto* variable = new (memory) Variable;
    variable->kind = kind;
    variable->object = attempt.object;
    variable->builder = attempt.task;
    variable->data = static_cast<std::byte*>(memory) + Variable::offset(attempt.alignment);
    *(static_cast<Variable**>(variable->data) - 1) = variable;
    link(*variable);
    result = {variable->data, true};
    return Next::end;
}

ShadowStore::Kind& ShadowStore::add_kind(void* memory, u64 id) {
    auto* kind = new (memory) Kind;
    kind->id = id;
    Kind*& head = kinds_[mix(id) % kKindBuckets];
    kind->next = head;
    head = kind;
    return *kind;
}

void ShadowStore::publish(void* data) {
    Guard guard(*this);
    Variable& variable = Variable::of(data);
    variable.is_built = true;
    if (variable.is_stale) bring_forward(variable);
}

// Stale ones that can be ended stand first on the list, so that nobody has to look for them.
void ShadowStore::bring_forward(Variable& variable) {
    variable.kind->variables.remove(variable);
    variable.kind->variables.push_front(variable);
}

void* ShadowStore::take(const void* object, u64 id) {
    Guard guard(*this);
    Variable* variable = find(object, id);
    if (variable == nullptr || !variable->is_built) return nullptr;
    unlink(*variable);
    return variable->data;
}

void* ShadowStore::take_any(u64 id) {
    Guard guard(*this);
    Kind* kind = find_kind(id);
    if (kind == nullptr) return nullptr;
    for (Variable& variable : kind->variables) {
        if (!variable.is_built) continue;
        unlink(variable);
        return variable.data;
    }
    return nullptr;
}

void* ShadowStore::take_stale(u64 id) {
    Guard guard(*this);
    Kind* kind = find_kind(id);
    Variable* first = kind != nullptr ? kind->variables.front() : nullptr;
    if (first == nullptr || !first->is_stale || !first->is_built) return nullptr;
    unlink(*first);
    return first->data;
}

usize ShadowStore::end_all(u64 id, void (*destroy)(void* data)) {
    usize count = 0;
    for (;;) {
        Variable* variable = nullptr;
        {
            Guard guard(*this);
            Kind* kind = find_kind(id);
            variable = kind != nullptr ? kind->variables.front() : nullptr;
            if (variable == nullptr) return count;
            unlink(*variable);
        }
        if (variable->is_built && destroy != nullptr) destroy(variable->data);
        release(variable->data);
        ++count;
    }
}

void ShadowStore::release(void* data) {
    Variable& variable = Variable::of(data);
    variable.~Variable();
    system_.release(&variable);
    forget_empty();
}

usize ShadowStore::count(u64 id) {
    Guard guard(*this);
    Kind* kind = find_kind(id);
    return kind != nullptr ? kind->count : 0;
}

void ShadowStore::make_stale(const void* object) {
    Guard guard(*this);
    for (Variable* at = bucket(bucket_index(object)); at != nullptr;) {
        Variable* next = at->next;
        if (at->object == object) {
            unlink_from_table(*at);
            at->is_stale = true;
            if (at->is_built) bring_forward(*at);
        }
        at = next;
    }
}

}  // namespace graft::patch
