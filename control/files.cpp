#include "control/files.h"

#include <algorithm>
#include <cstring>

namespace graft::control {

namespace {

constexpr usize kMaxLine = 2048;

usize copy_from(std::span<const std::byte> bytes, u64 offset, std::span<std::byte> out) {
    if (offset >= bytes.size()) return 0;
    usize count = std::min<usize>(out.size(), bytes.size() - offset);
    if (count != 0) std::memcpy(out.data(), bytes.data() + offset, count);
    return count;
}

class ValueFile final : public File {
public:
    ValueFile(ControlTree& tree, Node node) : tree_(tree), node_(node), snapshot_(tree.quota()) {}

    ControlResult<void> take_snapshot() {
        snapshot_.release();
        is_fresh_ = true;
        return tree_.read_value(node_, snapshot_);
    }

    ControlResult<usize> read(u64 offset, std::span<std::byte> out, bool&) override {
        if (offset == 0) GRAFT_CHECK(is_fresh_ ? check_alive() : take_snapshot());
        is_fresh_ = false;
        return copy_from(snapshot_.view(), offset, out);
    }

    ControlResult<void> write(u64, std::span<const std::byte> bytes) override {
        std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
        return tree_.write_value(node_, text);
    }

private:
    ControlResult<void> check_alive() {
        GRAFT_TRY(tree_.info(node_.encode()));
        return {};
    }

    ControlTree& tree_;
    Node node_;
    ByteBuffer snapshot_;
    bool is_fresh_ = false;  // nothing of it has been read
};

class StreamFile final : public File {
public:
    StreamFile(System& system, NextLine next_line) : system_(system), next_line_(next_line) {}

    ControlResult<usize> read(u64, std::span<std::byte> out, bool& waits) override {
        usize count = 0;
        while (count < out.size() && has_line()) {
            usize part = copy_from(std::as_bytes(std::span(line_.view())), line_read_, out.subspan(count));
            line_read_ += part;
            count += part;
        }
        waits = count == 0;
        return count;
    }

private:
    // Fetches the next line when this one has been read.
    bool has_line() {
        if (line_read_ < line_.size()) return true;
        line_.clear();
        line_read_ = 0;
        return (system_.*next_line_)(cursor_, line_) && line_.size() != 0;
    }

    System& system_;
    NextLine next_line_;
    u64 cursor_ = 0;
    usize line_read_ = 0;
    Text<kMaxLine> line_;
};

class PlanFile final : public File {
public:
    explicit PlanFile(ControlTree& tree) : tree_(tree), patch_(tree.quota()) {}

    ControlResult<usize> read(u64 offset, std::span<std::byte> out, bool&) override {
        GRAFT_CHECK(finish());
        return copy_from(tree_.last_plan(), offset, out);
    }

    ControlResult<void> write(u64 offset, std::span<const std::byte> bytes) override {
        bool is_first = state_ != State::receiving;
        if (is_first) patch_.release();
        state_ = State::broken;
        if (offset > patch_.size()) {
            return refuse(ErrorNumber::invalid, "plan: write at offset ", offset, " leaves a gap after ",
                          patch_.size());
        }
        if (bytes.size() > formats::kKlpMaxFile - offset) {
            return refuse(ErrorNumber::too_large, "plan: the patch exceeds the ", formats::kKlpMaxFile,
                          " bytes that are allowed");
        }
        if (!patch_.write_at(offset, bytes)) return refuse_memory();
        state_ = State::receiving;
        return {};
    }

    ControlResult<void> sync() override { return finish(); }
    ControlResult<void> close() override { return finish(); }

private:
    enum class State : u8 { idle, receiving, broken };

    ControlResult<void> finish() {
        if (state_ == State::broken) return refuse(ErrorNumber::invalid, "plan: the patch has not arrived whole");
        if (state_ == State::idle) return {};
        state_ = State::idle;
        auto result = tree_.make_plan(patch_.view());
        patch_.release();
        return result;
    }

    ControlTree& tree_;
    ByteBuffer patch_;
    State state_ = State::idle;
};

}  // namespace

ControlResult<std::unique_ptr<File>> open_value(ControlTree& tree, Node node, Access access) {
    std::unique_ptr<ValueFile> file(new (kOrNull) ValueFile(tree, node));
    if (!file) return refuse_memory();
    if (access.read) GRAFT_CHECK(file->take_snapshot());
    return std::unique_ptr<File>(std::move(file));
}

ControlResult<std::unique_ptr<File>> open_stream(System& system, NextLine next_line) {
    std::unique_ptr<File> file(new (kOrNull) StreamFile(system, next_line));
    if (!file) return refuse_memory();
    return file;
}

ControlResult<std::unique_ptr<File>> open_plan(ControlTree& tree) {
    std::unique_ptr<File> file(new (kOrNull) PlanFile(tree));
    if (!file) return refuse_memory();
    return file;
}

}  // namespace graft::control
