// The host command's small parts: durations, addresses of guests, JSON.
#include <gtest/gtest.h>

#include "tools/graft/connect.h"
#include "tools/graft/deadline.h"
#include "tools/graft/host_processor.h"
#include "tools/graft/json.h"

namespace graft::tool {
namespace {

TEST(Duration, TakesSecondsAndSuffixes) {
    EXPECT_EQ(parse_duration("3"), Milliseconds(3000));
    EXPECT_EQ(parse_duration("3s"), Milliseconds(3000));
    EXPECT_EQ(parse_duration("250ms"), Milliseconds(250));
    EXPECT_EQ(parse_duration("2m"), Milliseconds(120'000));
    EXPECT_EQ(parse_duration("1h"), Milliseconds(3'600'000));
    EXPECT_EQ(parse_duration("0"), Milliseconds(0));
}

TEST(Duration, RefusesEverythingElse) {
    for (const char* text : {"", "s", "-1", "1.5", "1 s", "1x", "1ss", "99999999999999999999", "9999999999999h"})
        EXPECT_FALSE(parse_duration(text).has_value()) << text;
}

TEST(Deadline, NeverPassesWhenNotSet) {
    EXPECT_FALSE(Deadline().passed());
    EXPECT_EQ(Deadline().poll_timeout(), -1);
    EXPECT_TRUE(Deadline::after(Milliseconds(0)).passed());
    EXPECT_EQ(Deadline::after(Milliseconds(0)).poll_timeout(), 0);
    EXPECT_GT(Deadline::after(Milliseconds(1000)).poll_timeout(), 900);
    EXPECT_EQ(Deadline::after(Milliseconds(1000)).poll_timeout(1), 0);
}

TEST(Connect, ReadsAllForms) {
    EXPECT_EQ(parse_connect("serial:/dev/pts/3")->path, "/dev/pts/3");
    EXPECT_EQ(parse_connect("unix:/tmp/a b")->path, "/tmp/a b");
    EXPECT_EQ(parse_connect("tcp:host")->port, "5640");
    EXPECT_EQ(parse_connect("tcp:host:7")->port, "7");
    EXPECT_EQ(parse_connect("tcp:[::1]:7")->host, "::1");
    for (const char* text : {"serial:/dev/x", "unix:/x", "tcp:h:1", "tcp:[::1]:7"})
        EXPECT_EQ(parse_connect(text)->text(), text);
}

TEST(Connect, RefusesEverythingElse) {
    for (const char* text :
         {"", "unix", "unix:", "udp:x", "tcp:", "tcp::1", "tcp:h:", "tcp:[::1", "tcp:[::1]x", "/dev/pts/3"}) {
        auto parsed = parse_connect(text);
        ASSERT_FALSE(parsed.has_value()) << text;
        EXPECT_EQ(parsed.error().code, ExitCode::usage) << text;
    }
}

TEST(Connect, SaysWhyNobodyIsThere) {
    auto missing = open_connection(*parse_connect("unix:/nonexistent/socket"), Deadline());
    ASSERT_FALSE(missing.has_value());
    EXPECT_EQ(missing.error().code, ExitCode::no_connection);
    EXPECT_NE(missing.error().text.find("No such file"), std::string::npos);
    EXPECT_FALSE(open_connection(*parse_connect("unix:" + std::string(200, 'x')), Deadline()).has_value());
    EXPECT_FALSE(open_connection(*parse_connect("serial:/dev/null"), Deadline()).has_value());
}

TEST(HostProcessor, AVirtualMachineSaysSoAmongItsFlags) {
    EXPECT_TRUE(is_virtual_machine("processor\t: 0\nflags\t\t: fpu vme hypervisor lahf_lm\nbugs\t\t:\n"));
    EXPECT_TRUE(is_virtual_machine("flags: hypervisor"));
    EXPECT_FALSE(is_virtual_machine("processor\t: 0\nflags\t\t: fpu vme lahf_lm\n"));
    EXPECT_FALSE(is_virtual_machine("model name\t: hypervisor\nflags\t\t: hypervisors vmx\n\n"));
    EXPECT_FALSE(is_virtual_machine(""));
}

TEST(Json, NestsAndSeparates) {
    JsonWriter json;
    json.begin_object().field("a", 1).field("b", true).field("c", "x");
    json.key("d").begin_array().value(2).begin_object().end().value("y").end().end();
    EXPECT_EQ(json.text(), R"({"a": 1, "b": true, "c": "x", "d": [2, {}, "y"]})");
}

TEST(Json, EscapesWhatMustBe) {
    JsonWriter json;
    json.value(std::string_view("\"\\\n\t\x01\xc3\xa9\xff\xed\xa0\x80 z", 13));
    EXPECT_EQ(json.text(), "\"\\\"\\\\\\n\\t\\u0001\xc3\xa9\\ufffd\\ufffd\\ufffd\\ufffd z\"");
}

}  // namespace
}  // namespace graft::tool
