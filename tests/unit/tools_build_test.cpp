// What `graft build` does with texts: diffs taken apart, sources seen as lines, numbers that don't move.
#include <gtest/gtest.h>

#include "tools/build/diff_text.h"
#include "tools/build/line_map.h"
#include "tools/build/own_initialiser.h"
#include "tools/build/source_text.h"

namespace graft::build {
namespace {

// ---- diffs

std::vector<FileDiff> parsed(std::string_view text) {
    auto files = parse_diff(text, "test.diff");
    EXPECT_TRUE(files.has_value()) << (files ? "" : files.error().text);
    return files.value_or(std::vector<FileDiff>());
}

std::string refusal(std::string_view text) {
    auto files = parse_diff(text, "test.diff");
    return files ? "" : files.error().text;
}

TEST(DiffText, TakesGitsWithTextAround) {
    auto files = parsed(
        "From: someone\n\nA fix. --- not a name\n---\n kernel/log.cpp | 2 +-\n\n"
        "diff --git a/kernel/log.cpp b/kernel/log.cpp\nindex 1..2 100644\n--- a/kernel/log.cpp\n+++ b/kernel/log.cpp\n"
        "@@ -3,2 +3,3 @@ void f()\n x\n--- a\n+++ b\n+c\n-- \n2.39\n");
    ASSERT_EQ(files.size(), 1u);
    EXPECT_EQ(files[0].kind, FileDiff::Kind::edit);
    EXPECT_EQ(files[0].old_path, "a/kernel/log.cpp");
    ASSERT_EQ(files[0].hunks.size(), 1u);
    // Lines of a hunk that look like names are its lines.
    EXPECT_EQ(files[0].hunks[0].text, "@@ -3,2 +3,3 @@ void f()\n x\n--- a\n+++ b\n+c\n");
}

TEST(DiffText, TakesPlainOnesWithTimes) {
    auto files =
        parsed("--- old/a b.c\t2026-01-01 00:00:00\n+++ new/a b.c\t2026-01-02 00:00:00\n@@ -1 +1 @@\n-x\n+y\n");
    ASSERT_EQ(files.size(), 1u);
    EXPECT_EQ(files[0].new_path, "new/a b.c");
    EXPECT_EQ(files[0].hunks[0].old_count, 1u);
}

TEST(DiffText, KnowsNewRemovedAndRenamedFiles) {
    auto files = parsed(
        "diff --git a/n.cpp b/n.cpp\nnew file mode 100644\n--- /dev/null\n+++ b/n.cpp\n@@ -0,0 +1 @@\n+int n;\n"
        "diff --git a/g.cpp b/g.cpp\ndeleted file mode 100644\n--- a/g.cpp\n+++ /dev/null\n@@ -1 +0,0 @@\n-int g;\n"
        "diff --git a/from.h b/to.h\nsimilarity index 100%\nrename from from.h\nrename to to.h\n"
        "diff --git a/empty.h b/empty.h\nnew file mode 100644\n"
        "--- x.c\t1970-01-01 00:00:00 +0000\n+++ x.c\t2026-01-01\n@@ -0,0 +1 @@\n+int x;\n");
    ASSERT_EQ(files.size(), 5u);
    EXPECT_EQ(files[0].kind, FileDiff::Kind::create);
    EXPECT_EQ(files[0].old_path, "b/n.cpp");
    EXPECT_EQ(files[1].kind, FileDiff::Kind::remove);
    EXPECT_EQ(files[1].new_path, "a/g.cpp");
    EXPECT_EQ(files[2].kind, FileDiff::Kind::rename);
    EXPECT_EQ(files[2].new_path, "to.h");
    EXPECT_EQ(files[3].kind, FileDiff::Kind::create);
    EXPECT_EQ(files[3].new_path, "b/empty.h");
    EXPECT_EQ(files[4].kind, FileDiff::Kind::create);
    EXPECT_FALSE(files[4].git);
}

TEST(DiffText, TakesReturnsOff) {
    auto files = parsed("--- a/x.c\r\n+++ b/x.c\r\n@@ -1,2 +1,2 @@\r\n-x\r\n+y\r\n z\r\n");
    EXPECT_EQ(files[0].new_path, "b/x.c");
    EXPECT_EQ(files[0].hunks[0].text, "@@ -1,2 +1,2 @@\n-x\n+y\n z\n");
}

TEST(DiffText, TakesAnEndWithoutNewline) {
    auto files = parsed(
        "--- a/x.c\n+++ b/x.c\n@@ -1 +1 @@\n-x\n\\ No newline at end of file\n+y\n\\ No newline at end of file\n");
    EXPECT_NE(files[0].hunks[0].text.find("+y\n\\ No"), std::string::npos);
}

TEST(DiffText, RefusesWhatIsDamaged) {
    EXPECT_NE(refusal("hello\n").find("holds no unified diff"), std::string::npos);
    EXPECT_NE(refusal("*** a\n--- b\n*** 1 ***\n").find("context diff"), std::string::npos);
    std::string names = "--- a/x.c\n+++ b/x.c\n";
    EXPECT_NE(refusal(names + "@@ -1,3 +1,3 @@\n x\n").find("test.diff:4"), std::string::npos);
    EXPECT_NE(refusal(names + "@@ -1,2 +1,1 @@\n x\nnonsense\n").find("begins in line 3"), std::string::npos);
    EXPECT_NE(refusal(names + "@@ -1 +1 @@\n-x\n-y\n").find("test.diff:5"), std::string::npos);
    EXPECT_NE(refusal(names + "@@ -x +1 @@\n").find("not a hunk's header"), std::string::npos);
}

TEST(DiffText, SurvivesEveryCut) {
    std::string text =
        "diff --git \"a/\\303\\244.c\" b/x.c\nrename from \"\\3\nrename to y\n--- a/x.c\n+++ b/x.c\n@@ -1,2 +1,2 @@ "
        "f\n x\n-y\n+z\n";
    for (usize length = 0; length <= text.size(); ++length) (void)parse_diff(text.substr(0, length), "cut");
}

// ---- sources

TEST(SourceText, KnowsWhereLinesBegin) {
    SourceText text(
        "int a; /* one\n two */ int b;\n#define M(x) \\\n  x\nconst char* r = R\"(\n/* no comment\n)\";\nf(1,\n  "
        "2);\n// goes on \\\n on\nint e;\n");
    std::vector<LineStart> starts;
    for (const SourceLine& line : text.lines()) starts.push_back(line.start);
    using enum LineStart;
    EXPECT_EQ(starts, (std::vector{plain, comment, plain, continued, plain, literal, literal, plain, plain, plain,
                                   continued, plain}));
    EXPECT_FALSE(text.takes_directive(1));
    EXPECT_FALSE(text.takes_directive(3));
    EXPECT_FALSE(text.takes_directive(6));
    EXPECT_TRUE(text.takes_directive(7));
    EXPECT_FALSE(text.takes_directive(8)) << "in parentheses, which may be a macro's";
    EXPECT_TRUE(text.takes_directive(11));
}

TEST(SourceText, CountsParenthesesThroughConditions) {
    SourceText text("f(\n#if X\n  1)\n#else\n  2)\n#endif\n;\ng();\n");
    EXPECT_FALSE(text.takes_directive(2));
    EXPECT_FALSE(text.takes_directive(4));
    EXPECT_TRUE(text.takes_directive(7));
    SourceText skipped("#if 0\nwon't (\n#endif\n}\nint a;\n");
    EXPECT_TRUE(skipped.takes_directive(4)) << "a brace at the margin ends what was lost";
}

TEST(SourceText, LiteralsAreNoComments) {
    SourceText text("const char* u = \"http://x\"; // c\nint n = 1'000'000; char c = '\"'; /* d */ int z;\n");
    EXPECT_EQ(text.lines()[0].canonical, "const char* u = \"http://x\";");
    EXPECT_EQ(text.lines()[1].canonical, "int n = 1'000'000; char c = '\"'; int z;");
}

bool same(std::string_view a, std::string_view b) {
    SourceText one(a);
    SourceText two(b);
    return means_the_same(one, 0, one.lines().size(), two, 0, two.lines().size());
}

TEST(SourceText, CommentsAndBlanksMeanNothing) {
    EXPECT_TRUE(same("int a;\n", "\n  int   a; // why\n/* more\n   lines */\n"));
    EXPECT_TRUE(same("int\ta;\r\n", "int a;\n"));
    EXPECT_TRUE(same("", "// only\n\n"));
}

TEST(SourceText, EverythingElseDoes) {
    EXPECT_FALSE(same("int a;\n", "int b;\n"));
    EXPECT_FALSE(same("x = \"a  b\";\n", "x = \"a b\";\n"));
    EXPECT_FALSE(same("f(a, b);\n", "f(a,\nb);\n")) << "__LINE__ may be in it";
    EXPECT_FALSE(same("int a; // \\\nint b;\n", "int a;\nint b;\n")) << "b is in the comment";
    EXPECT_FALSE(same("#define X 1 /*\n*/ + 2\n", "#define X 1\n+ 2\n")) << "the directive goes on";
    EXPECT_FALSE(same("auto r = R\"(a)\";\n", "auto  r = R\"(a)\";\n")) << "not sure, so not the same";
    EXPECT_FALSE(same("/* open\n", "// closed\n")) << "what follows is in the comment";
    EXPECT_FALSE(same("#define F(x) x\n", "#define F (x) x\n"));
    EXPECT_FALSE(same("a - -b;\n", "a --b;\n"));
}

// ---- numbers

TEST(LineMap, AddedLinesMoveNothing) {
    LineMap map;
    Neutral neutral = neutralise("x.cpp", "a\nb\nc\n", "a\nnew1\nnew2\nb\nc\n", {{1, 0, 1, 2}}, map);
    EXPECT_TRUE(neutral.changed);
    EXPECT_EQ(neutral.text, "a\n#line 1000002\nnew1\nnew2\n#line 2\nb\nc\n");
    EXPECT_EQ(map.find("x.cpp", 1000003).line, 3u);
    EXPECT_EQ(map.find("./x.cpp", 2).line, 4u);
    EXPECT_EQ(map.find("x.cpp", 3).line, 5u);
    EXPECT_EQ(map.find("other.cpp", 3).line, 3u);
}

TEST(LineMap, RemovedLinesMoveNothing) {
    LineMap map;
    Neutral neutral = neutralise("x.cpp", "a\nb\nc\n", "a\nc\n", {{1, 1, 1, 0}}, map);
    EXPECT_EQ(neutral.text, "a\n#line 3\nc\n");
    EXPECT_EQ(map.find("x.cpp", 3).line, 2u);
    EXPECT_TRUE(map.find("x.cpp", 2).gone);
    EXPECT_EQ(map.mapped("see x.cpp:3 and x.cpp:2, y.cpp:2"), "see x.cpp:2 and x.cpp:2 of the baseline, y.cpp:2");
}

TEST(LineMap, ReplacedLinesTakeTheNumbers) {
    LineMap map;
    Neutral neutral = neutralise("x.cpp", "a\nb\nc\n", "a\nB\nC\nD\nc\n", {{1, 1, 1, 3}}, map);
    EXPECT_EQ(neutral.text, "a\nB\n#line 1000003\nC\nD\n#line 3\nc\n");
    EXPECT_EQ(map.find("x.cpp", 2).line, 2u);
    EXPECT_EQ(map.find("x.cpp", 1000004).line, 4u);
    EXPECT_EQ(map.mapped("./x.cpp:1000004: no"), "x.cpp:4: no");
}

TEST(LineMap, CommentsGoBackToTheBaselines) {
    LineMap map;
    Neutral neutral =
        neutralise("x.cpp", "a\n b;\nc\n", "// one\na\nb; // two\nc\n", {{0, 0, 0, 1}, {1, 1, 2, 1}}, map);
    EXPECT_FALSE(neutral.changed);
    EXPECT_EQ(neutral.text, "a\n b;\nc\n");
    EXPECT_EQ(map.find("x.cpp", 3).line, 4u);
}

TEST(LineMap, WaitsForASafePlace) {
    LineMap map;
    // Inside of a call's parentheses nothing can stand; the numbers are put right behind them.
    Neutral neutral = neutralise("x.cpp", "f(1,\n2);\ng();\n", "f(1,\n7,\n2);\ng();\n", {{1, 0, 1, 1}}, map);
    EXPECT_EQ(neutral.text, "f(1,\n7,\n2);\n#line 3\ng();\n");
    EXPECT_EQ(map.find("x.cpp", 3).line, 3u) << "of two lines with one number the first counts";
}

TEST(LineMap, LeavesSourcesWithNumbersOfTheirOwn) {
    LineMap map;
    Neutral neutral = neutralise("x.cpp", "#line 7 \"y\"\na\n", "#line 7 \"y\"\nn\na\n", {{1, 0, 1, 1}}, map);
    EXPECT_TRUE(neutral.changed);
    EXPECT_EQ(neutral.text, "#line 7 \"y\"\nn\na\n");
}

// ---- initialisers

TEST(OwnInitialiser, GoesBehindTheName) {
    auto own = give_own_initialisers("int a;\nstatic Foo one(1), two{2};\nFoo many[3] = {4, 5, 6};\n",
                                     {{2, 20, "two"}, {3, 5, "many"}, {2, 12, "one"}, {2, 20, "two"}});
    EXPECT_EQ(own.given, 3u);
    EXPECT_EQ(own.text,
              "int a;\nstatic Foo one [[gnu::init_priority(65000)]](1), two [[gnu::init_priority(65000)]]{2};\n"
              "Foo many [[gnu::init_priority(65000)]][3] = {4, 5, 6};\n");
}

TEST(OwnInitialiser, KnowsQualifiedNames) {
    EXPECT_EQ(give_own_initialisers("Foo Bar::one(1);", {{1, 5, "one"}}).text,
              "Foo Bar::one [[gnu::init_priority(65000)]](1);");
    EXPECT_EQ(give_own_initialisers("Foo Bar::one(1);", {{1, 5, "Bar"}}).given, 0u);
}

TEST(OwnInitialiser, LeavesWhatStandsElsewhere) {
    constexpr std::string_view kText = "MAKE(one)\nFoo one(1);\n";
    std::vector<Declarator> wrong = {{1, 1, "one"}, {2, 4, "one"}, {2, 5, "on"},   {2, 5, "one1"},
                                     {0, 5, "one"}, {2, 0, "one"}, {2, 12, "one"}, {2, 99, "one"},
                                     {3, 1, "one"}, {9, 9, "one"}, {2, 13, "one"}, {2, 4294967295, "one"}};
    for (const Declarator& declarator : wrong) {
        auto own = give_own_initialisers(kText, {declarator});
        EXPECT_EQ(own.given, 0u) << declarator.line << ":" << declarator.column << " " << declarator.name;
        EXPECT_EQ(own.text, kText);
    }
    EXPECT_EQ(give_own_initialisers("", {{1, 1, "one"}}).given, 0u);
    EXPECT_EQ(give_own_initialisers("\n\n", {{3, 1, "one"}}).given, 0u);
}

}  // namespace
}  // namespace graft::build
