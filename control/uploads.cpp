#include "control/uploads.h"

#include "control/canary_policy.h"
#include "control/duration.h"

namespace graft::control {

namespace {

constexpr std::string_view kPatchEnding = ".klp";
constexpr std::string_view kOptionsEnding = ".opt";
constexpr usize kEndingSize = 4;

// The open file of an upload. It finds the upload anew each time: the client may have removed it meanwhile.
class UploadFile final : public File {
public:
    UploadFile(Uploads& uploads, u64 id) : uploads_(uploads), id_(id) {}
    // Dropped without close(): an unfinished upload goes with it.
    ~UploadFile() override {
        if (!is_closed_) uploads_.remove(id_);
    }

    ControlResult<usize> read(u64 offset, std::span<std::byte> out, bool&) override {
        Upload* upload = GRAFT_TRY(find());
        auto bytes = upload->bytes.view();
        if (offset >= bytes.size()) return usize{0};
        bytes = bytes.subspan(offset);
        usize count = bytes.size() < out.size() ? bytes.size() : out.size();
        if (count != 0) std::memcpy(out.data(), bytes.data(), count);
        return count;
    }

    ControlResult<void> write(u64 offset, std::span<const std::byte> bytes) override {
        return uploads_.write(*GRAFT_TRY(find()), offset, bytes);
    }

    ControlResult<void> sync() override { return uploads_.finish(*GRAFT_TRY(find())); }

    ControlResult<void> close() override {
        Upload* upload = GRAFT_TRY(find());
        is_closed_ = true;
        upload->is_open = false;
        // Whoever asked for the load gets its answer; this is for who didn't.
        bool is_told = upload->state == Upload::State::loading && uploads_.is_decided(*upload);
        bool was_told = is_told || upload->state == Upload::State::refused;
        auto result = was_told ? ControlResult<void>() : uploads_.finish(*upload);
        if (upload->kind == Upload::Kind::patch || !result) uploads_.remove(id_);
        return result;
    }

private:
    ControlResult<Upload*> find() {
        if (Upload* upload = uploads_.find(id_)) return upload;
        return refuse(ErrorNumber::gone, "the upload is gone");
    }

