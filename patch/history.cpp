#include "patch/history.h"

namespace graft::patch {

namespace {

void append_seconds(TextBuffer& out, u64 ns) {
    u64 microseconds = ns / 1000;
    out.append(microseconds / 1'000'000, ".");
    u64 fraction = microseconds % 1'000'000;
    for (u64 digit = 100'000; digit > 1 && fraction < digit; digit /= 10) out.append('0');
    out.append(fraction);
}

void append_end(const HistoryRecord& record, TextBuffer& out) {
    out.append("\tturns=", record.turns, "\tseconds=");
    append_seconds(out, record.duration_ns);
    for (usize cause = 0; cause < kMoveCauseCount; ++cause) {
        out.append("\t", name_of(static_cast<MoveCause>(cause)), "=", record.moves[cause]);
    }
    if (record.probation_ns == 0) return;
    out.append("\tprobation=");
    append_seconds(out, record.probation_ns);
}

void append_other(const HistoryRecord& record, std::string_view key, TextBuffer& out) {
    if (!record.other.empty()) out.append("\t", key, "=", record.other.view());
}

}  // namespace

std::string_view name_of(HistoryEvent event) {
    constexpr std::array<std::string_view, kHistoryEventCount> kNames = {
        "refused", "load-started", "unload-started", "rollback-started", "turned",  "expired",   "held",      "forced",
        "loaded",  "unloaded",     "rolled-back",    "replaced",         "dormant", "committed", "withdrawn", "lingers",
        "freed",   "canary",       "promoted",       "aborted",          "stuck",   "fault"};
    return kNames[static_cast<usize>(event)];
}

std::string_view name_of(MoveCause cause) {
    constexpr std::array<std::string_view, kMoveCauseCount> kNames = {"walk",  "interrupt", "hook",
                                                                      "birth", "exit",      "force"};
    return kNames[static_cast<usize>(cause)];
}

void render(const HistoryRecord& record, TextBuffer& out) {
    out.append(record.number, "\t");
    append_seconds(out, record.time_ns);
    out.append("\t", name_of(record.event), "\t", record.patch.view());
    if (!record.signer.empty()) out.append("\tsigner=", record.signer.view());
    switch (record.event) {
        case HistoryEvent::refused:
        case HistoryEvent::stuck:
            out.append("\treason=");
            render(record.refusal, out);
            return;
        case HistoryEvent::turned:
            out.append("\tturns=", record.turns);
            return;
        case HistoryEvent::loaded:
        case HistoryEvent::unloaded:
            return append_end(record, out);
        case HistoryEvent::rolled_back:
            append_end(record, out);
            return append_other(record, "to", out);
        case HistoryEvent::load_started:
            return append_other(record, "replaces", out);
        case HistoryEvent::rollback_started:
            return append_other(record, "to", out);
        case HistoryEvent::replaced:
        case HistoryEvent::dormant:
            return append_other(record, "by", out);
        case HistoryEvent::committed:
            return append_other(record, "freed", out);
        case HistoryEvent::withdrawn:
        case HistoryEvent::aborted:
            return append_other(record, "reason", out);
        case HistoryEvent::canary:
        case HistoryEvent::promoted:
            out.append("\tshare=");
            render(record.policy, out);
            out.append("\tmoved=", record.share.moved, "\tchosen=", record.share.chosen,
                       "\ttotal=", record.share.total);
            return;
        case HistoryEvent::expired:
        case HistoryEvent::forced:
            out.append("\ttasks=", record.tasks);
            return;
        case HistoryEvent::held:
            out.append("\ttask=", record.task, "\tname=", record.other.view(), "\tfunction=", record.function.view());
            return;
        case HistoryEvent::lingers:
            out.append("\tplace=", hex(record.place), "\tword=", hex(record.word), "\treferences=", record.references);
            return;
        case HistoryEvent::fault:
            out.append("\ttask=", record.task, "\tname=", record.other.view(), "\tkind=", record.kind.view(),
                       "\taddress=", hex(record.place, 16), "\tfunction=", record.function.view(),
                       "\tthen=", record.then);
            return;
        case HistoryEvent::unload_started:
        case HistoryEvent::freed:
            return;
    }
}

u64 History::add(HistoryRecord record) {
    record.number = next_number_++;
    ring_[record.number % kHistorySize] = record;
    return record.number;
}

u64 History::first_number() const {
    return next_number_ > kHistorySize ? next_number_ - kHistorySize : 1;
}

usize History::read(u64 from, std::span<HistoryRecord> out) const {
    u64 number = from < first_number() ? first_number() : from;
    usize count = 0;
    for (; number < next_number_ && count < out.size(); ++number) out[count++] = ring_[number % kHistorySize];
    return count;
}

}  // namespace graft::patch
