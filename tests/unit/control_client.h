// A 9P client for tests: it talks to a Server directly, one message at a time.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "control/server.h"
#include "formats/ninep.h"

namespace graft::control::testing {

namespace np = formats::ninep;

class Client {
public:
    explicit Client(Server& server, np::Dialect dialect = np::Dialect::with_unix)
        : server_(server), dialect_(dialect) {}

    // Bytes of replies must live as long as their views.
    struct Answer {
        std::vector<std::byte> bytes;
        np::Message message;

        template <typename T>
        const T* get() const {
            return std::get_if<T>(&message.body);
        }
        std::string error() const {
            auto* error = get<np::Rerror>();
            return error ? std::string(error->text) : "";
        }
    };

    void attach() {
        auto version = call(np::Tversion{8216, dialect_ == np::Dialect::with_unix ? "9P2000.u" : "9P2000"}, np::kNoTag);
        ASSERT_TRUE(version && version->get<np::Rversion>());
        auto attached = call(np::Tattach{0, np::kNoFid, "root", "", 0});
        ASSERT_TRUE(attached && attached->get<np::Rattach>()) << attached->error();
    }

    void send(const np::Body& body, u16 tag = 1) {
        std::vector<std::byte> bytes(70'000);
        auto size = np::encode({tag, body}, dialect_, bytes);
        ASSERT_TRUE(size.has_value());
        send_raw(std::span(bytes).first(*size));
    }
    void send_raw(std::span<const std::byte> bytes) {
        usize taken = server_.receive(bytes);
        ASSERT_EQ(taken, bytes.size());
    }

    // The next reply that the server has ready.
    std::optional<Answer> receive() {
        auto output = server_.output();
        received_.insert(received_.end(), output.begin(), output.end());
        server_.consume_output(output.size());
        if (received_.size() < 4) return std::nullopt;
        u32 size;
        std::memcpy(&size, received_.data(), sizeof(size));
        if (received_.size() < size) return std::nullopt;
        Answer answer;
        answer.bytes.assign(received_.begin(), received_.begin() + size);
        received_.erase(received_.begin(), received_.begin() + size);
        auto message = np::decode(answer.bytes, dialect_);
        EXPECT_TRUE(message.has_value());
        if (!message) return std::nullopt;
        answer.message = *message;
        return answer;
    }

    std::optional<Answer> call(const np::Body& body, u16 tag = 1) {
        send(body, tag);
        auto answer = receive();
        EXPECT_TRUE(!answer || answer->message.tag == tag);
        return answer;
    }

    // "" or the error's text.
    std::string try_call(const np::Body& body) {
        auto answer = call(body);
        return answer ? answer->error() : "no answer";
    }

    // Walks from the root (fid 0) to a path like "livepatch/fix/enabled".
    std::string walk(u32 fid, const std::string& path) {
        np::Twalk walk{0, fid, 0, {}};
        std::vector<std::string> names;
        usize begin = 0;
        while (begin < path.size()) {
            usize end = std::min(path.find('/', begin), path.size());
            names.push_back(path.substr(begin, end - begin));
            begin = end + 1;
        }
        for (const std::string& name : names) walk.names[walk.count++] = name;
        auto answer = call(walk);
        if (!answer) return "no answer";
        if (auto* walked = answer->get<np::Rwalk>(); walked && walked->count < walk.count) return "partial walk";
        return answer->error();
    }

    std::string open(u32 fid, const std::string& path, u8 mode) {
        std::string error = walk(fid, path);
        return error.empty() ? try_call(np::Topen{fid, mode}) : error;
    }

    std::string read(u32 fid, u64 offset, u32 count) {
        auto answer = call(np::Tread{fid, offset, count});
        if (!answer) return "<waits>";
        auto* data = answer->get<np::Rread>();
        if (!data) return "<error: " + answer->error() + ">";
        return {reinterpret_cast<const char*>(data->data.data()), data->data.size()};
    }

    std::string read_all(u32 fid, u32 count = 8000) {
        std::string content;
        while (true) {
            auto answer = call(np::Tread{fid, content.size(), count});
            if (!answer) return content + "<waits>";
            auto* data = answer->get<np::Rread>();
            if (!data) return "<error: " + answer->error() + ">";
            if (data->data.empty()) return content;
            content.append(reinterpret_cast<const char*>(data->data.data()), data->data.size());
        }
    }

    std::string cat(const std::string& path) {
        std::string error = open(100, path, np::kOpenRead);
        std::string content = error.empty() ? read_all(100) : "<error: " + error + ">";
        call(np::Tclunk{100});
        return content;
    }

    std::string write_value(const std::string& path, const std::string& text) {
        std::string error = open(101, path, np::kOpenWrite);
        if (error.empty()) error = write(101, 0, text);
        call(np::Tclunk{101});
        return error;
    }

    std::string write(u32 fid, u64 offset, const std::string& text) {
        return try_call(np::Twrite{fid, offset, std::as_bytes(std::span(text))});
    }

    std::vector<std::string> list(const std::string& path, u32 count = 8000) {
        std::vector<std::string> names;
        std::string error = open(102, path, np::kOpenRead);
        if (!error.empty()) return {"<error: " + error + ">"};
        std::string content = read_all(102, count);
        call(np::Tclunk{102});
        auto rest = std::as_bytes(std::span(content));
        while (!rest.empty()) {
            usize size = 0;
            auto stat = np::decode_stat(rest, dialect_, size);
            EXPECT_TRUE(stat.has_value());
            if (!stat) break;
            names.emplace_back(stat->name);
            rest = rest.subspan(size);
        }
        return names;
    }

    Server& server() { return server_; }

private:
    Server& server_;
    np::Dialect dialect_;
    std::vector<std::byte> received_;
};

}  // namespace graft::control::testing