    Uploads& uploads_;
    u64 id_;
    bool is_closed_ = false;
};

bool set_option(std::string_view key, std::string_view value, LoadRequest& request) {
    u64* duration_ns = key == "probation"     ? &request.probation_ns
                       : key == "deadline"    ? &request.deadline_ns
                       : key == "nudge_after" ? &request.nudge_period_ns
                                              : nullptr;
    if (duration_ns != nullptr) {
        auto duration = parse_duration(value);
        if (duration) *duration_ns = *duration;
        return duration.has_value();
    }
    if (key == "canary") {
        auto policy = parse_canary_policy(value);
        if (policy) request.canary = *policy;
        return policy.has_value();
    }
    bool* option = key == "allow_endless"     ? &request.allow_endless
                   : key == "allow_downgrade" ? &request.allow_downgrade
                                              : nullptr;
    if (option == nullptr || (value != "0" && value != "1")) return false;
    *option = value == "1";
    return true;
}

ControlResult<void> add_health_rule(std::string_view file_name, std::string_view text, LoadRequest& request) {
    auto rule = patch::parse_health_rule(text);
    if (!rule) {
        return refuse(ErrorNumber::invalid, file_name, ": abort_if=", text,
                      " is no health rule: expected faults>N, or p99>FACTORx with a factor from 0.01 to 1000");
    }
    if (request.health.add(*rule)) return {};
    return refuse(ErrorNumber::invalid, file_name, ": more than ", patch::kMaxHealthRules, " health rules");
}

// Rules that nothing would ever act on are a mistake, and it is told of.
ControlResult<void> check_health_rules(const LoadRequest& request) {
    if (request.health.empty() || request.canary) return {};
    if (request.health.has(patch::HealthRule::Kind::p99)) {
        return refuse(ErrorNumber::invalid, request.name,
                      ": a p99 rule needs a canary: without one, nothing measures the version before");
    }
    if (request.probation_ns != 0) return {};
    return refuse(ErrorNumber::invalid, request.name,
                  ": health rules act in a canary and on probation, and neither canary nor probation is asked for");
}

}  // namespace

std::string_view Upload::patch_name() const {
    std::string_view name = file_name.view();
    name.remove_suffix(kEndingSize);
    return name;
}

ControlResult<u64> Uploads::create(std::string_view file_name) {
    bool is_options = file_name.ends_with(kOptionsEnding);
    if (!is_options && !file_name.ends_with(kPatchEnding)) {
        return refuse(ErrorNumber::not_permitted, file_name, " can't be created: only <patch>.klp and <patch>.opt can");
    }
    std::string_view patch_name = file_name;
    patch_name.remove_suffix(kEndingSize);
    if (!formats::is_patch_name(patch_name)) {
        return refuse(ErrorNumber::invalid, patch_name, " is not a name for a patch");
    }
    if (Upload* former = find(file_name)) {
        if (former->is_open) return refuse(ErrorNumber::busy, file_name, " is being written already");
        remove(former->id);
    }
    for (auto& slot : uploads_) {
        if (slot) continue;
        slot.reset(new (kOrNull) Upload(quota_));
        if (!slot) return refuse_memory();
        slot->id = ++last_id_;
        slot->kind = is_options ? Upload::Kind::options : Upload::Kind::patch;
        slot->file_name.assign(file_name);
        return slot->id;
    }
    return refuse(ErrorNumber::no_room, "too many uploads at a time: at most ", kMaxUploads);
}

Upload* Uploads::find(u64 id) {
    for (auto& upload : uploads_) {
        if (upload && upload->id == id) return upload.get();
    }
    return nullptr;
}

Upload* Uploads::find(std::string_view file_name) {
    for (auto& upload : uploads_) {
        if (upload && upload->file_name.view() == file_name) return upload.get();
    }
    return nullptr;
}

void Uploads::remove(u64 id) {
    for (auto& upload : uploads_) {
        if (upload && upload->id == id) upload.reset();
    }
}

void Uploads::clear() {
    for (auto& upload : uploads_) upload.reset();
}

ControlResult<std::unique_ptr<File>> Uploads::open(u64 id, Access) {
    Upload* upload = find(id);
    if (upload == nullptr) return refuse(ErrorNumber::gone, "the upload is gone");
    if (upload->is_open) return refuse(ErrorNumber::busy, upload->file_name.view(), " is open already");
    std::unique_ptr<File> file(new (kOrNull) UploadFile(*this, id));
    if (!file) return refuse_memory();
    upload->is_open = true;
    return file;
}

ControlResult<void> Uploads::write(Upload& upload, u64 offset, std::span<const std::byte> bytes) {
    std::string_view name = upload.file_name.view();
    if (upload.state != Upload::State::receiving) return refuse(ErrorNumber::invalid, name, " takes no more bytes");
    upload.state = Upload::State::broken;
    if (offset > upload.bytes.size()) {
        return refuse(ErrorNumber::invalid, name, ": write at offset ", offset, " leaves a gap after ",
                      upload.bytes.size());
    }
    if (bytes.size() > upload.limit() - offset) {
        return refuse(ErrorNumber::too_large, name, " exceeds the ", upload.limit(), " bytes that are allowed");
    }
    if (!upload.bytes.write_at(offset, bytes)) {
        return refuse(ErrorNumber::no_memory, "no memory for ", name, " beyond ", upload.bytes.size(), " bytes");
    }
    upload.state = Upload::State::receiving;
    return {};
}

ControlResult<void> Uploads::finish(Upload& upload) {
    switch (upload.state) {
        case Upload::State::receiving:
            break;
        case Upload::State::loaded:
            return {};
        case Upload::State::loading:
            return later(upload.ticket);
        case Upload::State::broken:
            return refuse(ErrorNumber::invalid, upload.file_name.view(), " has not arrived whole and is not used");
        case Upload::State::refused:
            return refuse(ErrorNumber::invalid, upload.file_name.view(), " has been refused already");
    }
    return upload.kind == Upload::Kind::patch ? load(upload) : ControlResult<void>();
}

ControlResult<void> Uploads::load(Upload& upload) {
    LoadRequest request;
    request.name = upload.patch_name();
    request.source = source_;
    auto result = take_options(request.name, request);
    if (result) result = check_health_rules(request);
    if (result) result = system_.load(upload.bytes.view(), request);
    upload.bytes.release();
    upload.state = result ? Upload::State::loaded : Upload::State::refused;
    if (is_later(result)) {
        upload.state = Upload::State::loading;
        upload.ticket = result.error().ticket;
    }
    return result;
}

bool Uploads::is_decided(const Upload& upload) {
    return system_.outcome(upload.ticket).has_value();
}

// The options are used up, be they good or not.
ControlResult<void> Uploads::take_options(std::string_view patch_name, LoadRequest& request) {
    FixedText<kMaxNodeName> file_name;
    file_name.compose(patch_name, kOptionsEnding);
    Upload* options = find(file_name.view());
    if (options == nullptr) return {};
    ByteBuffer bytes = std::move(options->bytes);
    remove(options->id);
    std::string_view rest(reinterpret_cast<const char*>(bytes.view().data()), bytes.size());
    while (!rest.empty()) {
        std::string_view line = rest;
        if (auto end = rest.find('\n'); end != std::string_view::npos) {
            line.remove_suffix(line.size() - end);
            rest.remove_prefix(end + 1);
        } else {
            rest = {};
        }
        if (line.empty()) continue;
        auto sign = line.find('=');
        std::string_view key = line;
        std::string_view value = line;
        if (sign != std::string_view::npos) {
            key.remove_suffix(key.size() - sign);
            value.remove_prefix(sign + 1);
        }
        if (sign != std::string_view::npos && key == "abort_if") {
            GRAFT_CHECK(add_health_rule(file_name.view(), value, request));
            continue;
        }
        if (sign == std::string_view::npos || !set_option(key, value, request)) {
            return refuse(ErrorNumber::invalid, file_name.view(), ": option ", line, " is unknown or has a bad value");
        }
    }
    return {};
}

}  // namespace graft::control
