#include "tools/graft/terminal.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>

namespace graft::tool {
namespace {

constexpr u64 kPatienceNs = 500'000'000;  // what is done sooner needs no progress
constexpr unsigned kBarWidth = 30;
constexpr const char* kClearLine = "\r\033[K";

}  // namespace

ProgressBar::ProgressBar(std::string label, bool enabled)
    : label_(std::move(label)), enabled_(enabled && ::isatty(STDERR_FILENO)) {}

ProgressBar::~ProgressBar() {
    if (shown_) fmt::print(stderr, "{}", kClearLine);
}

void ProgressBar::update(u64 done, u64 total) {
    if (!enabled_ || total == 0 || now_ns() - began_ns_ < kPatienceNs) return;
    auto percent = static_cast<unsigned>(done * 100 / total);
    if (percent == last_percent_) return;
    last_percent_ = percent;
    shown_ = true;
    unsigned filled = percent * kBarWidth / 100;
    fmt::print(stderr, "{}{} [{:=<{}}{:<{}}] {:>3}%", kClearLine, label_, "", filled, "", kBarWidth - filled, percent);
    std::fflush(stderr);
}

StatusLine::StatusLine(bool enabled) : enabled_(enabled && ::isatty(STDERR_FILENO)) {}

StatusLine::~StatusLine() {
    if (shown_) fmt::print(stderr, "{}", kClearLine);
}

void StatusLine::show(const std::string& text) {
    if (!enabled_) return;
    shown_ = true;
    fmt::print(stderr, "{}{}", kClearLine, text);
    std::fflush(stderr);
}

void Table::print() const {
    std::vector<usize> widths;
    for (const auto& row : rows_) {
        widths.resize(std::max(widths.size(), row.size()));
        for (usize i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    for (const auto& row : rows_) {
        std::string line;
        for (usize i = 0; i < row.size(); ++i) line += fmt::format("{:<{}}  ", row[i], widths[i]);
        line.erase(line.find_last_not_of(' ') + 1);
        fmt::print("{}\n", line);
    }
}

std::string printable(std::string_view text) {
    std::string result(text);
    for (char& character : result) {
        auto byte = static_cast<u8>(character);
        if ((byte < 0x20 && character != '\n' && character != '\t') || byte == 0x7f) character = '?';
    }
    return result;
}

}  // namespace graft::tool
