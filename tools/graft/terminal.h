// What a person sees: progress of what takes longer than half a second, and tables. Progress goes to standard error and
// only if that is a terminal.
#pragma once

#include <string>
#include <vector>

#include "base/types.h"
#include "tools/graft/deadline.h"

namespace graft::tool {

// A bar on the last line of the terminal, taken away again at the end.
class ProgressBar {
public:
    ProgressBar(std::string label, bool enabled);
    ~ProgressBar();
    ProgressBar(const ProgressBar&) = delete;
    ProgressBar& operator=(const ProgressBar&) = delete;

    void update(u64 done, u64 total);

private:
    std::string label_;
    bool enabled_;
    bool shown_ = false;
    u64 began_ns_ = now_ns();
    unsigned last_percent_ = ~0u;
};

// One line of state on the terminal, replaced by the next, taken away at the end.
class StatusLine {
public:
    explicit StatusLine(bool enabled);
    ~StatusLine();
    StatusLine(const StatusLine&) = delete;
    StatusLine& operator=(const StatusLine&) = delete;

    void show(const std::string& text);

private:
    bool enabled_;
    bool shown_ = false;
};

// Rows under headings, in columns as wide as their widest cell.
class Table {
public:
    explicit Table(std::vector<std::string> headings) : rows_{std::move(headings)} {}
    void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
    usize size() const { return rows_.size() - 1; }
    void print() const;

private:
    std::vector<std::vector<std::string>> rows_;
};

// What a guest says may hold anything: control characters become '?', so that nothing steers the terminal.
std::string printable(std::string_view text);

}  // namespace graft::tool
